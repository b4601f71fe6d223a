//! How an accelerator is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use perf_history::Location;
use pool_core::{Pool, PoolConfig};
use provision::{Detection, Home, detect, find_runtime};
use service::News;
use telemetry::{Builder, Sink, Telemetry};
use vocab::{Backend, BrowserName, DeviceKind};
use webnn_bridge::{BridgeConfig, LaunchSpec};

use crate::accelerator::{Accelerator, LaunchFailure};
use crate::error::BuildError;
use crate::history::History;
use crate::join::{FrontDesk, JoinOptions};
use crate::recover::RecoveryOptions;

/// The browsers that are tried where none was asked for, best first: WebNN before the rest, then what starts fastest.
pub(crate) const PREFERRED: &[BrowserName] = &[
    BrowserName::ChromiumHeadlessShell,
    BrowserName::Edge,
    BrowserName::Chrome,
    BrowserName::Chromium,
    BrowserName::Firefox,
    BrowserName::Safari,
    BrowserName::WebKitGtk,
];

/// Settings of an [`Accelerator`]; see [`Accelerator::builder`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build` is awaited"]
pub struct AcceleratorBuilder {
    home: Option<Home>,
    browsers: Vec<BrowserName>,
    specs: Vec<LaunchSpec>,
    backends: Option<Vec<Backend>>,
    devices: BTreeMap<Backend, DeviceKind>,
    threads: u32,
    pool: PoolConfig,
    bridge: Option<BridgeConfig>,
    tolerant: bool,
    history: Option<Location>,
    explore: Option<bool>,
    recovery: RecoveryOptions,
    join: Option<JoinOptions>,
    sinks: Sinks,
}

/// Who else hears of every event.
#[derive(Default)]
struct Sinks(Vec<Arc<dyn Sink>>);

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sinks").field(&self.0.len()).finish()
    }
}

impl AcceleratorBuilder {
    /// The directory of installed browsers and runtime files. Default: as `webnn-pool setup` chooses it.
    pub fn home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// One more browser of this machine, with one worker page. Default, where none is named: the first that is found,
    /// headless shell, Edge, Chrome, Chromium, Firefox, Safari, WebKitGTK.
    pub fn browser(mut self, name: BrowserName) -> Self {
        self.browsers.push(name);
        self
    }

    /// Several more browsers.
    pub fn browsers(mut self, names: impl IntoIterator<Item = BrowserName>) -> Self {
        self.browsers.extend(names);
        self
    }

    /// A browser with settings of its own, for example behind a WebDriver address. The builder's backends, devices and
    /// threads do not apply to it.
    pub fn launch(mut self, spec: LaunchSpec) -> Self {
        self.specs.push(spec);
        self
    }

    /// The backends to start in each browser, best first. Default: all that work there.
    pub fn backends(mut self, backends: impl IntoIterator<Item = Backend>) -> Self {
        self.backends = Some(backends.into_iter().collect());
        self
    }

    /// The device to ask a backend for. Default: `gpu` for WebGPU, `cpu` for the others.
    pub fn device(mut self, backend: Backend, device: DeviceKind) -> Self {
        self.devices.insert(backend, device);
        self
    }

    /// WASM threads of each page. Default: 0, one a core, four at most.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// Settings of the queue, the deadlines and the placement. Default: [`PoolConfig::default`].
    pub fn pool(mut self, config: PoolConfig) -> Self {
        self.pool = config;
        self
    }

    /// The database of what was observed: an SQLite file, which is created where there is none, or a PostgreSQL server.
    /// What it holds decides from the first request on, and what happens is added to it. Default: none; what is observed
    /// is known as long as the accelerator lives.
    pub fn history(mut self, location: Location) -> Self {
        self.history = Some(location);
        self
    }

    /// Whether requests may be sent where little is known, to learn something: that loads models and makes some requests
    /// slower. Default: yes with a [`history`](Self::history), otherwise as [`pool`](Self::pool) says.
    pub fn explore(mut self, explore: bool) -> Self {
        self.explore = Some(explore);
        self
    }

    /// How browsers that are lost are revived. Default: [`RecoveryOptions::default`].
    pub fn recovery(mut self, options: RecoveryOptions) -> Self {
        self.recovery = options;
        self
    }

    /// Lets browsers in that somebody else opens with a code; see [`Accelerator::invite`]. Default: none.
    pub fn join(mut self, options: JoinOptions) -> Self {
        self.join = Some(options);
        self
    }

