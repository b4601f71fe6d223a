//! How long the deeds of a recovery take where nothing is wrong and nobody has to find out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::{LoadCall, Model, RunCall, WorkerLink as _};
use provision::{Home, find_runtime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Backend, RequestId, SessionId};
use webnn_bridge::{Bridge, Page};
use webnn_pool::{BridgeConfig, LaunchSpec};

use super::known::Known;
use super::leftovers::Kept;
use super::proxy::{Proxy, free_port};

/// The longest that one step of it may take.
const CALL: Duration = Duration::from_secs(60);

/// Seconds until the first right answer, and until all models were loaded too.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Took {
    pub answer: f64,
    pub whole: f64,
}

/// The deeds themselves, measured just before a fault.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Bare {
    /// A launch, and loading the models.
    pub restart: Took,
    /// Loading the page anew, and loading the models, which are in the browser's cache.
    pub refresh: Took,
}

/// Where they are measured: beside the pool, on the same machine under the same load.
pub struct BareBench {
    bridge: Bridge,
    proxy: Proxy,
    temp: Kept,
    backend: Backend,
    asked: (Known, Arc<Model>),
    held: Arc<Model>,
}

impl BareBench {
    pub async fn open(asked: &Known, held: &Known, backend: Backend) -> Self {
        let temp = Kept::new();
        let home = Home::locate().expect("a home");
        let mut config = BridgeConfig::new(find_runtime(&home).expect("run cargo xtask setup"));
        config.temp_dir = temp.path().to_owned();
        config.listen = free_port();
        let proxy = Proxy::start(config.listen).await;
        config.public_origin = Some(format!("http://{}", proxy.address));
        let bridge = Bridge::start(config).await.expect("a bridge");
        Self { bridge, proxy, temp, backend, asked: (asked.clone(), asked.plain()), held: held.plain() }
    }

    /// Launches this browser, loads its page anew, and ends it.
    pub async fn measure(&self, spec: LaunchSpec) -> Result<Bare, String> {
        let text = |error: &dyn std::error::Error| format!("the bare deed: {error}");
        let started = Instant::now();
        let (browser, page) = self.bridge.launch(spec).await.map_err(|error| text(&error))?;
        let restart = self.serve(&page, started).await?;
        let started = Instant::now();
        browser.reload().await.map_err(|error| text(&error))?;
        let page = browser.next_page().await.ok_or("no page after a reload")?;
        let refresh = self.serve(&page, started).await?;
        browser.end().await;
        Ok(Bare { restart, refresh })
    }

    /// What a pool does with a page that has come back: the models that were lost are loaded, and whoever waits is
    /// answered.
    async fn serve(&self, page: &Page, started: Instant) -> Result<Took, String> {
        let (asked, model) = &self.asked;
        let answered = async {
            let session = self.load(page, model).await?;
            let call = RunCall {
                request: RequestId(1),
                session,
                inputs: Arc::clone(&asked.inputs),
                outputs: None,
                step: None,
                deadline: Instant::now() + CALL,
                cancel: CancellationToken::new(),
            };
            let reply = page.run(call).await.map_err(|error| format!("a bare run: {error}"))?;
            asked.right(&reply.outputs)?;
            Ok::<_, String>(started.elapsed().as_secs_f64())
        };
        let held = async {
            if self.held.hash != model.hash {
                self.load(page, &self.held).await?;
            }
            Ok::<_, String>(started.elapsed().as_secs_f64())
        };
        // The page works them off in the order in which they are asked for: the smaller one first.
        let (answer, held) = tokio::try_join!(answered, held)?;
        Ok(Took { answer, whole: held.max(answer) })
    }

    async fn load(&self, page: &Page, model: &Arc<Model>) -> Result<SessionId, String> {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let session = SessionId(SESSIONS.fetch_add(1, Ordering::Relaxed));
        let call = LoadCall {
            session,
            model: Arc::clone(model),
            backend: self.backend,
            device: None,
            dims: Arc::default(),
            deadline: Instant::now() + CALL,
            cancel: CancellationToken::new(),
        };
        page.load(call).await.map_err(|error| format!("a bare load of {}: {error}", model.name))?;
        Ok(session)
    }

    pub async fn close(self) {
        let Self { bridge, proxy, temp, .. } = self;
        bridge.shutdown().await;
        drop(proxy);
        assert!(temp.names().is_empty(), "left over: {:?}", temp.names());
    }
}
