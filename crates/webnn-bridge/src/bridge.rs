//! The bridge: the server, the run directory and the browsers that were launched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OnceCell, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::ModelHash;

use crate::config::BridgeConfig;
use crate::error::BridgeError;
use crate::guest::{GuestModel, GuestNews, Invitation, InviteError, JoinConfig};
use crate::launch::{Display, LaunchError, LaunchSpec, RunningBrowser, Tab};
use crate::link::{Page, PageEnd};
use crate::process::{RunDir, reap_stale};
use crate::server::{self, JoinState, LaunchGuard, Pages, ServerState};
use crate::store::ModelStore;

/// How often a browser that has no page is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a page that lost its connection may stay away. It gives up after half of this.
const ABSENCE: Duration = Duration::from_secs(40);
/// How often a browser on another machine is asked for a sign of life. Grids end sessions that nobody asks anything of,
/// by default after five minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Serves the worker page and launches browsers that open it.
///
/// Dropping the bridge ends the server and kills every browser; [`shutdown`](Self::shutdown) does the same in order and
/// waits for it.
#[derive(Debug)]
pub struct Bridge {
    server: Arc<ServerState>,
    /// One display serves all browsers that need one; it is started with the first of them.
    display: OnceCell<Display>,
    launches: AtomicU64,
    // Declared last: its drop kills what is left of the run.
    run: Option<RunDir>,
}