    /// One more listener for every event: a log, for example. It is called on the thread where the event happens, and must
    /// return at once. Default: none.
    pub fn event_sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sinks.0.push(sink);
        self
    }

    /// Settings of the page server. Default: [`BridgeConfig::new`].
    pub fn bridge(mut self, config: BridgeConfig) -> Self {
        self.bridge = Some(config);
        self
    }

    /// Go on without the browsers that cannot be launched, as long as one can; they are listed in
    /// [`Accelerator::launch_failures`]. Default: no, one missing browser fails the whole.
    pub fn tolerate_missing(mut self, tolerant: bool) -> Self {
        self.tolerant = tolerant;
        self
    }

    /// Launches the browsers and waits until each has probed its backends.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is left running.
    pub async fn build(self) -> Result<Accelerator, BuildError> {
        let Self {
            home,
            browsers,
            specs,
            backends,
            devices,
            threads,
            mut pool,
            bridge,
            tolerant,
            history,
            explore,
            recovery,
            join,
            sinks,
        } = self;
        pool.selection.explore = explore.unwrap_or_else(|| pool.selection.explore || history.is_some());
        let home = match home {
            Some(home) => home,
            None => Home::locate()?,
        };
        let mut bridge = match bridge {
            Some(bridge) => bridge,
            None => BridgeConfig::new(find_runtime(&home)?),
        };
        let desk = join.map(FrontDesk::new).transpose().map_err(BuildError::Golden)?.map(Arc::new);
        bridge.join = desk.as_ref().map(|desk| desk.options.terms.clone()).or(bridge.join);
        // Detection runs programs with `--version` and waits for them.
        let must_have_one = specs.is_empty();
        let at = home.clone();
        let found = tokio::task::spawn_blocking(move || find_browsers(&at, browsers, must_have_one));
        let (installed, mut missing) = found.await.map_err(|_| BuildError::TaskLost)??;
        if !tolerant && !missing.is_empty() {
            return Err(missing.swap_remove(0).error);
        }
        let customised = installed.into_iter().map(|mut spec| {
            if let Some(backends) = &backends {
                spec.backends.clone_from(backends);
            }
            spec.devices.clone_from(&devices);
            spec.threads = threads;
            spec
        });
        let specs: Vec<LaunchSpec> = customised.chain(specs).collect();
        let news = Arc::new(News::default());
        let listeners = Telemetry::builder().sink(Arc::clone(&news) as _);
        let telemetry = sinks.0.into_iter().fold(listeners, Builder::sink).build();
        let listener = telemetry.clone();
        let begun = tokio::task::spawn_blocking(move || History::begin(history, listener)).await;
        let (history, learning) = begun.map_err(|_| BuildError::TaskLost)??;
        let pool = Pool::with_learning(pool, telemetry, learning)?;
        let parts = (bridge, desk);
        let started = Accelerator::start(pool, history, parts, (recovery, home), specs, missing, tolerant);
        Ok(started.await?.with_news(news))
    }
}

/// The browser of this machine that is taken where none is named.
///
/// # Errors
/// The directory of installed browsers cannot be named, or there is no browser.
pub fn preferred_browser() -> Result<BrowserName, BuildError> {
    let (found, _) = find_browsers(&Home::locate()?, Vec::new(), true)?;
    found.first().map(|spec| spec.name).ok_or(BuildError::NoBrowser)
}

type Found = (Vec<LaunchSpec>, Vec<LaunchFailure>);

/// Finds the browsers that were named, or, where none was, the first of the preferred ones.
fn find_browsers(home: &Home, named: Vec<BrowserName>, must_have_one: bool) -> Result<Found, BuildError> {
    if named.is_empty() {
        let first = PREFERRED.iter().find_map(|&name| match detect(home, name) {
            Detection::Found(installed) => Some(LaunchSpec::installed(installed)),
            _ => None,
        });
        return match first {
            Some(spec) if must_have_one => Ok((vec![spec], Vec::new())),
            None if must_have_one => Err(BuildError::NoBrowser),
            _ => Ok((Vec::new(), Vec::new())),
        };
    }
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in named {
        let (reason, hint) = match detect(home, name) {
            Detection::Found(installed) => {
                found.push(LaunchSpec::installed(installed));
                continue;
            }
            Detection::Missing { reason, hint } => (reason.to_string(), hint),
            _ => ("its state is not known to this version".to_owned(), "run webnn-pool browsers".to_owned()),
        };
        missing
            .push(LaunchFailure { browser: name, error: BuildError::BrowserMissing { name, reason, hint } });
    }
    if found.is_empty() && must_have_one {
        return Err(missing.into_iter().next().map_or(BuildError::NoBrowser, |missing| missing.error));
    }
    Ok((found, missing))
}
