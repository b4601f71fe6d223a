//! The pool's tasks: one that keeps the time, and one for each call to a worker.
//!
//! Each holds the pool weakly while it waits, so that none keeps a dropped pool alive.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vocab::{FailureKind, ModelHash, SessionId, WorkerId};

use crate::check::{Case, Check, Finding, Party, Store, Verdict, canary, confirm, examine, is_of_form};
use crate::core::{LeaseId, Scrutiny};
use crate::driver::Inner;
use crate::membership::Gone;
use crate::{LinkError, LoadCall, Model, RunCall, RunReply, WorkerLink};

/// Calls back exactly once: with what the call gave, or, where its task ends without that, with an error.
///
/// Cancellation safety: a task's future is dropped where it waits when its runtime stops, when the worker is out of
/// the pool, or when the link panics; the core must hear of the call's end all the same, or the slot were lost.
struct Report<L: WorkerLink, T, F: Fn(&Arc<Inner<L>>, Result<T, LinkError>)> {
    pool: Weak<Inner<L>>,
    result: Option<Result<T, LinkError>>,
    report: F,
}

impl<L: WorkerLink, T, F: Fn(&Arc<Inner<L>>, Result<T, LinkError>)> Drop for Report<L, T, F> {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let result = self.result.take().unwrap_or_else(|| {
            Err(LinkError::Vanished { detail: "the call was dropped before it ended".to_owned() })
        });
        (self.report)(&pool, result);
    }
}

async fn call<L: WorkerLink, T>(
    pool: Weak<Inner<L>>,
    gone: Arc<Gone>,
    call: impl Future<Output = Result<T, LinkError>>,
    report: impl Fn(&Arc<Inner<L>>, Result<T, LinkError>),
) {
    let mut report = Report { pool, result: None, report };
    tokio::select! {
        biased;
        result = call => report.result = Some(result),
        () = gone.token.cancelled() => {}
    }
}

pub(crate) async fn run<L: WorkerLink>(
    pool: Weak<Inner<L>>,
    link: Arc<L>,
    gone: Arc<Gone>,
    lease: LeaseId,
    arguments: RunCall,
    doubt: Option<Doubt>,
) {
    let request = arguments.request;
    let told = pool.clone();
    let answered = async {
        let Some(doubt) = doubt else {
            return Ok(Run { reply: link.run(arguments).await?, confirmed: false });
        };
        let asked = arguments.clone();
        let reply = link.run(arguments).await?;
        // Cancellation safety: an answer that is held is nobody's yet; where the run is given up, so is it.
        tokio::select! {
            biased;
            () = asked.cancel.cancelled() => Err(LinkError::Cancelled),
            confirmed = doubted(&told, lease, &asked, &doubt, &reply) => Ok(Run { reply, confirmed: confirmed? }),
        }
    };
    call(pool, gone, answered, |pool, result| pool.run_done(lease, request, result)).await;
}

/// What a run gave, and whether one of the owner's workers gave the same.
pub(crate) struct Run {
    pub(crate) reply: RunReply,
    pub(crate) confirmed: bool,
}

/// Why the answer of a run is looked at before it counts as one.
pub(crate) struct Doubt {
    pub(crate) worker: WorkerId,
    pub(crate) model: Arc<Model>,
    pub(crate) scrutiny: Scrutiny,
}

/// Looks at what a guest gave. Answers whether it was compared.
async fn doubted<L: WorkerLink>(
    pool: &Weak<Inner<L>>,
    lease: LeaseId,
    asked: &RunCall,
    doubt: &Doubt,
    reply: &RunReply,
) -> Result<bool, LinkError> {
    let Doubt { worker, model, scrutiny } = doubt;
    let wrong = |message: String| Err(LinkError::Reported { kind: FailureKind::WrongNumbers, message });
    if !is_of_form(model, asked.outputs.as_deref(), &reply.outputs) {
        return wrong(format!("the outputs are not those that {} has", model.name));
    }
    if *scrutiny == Scrutiny::Form {
        return Ok(false);
    }
    let Some((owners, config)) = pool.upgrade().map(|pool| (pool.confirmers(lease), pool.check_config()))
    else {
        return Err(LinkError::Cancelled);
    };
    let case = Case {
        inputs: Arc::clone(&asked.inputs),
        dims: Arc::default(),
        names: asked.outputs.clone(),
        // The bytes of tensors are shared, not copied.
        outputs: reply.outputs.clone(),
    };
    let verdict = confirm(&owners, model, &case, asked.request, &config).await;
    if let Some(pool) = pool.upgrade() {
        pool.compared(*worker, model.hash, &verdict);
    }
    match verdict {
        Verdict::Right => Ok(true),
        Verdict::Wrong(difference) => {
            wrong(format!("the owner's workers compute something else with {}: {difference}", model.name))
        }
        // It is computed again by one of the owner's workers, and nobody is blamed.
        Verdict::Unpredictable | Verdict::Nobody => Err(LinkError::Cancelled),
    }
}

