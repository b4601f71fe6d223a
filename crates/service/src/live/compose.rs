//! A frame out of what is known. It reads no clock and asks nobody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use pool_core::core::{SessionPhase, WorkerStats};
use telemetry::{BreakerState, Guarded};
use vocab::{ModelHash, PressureLevel, WorkerId};

use super::Spread;
use super::frame::{
    Breaker, BreakerOf, Feed, Frame, LeftOut, MOST_BREAKERS, MOST_FLOWS, MOST_MODELS, MOST_SESSIONS,
    MOST_WORKERS, ModelRow, Session, State, Traffic, Worker,
};
use super::insight::{ShardFlow, WorkerDetail, stance};
use super::news::Recovering;
use crate::engine::Status;

/// How long rates and quantiles look back.
const WINDOW: Duration = Duration::from_secs(5);
/// Reasons that a frame gives at most.
const MOST_REASONS: usize = 6;

/// What one version of a model was asked, since the server started.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) hash: Option<ModelHash>,
    /// Why it cannot be used.
    pub(super) unavailable: Option<String>,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) spread: Spread,
}

/// What a frame is made of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) status: Status,
    pub(super) counted: Vec<Counted>,
    pub(super) refused: u64,
    pub(super) going: usize,
    pub(super) draining: bool,
    pub(super) details: Vec<WorkerDetail>,
    pub(super) flows: Vec<ShardFlow>,
    pub(super) recoveries: Vec<Recovering>,
    pub(super) feed: Feed,
    pub(super) unix_ms: u64,
}

/// Sums at one moment.
#[derive(Debug, Default)]
struct Sums {
    refused: u64,
    models: HashMap<(String, String), (u64, u64, Spread)>,
    workers: HashMap<WorkerId, u64>,
    flows: HashMap<String, u64>,
}

/// Makes frames, and remembers what is needed for rates.
#[derive(Debug, Default)]
pub(super) struct Composer {
    /// One entry for each second of the window, and the one before it.
    past: VecDeque<(Instant, Sums)>,
}

impl Composer {
    /// Makes a frame. With `tick`, what is known now is what later rates are taken from: once a second.
    pub(super) fn compose(&mut self, now: Instant, facts: Facts, tick: bool) -> Frame {
        while self.past.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.past.pop_front();
        }
        let none = Sums::default();
        let (seconds, before) = match self.past.front() {
            Some((at, sums)) => (now.saturating_duration_since(*at).as_secs_f64(), Some(sums)),
            None => (0.0, None),
        };
        let rate = |now: u64, before: u64| {
            if seconds > 0.0 { now.saturating_sub(before) as f64 / seconds } else { 0.0 }
        };
        let since = before.unwrap_or(&none);
        let Facts { status, counted, refused, going, draining, details, flows, recoveries, feed, unix_ms } =
            facts;
        let core = &status.pool.core;
        let names = names(&counted, &core.workers);
        let mut left_out = LeftOut::default();

