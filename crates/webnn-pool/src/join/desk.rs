//! The front desk: who is in, which models guests get, and what is told of whoever is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pool_core::{Model, Pool};
use serde::Serialize;
use telemetry::{Event, GuestRefusal};
use tokio::sync::mpsc;
use vocab::{BrowserName, ModelHash, WorkerId};
use webnn_bridge::{Bridge, GuestModel, GuestNews, Page};

use super::JoinOptions;
use super::host::host;
use super::prove::Golden;
use crate::recover::Shared;

/// What a guest is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GuestState {
    /// Its page is on its way, or is away and may come back.
    Away,
    /// It computes the golden model, and loads what it is to serve.
    Proving,
    /// It takes requests.
    Working,
    /// It takes none for a while, because it said so.
    Paused,
    /// It said goodbye, and finishes what it has.
    Leaving,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GuestReport {
    /// Its name: `guest-3`.
    pub guest: Arc<str>,
    /// What it is doing.
    pub state: GuestState,
    /// The worker that it is, while it is in the pool.
    pub worker: Option<WorkerId>,
    /// The browser that it claims to be.
    pub claims: BrowserName,
    /// The version that it claims to have; may be empty.
    pub claims_version: String,
    /// How many runs have ended there, since it joined last.
    pub answers: u64,
    /// How many of its answers were compared with the pool's own browsers and found right, since it joined last.
    pub confirmed: u32,
    /// Whether all of its answers are held until they are compared.
    pub on_probation: bool,
}

/// What is kept about guests.
#[derive(Debug)]
pub(crate) struct FrontDesk {
    pub(crate) options: JoinOptions,
    pub(super) golden: Golden,
    pub(super) guests: Mutex<BTreeMap<Arc<str>, GuestReport>>,
    /// The models that guests get, of those that are served now.
    models: Mutex<BTreeMap<ModelHash, Arc<Model>>>,
}

impl FrontDesk {
    /// # Errors
    /// The golden model cannot be read.
    pub(crate) fn new(options: JoinOptions) -> Result<Self, String> {
        Ok(Self { golden: Golden::read()?, options, guests: Mutex::default(), models: Mutex::default() })
    }

    /// A model is served from now on. Guests get it where its name is among those that the operator allows.
    pub(crate) fn serves(&self, pool: &Pool<Page>, bridge: Option<&Bridge>, model: &Arc<Model>) {
        if self.options.models.contains(&model.name) {
            let news = self.models.lock().insert(model.hash, Arc::clone(model)).is_none();
            if news {
                self.publish(pool, bridge);
            }
        }
    }

    /// A model is not served any more.
    pub(crate) fn gives_up(&self, pool: &Pool<Page>, bridge: Option<&Bridge>, model: ModelHash) {
        if self.models.lock().remove(&model).is_some() {
            self.publish(pool, bridge);
        }
    }

    /// Tells everybody what guests get.
    pub(crate) fn publish(&self, pool: &Pool<Page>, bridge: Option<&Bridge>) {
        let models: Vec<Arc<Model>> = self.models.lock().values().cloned().collect();
        if let Some(bridge) = bridge {
            let told = models.iter().map(|model| {
                let bytes = model.files.iter().map(|file| file.bytes).sum();
                GuestModel::new(&*model.name, bytes, model.files.iter().map(|file| file.hash).collect())
            });
            bridge.set_guest_models(told.collect(), &[self.golden.hash()]);
        }
        pool.set_guest_models(&self.hashes());
    }

    pub(super) fn hashes(&self) -> Arc<BTreeSet<ModelHash>> {
        Arc::new(self.models.lock().keys().copied().collect())
    }

    pub(super) fn models(&self) -> Vec<Arc<Model>> {
        self.models.lock().values().cloned().collect()
    }

    /// The guests that are in, with what the pool knows of each.
    pub(crate) fn guests(&self, pool: &Pool<Page>) -> Vec<GuestReport> {
        let workers = pool.stats().core.workers;
        let mut guests: Vec<GuestReport> = self.guests.lock().values().cloned().collect();
        for guest in &mut guests {
            let worker = workers.iter().find(|worker| guest.worker == Some(worker.worker));
            let Some((worker, known)) = worker.and_then(|worker| Some((worker, worker.guest.as_ref()?)))
            else {
                continue;
            };
            (guest.answers, guest.confirmed) = (worker.served, known.confirmed);
            guest.on_probation = known.on_probation;
        }
        guests
    }
}

/// Receives guests until everything stops. One task for all, and one for each that is in.
pub(crate) async fn receive(shared: Arc<Shared>, desk: Arc<FrontDesk>, mut news: mpsc::Receiver<GuestNews>) {
    let stop = shared.stop.clone();
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = news.recv() => next,
        };
        match next {
            Some(GuestNews::Came(guest)) => {
                shared.tasks.spawn(host(Arc::clone(&shared), Arc::clone(&desk), guest));
            }
            Some(GuestNews::Refused(cause)) => refused(&shared, cause),
            Some(_) => {}
            None => return,
        }
    }
}

pub(super) fn refused(shared: &Shared, cause: GuestRefusal) {
    emit(shared, Event::GuestRefused { cause });
}

pub(super) fn emit(shared: &Shared, event: Event) {
    shared.pool.telemetry().emit(tokio::time::Instant::now().into_std(), event);
}
