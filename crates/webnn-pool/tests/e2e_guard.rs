//! Circuit breakers in front of real browsers: who fails is left alone, tried again, and never the last one; what the
//! caller caused counts for nothing.

mod support;

use std::time::Duration;

use support::{Backend, BrowserName, Kept, Known, Proxy, Role, proxied, spec};
use telemetry::BreakerState;
use tensor::{NamedTensor, Tensor};
use vocab::FailureKind;
use webnn_pool::{Accelerator, PoolConfig, RecoveryOptions, RunError};

struct Rig {
    accelerator: Accelerator,
    proxy: Proxy,
    golden: Known,
    _temp: Kept,
}

impl Rig {
    async fn open(browsers: &[BrowserName]) -> Self {
        let mut pool = PoolConfig::default();
        for set in [&mut pool.breakers.workers, &mut pool.breakers.arms] {
            set.breaker.open_time = Duration::from_secs(3);
            set.breaker.jitter = 0.0;
        }
        let specs = browsers.iter().map(|&browser| spec(browser, Backend::Wasm)).collect();
        let (accelerator, proxy, temp) = proxied(specs, pool, RecoveryOptions::default()).await;
        let golden = Known::open(&accelerator, "micro/golden-f32", "golden", Backend::Wasm).await;
        let rig = Self { accelerator, proxy, golden, _temp: temp };
        for &browser in browsers {
            rig.golden.on(browser).preload(tensor::Bindings::new()).await.expect("it loads");
        }
        rig
    }

    /// Has the engine of a browser do something.
    async fn tell(&self, browser: BrowserName, deed: &str) {
        let pages = self.accelerator.pages();
        let page = pages.iter().find(|page| page.worker_info().browser == browser).expect("its page");
        self.proxy.hooks.command(page.label(), Role::Engine, deed).await.expect("it does as it is told");
    }

    /// Asks a browser. Answers whether it was right.
    async fn ask(&self, browser: BrowserName) -> Result<(), RunError> {
        let done = self.golden.on(browser).run(self.golden.inputs.clone()).await?;
        self.golden.right(&done.outputs).expect("right numbers");
        Ok(())
    }

    async fn fails(&self, browser: BrowserName, wanted: &FailureKind) {
        let failed = self.ask(browser).await.expect_err("it was made to fail");
        let RunError::Inference { kind, .. } = &failed else { panic!("{failed:?}") };
        assert_eq!(kind, wanted);
    }

    fn breakers(&self, state: BreakerState) -> usize {
        self.accelerator.breakers().iter().filter(|breaker| breaker.state == state).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_left_alone_and_never_wedged() {
    let (bad, good) = (BrowserName::Chromium, BrowserName::Firefox);
    let rig = Rig::open(&[bad, good]).await;
    rig.tell(bad, "fail").await;
    for _ in 0..5 {
        rig.fails(bad, &FailureKind::Internal).await;
    }
    // The worker's own, and that of the model on this browser and backend.
    assert_eq!(rig.breakers(BreakerState::Open), 2, "{:?}", rig.accelerator.breakers());
    for _ in 0..20 {
        let done = rig.golden.model.run(rig.golden.inputs.clone()).await.expect("an answer");
        assert_eq!(done.report.browser, good);
    }
    rig.tell(bad, "honest").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Trials whose callers go away give their places back.
    for _ in 0..10 {
        tokio::select! {
            biased;
            answer = rig.ask(bad) => panic!("nobody can have answered yet: {answer:?}"),
            () = std::future::ready(()) => {}
        }
    }
    for _ in 0..4 {
        rig.ask(bad).await.expect("it works again");
    }
    assert_eq!(rig.breakers(BreakerState::Closed), rig.accelerator.breakers().len());
    rig.accelerator.shutdown().await;
}

/// A fault that all share leaves somebody: here the only one there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_browser_is_never_shut_out() {
    let only = BrowserName::ChromiumHeadlessShell;
    let rig = Rig::open(&[only]).await;
    rig.tell(only, "fail").await;
    for _ in 0..30 {
        rig.fails(only, &FailureKind::Internal).await;
    }
    assert_eq!(rig.breakers(BreakerState::Open), 2, "{:?}", rig.accelerator.breakers());
    rig.tell(only, "honest").await;
    rig.ask(only).await.expect("it is asked in spite of its breaker");
    rig.accelerator.shutdown().await;
}

/// A token that the model's table does not have: the runtime refuses it, and the browser is as well as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_caller_caused_trips_nothing() {
    let browser = BrowserName::Firefox;
    let rig = Rig::open(&[browser]).await;
    let minilm = Known::open(&rig.accelerator, "minilm", "sentence-0", Backend::Wasm).await;
    let impossible: Vec<NamedTensor> = minilm
        .inputs
        .iter()
        .map(|input| {
            let ids = vec![1_000_000_i64; input.tensor.elements() as usize];
            let tensor = Tensor::from_vec(input.tensor.shape().clone(), ids).expect("a tensor");
            NamedTensor::new(input.name.clone(), tensor)
        })
        .collect();
    for _ in 0..30 {
        let failed = minilm.on(browser).run(impossible.clone()).await.expect_err("there is no such token");
        assert!(matches!(failed, RunError::Inference { kind: FailureKind::InvalidInput, .. }), "{failed:?}");
        assert!(failed.is_callers_fault());
    }
    assert_eq!(rig.breakers(BreakerState::Closed), rig.accelerator.breakers().len());
    let counters = rig.accelerator.telemetry().snapshot().counters;
    let moved: u64 =
        counters.iter().filter(|(name, _)| name.starts_with("breakers_moved.")).map(|(_, n)| n).sum();
    assert_eq!(moved, 0);
    let done = minilm.on(browser).run(minilm.inputs.clone()).await.expect("it works");
    minilm.right(&done.outputs).expect("right numbers");
    rig.accelerator.shutdown().await;
}