impl Bridge {
    /// Starts the page server and the watchdog, after cleaning up what earlier runs were killed over.
    ///
    /// # Errors
    /// [`BridgeError`] if the address is taken or the run directory cannot be made.
    pub async fn start(config: BridgeConfig) -> Result<Self, BridgeError> {
        let parent = config.temp_dir.clone();
        let made = tokio::task::spawn_blocking({
            let parent = parent.clone();
            move || {
                for mark in reap_stale(&parent) {
                    tracing::info!(mark, "cleaned up after an earlier run that was killed");
                }
                RunDir::create(&parent)
            }
        });
        let run = made
            .await
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|source| BridgeError::RunDir { parent, source })?;
        let address = config.listen;
        let (server, _) = server::serve(
            config,
            Arc::new(ModelStore::default()),
            CancellationToken::new(),
            TaskTracker::new(),
        )
        .await
        .map_err(|source| BridgeError::Listen { address, source })?;
        Ok(Self { server, display: OnceCell::new(), launches: AtomicU64::new(1), run: Some(run) })
    }

    /// The origin of the page server: `http://127.0.0.1:40123`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.server.origin
    }

    /// The mark that the processes of this bridge carry in their environment.
    #[must_use]
    pub fn mark(&self) -> &str {
        self.run.as_ref().map_or("", RunDir::mark)
    }

    /// A folder for files of this run, below [`BridgeConfig::temp_dir`]. It is deleted with what is in it when the run is
    /// over, however it ends.
    #[must_use]
    pub fn scratch(&self) -> Option<&std::path::Path> {
        self.run.as_ref().map(RunDir::path)
    }

    /// The labels of the launches that have not ended, those that go on included, and since when each has a page that is
    /// connected; `None` where it has none.
    #[must_use]
    pub fn connections(&self) -> Vec<(String, Option<Instant>)> {
        self.server.registry.connections()
    }

    /// Ends the page of the launch with this label, where one is connected.
    pub fn disconnect(&self, label: &str) {
        self.server.registry.disconnect(label);
    }

    /// Gives out a code that lets one page in as a guest, once.
    ///
    /// # Errors
    /// [`InviteError`]
    pub fn invite(&self) -> Result<Invitation, InviteError> {
        self.server.join.as_ref().ok_or(InviteError::Disabled)?.invite(&self.server.origin)
    }

    /// The address of the page by which guests join; `None` where there are none.
    #[must_use]
    pub fn join_url(&self) -> Option<String> {
        let join = self.server.join.as_ref()?;
        Some(format!("{}/join", join.config.public_origin.as_deref().unwrap_or(&self.server.origin)))
    }

    /// On which terms guests are let in; `None` where they are not.
    #[must_use]
    pub fn join_config(&self) -> Option<&JoinConfig> {
        self.server.join.as_ref().map(|join| &join.config)
    }

    /// The models that guests get from now on: they are told of these, and no other file is given to them but those of
    /// `besides`.
    pub fn set_guest_models(&self, models: Vec<GuestModel>, besides: &[ModelHash]) {
        if let Some(join) = &self.server.join {
            join.set_models(models, besides);
        }
    }

    /// What happens from now on that concerns guests. `None` where there are none, and for everybody but the first who asks.
    #[must_use]
    pub fn guest_news(&self) -> Option<mpsc::Receiver<GuestNews>> {
        self.server.join.as_ref()?.take_news()
    }

    /// How long a page may take until it has probed all backends.
    #[must_use]
    pub fn ready_timeout(&self) -> Duration {
        self.server.config.limits.ready_timeout
    }

    /// Refusals that found no room among the news, since this was asked last.
    #[must_use]
    pub fn unheard_refusals(&self) -> u64 {
        self.server.join.as_ref().map_or(0, JoinState::unheard)
    }

    /// Launches a browser, opens the worker page in it, and waits until the page has probed its backends.
    ///
    /// Returns a handle that owns the browser, and the page.
    ///
    /// Cancellation safety: a caller who gives up drops the browser, which kills it.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing of the attempt is left.
    pub async fn launch(&self, spec: LaunchSpec) -> Result<(LaunchedBrowser, Page), LaunchError> {
        let Some(run) = &self.run else { return Err(LaunchError::ShuttingDown) };
        if self.server.stop.is_cancelled() {
            return Err(LaunchError::ShuttingDown);
        }
        let name = spec.name;
        let label = format!("{name}-{}", self.launches.fetch_add(1, Ordering::Relaxed));
        let display = if let Some(program) = spec.display_server() {
            let started = self.display.get_or_try_init(|| Display::start(run, &program)).await;
            Some(started.map_err(|source| LaunchError::NoDisplay { browser: name, source: Some(source) })?)
        } else {
            None
        };
        let (guard, pages) = self.server.registry.register(label.clone(), &spec);
        let browser = RunningBrowser::start(&spec, run, &label, display.map(Display::name)).await?;
        browser.version().clone_into(&mut guard.launch().version.lock());
        // The token stands in the fragment, which browsers keep to themselves: no log and no referrer carries it.
        let url = format!("{}/page/#token={}", self.server.origin, guard.token());
        let browser = Arc::new(browser);
        if !browser.is_local() {
            self.keep_alive(Arc::downgrade(&browser));
        }
        let launched = LaunchedBrowser { label, guard, pages: AsyncMutex::new(pages), browser };
        launched.browser.open(&url).await?;
        let waited = self.server.config.limits.ready_timeout;
        let page = tokio::time::timeout(waited, launched.page(None))
            .await
            .map_err(|_| LaunchError::TimedOut { browser: name, phase: "probing its backends", waited })?
            .map_err(|source| LaunchError::PageEnded { browser: name, source })?;
        Ok((launched, page))
    }

    /// Asks a remote browser for a sign of life now and then, until it is dropped or the bridge shuts down.
    fn keep_alive(&self, browser: Weak<RunningBrowser>) {
        let stop = self.server.stop.clone();
        self.server.tasks.spawn(async move {
            let mut looks = tokio::time::interval(KEEP_ALIVE);
            loop {
                tokio::select! {
                    _ = looks.tick() => {}
                    () = stop.cancelled() => return,
                }
                let Some(browser) = browser.upgrade() else { return };
                browser.has_tab().await;
            }
        });
    }

    /// Ends the server, the pages and the display, and deletes the run directory. Browsers are ended by their own
    /// handles; those that are left are killed.
    pub async fn shutdown(mut self) {
        self.server.stop.cancel();
        self.server.tasks.close();
        if let Some(display) = self.display.take() {
            display.end().await;
        }
        // Kills what still carries the mark, so that no socket of a forgotten browser keeps the server's tasks alive.
        let run = self.run.take();
        let _ = tokio::task::spawn_blocking(move || drop(run)).await;
        if tokio::time::timeout(Duration::from_secs(5), self.server.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.server.tasks.len(), "tasks of the page server did not end in time");
        }
    }

    /// Tasks of the server that run at this moment: the listener and one for each connection.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.server.tasks.len()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.server.stop.cancel();
        self.server.tasks.close();
    }
}

