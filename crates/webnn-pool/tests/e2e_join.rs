//! Browsers that nobody of ours launched join by a code: they work, pause, leave and are killed, and nothing is lost; one
//! that lies is put out before anybody is told a wrong number.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pool_core::core::Stance;
use support::{Backend, BrowserName, Kept, Known, Proxy, Role, Visitor, proxied_with, spec, until};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webnn_pool::{Accelerator, GuestReport, GuestState, JoinOptions, PoolConfig, RecoveryOptions};

/// What asks the pool all the time.
const CALLERS: usize = 4;
/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);

/// A pool with one browser of its own, which guests may join.
struct Rig {
    accelerator: Accelerator,
    proxy: Proxy,
    golden: Known,
    _temp: Kept,
}

/// Who answered how often, and what went wrong.
#[derive(Debug, Default)]
struct Answers {
    sent: usize,
    by: BTreeMap<Option<Arc<str>>, usize>,
    wrong: Vec<String>,
}

impl Answers {
    fn of(&self, guest: &str) -> usize {
        self.by.get(&Some(guest.into())).copied().unwrap_or_default()
    }

    /// Every request had one right answer.
    #[track_caller]
    fn nothing_is_lost(&self) {
        assert_eq!(self.wrong, Vec::<String>::new());
        assert_eq!(self.sent, self.by.values().sum::<usize>());
    }
}

impl Rig {
    async fn open(set: impl FnOnce(&mut JoinOptions)) -> Self {
        let mut join = JoinOptions::default();
        join.models = vec!["golden-f32".to_owned()];
        join.confirmation.first = 5;
        join.confirmation.then_one_in = 4;
        join.terms.backends = vec![Backend::Wasm];
        join.terms.pool = "The test pool".to_owned();
        join.terms.operator = "somebody@example.org".to_owned();
        join.terms.grace = Duration::from_secs(5);
        set(&mut join);
        let own = vec![spec(BrowserName::ChromiumHeadlessShell, Backend::Wasm)];
        let (accelerator, proxy, temp) =
            proxied_with(own, PoolConfig::default(), RecoveryOptions::default(), Some(join)).await;
        let golden = Known::open(&accelerator, "micro/golden-f32", "golden", Backend::Wasm).await;
        golden.model.preload(tensor::Bindings::new()).await.expect("it loads");
        Self { accelerator, proxy, golden, _temp: temp }
    }

    fn guest(&self) -> Option<GuestReport> {
        self.accelerator.guests().pop()
    }

    async fn becomes(&self, state: GuestState) -> GuestReport {
        until(&format!("the guest is {state:?}"), SOON, || {
            self.guest().is_some_and(|guest| guest.state == state)
        })
        .await;
        self.guest().expect("a guest")
    }

    fn count(&self, name: &str) -> u64 {
        self.accelerator.telemetry().snapshot().counters.get(name).copied().unwrap_or_default()
    }

    /// Somebody opens the address of a code, reads, and joins.
    async fn joins(&self, visitor: &Visitor) -> GuestReport {
        visitor.goto(&self.accelerator.invite().expect("a code").url).await;
        visitor.sees("does", "Download the models").await;
        visitor.click("join").await;
        self.becomes(GuestState::Working).await
    }

    /// Asks as `CALLERS` do, again and again, for as long as `during` takes.
    async fn asked<T>(&self, during: impl AsyncFnOnce(&parking_lot::Mutex<Answers>) -> T) -> (T, Answers) {
        let answers = Arc::new(parking_lot::Mutex::new(Answers::default()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for _ in 0..CALLERS {
            let (golden, answers, stop) = (self.golden.clone(), Arc::clone(&answers), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    answers.lock().sent += 1;
                    let done = golden.model.run(Arc::clone(&golden.inputs)).await;
                    let mut answers = answers.lock();
                    match done {
                        Ok(done) => match golden.right(&done.outputs) {
                            Ok(_) => *answers.by.entry(done.report.guest.clone()).or_default() += 1,
                            Err(error) => answers.wrong.push(error),
                        },
                        Err(error) => answers.wrong.push(format!("{error:?}")),
                    }
                }
            });
        }
        let result = during(&answers).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        let answers = std::mem::take(&mut *answers.lock());
        (result, answers)
    }

    /// Waits until a guest has answered so many of these.
    async fn answers(&self, answers: &parking_lot::Mutex<Answers>, guest: &str, most: usize) {
        let before = answers.lock().of(guest);
        until("the guest answers", SOON, || answers.lock().of(guest) >= before + most).await;
    }

    async fn close(self) {
        self.accelerator.shutdown().await;
    }
}

