//! `pool.toml`: settings of a server, with the line and the key of what is wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use service::{Batching, Limits, ModelSettings, TlsFiles, TokenSpec};
use sharding::Strategy;
use toml::Spanned;
use url::Url;
use vocab::{Backend, BrowserName};
use webnn_pool::{Location, TextShard};

use super::join::JoinTable;
use crate::cli::Failure;

/// The file, as it is read. What it does not say is as the defaults are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PoolFile {
    /// Where to listen.
    pub(super) listen: Option<SocketAddr>,
    /// Folders of models; relative ones to this file.
    pub(super) models: Vec<PathBuf>,
    /// The database of what was observed.
    #[serde(deserialize_with = "location")]
    pub(super) history: Option<Location>,
    /// The browsers to launch; a name that stands there twice is launched twice.
    #[serde(deserialize_with = "parsed_all")]
    pub(super) browsers: Vec<BrowserName>,
    /// The backends to start in each, best first.
    #[serde(deserialize_with = "parsed_all")]
    pub(super) backends: Vec<Backend>,
    /// WASM threads of each page; 0 for one a core, four at most.
    pub(super) threads: u32,
    /// How often the folders of models and the file of tokens are looked at; 0 for never.
    pub(super) reload_seconds: Option<Seconds>,
    /// How long requests may take to end when the server goes down.
    pub(super) drain_seconds: Option<Seconds>,
    pub(super) limits: LimitsTable,
    pub(super) batching: Option<Spanned<BatchingTable>>,
    pub(super) model: BTreeMap<String, ModelTable>,
    pub(super) security: SecurityTable,
    pub(super) telemetry: TelemetryTable,
    pub(super) join: JoinTable,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    max_body_mib: Option<u64>,
    max_buffered_mib: Option<u64>,
    max_requests: Option<usize>,
    max_connections: Option<usize>,
    /// Who may look at the live page at the same time.
    max_watchers: Option<usize>,
    header_seconds: Option<Seconds>,
    body_seconds: Option<Seconds>,
    request_seconds: Option<Seconds>,
    max_new_tokens: Option<usize>,
    /// Requests that may wait for a worker.
    pub(super) queue: Option<usize>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BatchingTable {
    max_batch: Option<u32>,
    max_delay_ms: Option<f64>,
    preferred: Option<Vec<u32>>,
    pad: Option<BTreeMap<String, f64>>,
    fill: Option<bool>,
    in_flight: Option<u32>,
    queue: Option<usize>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelTable {
    batching: Option<Spanned<BatchingTable>>,
    /// Over how many shards its texts are written.
    shards: Option<std::num::NonZeroUsize>,
    /// How it is cut for that.
    #[serde(deserialize_with = "parsed")]
    strategy: Option<Strategy>,
    /// Its share of the workers, where models compete.
    pub(super) weight: Option<std::num::NonZeroU32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecurityTable {
    /// Whether anybody may ask where the address can be reached from other machines and no token is set.
    pub(super) allow_anyone: bool,
    /// The file with the tokens.
    pub(super) tokens_file: Option<PathBuf>,
    pub(super) tls: Option<TlsTable>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelemetryTable {
    /// The file to which each event is appended as a line of JSON; "-" for standard error.
    pub(super) log: Option<PathBuf>,
    /// The address of an OpenTelemetry collector, as OTLP over HTTP has it; /v1/traces and /v1/metrics are added.
    #[serde(deserialize_with = "parsed")]
    pub(super) otlp: Option<Url>,
}

/// The file of tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    #[serde(default)]
    token: Vec<Spanned<TokenTable>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenTable {
    name: String,
    sha256: String,
    per_second: Option<f64>,
    burst: Option<u32>,
    #[serde(default = "yes")]
    admin: bool,
}

const fn yes() -> bool {
    true
}

/// A duration in seconds, 0 to a year.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let duration = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds <= 31_622_400.0);
        duration.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{seconds} is no number of seconds from 0 to a year"))
        })
    }
}

fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T::Err: std::fmt::Display,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

pub(super) fn parsed_all<'de, D: Deserializer<'de>, T: std::str::FromStr>(
    deserializer: D,
) -> Result<Vec<T>, D::Error>
where
    T::Err: std::fmt::Display,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn location<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Location>, D::Error> {
    parsed(deserializer)
}