/// A browser that was launched. Dropping it kills the browser; [`end`](Self::end) closes it in order.
#[derive(Debug)]
pub struct LaunchedBrowser {
    label: String,
    guard: LaunchGuard,
    pages: AsyncMutex<Pages>,
    browser: Arc<RunningBrowser>,
}

impl LaunchedBrowser {
    /// A name for people: the browser's and a number.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Opens `url` in a further tab of the browser. The worker page stays open and goes on serving.
    ///
    /// # Errors
    /// [`LaunchError`] if the driver refuses.
    pub async fn open_tab(&self, url: &str) -> Result<(), LaunchError> {
        self.browser.open_tab(url).await
    }

    /// The driver's process id, where the driver is a process of ours. It leads a process group.
    #[must_use]
    pub fn driver_id(&self) -> Option<u32> {
        self.browser.driver_id()
    }

    /// The next page of this browser that is ready: after a reload, or after its connection was lost and came back.
    ///
    /// `None` when no page can come any more: the browser or its driver has ended, the page does not speak the protocol,
    /// or it has been away for longer than it tries to come back. A page whose own process crashed is of the last kind;
    /// [`reload`](Self::reload) brings a new one.
    pub async fn next_page(&self) -> Option<Page> {
        match self.page(Some(ABSENCE)).await {
            Ok(page) => Some(page),
            Err(end) => {
                tracing::info!(browser = self.label, %end, "no further page comes");
                None
            }
        }
    }

    /// Loads the page anew. The page that is there ends, and [`next_page`](Self::next_page) gives its successor, which
    /// finds the models that were loaded before in the browser's cache.
    ///
    /// # Errors
    /// [`LaunchError`] if the driver refuses or does not answer.
    pub async fn reload(&self) -> Result<(), LaunchError> {
        self.browser.reload().await
    }

    /// Waits for a page that is ready, as long as one can come.
    async fn page(&self, patience: Option<Duration>) -> Result<Page, PageEnd> {
        let mut pages = self.pages.lock().await;
        let mut looks = tokio::time::interval(LOOK);
        let mut seen = Instant::now();
        loop {
            tokio::select! {
                biased;
                changed = pages.changed() => {
                    changed.map_err(|_| PageEnd::Closed)?;
                    match pages.borrow_and_update().clone() {
                        Some(Ok(page)) if page.state.end_cause().is_none() => return Ok(page),
                        Some(Err(end)) => return Err(end),
                        Some(Ok(_)) | None => {}
                    }
                }
                _ = looks.tick() => {
                    if self.guard.launch().is_connected() {
                        seen = Instant::now();
                    } else if self.browser.driver_ended() {
                        return Err(PageEnd::DriverEnded);
                    } else if !self.browser.has_tab().await {
                        return Err(PageEnd::BrowserEnded);
                    } else if patience.is_some_and(|patience| seen.elapsed() > patience) {
                        return Err(PageEnd::Disconnected { code: None });
                    }
                }
            }
        }
    }

    /// Whether the driver has ended by itself.
    #[must_use]
    pub fn driver_ended(&self) -> bool {
        self.browser.driver_ended()
    }

    /// Whether a page of this browser is connected; it may not be ready yet.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.guard.launch().is_connected()
    }

    /// What the driver says, within `limit`, of the tab that the page is in.
    pub async fn tab(&self, limit: Duration) -> Tab {
        self.browser.tab(limit).await
    }

    /// Whether the driver says, within `limit`, that the page's process has crashed. It has the page do something for that,
    /// so it is a question about a page that is lost; a driver may end the session of one that crashed over it.
    pub async fn has_crashed(&self, limit: Duration) -> bool {
        self.browser.has_crashed(limit).await
    }

    /// Kills the browser and its driver without asking them, and deletes the profile: for one that does not answer. A
    /// browser on another machine can only be asked to end.
    pub async fn kill(self) {
        let Self { label: _, guard, pages: _, browser } = self;
        drop(guard);
        browser.kill().await;
    }

    /// Closes the browser, ends its driver and deletes its profile.
    pub async fn end(self) {
        let Self { label: _, guard, pages: _, browser } = self;
        // First the page: its calls fail with a cause instead of a broken connection.
        drop(guard);
        browser.end().await;
    }
}
