//! Workers that answer with right shapes and wrong numbers are found out and put out.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Canary, Constraints, LeaveCause, Membership, Model, Pool, PoolConfig, Request, RunError};
use pool_core_testing::{FakeWorker, Step, identity_model, info_of, vector};
use telemetry::Telemetry;
use vocab::{Backend, BrowserName, FailureKind, WorkerId};

const BROWSERS: [BrowserName; 4] =
    [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk, BrowserName::ChromiumHeadlessShell];

/// A pool of workers of different browsers that all have the model.
struct Rig {
    pool: Pool<FakeWorker>,
    model: Arc<Model>,
    workers: Vec<(FakeWorker, Membership)>,
    telemetry: Telemetry,
}

impl Rig {
    fn new(workers: usize) -> Self {
        let mut config = PoolConfig::default();
        config.checks.interval = Duration::from_secs(1);
        Self::with(config, workers)
    }

    fn with(config: PoolConfig, workers: usize) -> Self {
        let telemetry = Telemetry::new();
        let pool = Pool::new(config, telemetry.clone()).expect("a pool");
        let mut rig = Self { pool, model: identity_model("a"), workers: Vec::new(), telemetry };
        for browser in &BROWSERS[..workers] {
            let worker = FakeWorker::new();
            let membership = rig.pool.join(info_of(*browser, &[Backend::Wasm]), Arc::new(worker.clone()));
            rig.workers.push((worker, membership));
        }
        rig
    }

    fn id(&self, at: usize) -> WorkerId {
        self.workers[at].1.worker()
    }

    /// The answer of one browser: by how much it is off.
    async fn ask(&self, at: usize) -> Result<f32, RunError> {
        let mut request = Request::new(Arc::clone(&self.model), [vector(&[1.0, 2.0])]);
        request.constraints = Constraints { browsers: vec![BROWSERS[at]], ..Constraints::default() };
        let done = self.pool.run(request).await?;
        let numbers = done.outputs[0].tensor.to_vec::<f32>().expect("numbers");
        Ok(numbers[0] - 1.0)
    }

    /// Every worker that is there answers for so many seconds. Answers how often one of them was off.
    async fn serve(&self, seconds: u64) -> usize {
        let mut off = 0;
        for _ in 0..seconds * 2 {
            for at in 0..self.workers.len() {
                if !self.workers[at].1.is_closed() {
                    off += usize::from(self.ask(at).await.is_ok_and(|off| off != 0.0));
                }
            }
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        off
    }

    fn out(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|&at| self.workers[at].1.is_closed()).collect()
    }

    fn checks(&self, outcome: &str) -> u64 {
        self.telemetry.snapshot().counters[&format!("checks.{outcome}")]
    }

