//! Every kind of answer on every method of the seam, with callers that wait and callers that go: each recovery ends once
//! and in time, and nothing of it is left.

mod support {
    pub(crate) mod fake;
}

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use recovery::{
    AttemptError, Fault, MemoryReading, PressureLevel, RecoveryError, RecoverySettings,
    ResourcePoolErrorRecovery, Reviver, Rung, RungSet, Seen, Signs, Subject, Use,
};
use support::fake::{Act, Fake, Scripted};
use telemetry::Telemetry;
use tokio::time::{Instant, sleep, timeout};
use vocab::{BrowserName, WorkerId};

const ACTS: [Act; 5] =
    [Act::Ok, Act::Err, Act::Slow(Duration::from_millis(700)), Act::Never, Act::Unavailable];

fn subject(worker: u64) -> Subject {
    Subject { worker: WorkerId(worker), browser: Some(BrowserName::Chromium) }
}

fn entry(telemetry: &Telemetry) -> ResourcePoolErrorRecovery {
    ResourcePoolErrorRecovery::new(RecoverySettings::default(), telemetry.clone()).expect("they work")
}

fn sum(telemetry: &Telemetry, prefix: &str) -> u64 {
    let counters = telemetry.snapshot().counters;
    counters.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
}

#[track_caller]
fn nothing_left(entry: &ResourcePoolErrorRecovery, fake: &Fake, telemetry: &Telemetry, what: &str) {
    let stats = entry.stats();
    assert_eq!((stats.going, stats.restarting, stats.waiting), (0, 0, 0), "{what}");
    assert_eq!(fake.inside.load(SeqCst), 0, "{what}: a call is still going on");
    let (started, ended) = (sum(telemetry, "recoveries_started."), sum(telemetry, "recoveries_ended."));
    assert_eq!(started, ended, "{what}: each recovery ends once");
}

