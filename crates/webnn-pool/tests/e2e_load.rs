//! Many requests at once on real browsers: each is answered once, and nothing is left of any.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use pool_core::{Phase, PoolConfig, PoolStats, RunError};
use support::{Backend, BrowserName, Fixture, Kept, fixture, marked, sockets, until};
use tokio::time::Instant;
use webnn_pool::{AcceleratedModel, Accelerator, BridgeConfig, ModelSpec, RunOptions};

/// A pool whose temporary files lie in a folder that can be looked into.
struct Rig {
    accelerator: Accelerator,
    golden: AcceleratedModel,
    fixture: Fixture,
    temp: Kept,
    /// Tasks and sockets when all browsers were there and nothing was asked yet.
    baseline: (usize, usize),
    /// Sockets before anything was started.
    sockets_before: usize,
}

impl Rig {
    async fn open(browsers: &[BrowserName], set: impl FnOnce(&mut PoolConfig)) -> Self {
        let sockets_before = sockets();
        let temp = Kept::new();
        let home = provision::Home::locate().expect("a home");
        let mut bridge = BridgeConfig::new(provision::find_runtime(&home).expect("run cargo xtask setup"));
        bridge.temp_dir = temp.path().to_owned();
        let mut pool = PoolConfig::default();
        set(&mut pool);
        let builder = Accelerator::builder().browsers(browsers.iter().copied()).backends([Backend::Wasm]);
        let accelerator = builder.pool(pool).bridge(bridge).build().await.expect("browsers that start");
        let fixture = fixture("micro/golden-f32");
        let golden =
            accelerator.accelerate_model(ModelSpec::path(&fixture.directory)).await.expect("a model");
        let mut this = Self { accelerator, golden, fixture, temp, baseline: (0, 0), sockets_before };
        this.settle().await;
        this.baseline = (this.accelerator.live_tasks(), sockets());
        this
    }

    /// Waits until the connections over which the page was loaded have closed.
    async fn settle(&self) {
        let mut last = (0, Instant::now());
        until("the number of tasks settles", Duration::from_secs(20), || {
            let now = self.accelerator.live_tasks();
            if now != last.0 {
                last = (now, Instant::now());
            }
            last.1.elapsed() > Duration::from_secs(1)
        })
        .await;
    }

    fn right(&self, outputs: &[tensor::NamedTensor]) {
        self.fixture.compare(self.fixture.case("golden"), outputs).expect("right numbers");
    }

    /// Nothing of any request is left, and the pool holds what it held before.
    async fn at_rest(&self) {
        let rest = |stats: &PoolStats| {
            let leases: usize = stats.core.workers.iter().map(|worker| worker.leases).sum();
            (stats.core.requests, stats.core.queued, stats.core.running, stats.core.cancelling, leases)
        };
        let done = || rest(&self.accelerator.stats()) == (0, 0, 0, 0, 0);
        until("nothing waits or runs", Duration::from_secs(10), done).await;
        let stats = self.accelerator.stats();
        assert_eq!((stats.waiters, stats.calls), (0, 0), "{stats:?}");
        for page in self.accelerator.pages() {
            assert_eq!(page.calls_in_flight(), 0, "{}", page.label());
        }
        let back = || self.accelerator.live_tasks() <= self.baseline.0;
        until("tasks are as many as before", Duration::from_secs(20), back).await;
        until("sockets are as many as before", Duration::from_secs(20), || sockets() <= self.baseline.1)
            .await;
    }

    /// Ends the pool; nothing at all is left.
    async fn end(self) {
        let Self { accelerator, golden, fixture, temp, baseline: _, sockets_before } = self;
        let mark = accelerator.mark().to_owned();
        assert!(!marked(&mark).is_empty(), "a pool with browsers has processes");
        assert_eq!(temp.names(), [mark.as_str()], "all of a run's files lie in its one folder");
        accelerator.shutdown().await;
        assert_eq!(marked(&mark), [], "processes left");
        assert_eq!(temp.names(), [""; 0], "files left");
        until("sockets are as many as at first", Duration::from_secs(5), || sockets() <= sockets_before)
            .await;
        let runtime = tokio::runtime::Handle::current().metrics();
        until("no task is left", Duration::from_secs(5), || runtime.num_alive_tasks() == 0).await;
        let late = golden.run(fixture.inputs("golden")).await.map(|done| done.report);
        assert_eq!(late, Err(RunError::ShuttingDown));
    }
}

