//! A bridge with one browser and its page.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::{LinkError, LoadCall, LoadReport, Model, RunCall, RunReply, WorkerLink as _};
use provision::{Detection, Home, Installed, Runtime, detect, find_runtime};
use tensor::{Bindings, NamedTensor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Backend, BrowserName, RequestId, SessionId};
use webnn_bridge::{Bridge, BridgeConfig, BridgeLimits, LaunchSpec, LaunchedBrowser, Page, marked_processes};

/// How long a call of a test may take.
const CALL: Duration = Duration::from_secs(60);

/// The browser of this name; a machine without it is not set up.
#[track_caller]
pub fn engine(name: BrowserName) -> Installed {
    match detect(&Home::locate().expect("a home"), name) {
        Detection::Found(installed) => installed,
        missing => panic!("{name} is needed for this test; run cargo xtask setup: {missing:?}"),
    }
}

/// The page's runtime files.
#[track_caller]
pub fn runtime() -> Runtime {
    find_runtime(&Home::locate().expect("a home")).expect("onnxruntime-web: run cargo xtask setup")
}

/// A running bridge, one browser of it, and the page in that.
pub struct Rig {
    pub bridge: Bridge,
    pub browser: LaunchedBrowser,
    pub page: Page,
}

/// Launches a browser that serves the given backends.
pub async fn rig(name: BrowserName, backends: &[Backend]) -> Rig {
    rig_with(name, backends, |_| {}).await
}

/// The same with other limits.
pub async fn rig_with(name: BrowserName, backends: &[Backend], set: impl FnOnce(&mut BridgeLimits)) -> Rig {
    let mut config = BridgeConfig::new(runtime());
    set(&mut config.limits);
    let bridge = Bridge::start(config).await.expect("a bridge");
    let mut spec = LaunchSpec::installed(engine(name));
    spec.backends = backends.to_vec();
    let (browser, page) = bridge.launch(spec).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    Rig { bridge, browser, page }
}

impl Rig {
    /// Where the bridge keeps its files.
    pub fn run_dir(&self) -> PathBuf {
        std::env::temp_dir().join(self.bridge.mark())
    }

    /// Loads a model, and gives the session and the report.
    pub async fn load(
        &self,
        model: &Arc<Model>,
        backend: Backend,
    ) -> Result<(SessionId, LoadReport), LinkError> {
        let call = load_call(model, backend);
        let session = call.session;
        self.page.load(call).await.map(|report| (session, report))
    }

    /// The same with sizes for the symbolic dimensions.
    pub async fn load_static(
        &self,
        model: &Arc<Model>,
        backend: Backend,
        dims: &[(&str, u64)],
    ) -> Result<(SessionId, LoadReport), LinkError> {
        let dims: Bindings = dims.iter().map(|&(name, size)| (name.into(), size)).collect();
        let call = LoadCall { dims: Arc::new(dims), ..load_call(model, backend) };
        let session = call.session;
        self.page.load(call).await.map(|report| (session, report))
    }

    /// Runs a session.
    pub async fn run(&self, session: SessionId, inputs: Vec<NamedTensor>) -> Result<RunReply, LinkError> {
        self.page.run(run_call(session, inputs)).await
    }

    /// Ends everything, and asserts that nothing is left of it.
    pub async fn end(self) {
        let Self { bridge, browser, page } = self;
        let mark = bridge.mark().to_owned();
        let run_dir = std::env::temp_dir().join(&mark);
        browser.end().await;
        page.ended().await;
        assert_eq!(page.calls_in_flight(), 0, "calls in flight after the end");
        until("the page's connections end", Duration::from_secs(5), || bridge.live_tasks() == 1).await;
        bridge.shutdown().await;
        assert_eq!(marked_processes(Some(&mark)), Vec::<i32>::new(), "processes left");
        assert!(!run_dir.exists(), "{} left", run_dir.display());
    }
}

/// A call that loads `model` as a new session.
pub fn load_call(model: &Arc<Model>, backend: Backend) -> LoadCall {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    LoadCall {
        session: SessionId(SESSIONS.fetch_add(1, Ordering::Relaxed)),
        model: Arc::clone(model),
        backend,
        device: None,
        dims: Arc::default(),
        deadline: Instant::now() + CALL,
        cancel: CancellationToken::new(),
    }
}

/// A call that runs a session once.
pub fn run_call(session: SessionId, inputs: Vec<NamedTensor>) -> RunCall {
    RunCall {
        request: RequestId(1),
        session,
        inputs: inputs.into(),
        outputs: None,
        step: None,
        deadline: Instant::now() + CALL,
        cancel: CancellationToken::new(),
    }
}

/// Waits until `done`, and says how long that took.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> impl Future<Output = Duration> {
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if done() {
                return started.elapsed();
            }
            assert!(started.elapsed() < limit, "{caller}: not within {limit:?}: {what}");
        }
    }
}
