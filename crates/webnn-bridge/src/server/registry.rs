//! The launches whose pages may connect.

use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::launch::LaunchSpec;
use crate::link::{Page, PageEnd, PageState};

/// The newest page of a launch that is ready, or why the launch can have none. Each newer page ends the one before it, so
/// only the newest is worth taking, and a page that nobody takes holds nothing up.
pub(crate) type Pages = watch::Receiver<Option<Result<Page, PageEnd>>>;

/// One launched browser, as its pages find it when they connect.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) label: String,
    pub(crate) spec: LaunchSpec,
    /// The version that the driver told; empty before the driver has.
    pub(crate) version: Mutex<String>,
    /// The page that is connected now.
    pub(crate) current: Mutex<Option<Arc<PageState>>>,
    pub(crate) ready: watch::Sender<Option<Result<Page, PageEnd>>>,
}

impl Launch {
    /// Whether a page of this launch has said hello and not ended.
    pub(crate) fn is_connected(&self) -> bool {
        self.current.lock().as_ref().is_some_and(|page| page.end_cause().is_none())
    }
}

pub(crate) type LaunchRef = Arc<Launch>;

/// All launches, by token.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    launches: Arc<DashMap<String, LaunchRef>>,
}

impl Registry {
    /// Admits the pages of a new launch until the guard is dropped.
    pub(crate) fn register(&self, label: String, spec: LaunchSpec) -> (LaunchGuard, Pages) {
        let (ready, pages) = watch::channel(None);
        let launch =
            Arc::new(Launch { label, spec, version: Mutex::default(), current: Mutex::default(), ready });
        // 256 bits from the system's generator: nobody guesses it, so looking it up in a map leaks nothing of use.
        let token: String =
            rand::rng().random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        self.launches.insert(token.clone(), Arc::clone(&launch));
        (LaunchGuard { launches: Arc::clone(&self.launches), token, launch }, pages)
    }

    /// The labels of all launches, and since when each has a page that is connected.
    pub(crate) fn connections(&self) -> Vec<(String, Option<Instant>)> {
        let since = |launch: &Launch| {
            let current = launch.current.lock();
            current.as_ref().filter(|page| page.end_cause().is_none()).map(|page| page.since())
        };
        self.launches.iter().map(|launch| (launch.label.clone(), since(&launch))).collect()
    }

    /// Ends the page that is connected.
    pub(crate) fn disconnect(&self, label: &str) {
        let found =
            self.launches.iter().find(|launch| launch.label == label).map(|launch| Arc::clone(&launch));
        let page = found.and_then(|launch| launch.current.lock().clone());
        if let Some(page) = page {
            page.end(PageEnd::Closed);
        }
    }

    /// The launch whose token this is.
    pub(crate) fn find(&self, token: &str) -> Option<LaunchRef> {
        self.launches.get(token).map(|launch| Arc::clone(launch.value()))
    }
}

/// A launch whose pages are admitted. Dropping it withdraws the token and ends the page that is connected.
#[derive(Debug)]
pub(crate) struct LaunchGuard {
    launches: Arc<DashMap<String, LaunchRef>>,
    token: String,
    launch: LaunchRef,
}

impl LaunchGuard {
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn launch(&self) -> &LaunchRef {
        &self.launch
    }
}

impl Drop for LaunchGuard {
    fn drop(&mut self) {
        self.launches.remove(&self.token);
        if let Some(page) = self.launch.current.lock().take() {
            page.end(PageEnd::Closed);
        }
    }
}
