//! The launches and guests whose pages may connect.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use vocab::{Backend, BrowserName, DeviceKind};

use crate::guest::{Chain, Presented, Wish};
use crate::launch::LaunchSpec;
use crate::link::{Durations, Page, PageEnd, PageState};

/// The newest page of a launch that is ready, or why the launch can have none. Each newer page ends the one before it, so
/// only the newest is worth taking, and a page that nobody takes holds nothing up.
pub(crate) type Pages = watch::Receiver<Option<Result<Page, PageEnd>>>;

/// How many tokens that are over are remembered, with what to tell whoever shows one.
const MOST_OVER: usize = 512;

/// What a page is asked to do.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The browser that it is, or claims to be.
    pub(crate) browser: BrowserName,
    /// The backends to probe, in this order.
    pub(crate) backends: Vec<Backend>,
    /// The device to ask each for.
    pub(crate) devices: BTreeMap<Backend, DeviceKind>,
    pub(crate) threads: u32,
    /// Whether every graphics adapter there is known to be software.
    pub(crate) software_graphics: bool,
}

impl Terms {
    fn of(spec: &LaunchSpec) -> Self {
        Self {
            browser: spec.name,
            backends: spec.backends.clone(),
            devices: spec.backends.iter().map(|&backend| (backend, spec.device(backend))).collect(),
            threads: spec.threads_to_ask_for(),
            software_graphics: spec.no_graphics_device(),
        }
    }
}

/// What only a guest has.
#[derive(Debug)]
pub(crate) struct GuestEntry {
    chain: Mutex<Chain>,
    /// What its data connections and downloads prove themselves by, for as long as its page is the same.
    key: Mutex<Option<String>>,
    pub(crate) wish: watch::Sender<Wish>,
    /// How long its runs take is nobody else's measure.
    pub(crate) durations: Arc<Durations>,
}

/// One launched browser or guest, as its pages find it when they connect.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) label: String,
    pub(crate) terms: Terms,
    /// The version that the driver told, or a guest claims; empty before that is known.
    pub(crate) version: Mutex<String>,
    /// The page that is connected now.
    pub(crate) current: Mutex<Option<Arc<PageState>>>,
    pub(crate) ready: watch::Sender<Option<Result<Page, PageEnd>>>,
    pub(crate) guest: Option<GuestEntry>,
}

impl Launch {
    /// Whether a page of this launch has said hello, has not ended, and has its connection.
    pub(crate) fn is_connected(&self) -> bool {
        let current = self.current.lock();
        current.as_ref().is_some_and(|page| page.end_cause().is_none() && page.presence().is_there())
    }
}

pub(crate) type LaunchRef = Arc<Launch>;

/// What a guest's page is given at its welcome.
#[derive(Debug)]
pub(crate) struct Granted {
    /// What opens its next control connection.
    pub(crate) token: String,
    /// What its data connections and downloads prove themselves by.
    pub(crate) key: String,
}

/// All launches, by what their pages prove themselves by.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// By the tokens that open control connections.
    launches: DashMap<String, LaunchRef>,
    /// By the keys of guests' pages.
    keys: DashMap<String, LaunchRef>,
    /// Tokens of guests that are over.
    over: Mutex<VecDeque<(String, Arc<str>)>>,
}

