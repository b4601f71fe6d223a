//! One supervised browser, and the seam through which it is revived.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use pool_core::{Held, LeaveCause, Membership};
use recovery::{AttemptError, Fault, Reviver, Rung, RungSet, Signs, Subject};
use tokio::time::Instant;
use vocab::WorkerId;
use webnn_bridge::{LaunchSpec, LaunchedBrowser, Page};

use super::error::ReviveError;
use super::memory::Desk;
use super::proof::join;
use super::shared::Shared;

/// One supervised browser.
#[derive(Debug)]
pub(crate) struct Patient {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    /// What it is to do although nothing is wrong with it.
    pub(super) desk: Desk,
    /// Set when nobody watches over it any more.
    over: AtomicBool,
    /// Set while another browser is made ready to take over from it, and when that one has.
    pub(super) succeeded: AtomicBool,
}

/// What there is of it now.
#[derive(Debug)]
pub(super) struct State {
    /// How it was launched, or the one that has taken its place.
    pub(super) spec: LaunchSpec,
    pub(super) browser: Option<Arc<LaunchedBrowser>>,
    /// The page that serves, or served last.
    pub(super) page: Page,
    /// Whether that page has come and not proved itself yet.
    pub(super) unproved: bool,
    pub(super) membership: Option<Membership>,
    /// The worker that serves, or served last.
    pub(super) worker: WorkerId,
    /// What it had loaded when it was lost.
    pub(super) lost: Vec<Held>,
    /// When the trouble was noticed that is being dealt with.
    pub(super) since: Option<Instant>,
    /// Whether the driver said that the page crashed.
    pub(super) crashed: bool,
    /// Whether the page has just left a ping unanswered: another one would only take time.
    pub(super) unanswered: bool,
}

impl Patient {
    /// Lets the first page of a browser join the pool.
    pub(crate) fn admit(
        shared: Arc<Shared>,
        spec: LaunchSpec,
        browser: LaunchedBrowser,
        page: Page,
    ) -> Arc<Self> {
        shared.list(None, &page);
        let membership = join(&shared.pool, &page);
        Self::of(shared, spec, browser, page, membership)
    }

    /// A browser whose page has joined.
    pub(super) fn of(
        shared: Arc<Shared>,
        spec: LaunchSpec,
        browser: LaunchedBrowser,
        page: Page,
        membership: Membership,
    ) -> Arc<Self> {
        let state = State {
            spec,
            browser: Some(Arc::new(browser)),
            worker: membership.worker(),
            membership: Some(membership),
            page,
            unproved: false,
            lost: Vec::new(),
            since: None,
            crashed: false,
            unanswered: false,
        };
        let this = Arc::new(Self {
            shared,
            state: Mutex::new(state),
            desk: Desk::default(),
            over: AtomicBool::new(false),
            succeeded: AtomicBool::new(false),
        });
        this.shared.enlist(&this);
        this
    }

    pub(super) fn subject(&self) -> Subject {
        let state = self.state.lock();
        Subject { worker: state.worker, browser: Some(state.spec.name) }
    }

    pub(super) fn page(&self) -> Page {
        self.state.lock().page.clone()
    }

    pub(super) fn browser(&self) -> Option<Arc<LaunchedBrowser>> {
        self.state.lock().browser.clone()
    }

    /// The worker that is in the pool; `None` where there is none at this moment.
    pub(super) fn serving(&self) -> Option<WorkerId> {
        let state = self.state.lock();
        state.membership.as_ref().filter(|membership| !membership.is_closed()).map(Membership::worker)
    }

    /// Another page has come. It is the browser's page from now on, whether it proves itself or not.
    pub(super) fn arrived(&self, page: Page) {
        let mut state = self.state.lock();
        self.shared.list(Some(state.page.label()), &page);
        (state.page, state.unproved) = (page, true);
        (state.crashed, state.unanswered) = (false, false);
    }

    /// The process of its driver, where that is ours.
    pub(super) fn driver_id(&self) -> Option<u32> {
        self.state.lock().browser.as_ref()?.driver_id()
    }

    /// Puts the worker out of the pool, and so has its supervisor look after it. Answers whether it was there.
    pub(super) fn put_out(&self, cause: LeaveCause) -> bool {
        let state = self.state.lock();
        let Some(membership) = state.membership.as_ref().filter(|membership| !membership.is_closed()) else {
            return false;
        };
        membership.put_out(cause);
        true
    }

    /// Whether nobody watches over it any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Takes the worker out of the pool, if it is there, and takes note of what it had loaded.
    ///
    /// Cancellation safety: the membership stays until it has told what was held.
    pub(super) async fn depart(&self, cause: LeaveCause) {
        let out = self.state.lock().membership.as_ref().map(|membership| {
            membership.put_out(cause);
            membership.out()
        });
        let Some(out) = out else { return };
        out.await;
        let mut state = self.state.lock();
        if let Some(membership) = state.membership.take() {
            state.lost = membership.held();
        }
    }

    /// Ends the browser in order.
    pub(super) async fn end(&self) {
        self.over.store(true, std::sync::atomic::Ordering::Release);
        self.depart(LeaveCause::Retired).await;
        let browser = self.state.lock().browser.take();
        if let Some(browser) = browser.and_then(Arc::into_inner) {
            browser.end().await;
        }
    }
}

/// Why a worker with this fault leaves the pool.
pub(super) fn leave_cause(fault: Fault) -> LeaveCause {
    match fault {
        Fault::PageHung | Fault::WorkerHung | Fault::Slow => LeaveCause::Unresponsive,
        Fault::SocketLost => LeaveCause::Disconnected,
        Fault::WrongNumbers => LeaveCause::Quarantined,
        _ => LeaveCause::Crashed,
    }
}

impl Reviver for Patient {
    type Error = ReviveError;

    fn offers(&self) -> RungSet {
        let mut offered = RungSet::NONE.with(Rung::Restart);
        let state = self.state.lock();
        if state.browser.is_some() {
            offered = offered.with(Rung::Refresh);
            // Nobody else comes by himself while a page is there that has not proved itself.
            if !(state.unproved && state.page.is_connected()) {
                offered = offered.with(Rung::Reconnect);
            }
            if !state.unanswered {
                offered = offered.with(Rung::Ping);
            }
        }
        drop(state);
        if self.shared.options.switch { offered.with(Rung::Switch) } else { offered }
    }

    async fn signs(&self) -> Signs {
        self.look(self.shared.options.answer).await
    }

    async fn attempt(&self, rung: Rung, until: Instant) -> Result<(), AttemptError<ReviveError>> {
        match rung {
            Rung::Ping => self.ping(until).await?,
            Rung::Reconnect => self.reconnect().await?,
            Rung::Refresh => self.refresh().await?,
            Rung::Restart => self.restart().await?,
            Rung::Switch => return self.switch().await,
        }
        Ok(())
    }

    async fn proved(&self, rung: Rung, until: Instant) -> Result<(), ReviveError> {
        let same = rung == Rung::Reconnect && !self.state.lock().unproved;
        match rung {
            Rung::Ping => self.still_serves(),
            Rung::Reconnect if same => self.goes_on(until).await,
            _ => self.serves_again(rung, until).await,
        }
    }
}