        let breakers: Vec<Breaker> = status
            .breakers
            .iter()
            .map(|breaker| Breaker {
                state: breaker.state,
                health: breaker.health,
                of: of(breaker.guarded, &names),
            })
            .collect();
        let mut traffic = Traffic {
            going,
            queued: core.queued,
            running: core.running,
            refused,
            refused_per_second: before.map_or(0.0, |before| rate(refused, before.refused)),
            ..Traffic::default()
        };
        let mut all = Spread::default();
        let mut rows = Vec::with_capacity(counted.len());
        for model in &counted {
            let key = (model.model.clone(), model.version.clone());
            // Of a model that was not there before, what came since it is there counts.
            let fresh = (0, 0, Spread::default());
            let known = before.map(|before| before.models.get(&key).unwrap_or(&fresh));
            let mut spread = Spread::default();
            let (mut per_second, mut failed_per_second) = (0.0, 0.0);
            if let Some((answered, failed, times)) = known {
                per_second = rate(model.answered, *answered);
                failed_per_second = rate(model.failed, *failed);
                spread.add_since(&model.spread, times);
                all.add_since(&model.spread, times);
            }
            traffic.per_second += per_second;
            traffic.failed_per_second += failed_per_second;
            traffic.answered += model.answered;
            traffic.failed += model.failed;
            rows.push(ModelRow {
                model: model.model.clone(),
                version: model.version.clone(),
                unavailable: model.unavailable.clone(),
                per_second,
                failed_per_second,
                p50_ms: spread.quantile(0.5),
                p95_ms: spread.quantile(0.95),
                answered: model.answered,
                failed: model.failed,
            });
        }
        (traffic.p50_ms, traffic.p95_ms) = (all.quantile(0.5), all.quantile(0.95));
        if rows.len() > MOST_MODELS {
            left_out.models = rows.len() - MOST_MODELS;
            // Those that are asked for most stay, in the order of names.
            rows.sort_by_key(|row| std::cmp::Reverse(row.answered + row.failed));
            rows.truncate(MOST_MODELS);
            rows.sort_by(|a, b| (&a.model, &a.version).cmp(&(&b.model, &b.version)));
        }

        let mut details: BTreeMap<WorkerId, WorkerDetail> =
            details.into_iter().map(|detail| (detail.worker, detail)).collect();
        left_out.workers = core.workers.len().saturating_sub(MOST_WORKERS);
        let workers: Vec<Worker> = core
            .workers
            .iter()
            .take(MOST_WORKERS)
            .map(|stats| {
                let served = since.workers.get(&stats.worker).copied();
                let per_second = rate(stats.served, served.unwrap_or(stats.served));
                worker(stats, details.remove(&stats.worker), per_second, &status)
            })
            .collect();

        left_out.shards = flows.len().saturating_sub(MOST_FLOWS);
        let mut shards: Vec<ShardFlow> = flows;
        shards.truncate(MOST_FLOWS);
        for flow in &mut shards {
            let answered = since.flows.get(&flow.model).copied().unwrap_or(flow.answers);
            flow.per_second = rate(flow.answers, answered);
        }

        let (state, reasons) = verdict(draining, &workers, &breakers, &recoveries, &rows);
        if tick {
            let sums = Sums {
                refused,
                models: counted
                    .into_iter()
                    .map(|model| ((model.model, model.version), (model.answered, model.failed, model.spread)))
                    .collect(),
                workers: core.workers.iter().map(|stats| (stats.worker, stats.served)).collect(),
                flows: shards.iter().map(|flow| (flow.model.clone(), flow.answers)).collect(),
            };
            self.past.push_back((now, sums));
        }
        left_out.breakers = breakers.len().saturating_sub(MOST_BREAKERS);
        let mut breakers = breakers;
        if left_out.breakers > 0 {
            // Those that are closed have least to tell.
            breakers.sort_by_key(|breaker| breaker.state == BreakerState::Closed);
            breakers.truncate(MOST_BREAKERS);
        }
        Frame {
            unix_ms,
            state,
            reasons,
            traffic,
            workers,
            recoveries,
            models: rows,
            breakers,
            shards,
            left_out,
            feed,
        }
    }
}

/// What models are called, by their content: as they are served, or as a session calls them.
fn names(counted: &[Counted], workers: &[WorkerStats]) -> HashMap<ModelHash, String> {
    let sessions = workers.iter().flat_map(|worker| &worker.sessions);
    let mut names: HashMap<ModelHash, String> =
        sessions.map(|session| (session.model, session.name.clone())).collect();
    names.extend(counted.iter().filter_map(|model| Some((model.hash?, model.model.clone()))));
    names
}

fn of(guarded: Guarded, names: &HashMap<ModelHash, String>) -> BreakerOf {
    match guarded {
        Guarded::Arm { model, browser, backend } => {
            let name = names.get(&model).cloned();
            // One that is loaded nowhere and not served any more has only its hash left.
            let model = name.unwrap_or_else(|| model.to_string().chars().take(12).collect());
            BreakerOf::Arm { model, browser, backend }
        }
        Guarded::Worker { worker } => BreakerOf::Worker { worker },
        // A kind that is newer than this page is none that it could name.
        _ => BreakerOf::Worker { worker: WorkerId(0) },
    }
}

