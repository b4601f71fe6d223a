//! What happened that an operator wants to know of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use telemetry::{CheckOutcome, Event, Sink};
use tokio::sync::Notify;
use vocab::{BrowserName, Fault, Rung, WorkerId};

/// Events that are kept.
const MOST: usize = 256;
/// Workers whose browser is remembered, those that have left included.
const MOST_WORKERS: usize = 512;
/// Recoveries that are followed at the same time.
const MOST_RECOVERIES: usize = 64;

/// Hears every event of a pool, and keeps the latest 256 that tell of workers, recoveries, breakers, memory and the history.
///
/// It is a listener: give it to whoever makes the pool's [`Telemetry`](telemetry::Telemetry), and to
/// [`Parts::news`](crate::Parts::news). Events of single requests cost it one comparison.
#[derive(Debug, Default)]
pub struct News {
    state: Mutex<State>,
    lost: AtomicU64,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    items: VecDeque<Item>,
    browsers: BTreeMap<WorkerId, BrowserName>,
    recoveries: BTreeMap<WorkerId, Recovering>,
}

/// One event, in its place.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    /// How many were kept before it.
    pub(super) seq: u64,
    /// When it happened, in milliseconds since 1970.
    pub(super) unix_ms: u64,
    /// The browser of the worker that it is about, where the event does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of_browser: Option<BrowserName>,
    /// What happened.
    #[serde(flatten)]
    pub(super) event: Arc<Event>,
}

/// A recovery that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Recovering {
    /// The worker that was lost.
    pub(super) worker: WorkerId,
    /// Its browser.
    pub(super) browser: Option<BrowserName>,
    /// What is wrong.
    pub(super) fault: Fault,
    /// Since when, in milliseconds since 1970.
    pub(super) since_unix_ms: u64,
    /// What was tried last.
    pub(super) rung: Option<Rung>,
}

impl Sink for News {
    fn record(&self, _: f64, event: &Arc<Event>) {
        if !is_news(event) {
            return;
        }
        // A sink never waits: whoever reads holds the lock for microseconds, and these events are rare.
        let Some(mut state) = self.state.try_lock() else {
            self.lost.fetch_add(1, Relaxed);
            return;
        };
        state.note(unix_ms(SystemTime::now()), event);
        drop(state);
        self.came.notify_one();
    }
}

impl News {
    /// Waits until something came since the last time that this was waited for.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Those that came since so many had come, oldest first, and how many have come now.
    pub(super) fn since(&self, seq: u64) -> (Vec<Item>, u64) {
        let state = self.state.lock();
        let items = state.items.iter().filter(|item| item.seq >= seq).cloned().collect();
        (items, state.next)
    }

    /// The recoveries that go on, longest first.
    pub(super) fn recoveries(&self) -> Vec<Recovering> {
        let mut all: Vec<_> = self.state.lock().recoveries.values().copied().collect();
        all.sort_by_key(|recovering| (recovering.since_unix_ms, recovering.worker));
        all
    }

    /// Events that were not kept because somebody was reading.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl State {
    fn note(&mut self, unix_ms: u64, event: &Arc<Event>) {
        self.follow(unix_ms, event);
        if self.items.len() >= MOST {
            self.items.pop_front();
        }
        let of_browser = worker_of(event).and_then(|worker| self.browsers.get(&worker)).copied();
        self.items.push_back(Item { seq: self.next, unix_ms, of_browser, event: Arc::clone(event) });
        self.next += 1;
    }

    fn follow(&mut self, unix_ms: u64, event: &Event) {
        match *event {
            Event::WorkerJoined { worker, browser, .. } => {
                self.browsers.insert(worker, browser);
                if self.browsers.len() > MOST_WORKERS {
                    self.browsers.pop_first();
                }
            }
            Event::RecoveryStarted { worker, browser, fault } => {
                let rung = None;
                self.recoveries
                    .insert(worker, Recovering { worker, browser, fault, since_unix_ms: unix_ms, rung });
                if self.recoveries.len() > MOST_RECOVERIES {
                    self.recoveries.pop_first();
                }
            }
            Event::RungTried { worker, fault, rung, .. } => {
                if let Some(recovering) = self.recoveries.get_mut(&worker) {
                    (recovering.fault, recovering.rung) = (fault, Some(rung));
                }
            }
            Event::RecoveryEnded { worker, .. } => _ = self.recoveries.remove(&worker),
            _ => {}
        }
    }
}