/// Reads a file of settings. What is relative in it is so to its own folder.
pub(super) fn read(path: &Path) -> Result<PoolFile, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("could not read {}: {error}", path.display()))?;
    let mut file: PoolFile = toml::from_str(&text).map_err(|error| told(path, &text, &error))?;
    // Settings that are wrong only together with others are found here, where their place is still known.
    for (name, table) in file.tables() {
        let place = table.span().start;
        if let Err(error) = table.get_ref().settings(&Batching::default()).validate() {
            let name = name.map_or_else(|| "batching".to_owned(), |name| format!("model.{name}.batching"));
            return Err(format!("{}:{}: {name}: {error}", path.display(), line_at(&text, place)).into());
        }
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    file.models.iter_mut().for_each(|models| *models = folder.join(&*models));
    if let Some(Location::Sqlite(history)) = &mut file.history {
        *history = folder.join(&*history);
    }
    let security = &mut file.security;
    let tls = security.tls.as_mut().map(|tls| {
        [Some(&mut tls.certificate), Some(&mut tls.key), tls.client_authorities.as_mut()]
            .into_iter()
            .flatten()
    });
    let log = file.telemetry.log.as_mut().filter(|log| log.as_os_str() != "-");
    let paths = security.tokens_file.as_mut().into_iter().chain(tls.into_iter().flatten()).chain(log);
    paths.for_each(|path| *path = folder.join(&*path));
    Ok(file)
}

/// Reads a file of tokens.
pub(super) fn read_tokens(path: &Path) -> Result<Vec<TokenSpec>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("could not read {}: {error}", path.display()))?;
    let file: TokensFile = toml::from_str(&text).map_err(|error| told(path, &text, &error))?;
    let read = |table: Spanned<TokenTable>| {
        let line = line_at(&text, table.span().start);
        let TokenTable { name, sha256, per_second, burst, admin } = table.into_inner();
        let mut token = TokenSpec::of_hash(name, &sha256)
            .map_err(|error| Failure::from(format!("{}:{line}: {error}", path.display())))?;
        (token.per_second, token.burst, token.admin) = (per_second, burst, admin);
        Ok(token)
    };
    file.token.into_iter().map(read).collect()
}

/// An error with its place: the file, the line, and what stands there.
fn told(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let path = path.display();
    match error.span() {
        Some(span) => {
            let line = line_at(text, span.start);
            let there = text.lines().nth(line - 1).unwrap_or_default().trim();
            format!("{path}:{line}: {there}: {}", error.message()).into()
        }
        None => format!("{path}: {}", error.message()).into(),
    }
}

/// The number of the line in which a byte stands, from 1.
fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

impl PoolFile {
    fn tables(&self) -> impl Iterator<Item = (Option<&str>, &Spanned<BatchingTable>)> {
        let own = self.batching.iter().map(|table| (None, table));
        own.chain(
            self.model
                .iter()
                .filter_map(|(name, model)| Some((Some(name.as_str()), model.batching.as_ref()?))),
        )
    }

    pub(super) fn batching(&self) -> Batching {
        let usual = Batching::default();
        self.batching.as_ref().map_or_else(|| usual.clone(), |table| table.get_ref().settings(&usual))
    }

    pub(super) fn model_settings(&self) -> BTreeMap<String, ModelSettings> {
        let usual = self.batching();
        let of = |model: &ModelTable| {
            let mut settings = ModelSettings::default();
            settings.batching = model.batching.as_ref().map(|table| table.get_ref().settings(&usual));
            settings
        };
        self.model.iter().map(|(name, model)| (name.clone(), of(model))).collect()
    }

    pub(super) fn texts(&self) -> BTreeMap<String, TextShard> {
        let of = |model: &ModelTable| {
            let mut shard = TextShard::default();
            shard.shards = model.shards.map_or(shard.shards, std::num::NonZeroUsize::get);
            shard.strategy = model.strategy.unwrap_or(shard.strategy);
            shard
        };
        self.model.iter().map(|(name, model)| (name.clone(), of(model))).collect()
    }

    pub(super) fn limits(&self) -> Limits {
        let LimitsTable {
            max_body_mib,
            max_buffered_mib,
            max_requests,
            max_connections,
            max_watchers,
            header_seconds,
            body_seconds,
            request_seconds,
            max_new_tokens,
            queue: _,
        } = &self.limits;
        let mut limits = Limits::default();
        let mib = |mib: u64| mib.saturating_mul(1 << 20);
        limits.max_body_bytes = max_body_mib.map_or(limits.max_body_bytes, mib);
        limits.max_buffered_bytes =
            max_buffered_mib.map_or(limits.max_buffered_bytes.max(limits.max_body_bytes), mib);
        limits.max_requests = max_requests.unwrap_or(limits.max_requests);
        limits.max_connections = max_connections.unwrap_or(limits.max_connections);
        limits.max_watchers = max_watchers.unwrap_or(limits.max_watchers);
        limits.header_timeout = header_seconds.map_or(limits.header_timeout, |seconds| seconds.0);
        limits.body_timeout = body_seconds.map_or(limits.body_timeout, |seconds| seconds.0);
        limits.max_timeout = request_seconds.map_or(limits.max_timeout, |seconds| seconds.0);
        limits.max_new_tokens = max_new_tokens.unwrap_or(limits.max_new_tokens);
        limits
    }
}