async fn case(acts: (Act, Act, Act), fault: Fault) {
    let what = format!("{acts:?} {fault}");
    let telemetry = Telemetry::new();
    let entry = entry(&telemetry);
    let fake = Fake::new(acts.0, acts.1, acts.2);
    let began = Instant::now();
    let result = entry.recover(subject(1), fault, &fake).await;
    let took = began.elapsed();
    assert!(took <= Duration::from_secs(120), "{what}: {took:?}");
    let works = |act| matches!(act, Act::Ok | Act::Slow(_));
    match result {
        Ok(recovered) => assert!(works(acts.0) && works(acts.1) && recovered.took <= took, "{what}"),
        Err(RecoveryError::GaveUp { last, .. }) => {
            assert!(!(works(acts.0) && works(acts.1)), "{what}");
            assert!(last.is_some(), "{what}: the last cause is known");
        }
        Err(error) => panic!("{what}: {error}"),
    }
    nothing_left(&entry, &fake, &telemetry, &what);
    assert_eq!(sum(&telemetry, "rungs_tried."), fake.tried.lock().len() as u64, "{what}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait() {
    for attempt in ACTS {
        for proof in ACTS {
            for look in ACTS {
                for fault in [Fault::SocketLost, Fault::ProcessDead, Fault::PageHung] {
                    case((attempt, proof, look), fault).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_go() {
    for ms in [0, 1, 650, 1_350, 2_500, 5_500, 40_000] {
        for attempt in ACTS {
            for proof in ACTS {
                for look in ACTS {
                    gone(attempt, proof, look, Duration::from_millis(ms)).await;
                }
            }
        }
    }
}

async fn gone(attempt: Act, proof: Act, look: Act, after: Duration) {
    let what = format!("{attempt:?} {proof:?} {look:?} {after:?}");
    let telemetry = Telemetry::new();
    let entry = entry(&telemetry);
    let fake = Fake::new(attempt, proof, look);
    let _ = timeout(after, entry.recover(subject(1), Fault::SocketLost, &fake)).await;
    nothing_left(&entry, &fake, &telemetry, &what);
    // The same worker can be recovered at once.
    let well = Fake::new(Act::Ok, Act::Ok, Act::Ok);
    let again = entry.recover(subject(1), Fault::SocketLost, &well).await;
    assert!(again.is_ok(), "{what}: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn the_mildest_rung_that_can_help_is_used() {
    let telemetry = Telemetry::new();
    let entry = entry(&telemetry);
    let fake = Fake::new(Act::Ok, Act::Ok, Act::Ok);
    let recovered = entry.recover(subject(1), Fault::SocketLost, &fake).await.expect("it works");
    assert_eq!((recovered.rung, recovered.attempts), (Rung::Reconnect, 1));
    let recovered = entry.recover(subject(1), Fault::ProcessDead, &fake).await.expect("it works");
    assert_eq!(recovered.rung, Rung::Restart);
    let counters = telemetry.snapshot().counters;
    assert_eq!(counters["rungs_tried.reconnect.worked"], 1);
    assert_eq!(counters["recoveries_ended.recovered"], 2);
}

#[tokio::test(start_paused = true)]
async fn signs_after_a_failure_jump_up() {
    let entry = entry(&Telemetry::new());
    let fake = Fake::new(Act::Err, Act::Ok, Act::Ok);
    let mut signs = Signs::default();
    signs.process = Seen::Down;
    *fake.signs.lock() = signs;
    let error = entry.recover(subject(1), Fault::SocketLost, &fake).await.expect_err("nothing works");
    assert!(matches!(error, RecoveryError::GaveUp { fault: Fault::ProcessDead, .. }), "{error:?}");
    let tried = fake.tried.lock().clone();
    assert_eq!(tried[..2], [Rung::Reconnect, Rung::Restart], "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn news_from_outside_overtake_an_attempt() {
    let telemetry = Telemetry::new();
    let entry = entry(&telemetry);
    let fake = Arc::new(Fake::new(Act::Slow(Duration::from_secs(4)), Act::Ok, Act::Ok));
    let task = tokio::spawn({
        let (entry, fake) = (entry.clone(), Arc::clone(&fake));
        async move { entry.recover(subject(1), Fault::SocketLost, &*fake).await }
    });
    sleep(Duration::from_secs(1)).await;
    let busy = entry.recover(subject(1), Fault::ProcessDead, &*fake).await;
    assert!(matches!(busy, Err(RecoveryError::GoingOn { worker: WorkerId(1) })), "{busy:?}");
    let recovered = task.await.expect("it does not panic").expect("it works");
    assert_eq!((recovered.rung, recovered.fault), (Rung::Restart, Fault::ProcessDead));
    assert_eq!(*fake.tried.lock(), [Rung::Reconnect, Rung::Restart]);
    assert_eq!(telemetry.snapshot().counters["rungs_tried.reconnect.overtaken"], 1);
    // A fault that the running rung can help leaves it alone.
    let task = tokio::spawn({
        let (entry, fake) = (entry.clone(), Arc::clone(&fake));
        async move { entry.recover(subject(1), Fault::PageCrashed, &*fake).await }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(entry.tell(WorkerId(1), Fault::OutOfMemory));
    let recovered = task.await.expect("it does not panic").expect("it works");
    assert_eq!(
        (recovered.attempts, recovered.fault),
        (1, Fault::PageCrashed),
        "a milder fault changes nothing"
    );
    assert_eq!(recovered.unheard, None);
    assert!(!entry.tell(WorkerId(1), Fault::OutOfMemory), "nothing is going on");
}

/// What comes in the moment of success is not lost: the proof of this one tells it itself.
#[tokio::test(start_paused = true)]
async fn news_at_the_last_moment_are_handed_on() {
    struct Late(ResourcePoolErrorRecovery);
    impl Reviver for Late {
        type Error = Scripted;
        fn offers(&self) -> RungSet {
            RungSet::ALL
        }
        async fn signs(&self) -> Signs {
            Signs::default()
        }
        async fn attempt(&self, _: Rung, _: Instant) -> Result<(), AttemptError<Scripted>> {
            Ok(())
        }
        async fn proved(&self, _: Rung, _: Instant) -> Result<(), Scripted> {
            assert!(self.0.tell(WorkerId(1), Fault::ProcessDead));
            Ok(())
        }
    }
    let entry = entry(&Telemetry::new());
    let recovered =
        entry.recover(subject(1), Fault::SocketLost, &Late(entry.clone())).await.expect("it works");
    assert_eq!((recovered.rung, recovered.unheard), (Rung::Reconnect, Some(Fault::ProcessDead)));
    assert!(!entry.tell(WorkerId(1), Fault::Slow), "it is over");
}

#[tokio::test(start_paused = true)]
async fn many_that_die_at_once_are_restarted_two_at_a_time() {
    let telemetry = Telemetry::new();
    let mut settings = RecoverySettings::default();
    settings.ladder.gate_patience = Duration::from_secs(60);
    let entry = ResourcePoolErrorRecovery::new(settings, telemetry.clone()).expect("they work");
    let fakes: Vec<_> = (0..20)
        .scan(None, |first: &mut Option<Arc<Fake>>, _| {
            let mut fake = Fake::new(Act::Slow(Duration::from_secs(3)), Act::Ok, Act::Ok);
            if let Some(first) = first {
                fake.restarting = Arc::clone(&first.restarting);
                fake.most_restarting = Arc::clone(&first.most_restarting);
            }
            let fake = Arc::new(fake);
            first.get_or_insert_with(|| Arc::clone(&fake));
            Some(fake)
        })
        .collect();
    let tasks: Vec<_> = fakes
        .iter()
        .enumerate()
        .map(|(n, fake)| {
            let (entry, fake) = (entry.clone(), Arc::clone(fake));
            tokio::spawn(async move { entry.recover(subject(n as u64), Fault::ProcessDead, &*fake).await })
        })
        .collect();
    // Some of them go away while they wait or are being restarted; their places are free at once.
    sleep(Duration::from_secs(1)).await;
    tasks[0].abort();
    tasks[5].abort();
    let mut order = Vec::new();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await {
            Ok(result) => order.push(result.expect("it works").took),
            Err(error) => assert!(error.is_cancelled() && (n == 0 || n == 5)),
        }
    }
    assert!(order.is_sorted(), "first come, first served: {order:?}");
    assert_eq!(fakes[0].most_restarting.load(SeqCst), 2);
    assert_eq!(entry.stats().restarting, 0);
    assert!(order.last().is_some_and(|took| *took <= Duration::from_secs(31)), "{order:?}");
    assert_eq!(telemetry.snapshot().counters["recoveries_ended.recovered"], 18);
}

/// Under memory pressure, browsers are restarted one after the other; telemetry tells of the pressure once.
#[tokio::test(start_paused = true)]
async fn under_pressure_one_is_restarted_at_a_time() {
    let telemetry = Telemetry::new();
    let mut settings = RecoverySettings::default();
    settings.ladder.gate_patience = Duration::from_secs(60);
    let entry = ResourcePoolErrorRecovery::new(settings, telemetry.clone()).expect("they work");
    let mut reading = MemoryReading::default();
    reading.cgroup = Some(Use { used: 90, limit: 100 });
    assert_eq!(entry.memory(&reading), PressureLevel::High);
    assert_eq!(entry.memory(&reading), PressureLevel::High);
    assert_eq!(telemetry.snapshot().counters["pressure_changed.high"], 1);
    let fake = Fake::new(Act::Slow(Duration::from_secs(3)), Act::Ok, Act::Ok);
    let all = (0..4).map(|n| entry.recover(subject(n), Fault::ProcessDead, &fake));
    let (first, second, third, fourth) = {
        let mut all = all;
        let mut next = || all.next().expect("there are four");
        tokio::join!(next(), next(), next(), next())
    };
    let took = [first, second, third, fourth].map(|result| result.expect("it works").took.as_secs());
    assert_eq!(took, [3, 6, 9, 12]);
    assert_eq!(fake.most_restarting.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_given_up_is_used_at_once() {
    let mut settings = RecoverySettings::default();
    settings.gate.at_once = 1;
    // So long that only being woken is in time.
    settings.gate.place = Duration::from_secs(60);
    settings.ladder.gate_patience = Duration::from_secs(60);
    let entry = ResourcePoolErrorRecovery::new(settings, Telemetry::new()).expect("they work");
    let (stuck, well) = (Fake::new(Act::Never, Act::Ok, Act::Ok), Fake::new(Act::Ok, Act::Ok, Act::Ok));
    let gone = timeout(Duration::from_secs(1), entry.recover(subject(1), Fault::ProcessDead, &stuck));
    let (gone, waited) = tokio::join!(gone, entry.recover(subject(2), Fault::ProcessDead, &well));
    assert!(gone.is_err());
    let took = waited.expect("it works").took;
    assert!(took < Duration::from_millis(1_010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_paid_for_by_all_recoveries_together() {
    let mut settings = RecoverySettings::default();
    (settings.budget.burst, settings.budget.per_second) = (1.0, 0.0);
    let entry = ResourcePoolErrorRecovery::new(settings, Telemetry::new()).expect("they work");
    let fake = Fake::new(Act::Err, Act::Ok, Act::Ok);
    let mut tries = Vec::new();
    for worker in 0..3 {
        // Five requests pay for one repetition.
        (0..5 * (worker / 2)).for_each(|_| entry.request_came());
        fake.tried.lock().clear();
        entry.recover(subject(worker), Fault::ProcessDead, &fake).await.expect_err("nothing works");
        tries.push(fake.tried.lock().len());
    }
    assert_eq!(tries, [3, 2, 3], "restart and switch, and a repetition where there is a token");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_goes_on_and_refuses_more() {
    let telemetry = Telemetry::new();
    let entry = entry(&telemetry);
    let fake = Arc::new(Fake::new(Act::Never, Act::Ok, Act::Ok));
    let task = tokio::spawn({
        let (entry, fake) = (entry.clone(), Arc::clone(&fake));
        async move { entry.recover(subject(1), Fault::ProcessDead, &*fake).await }
    });
    sleep(Duration::from_secs(1)).await;
    entry.close();
    assert_eq!(task.await.expect("it does not panic"), Err(RecoveryError::Closed));
    assert_eq!(entry.recover(subject(2), Fault::Slow, &*fake).await, Err(RecoveryError::Closed));
    nothing_left(&entry, &fake, &telemetry, "closed");
    assert_eq!(telemetry.snapshot().counters["recoveries_ended.closed"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_help_is_given_up_at_once() {
    let entry = entry(&Telemetry::new());
    let mut fake = Fake::new(Act::Ok, Act::Ok, Act::Ok);
    fake.offers = RungSet::NONE.with(Rung::Ping);
    assert_eq!(fake.offers(), fake.offers);
    let error = entry.recover(subject(1), Fault::ProcessDead, &fake).await.expect_err("nothing can help");
    let text = error.to_string();
    assert_eq!(text, "process_dead was given up after 0ns: no rung that is offered could help");
    assert!(fake.tried.lock().is_empty());
}
