//! Browsers that are launched beside the others: one that takes over from another, and one that comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::{Held, LeaveCause};
use telemetry::{Event, RecycleCause, Relief};
use tokio::time::Instant;
use vocab::{PressureLevel, WorkerId};
use webnn_bridge::{LaunchSpec, LaunchedBrowser, Page};

use super::acts::emit;
use super::order::{Order, Why};
use crate::recover::error::ReviveError;
use crate::recover::patient::Patient;
use crate::recover::proof::{join_warming, load};
use crate::recover::{Shared, supervise};

/// How often a browser that takes over looks again at what the other one has loaded meanwhile.
const LOOKS: usize = 3;
/// Between two attempts to leave an order with a browser that is busy.
const AGAIN: Duration = Duration::from_millis(200);

/// The launches beside the others: one at a time, because two browsers that start keep each other waiting.
#[derive(Debug, Default)]
pub(in crate::recover) struct Launching(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    going: bool,
    /// Not before this, after one that failed.
    not_before: Option<Instant>,
    /// What was ended for want of memory.
    shelf: Vec<LaunchSpec>,
}

/// The right to launch, until it is dropped.
struct Turn(Arc<Launching>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.lock().going = false;
    }
}

impl Launching {
    fn turn(self: &Arc<Self>, now: Instant) -> Option<Turn> {
        let mut state = self.0.lock();
        if state.going || state.not_before.is_some_and(|at| now < at) {
            return None;
        }
        state.going = true;
        Some(Turn(Arc::clone(self)))
    }

    fn failed(&self, until: Instant) {
        self.0.lock().not_before = Some(until);
    }

    /// Keeps what was ended for want of memory.
    pub(super) fn shelve(&self, spec: LaunchSpec) {
        self.0.lock().shelf.push(spec);
    }

    fn unshelve(&self) -> Option<LaunchSpec> {
        self.0.lock().shelf.pop()
    }

    /// Whether something was ended for want of memory, and is not back.
    pub(super) fn has_shelved(&self) -> bool {
        !self.0.lock().shelf.is_empty()
    }
}

/// Starts a browser that takes over from another one, unless one is being launched already or the last attempt has failed
/// too short a time ago.
pub(super) fn begin_replacing(shared: &Arc<Shared>, old: &Arc<Patient>, cause: RecycleCause) {
    let Some(turn) = shared.launching.turn(Instant::now()) else { return };
    old.succeeded.store(true, Ordering::Release);
    let (of, old) = (Arc::clone(shared), Arc::clone(old));
    begin(shared, turn, async move {
        if let Err(error) = replace(&of, &old, cause).await {
            old.succeeded.store(false, Ordering::Release);
            complain(&of, "launch a browser that takes over", &error);
        }
    });
}

/// Launches again what was ended for want of memory. Answers whether that was possible now.
pub(super) fn begin_growing(shared: &Arc<Shared>, why: Why) -> bool {
    let Some(turn) = shared.launching.turn(Instant::now()) else { return false };
    let Some(spec) = shared.launching.unshelve() else { return false };
    let of = Arc::clone(shared);
    begin(shared, turn, async move {
        match launch(&of, spec.clone()).await {
            Ok((browser, page)) => {
                let patient = Patient::admit(Arc::clone(&of), spec, browser, page);
                let worker = patient.state.lock().worker;
                patient.tell(worker, Relief::PoolGrown, why);
                of.tasks.spawn(supervise(patient));
            }
            Err(error) => {
                of.launching.shelve(spec);
                complain(&of, "launch a browser again", &error);
            }
        }
    });
    true
}

fn complain(shared: &Arc<Shared>, operation: &'static str, error: &ReviveError) {
    tracing::warn!(error = error as &dyn std::error::Error, "could not {operation}");
    shared.launching.failed(Instant::now() + shared.options.recycle.retry);
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        detail.push_str(": ");
        detail.push_str(&cause.to_string());
        source = cause.source();
    }
    let detail = detail.chars().take(300).collect::<String>().into();
    emit(shared, Event::Orphan { operation, worker: None, detail });
}

/// Launches a browser that can compute something.
async fn launch(shared: &Arc<Shared>, spec: LaunchSpec) -> Result<(LaunchedBrowser, Page), ReviveError> {
    let (browser, page) = shared.launch(spec).await?;
    if page.worker_info().backends.is_empty() {
        browser.end().await;
        return Err(ReviveError::NoBackend);
    }
    Ok((browser, page))
}

/// Has this done beside everything else, until all stops.
fn begin(shared: &Arc<Shared>, turn: Turn, work: impl Future<Output = ()> + Send + 'static) {
    let stop = shared.stop.clone();
    shared.tasks.spawn(async move {
        let _turn = turn;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = work => {}
        }
    });
}

/// Launches a browser like the old one, has it load what that one has, lets it serve, and only then sends the old one away.
///
/// Cancellation safety: until it serves, the new browser and its place in the pool are held here, and dropped with this.
async fn replace(shared: &Arc<Shared>, old: &Arc<Patient>, cause: RecycleCause) -> Result<(), ReviveError> {
    let began = Instant::now();
    let spec = old.state.lock().spec.clone();
    let (browser, page) = launch(shared, spec.clone()).await?;
    let membership = join_warming(&shared.pool, &page);
    let worker = membership.worker();
    warm(shared, old, worker).await?;
    let before = old.serving().ok_or(ReviveError::LeftPool)?;
    let label = old.page().label().to_owned();
    shared.list(Some(&label), &page);
    shared.pool.serve(worker);
    let patient = Patient::of(Arc::clone(shared), spec, browser, page, membership);
    shared.tasks.spawn(supervise(patient));
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    tracing::info!(worker = %before, by = %worker, %cause, took_ms, "a browser has taken over from another");
    emit(shared, Event::WorkerReplaced { worker: before, by: worker, cause, took_ms });
    while !old.is_over() && !old.desk.leave(Order::Retire(LeaveCause::Recycled)) {
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// Loads what the old browser has. It goes on loading meanwhile, so what came late is looked for again.
async fn warm(shared: &Arc<Shared>, old: &Arc<Patient>, worker: WorkerId) -> Result<(), ReviveError> {
    for _ in 0..LOOKS {
        let has = shared.pool.held(worker);
        let there = |held: &Held| {
            has.iter().any(|own| {
                own.model.hash == held.model.hash
                    && own.backend == held.backend
                    && own.device == held.device
                    && own.dims == held.dims
            })
        };
        // One that is being revived has nothing loaded for the moment, and is not to be replaced by an empty one.
        let of = old.serving().ok_or(ReviveError::LeftPool)?;
        let missing: Vec<Held> = shared.pool.held(of).into_iter().filter(|held| !there(held)).collect();
        if missing.is_empty() {
            break;
        }
        let until = Instant::now() + shared.options.settings.ladder.limits.restart;
        for held in missing {
            load(&shared.pool, worker, held, false, until).await?;
        }
    }
    Ok(())
}

/// Whether a browser may be launched beside the others where memory is this scarce.
pub(super) fn has_room(level: PressureLevel) -> bool {
    level < PressureLevel::High
}
