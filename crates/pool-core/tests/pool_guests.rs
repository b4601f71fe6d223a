//! What guests answer is held until one of the owner's workers has computed the same; a wrong number reaches nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{
    Confirmation, Constraints, Guest, LeaveCause, Membership, Model, Pool, PoolConfig, Preload, Request,
    WorkerInfo,
};
use pool_core_testing::{FakeWorker, Step, identity_model, info, vector};
use telemetry::Telemetry;
use tokio::task::JoinSet;

/// A pool with workers of the owner's, and one guest; all have the model.
struct Rig {
    pool: Pool<FakeWorker>,
    model: Arc<Model>,
    owners: Vec<(FakeWorker, Membership)>,
    guest: FakeWorker,
    member: Membership,
    telemetry: Telemetry,
}

impl Rig {
    async fn open(owners: usize, first: u32, then_one_in: u32) -> Self {
        let telemetry = Telemetry::new();
        let mut config = PoolConfig::default();
        config.checks.enabled = false;
        let pool = Pool::new(config, telemetry.clone()).expect("a pool");
        let model = identity_model("a");
        let owners = (0..owners).map(|_| {
            let worker = FakeWorker::new();
            let membership = pool.join(WorkerInfo { slots: 1, ..info() }, Arc::new(worker.clone()));
            (worker, membership)
        });
        let owners: Vec<_> = owners.collect();
        let mut terms = Guest::new("guest-1", 11);
        terms.models = Arc::new(BTreeSet::from([model.hash]));
        let mut confirmation = Confirmation::default();
        (confirmation.first, confirmation.then_one_in) = (first, then_one_in);
        terms.confirmation = confirmation;
        let guest = FakeWorker::new();
        let lent = WorkerInfo { guest: Some(terms), slots: 8, ..info() };
        let member = pool.join(lent, Arc::new(guest.clone()));
        let rig = Self { pool, model, owners, guest, member, telemetry };
        let all = rig.owners.iter().map(|(_, membership)| membership.worker()).chain([rig.member.worker()]);
        for worker in all {
            let mut preload = Preload::new(Arc::clone(&rig.model));
            preload.worker = Some(worker);
            rig.pool.preload(preload).await.expect("it loads");
        }
        rig
    }

    /// Asks so often at once. Answers how many of the answers were a guest's, and how many were off.
    fn ask(&self, times: usize) -> impl Future<Output = (usize, usize)> + use<> {
        let mut all = JoinSet::new();
        for _ in 0..times {
            let (pool, model) = (self.pool.clone(), Arc::clone(&self.model));
            all.spawn(async move {
                let mut request = Request::new(model, [vector(&[1.0, 2.0])]);
                let timeout = Some(Duration::from_secs(30));
                request.constraints = Constraints { timeout, ..Constraints::default() };
                let done = pool.run(request).await.expect("an answer");
                let numbers = done.outputs[0].tensor.to_vec::<f32>().expect("numbers");
                (done.report.guest.is_some(), numbers != [1.0, 2.0])
            });
        }
        async move {
            let all = all.join_all().await;
            (all.iter().filter(|(guest, _)| *guest).count(), all.iter().filter(|(_, off)| *off).count())
        }
    }

    fn checks(&self, outcome: &str) -> u64 {
        self.telemetry.snapshot().counters[&format!("checks.{outcome}")]
    }