const TWO: [BrowserName; 2] = [BrowserName::Chromium, BrowserName::Firefox];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_on_two_engines() {
    let rig = Rig::open(&TWO, |_| {}).await;
    let inputs: std::sync::Arc<[_]> = rig.fixture.inputs("golden").into();
    let started = Instant::now();
    let answers = join_all((0..1000).map(|_| rig.golden.run(std::sync::Arc::clone(&inputs)))).await;
    let took = started.elapsed();
    let mut requests = BTreeSet::new();
    let mut served = BTreeMap::new();
    for answer in &answers {
        let done = answer.as_ref().unwrap_or_else(|error| panic!("{error:?}"));
        rig.right(&done.outputs);
        assert!(requests.insert(done.report.request), "{:?} was answered twice", done.report.request);
        *served.entry(done.report.browser).or_insert(0) += 1;
    }
    println!("1000 answers in {} ms: {served:?}", took.as_millis());
    assert_eq!(requests.len(), 1000);
    for browser in TWO {
        assert!(served.get(&browser).is_some_and(|&count| count >= 50), "{browser} of {served:?}");
    }
    rig.at_rest().await;
    rig.end().await;
}

/// With room for two in the queue and two slots, the rest of a burst is refused without waiting for anybody.
#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let rig = Rig::open(&[BrowserName::Firefox], |config| config.queue_capacity = 2).await;
    let first = rig.golden.run(rig.fixture.inputs("golden")).await.expect("a result");
    rig.right(&first.outputs);
    let inputs: std::sync::Arc<[_]> = rig.fixture.inputs("golden").into();
    let burst = (0..20).map(|_| async {
        let started = Instant::now();
        (rig.golden.run(std::sync::Arc::clone(&inputs)).await, started.elapsed())
    });
    let (mut answered, mut refused) = (0, 0);
    for (answer, took) in join_all(burst).await {
        match answer {
            Ok(done) => {
                rig.right(&done.outputs);
                answered += 1;
            }
            Err(RunError::QueueFull { capacity, retry_after }) => {
                assert_eq!(capacity, 2);
                assert!(retry_after > Duration::ZERO);
                assert!(took < Duration::from_millis(100), "{took:?}");
                refused += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    println!("{answered} answered, {refused} refused at once");
    assert_eq!((answered, refused), (4, 16), "two slots and two places in the queue");
    rig.at_rest().await;
    rig.end().await;
}

/// The large model keeps the one page busy for long enough to be given up on.
#[tokio::test]
async fn a_cancelled_request_frees_its_slot_and_a_deadline_fires_in_the_queue() {
    let rig = Rig::open(&[BrowserName::Chromium], |_| {}).await;
    let long = fixture("whisper-tiny-encoder-static");
    let model = rig.accelerator.accelerate_model(ModelSpec::path(&long.directory)).await.expect("a model");
    let inputs: std::sync::Arc<[_]> = long.inputs("b1").into();
    let first = model.run(std::sync::Arc::clone(&inputs)).await.expect("a result");
    println!("the long model takes {:.0} ms", first.report.in_page_ms);
    rig.golden.run(rig.fixture.inputs("golden")).await.expect("a result");

    // Both slots are taken, so a request with a short deadline never gets one.
    let running = || rig.accelerator.stats().core.running;
    let busy = [0, 1].map(|_| {
        let (model, inputs) = (model.clone(), std::sync::Arc::clone(&inputs));
        tokio::spawn(async move { model.run(inputs).await.map(|done| done.report) })
    });
    until("both slots are taken", Duration::from_secs(5), || running() == 2).await;
    let mut options = RunOptions::default();
    options.timeout = Some(Duration::from_millis(100));
    let started = Instant::now();
    let late = rig.golden.run_with(rig.fixture.inputs("golden"), options).await.map(|done| done.report);
    let took = started.elapsed();
    assert!(matches!(late, Err(RunError::DeadlineExceeded { phase: Phase::Queued, .. })), "{late:?}");
    assert!((100..300).contains(&took.as_millis()), "{took:?}");

    let started = Instant::now();
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    let next = rig.golden.run(rig.fixture.inputs("golden")).await.expect("a result");
    println!("deadline after {took:?}; the next answer {:?} after two runs were dropped", started.elapsed());
    rig.right(&next.outputs);
    for run in busy {
        assert!(run.await.expect_err("it was dropped").is_cancelled());
    }
    rig.at_rest().await;
    rig.end().await;
}
