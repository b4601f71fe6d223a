//! `webnn-pool serve`

mod config;
mod join;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use exporters::json_lines::{self, JsonLines};
use exporters::otlp::{self, Exporter};
use pool_core::PoolConfig;
use provision::{Home, find_runtime};
use service::{Invited, ListenConfig, Parts, Server, Service, ServiceConfig, TokenSpec};
use tokio_util::sync::CancellationToken;
use vocab::BrowserName;
use webnn_pool::{Accelerator, BridgeConfig, Location};

use super::{Failure, out};
use config::PoolFile;

/// The variable that holds a token, where there is no file of tokens.
pub(crate) const TOKEN_VARIABLE: &str = "WEBNN_POOL_TOKEN";
/// How often folders and tokens are looked at, where nothing else is said.
const RELOAD: Duration = Duration::from_secs(5);
/// How long requests may take to end when the server goes down, where nothing else is said.
const DRAIN: Duration = Duration::from_secs(30);
/// How long connections may take to close after that.
const CLOSE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of settings, as docs/operating.md describes it. What stands on the command line comes first.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of models: DIR/NAME/model.onnx, DIR/NAME/VERSION/model.onnx, or the Hugging Face layout. May be given
    /// several times.
    #[arg(long, value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Where to listen, for HTTP and gRPC. Default: 127.0.0.1:8000. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The browsers to launch, comma separated; a name given twice is launched twice. Default: the first that is found.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    browser: Vec<BrowserName>,
    /// The backends to start in each browser, best first, comma separated. Default: all that work there.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    backend: Vec<vocab::Backend>,
    /// The database of what was observed, an SQLite file or a postgres:// address.
    #[arg(long, value_name = "DB")]
    history: Option<Location>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { config, models, listen, browser, backend, history } = args;
    let mut file = config.as_deref().map(config::read).transpose()?.unwrap_or_default();
    if !models.is_empty() {
        file.models = models;
    }
    file.listen = listen.or(file.listen);
    file.history = history.or(file.history);
    if !browser.is_empty() {
        file.browsers = browser;
    }
    if !backend.is_empty() {
        file.backends = backend;
    }
    if file.models.is_empty() {
        return Err(
            "there are no models to serve: give --models DIR, or models = [\"DIR\"] in --config FILE".into(),
        );
    }
    if let Some(folder) = file.models.iter().find(|folder| !folder.is_dir()) {
        return Err(format!("{} is no folder of models", folder.display()).into());
    }
    more_descriptors();
    file.join.options()?;
    let tokens = tokens(&file)?;
    // What would be refused when all browsers run is refused before.
    listening(&file).check(tokens.is_some())?;
    let mut signals = Signals::new()?;
    tokio::select! {
        started = Running::start(file, tokens) => started?.until(&mut signals).await,
        // Nothing was accepted yet; dropping what was begun ends it.
        () = signals.next() => Err("terminated while starting".into()),
    }
}

/// What runs while a server does.
struct Running {
    accelerator: Arc<Accelerator>,
    service: Service,
    server: Server,
    exporter: Option<Arc<Exporter>>,
    log: Option<Arc<JsonLines>>,
    file: PoolFile,
}

impl Running {
    async fn start(file: PoolFile, tokens: Option<Vec<TokenSpec>>) -> Result<Self, Failure> {
        let log = file.telemetry.log.as_deref().map(event_log).transpose()?.map(Arc::new);
        let listen = listening(&file);
        let names = file.browsers.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        out::note(&format!("launching {}", if names.is_empty() { "a browser" } else { &names }));
        let accelerator = Arc::new(accelerator(&file, log.as_deref()).await?);
        let mut parts = accelerator.service_parts(file.texts());
        let families = Arc::new(OnceLock::<Service>::new());
        let exporter = file.telemetry.otlp.clone().map(|url| {
            let known = Arc::clone(&families);
            Exporter::start(otlp::Settings::new(url), move || {
                known.get().map(Service::families).unwrap_or_default()
            })
        });
        let exporter = exporter.transpose()?.map(Arc::new);
        parts.exporter.clone_from(&exporter);
        parts.log.clone_from(&log);
        let invited = match &parts.guests {
            Some(guests) => Some(guests.invite()?),
            None => None,
        };
        match Self::serve(parts, &file, tokens, (listen, invited)).await {
            Ok((service, server)) => {
                // The exporter's own metrics are among the service's, so it knows the service for as long as it runs.
                let _ = families.set(service.clone());
                Ok(Self { accelerator, service, server, exporter, log, file })
            }
            Err(error) => {
                if let Some(accelerator) = Arc::into_inner(accelerator) {
                    accelerator.shutdown().await;
                }
                Err(error)
            }
        }
    }

    async fn serve(
        parts: Parts,
        file: &PoolFile,
        tokens: Option<Vec<TokenSpec>>,
        (listen, invited): (ListenConfig, Option<Invited>),
    ) -> Result<(Service, Server), Failure> {
        let mut config = ServiceConfig::default();
        config.models.clone_from(&file.models);
        config.limits = file.limits();
        config.batching = file.batching();
        config.model_settings = file.model_settings();
        config.tokens = tokens;
        let scheme = if listen.tls.is_some() { "https" } else { "http" };
        let service = Service::new(parts, config)?;
        service.refresh().await?;
        let server = service.listen(listen).await?;
        let names = service.model_names();
        out::note(&format!(
            "listening on {scheme}://{} (HTTP and gRPC), serving {}",
            server.address(),
            if names.is_empty() { "no model yet".to_owned() } else { names.join(", ") },
        ));
        out::note(&format!("live page: {scheme}://{}/", server.address()));
        if let Some(invited) = &invited {
            let minutes = invited.expires_in.as_secs() / 60;
            out::note(&format!("a browser joins as a guest at {} (once, within {minutes} min)", invited.url));
        }
        Ok((service, server))
    }