pub(crate) async fn load<L: WorkerLink>(
    pool: Weak<Inner<L>>,
    canaries: Arc<Mutex<Store>>,
    party: Party<L>,
    arguments: LoadCall,
) {
    let (session, model, cancel) = (party.session, Arc::clone(&arguments.model), arguments.cancel.clone());
    let fixed = Some(Arc::clone(&arguments.dims)).filter(|dims| !dims.is_empty());
    let gone = Arc::clone(&party.gone);
    let told = pool.clone();
    let stranger = pool.upgrade().is_some_and(|pool| pool.is_stranger(party.worker));
    let loaded = async {
        let report = party.link.load(arguments).await?;
        // Nobody is served before the numbers are known to be right. Cancellation safety: a canary that is given up
        // proves nothing, and the load has ended all the same.
        let proof = tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(()),
            proof = canary(&canaries, &party, &model, fixed.as_deref(), stranger) => proof,
        };
        let Err(difference) = proof else { return Ok(report) };
        if let Some(pool) = told.upgrade() {
            pool.wrong_on_load(party.worker, model.hash, difference.off());
        }
        match party.link.unload(session).await {
            Ok(()) | Err(LinkError::Reported { kind: FailureKind::NoSuchSession, message: _ }) => {}
            // Whether its memory came back is unknown, and a worker of unknown memory cannot be placed upon.
            Err(error) => {
                let detail = format!("it could not unload a session: {error}");
                return Err(LinkError::Vanished { detail });
            }
        }
        let message = format!("the canary of {} failed: {difference}", model.name);
        Err(LinkError::Reported { kind: FailureKind::WrongNumbers, message })
    };
    call(pool, gone, loaded, |pool, result| pool.load_done(session, result)).await;
}

/// Tells what a check found, exactly once, also where its task ends before.
struct CheckReport<L: WorkerLink> {
    pool: Weak<Inner<L>>,
    model: ModelHash,
    named: Vec<WorkerId>,
    finding: Finding,
}

impl<L: WorkerLink> Drop for CheckReport<L> {
    fn drop(&mut self) {
        // Cancellation safety: as for `Report`; the workers count as disturbed until they hear of the check's end.
        let Some(pool) = self.pool.upgrade() else { return };
        let finding = std::mem::replace(&mut self.finding, Finding::Nothing);
        pool.check_done(self.model, &self.named, finding);
    }
}

pub(crate) async fn check<L: WorkerLink>(pool: Weak<Inner<L>>, canaries: Arc<Mutex<Store>>, check: Check<L>) {
    let (model, named) = (check.model.hash, check.named());
    let mut report = CheckReport { pool, model, named, finding: Finding::Nothing };
    report.finding = examine(&canaries, check).await;
}

pub(crate) async fn unload<L: WorkerLink>(
    pool: Weak<Inner<L>>,
    link: Arc<L>,
    gone: Arc<Gone>,
    session: SessionId,
) {
    call(pool, gone, link.unload(session), |pool, result| pool.unload_done(session, result)).await;
}

/// Ticks the core whenever something in it is due.
pub(crate) async fn keep_time<L: WorkerLink>(
    pool: Weak<Inner<L>>,
    earlier: Arc<Notify>,
    stopped: CancellationToken,
) {
    loop {
        let Some(due) = pool.upgrade().map(|pool| pool.tick()) else { return };
        let wake = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = earlier.notified() => {}
            () = wake => {}
        }
    }
}
