//! What the pool itself costs: from `submit` to the result with a worker that answers at once, and what a decision
//! costs when many requests wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pool_core::core::{Action, Core, LeaseId, RunEnd, Submission};
use pool_core::{Constraints, LoadReport, Model, Pool, PoolConfig, Request};
use pool_core_testing::{FakeWorker, identity_model, info, vector};
use telemetry::{Event, RejectReason, Telemetry};
use vocab::{DeviceKind, RequestId};

fn config() -> PoolConfig {
    let mut config = PoolConfig::default();
    config.queue_capacity = 1_000_000;
    config
}

fn pool_roundtrip(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool");
    let runtimes = [
        ("current_thread", tokio::runtime::Builder::new_current_thread().enable_time().build()),
        ("multi_thread", tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()),
    ];
    for (name, runtime) in runtimes {
        let runtime = runtime.expect("a runtime");
        let _context = runtime.enter();
        let pool = Pool::new(config(), Telemetry::new()).expect("the configuration is valid");
        let members: Vec<_> = (0..2).map(|_| pool.join(info(), Arc::new(FakeWorker::new()))).collect();
        let model = identity_model("bench");
        let inputs: Arc<[_]> = [vector(&[1.0; 16])].into();
        let request = || Request::new(Arc::clone(&model), Arc::clone(&inputs));

        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one_at_a_time", name), |b| {
            b.iter(|| runtime.block_on(pool.run(request())).expect("the worker answers"));
        });
        group.throughput(Throughput::Elements(1_000));
        group.bench_function(BenchmarkId::new("thousand_at_once", name), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let tickets: Vec<_> = (0..1_000).map(|_| pool.submit(request())).collect();
                    for ticket in tickets {
                        ticket.expect("the queue has room").await.expect("the worker answers");
                    }
                });
            });
        });
        runtime.block_on(pool.shutdown());
        drop(members);
    }
    group.finish();
}

/// A core with one worker whose slots are taken.
struct Busy {
    core: Core,
    /// The runs in flight, oldest first.
    runs: VecDeque<(LeaseId, RequestId)>,
    owners: HashMap<RequestId, Arc<Model>>,
}

impl Busy {
    /// With this many requests of this many models waiting.
    fn new(waiting: u64, models: u64, now: Instant) -> Self {
        let mut core = Core::new(config()).expect("the configuration is valid");
        core.join(now, info());
        let mut busy = Self { core, runs: VecDeque::new(), owners: HashMap::new() };
        for n in 0..waiting {
            busy.submit(now, identity_model(&format!("bench {}", n % models)));
        }
        busy.obey(now);
        busy
    }

    fn submit(&mut self, now: Instant, model: Arc<Model>) {
        let request = self.core.submit(now, submission(&model)).expect("the queue has room");
        self.owners.insert(request, model);
    }

    /// Does what the core asks for: loads and unloads succeed, runs stay in flight.
    fn obey(&mut self, now: Instant) {
        loop {
            let actions = self.core.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.obey_one(now, action);
            }
        }
    }

    fn obey_one(&mut self, now: Instant, action: Action) {
        match action {
            Action::Load { session, .. } => self.core.load_done(now, session, Ok(report())),
            Action::Unload { session, .. } => self.core.unload_done(now, session, Ok(())),
            Action::Run { lease, request, .. } => self.runs.push_back((lease, request)),
            _ => {}
        }
    }
}

fn submission(model: &Arc<Model>) -> Submission {
    Submission {
        model: Arc::clone(model),
        dims: Arc::default(),
        constraints: Constraints::default(),
        preload: false,
        bytes_in: 0,
        worker: None,
        stateful: false,
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark needs one real instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn core_decision(c: &mut Criterion) {
    let mut group = c.benchmark_group("core");
    let now = start();
    for (waiting, models) in [(10, 1), (10_000, 1), (10_000, 10), (10_000, 100)] {
        let name = format!("{waiting}_waiting_{models}_models");
        let mut core = Busy::new(waiting, models, now).core;
        let model = identity_model("bench 0");
        group.bench_function(BenchmarkId::new("submit_and_cancel", &name), |b| {
            b.iter(|| {
                let request = core.submit(now, submission(&model)).expect("the queue has room");
                core.cancel(now, request);
                core.take_actions()
            });
        });
        group.bench_function(BenchmarkId::new("complete_and_dispatch_next", &name), |b| {
            b.iter_custom(|iterations| {
                let mut busy = Busy::new(waiting, models, now);
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let (lease, request) = busy.runs.pop_front().expect("the slots are taken");
                    let began = start();
                    busy.core.run_done(now, lease, Ok(RunEnd { in_page_ms: 1.0, bytes_out: 0, marks: None }));
                    let actions = busy.core.take_actions();
                    spent += began.elapsed();
                    for action in actions {
                        busy.obey_one(now, action);
                    }
                    // The queue stays as it is.
                    let model = busy.owners.remove(&request).expect("it was submitted here");
                    busy.submit(now, model);
                    busy.obey(now);
                }
                spent
            });
        });
    }
    group.finish();
}

fn report() -> LoadReport {
    LoadReport {
        load_ms: 100.0,
        memory_bytes: None,
        placement: Vec::new(),
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        detail: serde_json::Map::new(),
    }
}

fn telemetry_emit(c: &mut Criterion) {
    let telemetry = Telemetry::new();
    let now = start();
    c.bench_function("telemetry/emit", |b| {
        b.iter(|| telemetry.emit(now, Event::RequestRejected { reason: RejectReason::QueueFull }));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = pool_roundtrip, core_decision, telemetry_emit
}
criterion_main!(benches);
