//! Batches over a real pool with scripted workers, in paused time.

use std::time::Duration;

use pool_core::{Pool, PoolConfig, RunError};
use pool_core_testing::{FakeWorker, Step, identity_model, info, vector};
use telemetry::Telemetry;
use tokio::task::JoinHandle;
use vocab::FailureKind;

use super::*;
use crate::engine::Status;

struct Fake {
    pool: Pool<FakeWorker>,
}

#[async_trait::async_trait]
impl Engine for Fake {
    async fn run(&self, request: Request) -> Result<Completed, RunError> {
        self.pool.run(request).await
    }

    fn workers(&self) -> usize {
        self.pool.workers()
    }

    fn status(&self) -> Status {
        Status::new(self.pool.stats(), self.pool.telemetry().snapshot(), self.pool.breakers())
    }
}

/// One worker, and batches of one model.
struct Bench {
    worker: Arc<FakeWorker>,
    batcher: Arc<Batcher>,
    tasks: TaskTracker,
    _membership: pool_core::Membership,
    _pool: Pool<FakeWorker>,
}

fn bench(configure: impl FnOnce(&mut Batching)) -> Bench {
    let pool = Pool::new(PoolConfig::default(), Telemetry::new()).expect("defaults work");
    let worker = Arc::new(FakeWorker::new());
    let membership = pool.join(info(), Arc::clone(&worker));
    let mut settings =
        Batching { max_batch: 8, max_delay: Duration::from_millis(10), in_flight: 1, ..Batching::default() };
    configure(&mut settings);
    settings.validate().expect("they make sense");
    let tasks = TaskTracker::new();
    let engine = Arc::new(Fake { pool: pool.clone() });
    let batcher =
        Batcher::start(engine, identity_model("a"), settings, &tasks).expect("its rows go together");
    Bench { worker, batcher: Arc::new(batcher), tasks, _membership: membership, _pool: pool }
}

type Answer = JoinHandle<Result<Part, BatchError>>;

impl Bench {
    fn ask(&self, values: &[f32], within: Duration) -> Answer {
        let (batcher, inputs) = (Arc::clone(&self.batcher), vec![vector(values)]);
        let deadline = Instant::now() + within;
        tokio::spawn(async move { batcher.run(inputs.into(), None, Constraints::default(), deadline).await })
    }
}

const LONG: Duration = Duration::from_secs(60);

fn values(part: &Part) -> Vec<f32> {
    part.outputs[0].tensor.to_vec().expect("floats")
}

async fn part(answer: Answer) -> Part {
    answer.await.expect("no panic").expect("a result")
}

