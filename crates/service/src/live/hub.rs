//! One task that makes frames while somebody looks, and everybody who does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::compose::{Composer, Counted, Facts};
use super::frame::Feed;
use super::insight::Affinities;
use super::news::unix_ms;
use crate::error::ServiceError;
use crate::service::{LOG, Service};

/// How often a frame is made.
const EVERY: Duration = Duration::from_secs(1);
/// The least time between two frames, where something happens.
const GAP: Duration = Duration::from_millis(200);
/// For how many ticks frames are still made when nobody looks any more, so that who comes back has missed nothing.
const LINGER: u32 = 10;
/// Messages that may wait for a reader, and that one who comes back is given.
const AHEAD: usize = 64;
/// How often affinities are asked for, and how long that may take.
const AFFINITIES_EVERY: Duration = Duration::from_secs(30);
const AFFINITIES_LIMIT: Duration = Duration::from_secs(20);

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Frame,
    News,
    Affinities,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::News => "news",
            Self::Affinities => "affinities",
        }
    }
}

/// A message, put into words once for all readers.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) json: Arc<str>,
}

/// What whoever comes is told first.
#[derive(Debug, Clone, Default)]
pub(super) struct Latest {
    /// The number of the message that brought the frame.
    pub(super) number: u64,
    pub(super) frame: Arc<str>,
    pub(super) affinities: Option<Arc<str>>,
}

/// Who looks, and what they are told.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Tells the numbers of one server's life from those of the next.
    boot: u32,
    state: Mutex<State>,
    latest: watch::Sender<Option<Latest>>,
    watchers: AtomicUsize,
    skipped: AtomicU64,
    closing: CancellationToken,
}

#[derive(Debug)]
struct State {
    sender: broadcast::Sender<Told>,
    kept: VecDeque<Told>,
    next: u64,
    running: bool,
}

impl Default for Hub {
    fn default() -> Self {
        let state = State {
            sender: broadcast::Sender::new(AHEAD),
            kept: VecDeque::with_capacity(AHEAD),
            next: 1,
            running: false,
        };
        Self {
            boot: rand::random(),
            state: Mutex::new(state),
            latest: watch::Sender::new(None),
            watchers: AtomicUsize::new(0),
            skipped: AtomicU64::new(0),
            closing: CancellationToken::new(),
        }
    }
}

/// Somebody who looks, until it is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) service: Service,
    pub(super) messages: broadcast::Receiver<Told>,
    /// What was missed, for one who comes back; `None` for one who needs all that there is.
    pub(super) missed: Option<Vec<Told>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.service.live().watchers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Hub {
    /// Ends every stream, and begins no more.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    pub(super) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Streams that are open, and messages that slow readers were spared.
    pub(crate) fn figures(&self) -> (usize, u64) {
        (self.watchers.load(Ordering::Acquire), self.skipped.load(Ordering::Relaxed))
    }

    pub(super) fn skipped(&self, messages: u64) {
        self.skipped.fetch_add(messages, Ordering::Relaxed);
    }

    /// Another number for each server.
    pub(super) const fn boot(&self) -> u32 {
        self.boot
    }

    /// A message's id in the stream.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{:08x}-{number}", self.boot)
    }

    /// The number in an id of this server's.
    fn number(&self, id: &str) -> Option<u64> {
        let (boot, number) = id.split_once('-')?;
        (u32::from_str_radix(boot, 16).ok()? == self.boot).then(|| number.parse().ok())?
    }

    /// The first message for whoever comes, once there is a frame; `None` where the server goes down before.
    pub(super) async fn latest(&self) -> Option<Latest> {
        let mut latest = self.latest.subscribe();
        tokio::select! {
            latest = latest.wait_for(Option::is_some) => latest.ok()?.clone(),
            () = self.closing.cancelled() => None,
        }
    }

    fn tell(&self, kind: Kind, what: &impl Serialize) {
        let json: Arc<str> = match serde_json::to_string(what) {
            Ok(json) => json.into(),
            // Nothing in a message can fail to be written; if that changes, the log says so.
            Err(error) => {
                tracing::error!(target: LOG, %error, "a message of the live page could not be written");
                return;
            }
        };
        let mut state = self.state.lock();
        let told = Told { number: state.next, kind, json: Arc::clone(&json) };
        state.next += 1;
        if state.kept.len() >= AHEAD {
            state.kept.pop_front();
        }
        state.kept.push_back(told.clone());
        // Fails where nobody looks at this moment.
        let _ = state.sender.send(told);
        let number = state.next - 1;
        drop(state);
        match kind {
            Kind::Frame => self.latest.send_modify(|latest| {
                let latest = latest.get_or_insert_default();
                (latest.number, latest.frame) = (number, json);
            }),
            Kind::Affinities => self.latest.send_modify(|latest| {
                if let Some(latest) = latest {
                    latest.affinities = Some(json);
                }
            }),
            Kind::News => {}
        }
    }

    /// Everything that was kept behind this message; `None` where some of it is gone.
    fn missed(state: &State, number: u64) -> Option<Vec<Told>> {
        let first = state.kept.front()?.number;
        let all = || state.kept.iter().filter(|told| told.number > number).cloned().collect();
        (first <= number + 1 && number < state.next).then(all)
    }
}