/// Keeps pictures of the page, wide and narrow, in the folder that `WEBNN_POOL_PICTURES` names, for whoever wants to look.
async fn pictures(visitor: &Visitor, step: &str) {
    let Ok(folder) = std::env::var("WEBNN_POOL_PICTURES") else { return };
    for width in [390, 900] {
        visitor.width(width).await;
        visitor.picture(&std::path::Path::new(&folder).join(format!("{step}-{width}.png"))).await;
    }
}

/// The whole stay of a guest: what it is told, work, pause, a hidden tab, a reload, and the end.
async fn stays(browser: BrowserName) {
    let (rig, visitor) = tokio::join!(Rig::open(|_| {}), Visitor::open(browser));
    let code = rig.accelerator.invite().expect("a code");
    // By hand: without a code, with a wrong one, with the right one.
    visitor.goto(&rig.accelerator.join_url().expect("a page")).await;
    visitor.sees("ask", "You need a code").await;
    visitor.type_into("code", "0000-0000\u{e007}").await;
    visitor.sees("refusal", "no invitation has this code").await;
    pictures(&visitor, "refusal").await;
    visitor.script("document.getElementById('code').value = ''").await;
    visitor.type_into("code", &format!("{}\u{e007}", code.code.to_string().to_lowercase())).await;
    // What it will do is said first, and nothing is done.
    let does = visitor.sees("does", "2 threads at most").await;
    assert!(does.contains("1.0 GiB") && does.contains("20 %") && does.contains("wasm"), "{does}");
    visitor.sees("who", "The test pool is run by somebody@example.org").await;
    visitor.sees("models", "golden-f32").await;
    visitor.sees("does-not", "Read anything else of this machine").await;
    assert_eq!(rig.accelerator.guests(), [], "nobody has agreed yet");
    let hash = visitor.script("return location.href").await;
    assert!(!hash.to_string().contains("code"), "the code does not stay in the address: {hash}");
    pictures(&visitor, "terms").await;
    visitor.click("join").await;
    let guest = rig.becomes(GuestState::Working).await;
    let label = Arc::clone(&guest.guest);
    assert!(guest.on_probation && guest.worker.is_some(), "{guest:?}");

    let ((), answers) = rig
        .asked(async |answers| {
            rig.answers(answers, &label, 12).await;
            let guest = rig.guest().expect("a guest");
            assert!(guest.confirmed >= 5 && !guest.on_probation, "{guest:?}");
            pictures(&visitor, "work").await;
            // Paused, it gets nothing new, stays in the pool, and keeps what it has loaded.
            visitor.click("pause").await;
            let paused = rig.becomes(GuestState::Paused).await;
            visitor.sees("state", "Paused").await;
            let idle = || {
                let workers = rig.accelerator.stats().core.workers;
                let worker = workers.iter().find(|worker| Some(worker.worker) == paused.worker);
                worker.is_some_and(|worker| {
                    worker.stance == Stance::Draining && worker.leases == 0 && worker.sessions.len() == 1
                })
            };
            until("it is idle", SOON, idle).await;
            let (before, others) = {
                let answers = answers.lock();
                (answers.of(&label), answers.sent)
            };
            until("others are asked", SOON, || answers.lock().sent > others + 50).await;
            assert_eq!(answers.lock().of(&label), before, "no new work");
            visitor.click("pause").await;
            rig.becomes(GuestState::Working).await;
            rig.answers(answers, &label, 3).await;
            // The same for a tab that nobody sees.
            visitor.hide(true).await;
            assert_eq!(visitor.script("return document.visibilityState").await, "hidden");
            rig.becomes(GuestState::Paused).await;
            visitor.sees("why", "").await;
            visitor.hide(false).await;
            rig.becomes(GuestState::Working).await;
            // A reload is no end: it is the same guest.
            let worker = rig.guest().and_then(|guest| guest.worker);
            visitor.reload().await;
            let again = || {
                rig.guest().is_some_and(|guest| guest.state == GuestState::Working && guest.worker != worker)
            };
            until("it is back", SOON, again).await;
            assert_eq!(rig.guest().expect("a guest").guest, label);
            rig.answers(answers, &label, 3).await;
            visitor.click("leave").await;
            visitor.sees("over-text", "Everything that was begun is done").await;
            pictures(&visitor, "over").await;
            until("it is gone", SOON, || rig.accelerator.guests().is_empty()).await;
        })
        .await;
    answers.nothing_is_lost();
    assert_eq!((rig.count("guests_went.left"), rig.count("guests_went.lost")), (1, 0));
    // A tab that has left does not come back by being loaded anew.
    visitor.reload().await;
    visitor.sees("ask", "You need a code").await;

    // Killed while it works.
    let guest = rig.joins(&visitor).await;
    let ((), answers) = rig
        .asked(async |answers| {
            rig.answers(answers, &guest.guest, 5).await;
            visitor.kill();
            until("it is gone", SOON, || rig.accelerator.guests().is_empty()).await;
        })
        .await;
    answers.nothing_is_lost();
    assert_eq!(rig.count("guests_went.lost"), 1);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_joins_works_pauses_leaves_and_is_killed() {
    stays(BrowserName::Chromium).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firefox_joins_works_pauses_leaves_and_is_killed() {
    stays(BrowserName::Firefox).await;
}

/// A page that passes its proof and lies afterwards: every answer of it is held as long as it is on probation, so nobody is
/// told a wrong number, and it is put out for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lies_is_put_out_and_nobody_is_told_its_numbers() {
    let (rig, visitor) =
        tokio::join!(Rig::open(|join| join.confirmation.first = 1_000), Visitor::open(BrowserName::Chromium));
    let guest = rig.joins(&visitor).await;
    until("its engine asks", SOON, || rig.proxy.hooks.adopt(&guest.guest)).await;
    let ((), answers) = rig
        .asked(async |answers| {
            rig.answers(answers, &guest.guest, 3).await;
            rig.proxy.hooks.command(&guest.guest, Role::Engine, "lie").await.expect("it lies");
            until("it is put out", SOON, || rig.accelerator.guests().is_empty()).await;
        })
        .await;
    answers.nothing_is_lost();
    assert_eq!((rig.count("guests_went.put_out"), rig.count("workers_left.quarantined")), (1, 1));
    // What was held back of it when it went is still judged.
    assert!(rig.count("checks.wrong_by_spot_check") >= 1);
    visitor.sees("over-text", "put out").await;
    // Nor does it come back.
    visitor.reload().await;
    visitor.sees("ask", "You need a code").await;
    assert_eq!(rig.accelerator.guests(), []);
    // The pool's own browser is not to blame, and serves on.
    let done = rig.golden.model.run(Arc::clone(&rig.golden.inputs)).await.expect("an answer");
    assert_eq!(done.report.guest, None);
    rig.close().await;
}

/// A model that guests do not get is never theirs, also where they are the only ones that are free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_sees_no_model_that_is_not_allowed() {
    let (rig, visitor) = tokio::join!(Rig::open(|_| {}), Visitor::open(BrowserName::Chromium));
    let guest = rig.joins(&visitor).await;
    let other = Known::open(&rig.accelerator, "minilm", "sentence-0", Backend::Wasm).await;
    let runs = (0..12).map(|_| other.model.run(Arc::clone(&other.inputs)));
    for done in futures_util::future::join_all(runs).await {
        let done = done.expect("an answer");
        other.right(&done.outputs).expect("right numbers");
        assert_eq!(done.report.guest, None);
    }
    let workers = rig.accelerator.stats().core.workers;
    let worker = workers.iter().find(|worker| Some(worker.worker) == guest.worker).expect("the guest");
    assert!(worker.sessions.iter().all(|session| session.model == rig.golden.model.hash()), "{worker:?}");
    visitor.close().await;
    until("it is gone", SOON, || rig.accelerator.guests().is_empty()).await;
    rig.close().await;
}

