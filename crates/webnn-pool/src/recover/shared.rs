//! What all supervised browsers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pool_core::Pool;
use provision::Home;
use recovery::ResourcePoolErrorRecovery;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::{BrowserName, WorkerId};
use webnn_bridge::{Bridge, LaunchError, LaunchSpec, LaunchedBrowser, Page};

use super::config::RecoveryOptions;
use super::error::ReviveError;
use super::memory::{BrowserMemory, Launching};
use super::patient::Patient;

/// What all supervised browsers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pool: Pool<Page>,
    /// The newest page of each browser.
    pub(crate) pages: Mutex<Vec<Page>>,
    /// Weak, so that no task of a browser keeps the page server and the processes of a dropped accelerator alive.
    pub(crate) bridge: Weak<Bridge>,
    pub(crate) recovery: ResourcePoolErrorRecovery,
    pub(crate) options: RecoveryOptions,
    /// Where other browsers are looked for.
    pub(crate) home: Home,
    /// Fires when nothing is to be revived any more.
    pub(crate) stop: CancellationToken,
    /// Whatever is started beside the tasks of the accelerator itself.
    pub(crate) tasks: TaskTracker,
    /// The browsers that are watched over.
    patients: Mutex<Vec<Weak<Patient>>>,
    /// What was read of each browser's memory last.
    pub(super) memory: Mutex<Vec<BrowserMemory>>,
    /// Whether a browser is being launched beside the others.
    pub(super) launching: Arc<Launching>,
    /// How many browsers of each name are in trouble, or were given up.
    troubled: Mutex<BTreeMap<BrowserName, usize>>,
    /// How many requests had been accepted when the retry budget was paid last.
    paid: Mutex<u64>,
}

/// Says that a browser is in trouble, until it is dropped.
#[derive(Debug)]
pub(super) struct Troubled {
    shared: Arc<Shared>,
    name: BrowserName,
    for_good: bool,
}

/// So many requests fill the retry budget, whatever it held.
const FILL: u64 = 1_000;

impl Shared {
    pub(crate) fn new(
        pool: Pool<Page>,
        bridge: Weak<Bridge>,
        recovery: ResourcePoolErrorRecovery,
        options: RecoveryOptions,
        home: Home,
    ) -> Self {
        Self {
            pool,
            pages: Mutex::default(),
            bridge,
            recovery,
            options,
            home,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            patients: Mutex::default(),
            memory: Mutex::default(),
            launching: Arc::default(),
            troubled: Mutex::default(),
            paid: Mutex::default(),
        }
    }

    /// Launches a browser, and waits for its page.
    ///
    /// Cancellation safety: a launch that is dropped leaves nothing.
    pub(super) async fn launch(&self, spec: LaunchSpec) -> Result<(LaunchedBrowser, Page), ReviveError> {
        let browser = spec.name;
        let failed = |source| ReviveError::Launch { browser, source };
        let bridge = self.bridge.upgrade().ok_or_else(|| failed(LaunchError::ShuttingDown))?;
        let (launched, page) = bridge.launch(spec).await.map_err(failed)?;
        Ok((launched, page))
    }

    /// Puts a page into the list, in the place of the one with the label `before`.
    pub(crate) fn list(&self, before: Option<&str>, page: &Page) {
        let mut pages = self.pages.lock();
        match pages.iter_mut().find(|known| before == Some(known.label())) {
            Some(place) => *place = page.clone(),
            None => pages.push(page.clone()),
        }
    }

    /// Takes the page of this label off the list.
    pub(super) fn unlist(&self, label: &str) {
        self.pages.lock().retain(|page| page.label() != label);
    }

    pub(super) fn enlist(&self, patient: &Arc<Patient>) {
        self.patients.lock().push(Arc::downgrade(patient));
    }

    /// The browsers that are watched over.
    pub(super) fn patients(&self) -> Vec<Arc<Patient>> {
        let mut patients = self.patients.lock();
        patients.retain(|patient| patient.strong_count() > 0);
        patients.iter().filter_map(Weak::upgrade).collect()
    }

    /// The workers that serve now, each with its page and the resident memory of its browser in bytes, where that is known.
    pub(crate) fn serving(&self) -> Vec<(WorkerId, Page, Option<u64>)> {
        let memory = self.memory();
        let resident = |worker: WorkerId| {
            let read = memory.iter().find(|read| read.worker == worker)?;
            Some(read.resident_bytes).filter(|&bytes| bytes > 0)
        };
        let one = |patient: Arc<Patient>| {
            let worker = patient.serving()?;
            Some((worker, patient.page(), resident(worker)))
        };
        self.patients().into_iter().filter_map(one).collect()
    }

    /// What was read of each browser's memory last.
    pub(super) fn memory(&self) -> Vec<BrowserMemory> {
        self.memory.lock().clone()
    }

    pub(super) fn troubled(self: &Arc<Self>, name: BrowserName) -> Troubled {
        *self.troubled.lock().entry(name).or_default() += 1;
        Troubled { shared: Arc::clone(self), name, for_good: false }
    }

    pub(super) fn is_troubled(&self, name: BrowserName) -> bool {
        self.troubled.lock().get(&name).is_some_and(|&count| count > 0)
    }

    /// Pays the requests since the last time into the retry budget. Telemetry counts them anyway, so that nothing is
    /// done for a request while all is well.
    pub(super) fn pay(&self) {
        let counters = self.pool.telemetry().snapshot().counters;
        let accepted = counters.get("requests_accepted").copied().unwrap_or_default();
        let before = std::mem::replace(&mut *self.paid.lock(), accepted);
        for _ in 0..accepted.saturating_sub(before).min(FILL) {
            self.recovery.request_came();
        }
    }
}

impl Troubled {
    /// It stays in trouble.
    pub(super) fn for_good(mut self) {
        self.for_good = true;
    }
}

impl Drop for Troubled {
    fn drop(&mut self) {
        if self.for_good {
            return;
        }
        if let Some(count) = self.shared.troubled.lock().get_mut(&self.name) {
            *count = count.saturating_sub(1);
        }
    }
}