/// The worker that an event is about.
fn worker_of(event: &Event) -> Option<WorkerId> {
    match *event {
        Event::WorkerLeft { worker, .. }
        | Event::RungTried { worker, .. }
        | Event::RecoveryEnded { worker, .. }
        | Event::Checked { worker, .. }
        | Event::MemoryRelieved { worker, .. }
        | Event::RecycleDue { worker, .. }
        | Event::WorkerReplaced { worker, .. } => Some(worker),
        Event::Orphan { worker, .. } | Event::Repaired { worker, .. } => worker,
        _ => None,
    }
}

const fn is_news(event: &Event) -> bool {
    match event {
        Event::WorkerJoined { .. }
        | Event::WorkerLeft { .. }
        | Event::WorkerReplaced { .. }
        | Event::SessionLoadFailed { .. }
        | Event::Orphan { .. }
        | Event::HistoryStalled { .. }
        | Event::HistoryResumed { .. }
        | Event::RecoveryStarted { .. }
        | Event::RungTried { .. }
        | Event::RecoveryEnded { .. }
        | Event::BreakerMoved { .. }
        | Event::PressureChanged { .. }
        | Event::MemoryRelieved { .. }
        | Event::RecycleDue { .. }
        | Event::Repaired { .. } => true,
        Event::Checked { outcome, .. } => !matches!(outcome, CheckOutcome::Right),
        _ => false,
    }
}

pub(super) fn unix_ms(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use telemetry::{LeaveCause, RecoveryEnd, RungOutcome, Telemetry};

    use super::*;

    fn joined(number: u64) -> Event {
        let (worker, browser) = (WorkerId(number), BrowserName::Firefox);
        Event::WorkerJoined { worker, browser, browser_version: "1".into(), slots: 1 }
    }

    fn started(number: u64) -> Event {
        let (worker, browser) = (WorkerId(number), Some(BrowserName::Firefox));
        Event::RecoveryStarted { worker, browser, fault: Fault::ALL[0] }
    }

    fn heard(events: impl IntoIterator<Item = Event>) -> Arc<News> {
        let news = Arc::new(News::default());
        let telemetry = Telemetry::builder().sink(Arc::clone(&news) as _).build();
        let now = tokio::time::Instant::now().into_std();
        events.into_iter().for_each(|event| telemetry.emit(now, event));
        news
    }

    #[test]
    fn what_is_kept_is_bounded_and_in_order() {
        let news = heard((0..10_000).flat_map(|number| [joined(number), started(number)]));
        let (items, next) = news.since(0);
        assert_eq!((items.len(), next), (MOST, 20_000));
        assert!(items.windows(2).all(|two| two[0].seq + 1 == two[1].seq));
        assert_eq!(news.recoveries().len(), MOST_RECOVERIES);
        let state = news.state.lock();
        assert_eq!(state.browsers.len(), MOST_WORKERS);
    }

    #[test]
    fn requests_are_no_news() {
        let finished = Event::RequestRejected { reason: telemetry::RejectReason::QueueFull };
        assert_eq!(heard([finished]).since(0).1, 0);
    }

    #[test]
    fn a_recovery_is_followed_from_its_beginning_to_its_end() {
        let worker = WorkerId(7);
        let rung = Rung::ALL[3];
        let left = Event::WorkerLeft { worker, cause: LeaveCause::Crashed };
        let tried = Event::RungTried {
            worker,
            fault: Fault::ALL[1],
            rung,
            outcome: RungOutcome::Failed,
            took_ms: 5.0,
        };
        let begun = [joined(7), left, started(7), tried];
        let news = heard(begun.clone());
        let going = news.recoveries();
        assert_eq!(going.len(), 1);
        assert_eq!((going[0].rung, going[0].fault), (Some(rung), Fault::ALL[1]));
        // The worker's browser is told where the event itself does not say it.
        assert_eq!(news.since(1).0[0].of_browser, Some(BrowserName::Firefox));
        let ended = Event::RecoveryEnded {
            worker,
            fault: Fault::ALL[1],
            end: RecoveryEnd::Recovered,
            rung: Some(rung),
            took_ms: 9.0,
        };
        assert!(heard(begun.into_iter().chain([ended])).recoveries().is_empty());
    }
}