    /// Serves until a signal, then goes down in order. A second signal ends at once.
    async fn until(self, signals: &mut Signals) -> Result<(), Failure> {
        let stop = CancellationToken::new();
        let reloading = tokio::spawn(reload(self.service.clone(), self.file.clone(), stop.clone()));
        signals.next().await;
        stop.cancel();
        // It ends by the token; a panic in it would have been told.
        let _ = reloading.await;
        let limit = self.file.drain_seconds.map_or(DRAIN, |seconds| seconds.0);
        out::note(&format!("going down: {} requests have up to {limit:?} to end", self.service.going()));
        tokio::select! {
            left = self.down(limit) => match left {
                0 => Ok(()),
                left => Err(format!("{left} requests had not ended after {limit:?}").into()),
            },
            () = signals.next() => Err("told twice to end".into()),
        }
    }

    async fn down(self, limit: Duration) -> usize {
        let Self { accelerator, service, server, exporter, log, file: _ } = self;
        let left = service.drain(limit).await;
        server.shutdown(CLOSE).await;
        service.shutdown(CLOSE).await;
        if let Some(exporter) = exporter
            && let Err(error) = exporter.shutdown().await
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
        drop(service);
        match Arc::into_inner(accelerator) {
            Some(accelerator) => accelerator.shutdown().await,
            None => tracing::warn!("something still holds the pool; its browsers are killed"),
        }
        if let Some(log) = log {
            log.close();
        }
        left
    }
}

fn listening(file: &PoolFile) -> ListenConfig {
    let mut listen = ListenConfig::default();
    listen.address = file.listen.unwrap_or(listen.address);
    listen.tls = file.security.tls();
    listen.allow_anyone = file.security.allow_anyone;
    listen
}

async fn accelerator(file: &PoolFile, log: Option<&JsonLines>) -> Result<Accelerator, Failure> {
    let mut pool = PoolConfig::default();
    pool.default_deadline = file.limits().max_timeout;
    pool.queue_capacity = file.limits.queue.unwrap_or(pool.queue_capacity);
    pool.weights =
        file.model.iter().filter_map(|(name, model)| Some((name.clone(), model.weight?.get()))).collect();
    let mut builder = Accelerator::builder()
        .browsers(file.browsers.iter().copied())
        .threads(file.threads)
        .pool(pool)
        .tolerate_missing(file.browsers.len() > 1);
    if !file.backends.is_empty() {
        builder = builder.backends(file.backends.iter().copied());
    }
    if let Some(history) = &file.history {
        builder = builder.history(history.clone());
    }
    if let Some(log) = log {
        builder = builder.event_sink(Arc::new(log.sink()));
    }
    if let Some(options) = file.join.options()? {
        let mut bridge = BridgeConfig::new(find_runtime(&Home::locate()?)?);
        bridge.listen = file.join.listen.unwrap_or(bridge.listen);
        builder = builder.bridge(bridge).join(options);
    }
    let accelerator = builder.build().await?;
    for failure in accelerator.launch_failures() {
        out::note(&format!("going on without {}: {}", failure.browser, failure.error));
    }
    Ok(accelerator)
}

fn event_log(path: &Path) -> Result<JsonLines, Failure> {
    let settings = json_lines::Settings::default();
    Ok(if path.as_os_str() == "-" {
        JsonLines::stderr(settings)?
    } else {
        JsonLines::append_to(path, settings)?
    })
}

/// The tokens that are let in: of the file, or the one of the environment; `None` where there is neither.
fn tokens(file: &PoolFile) -> Result<Option<Vec<TokenSpec>>, Failure> {
    if let Some(path) = &file.security.tokens_file {
        return config::read_tokens(path).map(Some);
    }
    match std::env::var(TOKEN_VARIABLE) {
        Ok(secret) if !secret.is_empty() => Ok(Some(vec![TokenSpec::of_secret("environment", &secret)])),
        _ => Ok(None),
    }
}

/// Looks at the folders of models and the file of tokens, again and again.
async fn reload(service: Service, file: PoolFile, stop: CancellationToken) {
    let every = file.reload_seconds.map_or(RELOAD, |seconds| seconds.0);
    if every.is_zero() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = service.refresh().await {
            tracing::warn!(target: "webnn_pool::service", %error, "the models stay as they were");
        }
        // The file may be just being written: what was valid stays so until it can be read.
        let replaced = tokens(&file).map_err(|error| error.to_string());
        let replaced =
            replaced.and_then(|tokens| service.replace_tokens(tokens).map_err(|error| error.to_string()));
        if let Err(error) = replaced {
            tracing::warn!(target: "webnn_pool::service", error, "the tokens stay as they were");
        }
    }
}

/// Thousands of connections need as many descriptors; the system gives as many as it lets us have.
fn more_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where that is refused, fewer connections are accepted at the same time.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// The signals that end a server.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { terminate: signal(SignalKind::terminate())?, hangup: signal(SignalKind::hangup())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