impl BatchingTable {
    fn settings(&self, usual: &Batching) -> Batching {
        let Self { max_batch, max_delay_ms, preferred, pad, fill, in_flight, queue } = self;
        let mut batching = usual.clone();
        batching.max_batch = max_batch.unwrap_or(batching.max_batch);
        let delay = max_delay_ms.map(|ms| Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX));
        batching.max_delay = delay.unwrap_or(batching.max_delay);
        batching.preferred = preferred.clone().unwrap_or(batching.preferred);
        batching.pad = pad.clone().unwrap_or(batching.pad);
        batching.fill = fill.unwrap_or(batching.fill);
        batching.in_flight = in_flight.unwrap_or(batching.in_flight);
        batching.queue = queue.unwrap_or(batching.queue);
        batching
    }
}

impl SecurityTable {
    pub(super) fn tls(&self) -> Option<TlsFiles> {
        let TlsTable { certificate, key, client_authorities } = self.tls.clone()?;
        let mut files = TlsFiles::new(certificate, key);
        files.client_authorities = client_authorities;
        Some(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pool.toml");
        std::fs::write(&path, text).expect("it is written");
        (folder, path)
    }

    #[track_caller]
    fn check_refused(text: &str, line: usize, parts: &[&str]) {
        let (_folder, path) = file(text);
        let error = read(&path).expect_err("it is refused").to_string();
        assert!(error.contains(&format!("pool.toml:{line}: ")), "{error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} in {error}"));
    }

    #[test]
    fn errors_name_line_and_key() {
        check_refused("listen = \"127.0.0.1:8000\"\nlisten_on = 3\n", 2, &["listen_on", "unknown field"]);
        check_refused("listen = \"nowhere\"\n", 1, &["listen", "socket address"]);
        check_refused("\n[limits]\nmax_requests = -1\n", 3, &["max_requests", "-1"]);
        check_refused("browsers = [\"netscape\"]\n", 1, &["browsers", "netscape"]);
        check_refused("[batching]\nmax_batch = 5000\n", 1, &["batching", "max_batch", "5000"]);
        check_refused(
            "[model.a]\nshards = 2\n[model.a.batching]\npreferred = [9]\n",
            3,
            &["model.a.batching", "preferred"],
        );
        check_refused("[model.a]\nshards = 0\n", 2, &["shards"]);
        check_refused("[model.a]\nstrategy = \"diagonal\"\n", 2, &["strategy", "diagonal"]);
        check_refused("reload_seconds = -5\n", 1, &["reload_seconds", "-5"]);
        check_refused("models = [\n", 1, &["models"]);
        check_refused("[security.tls]\ncertificate = \"a\"\n", 1, &["security.tls", "key"]);
    }

    #[test]
    fn the_example_for_many_machines_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/many-machines/pool.toml");
        let read = read(Path::new(path)).expect("it is right");
        assert!(read.security.tls().is_some() && read.security.tokens_file.is_some());
    }

    #[test]
    fn the_example_for_guests_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/joining/pool.toml");
        assert!(read(Path::new(path)).expect("it is right").join.enabled);
    }

    #[test]
    fn a_file_is_read_and_its_paths_are_its_own() {
        let (folder, path) = file(concat!(
            "models = [\"here\"]\nhistory = \"seen.db\"\nbrowsers = [\"firefox\", \"firefox\"]\n",
            "[batching]\nmax_batch = 8\n",
            "[model.minilm]\nshards = 2\nstrategy = \"optimal\"\nweight = 3\n",
            "[model.minilm.batching]\npad = { input_ids = 0 }\n",
            "[security]\ntokens_file = \"tokens.toml\"\n",
        ));
        let read = read(&path).expect("it is right");
        assert_eq!(read.models, [folder.path().join("here")]);
        assert!(
            matches!(&read.history, Some(Location::Sqlite(path)) if *path == folder.path().join("seen.db"))
        );
        assert_eq!(read.security.tokens_file, Some(folder.path().join("tokens.toml")));
        assert_eq!(read.browsers.len(), 2);
        let batching = read.model_settings()["minilm"].batching.clone().expect("its own");
        assert_eq!((batching.max_batch, batching.pad.len()), (8, 1), "what it does not say is as for all");
        assert_eq!(read.texts()["minilm"].shards, 2);
    }

    #[test]
    fn tokens_are_read_with_their_line() {
        let hash = "0".repeat(64);
        let (_folder, path) =
            file(&format!("[[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nper_second = 5\nadmin = false\n"));
        let tokens = read_tokens(&path).expect("they are right");
        assert_eq!((tokens[0].per_second, tokens[0].admin), (Some(5.0), false));
        let (_folder, path) = file("[[token]]\nname = \"a\"\nsha256 = \"123\"\n");
        let error = read_tokens(&path).expect_err("no hash").to_string();
        assert!(error.contains("pool.toml:1: ") && error.contains("64 hexadecimal"), "{error}");
    }
}