impl Service {
    /// Begins to look; `after` is the id of the last message that the caller has seen.
    ///
    /// # Errors
    /// The server is going down, or as many look as may.
    pub(super) fn watch(&self, after: Option<&str>) -> Result<Watcher, ServiceError> {
        let hub = self.live();
        if self.is_draining() {
            return Err(ServiceError::Draining);
        }
        let limit = self.limits().max_watchers;
        let mut state = hub.state.lock();
        if hub.watchers.load(Ordering::Acquire) >= limit {
            return Err(ServiceError::Watched { limit });
        }
        hub.watchers.fetch_add(1, Ordering::AcqRel);
        let messages = state.sender.subscribe();
        let missed = match after.and_then(|id| hub.number(id)) {
            Some(number) if state.running => Hub::missed(&state, number),
            _ => None,
        };
        if !state.running {
            state.running = true;
            // What was true when somebody last looked is not what is true now.
            state.kept.clear();
            hub.latest.send_replace(None);
            self.tasks().spawn(produce(Running(self.clone())));
        }
        drop(state);
        Ok(Watcher { service: self.clone(), messages, missed })
    }

    fn facts(&self) -> Facts {
        let parts = self.parts();
        let (watchers, skipped) = self.live().figures();
        let (details, flows) = parts
            .insight
            .as_ref()
            .map_or_else(Default::default, |insight| (insight.workers(), insight.flows()));
        let counted = self.repository().counted().into_iter().map(|(model, version, served, stats)| {
            let (answered, failed, spread) = stats.times();
            let (hash, unavailable) = match served {
                Ok(served) => (Some(served.model.hash), None),
                Err(why) => (None, Some(why)),
            };
            Counted { model, version, hash, unavailable, answered, failed, spread }
        });
        Facts {
            status: self.engine().status(),
            counted: counted.collect(),
            refused: self.counters().refusals().values().sum(),
            going: self.going(),
            draining: self.is_draining(),
            details,
            flows,
            recoveries: parts.news.recoveries(),
            feed: Feed { watchers, skipped, lost: parts.news.lost() },
            unix_ms: unix_ms(SystemTime::now()),
        }
    }
}

/// The task that makes frames; when it ends, however it does, another one may begin.
struct Running(Service);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.live().state.lock().running = false;
    }
}

async fn produce(running: Running) {
    let service = &running.0;
    let (hub, news) = (service.live(), &service.parts().news);
    let mut composer = Composer::default();
    let mut heard = news.since(u64::MAX).1;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let affinities = affinities(service);
    tokio::pin!(affinities);
    let mut alone = 0;
    let mut last: Option<Instant> = None;
    loop {
        let tick = tokio::select! {
            _ = ticks.tick() => true,
            () = news.came() => false,
            never = &mut affinities => match never {},
            () = hub.closing.cancelled() => return,
        };
        if !tick && let Some(last) = last {
            // A burst of events makes one frame.
            tokio::time::sleep_until(last + GAP).await;
        }
        let (items, next) = news.since(heard);
        heard = next;
        items.iter().for_each(|item| hub.tell(Kind::News, item));
        let now = Instant::now();
        last = Some(now);
        hub.tell(Kind::Frame, &composer.compose(now.into_std(), service.facts(), tick));
        if tick {
            alone = if hub.watchers.load(Ordering::Acquire) == 0 { alone + 1 } else { 0 };
        }
        if alone > LINGER {
            let mut state = hub.state.lock();
            // Whoever comes later finds that it does not run any more, and starts another one.
            if hub.watchers.load(Ordering::Acquire) == 0 {
                state.running = false;
                return;
            }
        }
    }
}