async fn error(answer: Answer) -> BatchError {
    answer.await.expect("no panic").expect_err("no result")
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_are_computed_as_one_and_get_their_own_rows() {
    let bench = bench(|_| {});
    let answers: Vec<Answer> = (0..4_u8).map(|i| bench.ask(&[f32::from(i)], LONG)).collect();
    for (i, answer) in answers.into_iter().enumerate() {
        let part = part(answer).await;
        assert_eq!(values(&part), [i as f32]);
        let batch = part.batch.expect("a batch");
        assert_eq!((batch.requests, batch.rows, batch.speaks), (4, 4, i == 0));
    }
    assert_eq!(bench.worker.counts().runs, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_before_the_delay_is_over() {
    let bench = bench(|settings| settings.max_delay = Duration::from_secs(5));
    let before = Instant::now();
    let answers: Vec<Answer> = (0..4_u8).map(|_| bench.ask(&[1.0, 2.0], LONG)).collect();
    for answer in answers {
        assert_eq!(values(&part(answer).await), [1.0, 2.0]);
    }
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_preferred_size_goes_early_and_the_rest_waits() {
    let bench =
        bench(|settings| (settings.max_delay, settings.preferred) = (Duration::from_secs(5), vec![2]));
    let answers: Vec<Answer> = (0..3_u8).map(|_| bench.ask(&[1.0], LONG)).collect();
    let mut waited = Vec::new();
    for answer in answers {
        waited.push(part(answer).await.batch.expect("a batch").waited_ms);
    }
    assert!(waited[0] < 100.0 && waited[1] < 100.0 && waited[2] >= 5_000.0, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_filled_up_to_a_size_that_is_compiled_already() {
    let bench = bench(|settings| (settings.fill, settings.preferred) = (true, vec![4]));
    let answers: Vec<Answer> = (0..3_u8).map(|i| bench.ask(&[f32::from(i)], LONG)).collect();
    for (i, answer) in answers.into_iter().enumerate() {
        let part = part(answer).await;
        assert_eq!(values(&part), [i as f32]);
        let batch = part.batch.expect("a batch");
        assert_eq!((batch.requests, batch.rows, batch.filled), (3, 3, 1));
    }
    let alone = part(bench.ask(&[7.0], LONG)).await;
    assert_eq!((values(&alone), alone.batch.expect("a batch").filled), (vec![7.0], 3));
}

#[tokio::test(start_paused = true)]
async fn while_the_worker_computes_the_next_batch_grows() {
    let bench = bench(|_| {});
    bench.worker.always_run(Step::Slow(Duration::from_millis(500)));
    let first = bench.ask(&[0.0], LONG);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut later = Vec::new();
    for i in 0..6_u8 {
        later.push(bench.ask(&[f32::from(i)], LONG));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(part(first).await.batch.expect("a batch").requests, 1);
    for answer in later {
        assert_eq!(part(answer).await.batch.expect("a batch").requests, 6);
    }
    assert_eq!(bench.worker.counts().runs, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fires_while_a_request_waits_and_nobody_else_is_touched() {
    let bench = bench(|_| {});
    bench.worker.always_run(Step::Slow(Duration::from_secs(2)));
    let first = bench.ask(&[0.0], LONG);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (hurried, patient) = (bench.ask(&[1.0], Duration::from_millis(300)), bench.ask(&[2.0], LONG));
    let before = Instant::now();
    let late = error(hurried).await;
    let queued = matches!(late, BatchError::Run(RunError::DeadlineExceeded { phase: Phase::Queued, .. }));
    assert!(queued, "{late:?}");
    assert!(before.elapsed() <= Duration::from_millis(310));
    part(first).await;
    let part = part(patient).await;
    assert_eq!((values(&part), part.batch.expect("a batch").requests), (vec![2.0], 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_does_not_grow_across_a_deadline_that_it_would_break() {
    let bench = bench(|settings| settings.max_delay = Duration::from_millis(100));
    // It has learned that a row takes 100 ms.
    for rows in [1_usize, 2, 4] {
        bench.worker.script_run([Step::Slow(Duration::from_millis(100 * rows as u64))]);
        part(bench.ask(&vec![1.0; rows], LONG)).await;
    }
    bench.worker.script_run([Step::Slow(Duration::from_millis(100))]);
    bench.worker.always_run(Step::Slow(Duration::from_millis(500)));
    let hurried = bench.ask(&[1.0], Duration::from_millis(350));
    let others: Vec<Answer> = (0..5_u8).map(|_| bench.ask(&[2.0], LONG)).collect();
    let hurried = part(hurried).await;
    assert!(hurried.batch.expect("a batch").requests <= 3, "with all others it would take 600 ms");
    for answer in others {
        part(answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_that_cannot_be_computed_spoils_no_other() {
    let bench = bench(|_| {});
    let refused = || Step::Fail(FailureKind::InvalidInput);
    // The batch fails, and then, one by one, the first of its members.
    bench.worker.script_run([refused(), refused()]);
    let answers: Vec<Answer> = (0..3_u8).map(|i| bench.ask(&[f32::from(i)], LONG)).collect();
    let mut failed = 0;
    for (i, answer) in answers.into_iter().enumerate() {
        match answer.await.expect("no panic") {
            Ok(part) => assert_eq!(values(&part), [i as f32]),
            Err(BatchError::Run(RunError::Inference { kind: FailureKind::InvalidInput, .. })) => failed += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_leaves_the_batch_and_with_the_last_one_it_ends() {
    let bench = bench(|_| {});
    bench.worker.always_run(Step::UntilCancelled);
    let answers: Vec<Answer> = (0..2_u8).map(|_| bench.ask(&[1.0], LONG)).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.worker.counts().running, 1);
    answers[0].abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.worker.counts().running, 1, "somebody still waits");
    answers[1].abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.worker.counts().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_answers_at_once() {
    let bench = bench(|settings| settings.queue = 2);
    bench.worker.always_run(Step::Slow(Duration::from_secs(1)));
    let first = bench.ask(&[0.0], LONG);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waiting: Vec<Answer> = (0..2_u8).map(|_| bench.ask(&[1.0], LONG)).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let full = error(bench.ask(&[2.0], LONG)).await;
    assert!(matches!(full, BatchError::Run(RunError::QueueFull { capacity: 2, .. })), "{full:?}");
    for answer in waiting.into_iter().chain([first]) {
        part(answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_as_large_as_a_batch_goes_alone_and_others_do_not_mix_by_priority() {
    let bench = bench(|_| {});
    let whole = part(bench.ask(&[1.0; 8], LONG)).await;
    assert!(whole.batch.is_none());
    let batcher = Arc::clone(&bench.batcher);
    let urgent = Constraints { priority: 200, ..Constraints::default() };
    let deadline = Instant::now() + LONG;
    let other =
        tokio::spawn(async move { batcher.run(vec![vector(&[5.0])].into(), None, urgent, deadline).await });
    let usual = bench.ask(&[6.0], LONG);
    assert_eq!(part(other).await.batch.expect("a batch").requests, 1);
    assert_eq!(part(usual).await.batch.expect("a batch").requests, 1);
}

#[tokio::test(start_paused = true)]
async fn no_task_is_left_when_the_last_user_is_gone() {
    let bench = bench(|_| {});
    part(bench.ask(&[1.0], LONG)).await;
    let tasks = bench.tasks.clone();
    drop(bench);
    tasks.close();
    tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.expect("its task ends");
}