    async fn close(self) {
        for (worker, _) in &self.workers {
            assert_eq!(worker.violations(), Vec::<String>::new());
        }
        self.pool.shutdown().await;
        assert_eq!(self.pool.stats().tasks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn healthy_workers_stay() {
    let rig = Rig::new(3);
    assert_eq!(rig.serve(60).await, 0);
    assert_eq!(rig.out(), Vec::<usize>::new());
    assert!(rig.checks("right") > 50, "{:?}", rig.telemetry.snapshot().counters);
    let wrong = ["wrong_by_canary", "wrong_by_spot_check", "wrong_on_load", "undecided"];
    assert!(wrong.iter().all(|outcome| rig.checks(outcome) == 0));
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_begins_to_lie_is_put_out() {
    for workers in 1..=4 {
        let rig = Rig::new(workers);
        assert_eq!(rig.serve(10).await, 0);
        rig.workers[0].0.always_run(Step::Lie(0.5));
        // Two answers a second, and a check every second that is a canary or a spot check.
        let off = rig.serve(10).await;
        assert!((1..=4).contains(&off), "{off} answers were off");
        assert_eq!(rig.out(), [0], "of {workers}");
        assert_eq!(rig.workers[0].1.closed().await, LeaveCause::Quarantined);
        assert_eq!(rig.serve(10).await, 0, "nothing it says is heard any more");
        rig.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_always_lied_is_outvoted() {
    for liar in 0..3 {
        let rig = Rig::new(3);
        rig.workers[liar].0.always_run(Step::Lie(0.5));
        rig.serve(10).await;
        assert_eq!(rig.out(), [liar]);
        rig.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_repeat_itself_is_the_one() {
    for noisy in 0..2 {
        let rig = Rig::new(2);
        rig.workers[noisy].0.always_run(Step::Noise);
        rig.serve(10).await;
        assert_eq!(rig.out(), [noisy]);
        rig.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_word_against_another_puts_nobody_out() {
    let rig = Rig::new(2);
    rig.workers[1].0.always_run(Step::Lie(0.5));
    rig.serve(10).await;
    assert_eq!(rig.out(), Vec::<usize>::new());
    assert!(rig.checks("undecided") > 0);
    rig.close().await;
}

/// One browser with two backends that compute a little differently: what the one gave is no proof against the other.
#[tokio::test(start_paused = true)]
async fn two_backends_of_one_worker_do_not_convict_each_other() {
    let mut config = PoolConfig::default();
    config.checks.interval = Duration::from_secs(1);
    let pool = Pool::new(config, Telemetry::new()).expect("a pool");
    let worker = FakeWorker::new();
    let info = info_of(BrowserName::Chromium, &[Backend::WebGpu, Backend::Wasm]);
    let membership = pool.join(info, Arc::new(worker.clone()));
    let ask = async |backend: Backend| {
        // The fake worker does not know backends: it is told which one computes now.
        worker.always_run(if backend == Backend::WebGpu { Step::Lie(0.5) } else { Step::Ok });
        let mut request = Request::new(identity_model("a"), [vector(&[1.0, 2.0])]);
        request.constraints = Constraints { backends: vec![backend], ..Constraints::default() };
        pool.run(request).await.expect("an answer");
        // A check that began is to end before the other one computes.
        tokio::time::sleep(Duration::from_millis(700)).await;
    };
    for _ in 0..30 {
        ask(Backend::Wasm).await;
        ask(Backend::WebGpu).await;
    }
    assert!(!membership.is_closed(), "nothing tells who is right");
    pool.shutdown().await;
}

/// Two that lie alike excuse neither, as long as somebody passes the canary.
#[tokio::test(start_paused = true)]
async fn two_liars_do_not_excuse_each_other() {
    let rig = Rig::new(4);
    assert_eq!(rig.serve(10).await, 0);
    for liar in [1, 3] {
        rig.workers[liar].0.always_run(Step::Lie(0.5));
    }
    rig.serve(20).await;
    assert_eq!(rig.out(), [1, 3]);
    rig.close().await;
}

/// A fault that all share, as of a model whose numbers depend on the day, puts nobody out.
#[tokio::test(start_paused = true)]
async fn what_all_share_is_nobody_s_fault() {
    let rig = Rig::new(3);
    assert_eq!(rig.serve(10).await, 0);
    for (worker, _) in &rig.workers {
        worker.always_run(Step::Lie(0.5));
    }
    rig.serve(10).await;
    assert_eq!(rig.out(), Vec::<usize>::new());
    assert!(rig.checks("undecided") > 0);
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_a_function_is_left_alone() {
    let rig = Rig::new(3);
    for (worker, _) in &rig.workers {
        worker.always_run(Step::Noise);
    }
    rig.serve(20).await;
    assert_eq!(rig.out(), Vec::<usize>::new());
    let runs = rig.workers[0].0.counts().runs;
    rig.serve(20).await;
    assert_eq!(rig.workers[0].0.counts().runs, runs + 40, "it is not checked any more");
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_caller_s_canary_comes_before_the_first_answer() {
    let rig = Rig::new(2);
    let canary = Canary { inputs: [vector(&[3.0, 4.0])].into(), outputs: vec![vector(&[3.0, 4.0])] };
    rig.pool.set_canary(&rig.model, canary).expect("it fits");
    rig.workers[0].0.always_run(Step::Lie(0.5));
    let refused = rig.ask(0).await.expect_err("its numbers are wrong");
    assert!(matches!(refused, RunError::Load { kind: FailureKind::WrongNumbers, .. }), "{refused:?}");
    assert_eq!(rig.workers[0].0.counts().loaded, 0, "the session is gone from the page");
    assert_eq!(rig.ask(1).await, Ok(0.0));
    let arms = rig.pool.breakers();
    let open = arms.iter().filter(|status| status.state == telemetry::BreakerState::Open).count();
    assert_eq!(open, 1, "{arms:?}");
    // Whoever names no browser is served by the other one.
    let request = Request::new(Arc::clone(&rig.model), [vector(&[1.0, 2.0])]);
    let done = rig.pool.run(request).await.expect("an answer");
    assert_eq!(done.report.worker, rig.id(1));
    assert_eq!((rig.checks("wrong_on_load"), rig.out()), (1, Vec::new()));
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_does_not_fit_is_refused() {
    let rig = Rig::new(1);
    let wrong = Canary { inputs: Arc::new([]), outputs: Vec::new() };
    assert!(matches!(rig.pool.set_canary(&rig.model, wrong), Err(RunError::InvalidInput(_))));
    let mut unknown = vector(&[1.0]);
    unknown.name = "nonsense".into();
    let wrong = Canary { inputs: [vector(&[1.0])].into(), outputs: vec![unknown] };
    assert!(matches!(rig.pool.set_canary(&rig.model, wrong), Err(RunError::UnknownOutput(_))));
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn switched_off_nobody_is_checked() {
    let mut config = PoolConfig::default();
    config.checks.enabled = false;
    config.checks.interval = Duration::from_secs(1);
    let rig = Rig::with(config, 2);
    rig.serve(20).await;
    assert_eq!(rig.workers[0].0.counts().runs, 40);
    assert_eq!(rig.checks("right"), 0);
    rig.close().await;
}

/// What a check asks of a worker does not come out of its slots, and does not take longer than it may.
#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_ends() {
    let rig = Rig::new(2);
    assert_eq!(rig.serve(3).await, 0);
    rig.workers[1].0.script_run([Step::Never]);
    rig.serve(3).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(rig.pool.stats().tasks, 1, "only the one that keeps the time");
    rig.close().await;
}