    async fn close(self) {
        for worker in self.owners.iter().map(|(worker, _)| worker).chain([&self.guest]) {
            assert_eq!(worker.violations(), Vec::<String>::new());
        }
        self.pool.shutdown().await;
        assert_eq!(self.pool.stats().tasks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_given_and_counted() {
    let rig = Rig::open(1, 20, 0).await;
    let (by_guest, off) = rig.ask(40).await;
    assert!(by_guest > 10 && off == 0, "{by_guest} {off}");
    let confirmed = rig.checks("right");
    assert!((20..=by_guest as u64).contains(&confirmed), "{confirmed} of {by_guest}");
    let before = rig.owners[0].0.counts().runs;
    let (later, _) = rig.ask(40).await;
    assert!(later > 0 && rig.checks("right") == confirmed, "it is believed by now, with no checks by chance");
    assert!(rig.owners[0].0.counts().runs - before <= 40 - later as u64, "and costs the owner nothing more");
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_liar_on_probation_reaches_nobody_and_is_out() {
    for owners in 1..=3 {
        let rig = Rig::open(owners, 20, 10).await;
        rig.guest.always_run(Step::Lie(0.5));
        let (by_guest, off) = rig.ask(40).await;
        assert_eq!((by_guest, off), (0, 0));
        assert_eq!(rig.member.closed().await, LeaveCause::Quarantined);
        assert!(rig.checks("wrong_by_spot_check") >= 1);
        assert!(rig.owners.iter().all(|(_, membership)| !membership.is_closed()));
        assert_eq!(rig.ask(10).await, (0, 0), "the pool goes on without it");
        rig.close().await;
    }
}

/// One that was right for long enough is caught by chance: its lies are few.
#[tokio::test(start_paused = true)]
async fn a_liar_that_waited_is_found_by_chance() {
    let rig = Rig::open(1, 5, 3).await;
    while rig.checks("right") < 5 {
        rig.ask(8).await;
    }
    rig.guest.always_run(Step::Lie(0.5));
    let mut lies = 0;
    while !rig.member.is_closed() {
        lies += rig.ask(2).await.1;
        assert!(lies < 100, "it is never looked at");
    }
    assert_eq!(rig.ask(40).await.1, 0);
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_not_put_out_on_the_word_of_one_that_errs() {
    let rig = Rig::open(3, 1_000, 1).await;
    rig.owners[0].0.always_run(Step::Lie(0.5));
    for _ in 0..10 {
        rig.ask(12).await;
    }
    assert!(!rig.member.is_closed(), "the others compute what it does");
    rig.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_a_function_is_kept_from_guests() {
    let rig = Rig::open(1, 1_000, 1).await;
    rig.owners[0].0.always_run(Step::Noise);
    let (by_guest, _) = rig.ask(20).await;
    assert_eq!(by_guest, 0, "what cannot be confirmed is not given");
    assert!(!rig.member.is_closed(), "and nobody is blamed");
    let runs = rig.guest.counts().runs;
    rig.ask(20).await;
    assert_eq!(rig.guest.counts().runs, runs, "it is not asked any more");
    rig.close().await;
}

/// Whoever could confirm goes away while an answer is held: the request is computed by somebody else.
#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_can_confirm_is_not_given() {
    let rig = Rig::open(2, 1_000, 1).await;
    rig.owners[0].0.always_run(Step::Never);
    rig.owners[1].0.always_run(Step::Never);
    let asked = rig.ask(3);
    tokio::pin!(asked);
    tokio::select! {
        biased;
        answers = &mut asked => panic!("nobody can have answered: {answers:?}"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    rig.owners[0].0.always_run(Step::Ok);
    let Rig { pool, owners, .. } = &rig;
    let worker = FakeWorker::new();
    let _fresh = pool.join(info(), Arc::new(worker.clone()));
    for (_, membership) in owners {
        membership.put_out(LeaveCause::Crashed);
    }
    let (by_guest, off) = asked.await;
    assert_eq!(off, 0);
    assert!(by_guest <= 1, "{by_guest}");
    rig.pool.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn outputs_of_another_form_put_a_guest_out_also_where_nobody_compares() {
    let rig = Rig::open(1, 0, 0).await;
    assert!(rig.ask(10).await.0 > 0);
    let mut other = Model::clone(&rig.model);
    other.signature.outputs[0].dims = Some(vec![tensor::Dim::Fixed(7)]);
    let other = Arc::new(Model { hash: vocab::ModelHash([9; 32]), ..other });
    rig.pool.set_guest_models(&Arc::new(BTreeSet::from([other.hash])));
    for worker in [rig.owners[0].1.worker(), rig.member.worker()] {
        let mut preload = Preload::new(Arc::clone(&other));
        preload.worker = Some(worker);
        rig.pool.preload(preload).await.expect("it loads");
    }
    let mut all = JoinSet::new();
    for _ in 0..6 {
        let (pool, other) = (rig.pool.clone(), Arc::clone(&other));
        all.spawn(async move { pool.run(Request::new(other, [vector(&[1.0, 2.0])])).await });
    }
    for done in all.join_all().await {
        assert_eq!(done.expect("an answer").report.guest, None);
    }
    assert_eq!(rig.member.closed().await, LeaveCause::Quarantined);
    rig.close().await;
}