fn worker(stats: &WorkerStats, detail: Option<WorkerDetail>, per_second: f64, status: &Status) -> Worker {
    let guarded = Guarded::Worker { worker: stats.worker };
    let breaker = status.breakers.iter().find(|breaker| breaker.guarded == guarded);
    let (backends, resident_bytes) =
        detail.map_or_else(Default::default, |detail| (detail.backends, detail.resident_bytes));
    let sessions = stats.sessions.iter().take(MOST_SESSIONS).map(|session| Session {
        model: session.name.clone(),
        backend: session.backend,
        phase: phase(&session.phase),
        running: session.leases,
        uses: session.uses,
        memory_bytes: session.memory_bytes,
    });
    Worker {
        worker: stats.worker,
        browser: stats.browser,
        version: stats.browser_version.to_string(),
        stance: stance(stats.stance),
        breaker: breaker.map(|breaker| breaker.state),
        pressure: stats.pressure,
        running: stats.leases,
        slots: stats.slots,
        served: stats.served,
        per_second,
        memory_bytes: stats.memory_bytes,
        memory_budget_bytes: stats.memory_budget_bytes,
        resident_bytes,
        backends,
        sessions: sessions.collect(),
        sessions_left_out: stats.sessions.len().saturating_sub(MOST_SESSIONS),
    }
}

const fn phase(phase: &SessionPhase) -> &'static str {
    match phase {
        SessionPhase::Pending => "pending",
        SessionPhase::Loading | SessionPhase::CancellingLoad => "loading",
        SessionPhase::Ready => "ready",
        // On its way out, or in a phase that is newer than this page.
        _ => "leaving",
    }
}

/// How the server is, and why.
fn verdict(
    draining: bool,
    workers: &[Worker],
    breakers: &[Breaker],
    recoveries: &[Recovering],
    models: &[ModelRow],
) -> (State, Vec<String>) {
    let mut reasons = Vec::new();
    for recovering in recoveries {
        let browser = recovering.browser.map_or_else(|| "a worker".to_owned(), |name| name.to_string());
        reasons.push(format!("{browser} ({}) is being revived: {}", recovering.worker, recovering.fault));
    }
    let open = breakers.iter().filter(|breaker| breaker.state != BreakerState::Closed).count();
    match open {
        0 => {}
        1 => reasons.push("one circuit breaker is not closed".to_owned()),
        open => reasons.push(format!("{open} circuit breakers are not closed")),
    }
    let scarce = |worker: &&Worker| worker.pressure == PressureLevel::Critical;
    for worker in workers.iter().filter(scarce) {
        reasons.push(format!("memory is scarce for {} ({})", worker.browser, worker.worker));
    }
    for model in models.iter().filter(|model| model.unavailable.is_some()) {
        reasons.push(format!("model {} cannot be used", model.model));
    }
    let state = match (draining, workers.is_empty(), reasons.is_empty()) {
        (true, ..) => State::Draining,
        (false, true, _) => State::Down,
        (false, false, false) => State::Degraded,
        (false, false, true) => State::Ready,
    };
    match state {
        State::Draining => reasons.insert(0, "the server is shutting down".to_owned()),
        State::Down => reasons.insert(0, "there is no worker: requests wait until one joins".to_owned()),
        State::Ready | State::Degraded => {}
    }
    if reasons.len() > MOST_REASONS {
        let more = reasons.len() - MOST_REASONS;
        reasons.truncate(MOST_REASONS);
        reasons.push(format!("and {more} more"));
    }
    (state, reasons)
}

#[cfg(test)]
mod tests {
    use pool_core::{Pool, PoolConfig};
    use pool_core_testing::FakeWorker;
    use telemetry::Telemetry;

    use super::*;