/// 256 bits from the system's generator: nobody guesses it, so looking it up in a map leaks nothing of use.
fn secret() -> String {
    rand::rng().random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Registry {
    /// Admits the pages of a new launch until the guard is dropped.
    pub(crate) fn register(&self, label: String, spec: &LaunchSpec) -> (LaunchGuard, Pages) {
        self.enter(label, Terms::of(spec), String::new(), None)
    }

    /// Admits a guest until the guard is dropped. Its first token is the guard's.
    pub(crate) fn register_guest(
        &self,
        label: String,
        terms: Terms,
        version: String,
    ) -> (LaunchGuard, Pages) {
        self.enter(label, terms, version, Some(watch::Sender::new(Wish::Work)))
    }

    fn enter(
        &self,
        label: String,
        terms: Terms,
        version: String,
        guest: Option<watch::Sender<Wish>>,
    ) -> (LaunchGuard, Pages) {
        let (ready, pages) = watch::channel(None);
        let token = secret();
        let guest = guest.map(|wish| GuestEntry {
            chain: Mutex::new(Chain::new(token.clone())),
            key: Mutex::default(),
            wish,
            durations: Arc::default(),
        });
        let launch = Arc::new(Launch {
            label,
            terms,
            version: Mutex::new(version),
            current: Mutex::default(),
            ready,
            guest,
        });
        self.shared.launches.insert(token.clone(), Arc::clone(&launch));
        (LaunchGuard { shared: Arc::clone(&self.shared), token, launch }, pages)
    }

    /// The labels of all launches, and since when each has a page that is connected. Guests are none.
    pub(crate) fn connections(&self) -> Vec<(String, Option<Instant>)> {
        let since = |launch: &Launch| {
            let current = launch.current.lock();
            current.as_ref().filter(|page| page.end_cause().is_none()).map(|page| page.since())
        };
        let launched = self.shared.launches.iter().filter(|launch| launch.guest.is_none());
        launched.map(|launch| (launch.label.clone(), since(&launch))).collect()
    }

    /// Ends the page that is connected.
    pub(crate) fn disconnect(&self, label: &str) {
        let mut all = self.shared.launches.iter();
        let found = all.find(|launch| launch.label == label).map(|launch| Arc::clone(&launch));
        let page = found.and_then(|launch| launch.current.lock().clone());
        if let Some(page) = page {
            page.end(PageEnd::Closed);
        }
    }

    /// The launch or guest whose control connection this token opens.
    pub(crate) fn find(&self, token: &str) -> Option<LaunchRef> {
        self.shared.launches.get(token).map(|launch| Arc::clone(launch.value()))
    }

    /// The launch or guest whose data connections and downloads this proves: of a launch its token, of a guest its page's
    /// key, and no token.
    pub(crate) fn find_key(&self, key: &str) -> Option<LaunchRef> {
        let guest = self.shared.keys.get(key).map(|launch| Arc::clone(launch.value()));
        guest.or_else(|| self.find(key).filter(|launch| launch.guest.is_none()))
    }

    /// Why a guest's token that is over is over.
    pub(crate) fn why_over(&self, token: &str) -> Option<Arc<str>> {
        let over = self.shared.over.lock();
        over.iter().find(|(known, _)| known == token).map(|(_, why)| Arc::clone(why))
    }

    /// A guest's page shows its token. Gives it the next, and a key: that of its page where it is the one that was here
    /// before, a new one otherwise. `None` where the token is over.
    pub(crate) fn grant(&self, launch: &LaunchRef, token: &str, resumed: bool) -> Option<Granted> {
        let entry = launch.guest.as_ref()?;
        let next = secret();
        let mut chain = entry.chain.lock();
        let Presented::Good { over } = chain.present(token, &next) else { return None };
        self.shared.launches.insert(next.clone(), Arc::clone(launch));
        for token in over {
            self.shared.launches.remove(&token);
            self.shared.remember(token, "this tab has connected anew since");
        }
        drop(chain);
        let mut key = entry.key.lock();
        if !resumed && let Some(before) = key.take() {
            self.shared.keys.remove(&before);
        }
        let key = key.get_or_insert_with(|| {
            let key = secret();
            self.shared.keys.insert(key.clone(), Arc::clone(launch));
            key
        });
        Some(Granted { token: next, key: key.clone() })
    }

    /// A guest's page has said something, so the token that it was given last has arrived.
    pub(crate) fn arrived(&self, launch: &Launch) {
        let over = launch.guest.as_ref().and_then(|entry| entry.chain.lock().confirm());
        if let Some(token) = over {
            self.shared.launches.remove(&token);
            self.shared.remember(token, "it has let a tab in already");
        }
    }
}

impl Shared {
    fn remember(&self, token: String, why: &str) {
        let mut over = self.over.lock();
        if over.len() >= MOST_OVER {
            over.pop_front();
        }
        over.push_back((token, why.into()));
    }
}

/// A launch or guest whose pages are admitted. Dropping it withdraws what they prove themselves by and ends the page that is
/// connected.
#[derive(Debug)]
pub(crate) struct LaunchGuard {
    shared: Arc<Shared>,
    token: String,
    launch: LaunchRef,
}

impl LaunchGuard {
    /// The first token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn launch(&self) -> &LaunchRef {
        &self.launch
    }

    /// Withdraws what its pages prove themselves by, and remembers why.
    pub(crate) fn over(&self, why: &str) {
        let Some(entry) = &self.launch.guest else {
            self.shared.launches.remove(&self.token);
            return;
        };
        let good = entry.chain.lock().close();
        for token in good {
            if self.shared.launches.remove(&token).is_some() {
                self.shared.remember(token, why);
            }
        }
        if let Some(key) = entry.key.lock().take() {
            self.shared.keys.remove(&key);
        }
    }
}

impl Drop for LaunchGuard {
    fn drop(&mut self) {
        self.over("its guest is gone");
        if let Some(page) = self.launch.current.lock().take() {
            page.end(PageEnd::Closed);
        }
    }
}