/// Asks for the affinities again and again, and tells them where they changed.
async fn affinities(service: &Service) -> std::convert::Infallible {
    let Some(insight) = service.parts().insight.clone() else { return std::future::pending().await };
    let mut before: Option<Result<Affinities, String>> = None;
    loop {
        let asked = tokio::time::timeout(AFFINITIES_LIMIT, insight.affinities()).await;
        let now = asked.unwrap_or_else(|_| {
            Err(format!("the history was not read within {} s", AFFINITIES_LIMIT.as_secs()))
        });
        if before.as_ref() != Some(&now) {
            match &now {
                Ok(affinities) => service.live().tell(Kind::Affinities, affinities),
                Err(error) => service.live().tell(Kind::Affinities, &json!({ "error": error })),
            }
            before = Some(now);
        }
        tokio::time::sleep(AFFINITIES_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use pool_core::{Completed, Model, Pool, PoolConfig, Request, RunError};
    use pool_core_testing::FakeWorker;
    use telemetry::Telemetry;
    use vocab::ModelHash;

    use super::*;
    use crate::engine::{Engine, EngineError, Library, ModelFiles, Status};
    use crate::service::{Parts, ServiceConfig};

    struct Empty(Pool<FakeWorker>);

    #[async_trait]
    impl Engine for Empty {
        async fn run(&self, request: Request) -> Result<Completed, RunError> {
            self.0.run(request).await
        }

        fn workers(&self) -> usize {
            self.0.workers()
        }

        fn status(&self) -> Status {
            Status::new(self.0.stats(), self.0.telemetry().snapshot(), self.0.breakers())
        }
    }

    #[async_trait]
    impl Library for Empty {
        async fn read(&self, _: ModelFiles) -> Result<Arc<Model>, EngineError> {
            Err(EngineError::Model("there is none".to_owned()))
        }

        fn retire(&self, _: ModelHash) {}
    }

    fn service() -> Service {
        let pool = Pool::new(PoolConfig::default(), Telemetry::new()).expect("they make sense");
        let engine = Arc::new(Empty(pool));
        let parts = Parts::new(Arc::clone(&engine) as _, engine);
        Service::new(parts, ServiceConfig::default()).expect("they make sense")
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_made_while_nobody_looks() {
        let service = service();
        let made = || service.live().state.lock().next - 1;
        tokio::time::sleep(EVERY * 20).await;
        assert_eq!(made(), 0);
        let watcher = service.watch(None).expect("there is room");
        service.live().latest().await.expect("a frame");
        drop(watcher);
        // It goes on for a while, for whoever comes back.
        tokio::time::sleep(EVERY * (LINGER + 5)).await;
        let frames = made();
        assert!((2..=u64::from(LINGER) + 3).contains(&frames), "{frames}");
        tokio::time::sleep(EVERY * 20).await;
        assert_eq!((made(), service.live().state.lock().running), (frames, false));
        // Who comes then needs all that there is, and gets it.
        let again = service.watch(Some(&service.live().id(frames))).expect("there is room");
        assert!(again.missed.is_none());
        assert!(service.live().latest().await.is_some());
        service.close();
        service.shutdown(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_spared_what_it_missed_and_bounds_hold() {
        let service = service();
        let mut watcher = service.watch(None).expect("there is room");
        tokio::time::sleep(EVERY * 500).await;
        assert!(service.live().state.lock().kept.len() <= AHEAD);
        let lagged = watcher.messages.recv().await;
        assert!(
            matches!(lagged, Err(broadcast::error::RecvError::Lagged(missed)) if missed >= 400),
            "{lagged:?}"
        );
        service.close();
        service.shutdown(Duration::from_secs(1)).await;
    }
}