    fn model(name: &str, answered: u64, ms: u64) -> Counted {
        let mut spread = Spread::default();
        (0..answered).for_each(|_| spread.add(Duration::from_millis(ms)));
        let version = "1".to_owned();
        Counted {
            model: name.to_owned(),
            version,
            hash: None,
            unavailable: None,
            answered,
            failed: 0,
            spread,
        }
    }

    fn facts(counted: Vec<Counted>) -> Facts {
        let pool = Pool::<FakeWorker>::new(PoolConfig::default(), Telemetry::new()).expect("they make sense");
        Facts {
            status: Status::new(pool.stats(), pool.telemetry().snapshot(), pool.breakers()),
            counted,
            refused: 0,
            going: 0,
            draining: false,
            details: Vec::new(),
            flows: Vec::new(),
            recoveries: Vec::new(),
            feed: Feed::default(),
            unix_ms: 0,
        }
    }

    #[tokio::test]
    async fn rates_and_quantiles_are_those_of_the_last_seconds() {
        let begin = tokio::time::Instant::now().into_std();
        let at = |second: u64| begin + Duration::from_secs(second);
        let mut composer = Composer::default();
        let first = composer.compose(at(0), facts(vec![model("a", 1_000, 900)]), true);
        // What was before anybody looked is in the sums, and in no rate.
        assert_eq!((first.traffic.answered, first.traffic.per_second), (1_000, 0.0));
        assert_eq!(first.traffic.p50_ms, None);
        let mut all = model("a", 1_000, 900);
        for second in 1..=30 {
            (0..10).for_each(|_| all.spread.add(Duration::from_millis(20)));
            all.answered += 10;
            let frame = composer.compose(at(second), facts(vec![all.clone()]), true);
            assert!((frame.models[0].per_second - 10.0).abs() < 1e-9, "{second}: {:?}", frame.models[0]);
            assert!(frame.models[0].p95_ms.is_some_and(|ms| (18.0..22.0).contains(&ms)));
        }
        assert!(composer.past.len() <= 7, "{}", composer.past.len());
        // One that a look between two ticks finds is no end of the window.
        let between = composer.compose(at(30), facts(vec![all.clone()]), false);
        assert!((between.traffic.per_second - 10.0).abs() < 1e-9);
        for second in 31..40 {
            composer.compose(at(second), facts(vec![all.clone()]), true);
        }
        let quiet = composer.compose(at(40), facts(vec![all]), true);
        assert_eq!((quiet.traffic.per_second, quiet.traffic.p95_ms), (0.0, None));
    }

    #[tokio::test]
    async fn a_model_that_comes_later_counts_from_its_beginning() {
        let begin = tokio::time::Instant::now().into_std();
        let mut composer = Composer::default();
        composer.compose(begin, facts(Vec::new()), true);
        let frame = composer.compose(begin + Duration::from_secs(2), facts(vec![model("b", 8, 5)]), true);
        assert!((frame.models[0].per_second - 4.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn what_is_asked_for_least_is_left_out_and_counted() {
        let begin = tokio::time::Instant::now().into_std();
        let many = (0..100).map(|number| model(&format!("m{number:03}"), number, 5)).collect();
        let frame = Composer::default().compose(begin, facts(many), true);
        assert_eq!((frame.models.len(), frame.left_out.models), (MOST_MODELS, 100 - MOST_MODELS));
        assert!(frame.models.windows(2).all(|two| two[0].model < two[1].model));
        assert_eq!(frame.models[0].model, "m036");
    }

    #[tokio::test]
    async fn a_server_without_workers_is_down_and_says_why() {
        let begin = tokio::time::Instant::now().into_std();
        let mut broken = model("c", 0, 1);
        broken.unavailable = Some("it is broken".to_owned());
        let frame = Composer::default().compose(begin, facts(vec![broken]), true);
        assert_eq!(frame.state, State::Down);
        assert!(
            frame.reasons[0].contains("no worker") && frame.reasons[1].contains("model c"),
            "{:?}",
            frame.reasons
        );
    }
}