/// `cargo xtask e2e --guests N`: so many stays, each ended by a goodbye or a kill in turn, and a liar at every fifth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_many_guests_come_and_go() {
    let Ok(asked) = std::env::var("WEBNN_POOL_GUESTS") else { return };
    let stays: usize = asked.parse().expect("a number of stays");
    let rig = Rig::open(|join| join.confirmation.first = 1_000).await;
    let started = Instant::now();
    let mut total = (0, 0, 0);
    for stay in 0..stays {
        let engine = if stay % 2 == 0 { BrowserName::Chromium } else { BrowserName::Firefox };
        let visitor = Visitor::open(engine).await;
        let guest = rig.joins(&visitor).await;
        let lies = stay % 5 == 4;
        if lies {
            until("its engine asks", SOON, || rig.proxy.hooks.adopt(&guest.guest)).await;
        }
        let ((), answers) = rig
            .asked(async |answers| {
                rig.answers(answers, &guest.guest, 5).await;
                if lies {
                    rig.proxy.hooks.command(&guest.guest, Role::Engine, "lie").await.expect("it lies");
                } else if stay % 4 < 2 {
                    visitor.click("leave").await;
                } else {
                    visitor.kill();
                }
                until("it is gone", SOON, || rig.accelerator.guests().is_empty()).await;
            })
            .await;
        answers.nothing_is_lost();
        total = (total.0 + answers.sent, total.1 + answers.of(&guest.guest), total.2 + usize::from(lies));
    }
    println!(
        "{stays} stays in {:?}: {} requests, all right, {} of them answered by guests; {} liars put out",
        started.elapsed(),
        total.0,
        total.1,
        total.2,
    );
    let went = |cause: &str| rig.count(&format!("guests_went.{cause}"));
    assert_eq!(went("left") + went("lost") + went("put_out"), stays as u64);
    assert_eq!(went("put_out"), total.2 as u64);
    rig.close().await;
}
