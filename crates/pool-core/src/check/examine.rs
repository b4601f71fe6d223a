//! One check, from the run that was answered to the verdict.

use std::sync::Arc;

use parking_lot::Mutex;
use telemetry::CheckOutcome;
use tensor::NamedTensor;
use tokio_util::sync::CancellationToken;
use vocab::{ModelHash, RequestId, SessionId, WorkerId};

use super::known::{Case, Origin, Store};
use super::{CheckConfig, Difference, compare};
use crate::membership::Gone;
use crate::{RunCall, WorkerLink};

/// A worker that can be asked, with the session to ask.
pub(crate) struct Party<L> {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionId,
    pub(crate) link: Arc<L>,
    pub(crate) gone: Arc<Gone>,
}

/// What is to be checked.
pub(crate) struct Check<L> {
    pub(crate) request: RequestId,
    pub(crate) model: ModelHash,
    /// Whether most of the model's weights have fewer than 32 bits.
    pub(crate) coarse: bool,
    /// Whether the session takes no other sizes than those of the case.
    pub(crate) fixed: bool,
    pub(crate) subject: Party<L>,
    /// Others that have the model loaded and take the same sizes.
    pub(crate) others: Vec<Party<L>>,
    /// The run that was just answered.
    pub(crate) case: Case,
    /// How many checks of this session there were.
    pub(crate) turn: u64,
    pub(crate) config: CheckConfig,
}

/// What a check showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// Its numbers are right.
    Fine(WorkerId),
    /// Nobody could be asked, or it cannot be told.
    Nothing,
    /// This worker's numbers are wrong.
    Wrong { worker: WorkerId, by: CheckOutcome, difference: Difference },
    /// Two workers disagree, and nothing tells who is right.
    Undecided { worker: WorkerId, difference: Difference },
}

impl<L: WorkerLink> Party<L> {
    /// What it computes; `None` where it does not answer, which is for others to notice.
    async fn run(&self, case: &Case, request: RequestId, config: &CheckConfig) -> Option<Vec<NamedTensor>> {
        let call = RunCall {
            request,
            session: self.session,
            inputs: Arc::clone(&case.inputs),
            outputs: case.names.clone(),
            deadline: tokio::time::Instant::now() + config.timeout,
            cancel: CancellationToken::new(),
        };
        // Cancellation safety: a call that is dropped is given up, and the worker told so.
        tokio::select! {
            biased;
            () = self.gone.token.cancelled() => None,
            answer = tokio::time::timeout(config.timeout, self.link.run(call)) => Some(answer.ok()?.ok()?.outputs),
        }
    }
}

impl<L: WorkerLink> Check<L> {
    fn compare(&self, reference: &[NamedTensor], answer: &[NamedTensor]) -> Result<(), Difference> {
        compare(reference, answer, self.coarse, &self.config)
    }

    async fn ask(&self, party: &Party<L>, case: &Case) -> Option<Vec<NamedTensor>> {
        party.run(case, self.request, &self.config).await
    }

    /// Every worker that is named in it.
    pub(crate) fn named(&self) -> Vec<WorkerId> {
        self.others.iter().chain([&self.subject]).map(|party| party.worker).collect()
    }

    fn wrong(worker: WorkerId, by: CheckOutcome, difference: Difference) -> Finding {
        Finding::Wrong { worker, by, difference }
    }
}

/// Checks a worker. The store is never locked while anybody is waited for.
pub(crate) async fn examine<L: WorkerLink>(store: &Mutex<Store>, check: Check<L>) -> Finding {
    if store.lock().is_unpredictable(check.model) {
        return Finding::Nothing;
    }
    let known = store.lock().get(check.model);
    let usable = known.filter(|known| !check.fixed || known.case.dims == check.case.dims);
    // Those with somebody to compare with are checked in both ways, in turns.
    let spot = !check.others.is_empty() && check.turn % 2 == 1;
    let finding = match usable {
        Some(known) if !spot => canary_again(store, &check, &known).await,
        _ => compare_with_others(store, &check).await,
    };
    finding.unwrap_or(Finding::Nothing)
}

/// The canary once more. `None` where somebody did not answer.
async fn canary_again<L: WorkerLink>(
    store: &Mutex<Store>,
    check: &Check<L>,
    known: &super::known::Known,
) -> Option<Finding> {
    let subject = &check.subject;
    let answer = check.ask(subject, &known.case).await?;
    let Err(difference) = check.compare(&known.case.outputs, &answer) else {
        store.lock().passed(check.model, subject.worker);
        return Some(Finding::Fine(subject.worker));
    };
    if known.convicts(subject.worker) {
        // What all others share is no fault of this one; a second liar is no excuse for the first.
        let mut off = 0;
        for other in &check.others {
            let Some(second) = check.ask(other, &known.case).await else { continue };
            if check.compare(&known.case.outputs, &second).is_ok() {
                off = 0;
                break;
            }
            off += 1;
        }
        if off > 0 {
            if known.origin != Origin::Caller {
                store.lock().give_up(check.model);
            }
            return Some(Finding::Undecided { worker: subject.worker, difference });
        }
        return Some(Check::<L>::wrong(subject.worker, CheckOutcome::WrongByCanary, difference));
    }
    // Only one worker vouches for it, and that was another one.
    let Origin::Alone(first) = known.origin else { return None };
    for other in &check.others {
        let Some(second) = check.ask(other, &known.case).await else { continue };
        if other.worker != first && check.compare(&known.case.outputs, &second).is_ok() {
            store.lock().passed(check.model, other.worker);
            return Some(Check::<L>::wrong(subject.worker, CheckOutcome::WrongByCanary, difference));
        }
        if other.worker != first && check.compare(&answer, &second).is_ok() {
            let case = Case { outputs: answer, ..Case::clone(&known.case) };
            let passed = vec![subject.worker, other.worker];
            store.lock().keep(check.model, Arc::new(case), Origin::Agreed, passed);
            let still_here = check.others.iter().any(|one| one.worker == first);
            let wrong = Check::<L>::wrong(first, CheckOutcome::WrongByCanary, difference);
            return Some(if still_here { wrong } else { Finding::Fine(subject.worker) });
        }
    }
    store.lock().forget(check.model);
    Some(Finding::Undecided { worker: subject.worker, difference })
}

/// The request that was just answered, on another worker. `None` where somebody did not answer.
async fn compare_with_others<L: WorkerLink>(store: &Mutex<Store>, check: &Check<L>) -> Option<Finding> {
    let (subject, case) = (&check.subject, &check.case);
    if !store.lock().takes(case) {
        return Some(Finding::Nothing);
    }
    let keep = |origin, passed| {
        let mut store = store.lock();
        if store.get(check.model).is_none() {
            store.keep(check.model, Arc::new(case.clone()), origin, passed);
        }
    };
    let Some(second) = check.others.first() else {
        let again = check.ask(subject, case).await?;
        if check.compare(&case.outputs, &again).is_ok() {
            keep(Origin::Alone(subject.worker), vec![subject.worker]);
            return Some(Finding::Fine(subject.worker));
        }
        store.lock().give_up(check.model);
        return Some(Finding::Nothing);
    };
    let theirs = check.ask(second, case).await?;
    let Err(difference) = check.compare(&theirs, &case.outputs) else {
        keep(Origin::Agreed, vec![subject.worker, second.worker]);
        return Some(Finding::Fine(subject.worker));
    };
    let wrong = |party: &Party<L>| {
        Some(Check::<L>::wrong(party.worker, CheckOutcome::WrongBySpotCheck, difference.clone()))
    };
    let ours_again = check.ask(subject, case).await?;
    let theirs_again = check.ask(second, case).await?;
    let repeats =
        (check.compare(&case.outputs, &ours_again).is_ok(), check.compare(&theirs, &theirs_again).is_ok());
    match repeats {
        (false, true) => return wrong(subject),
        (true, false) => return wrong(second),
        (false, false) => {
            store.lock().give_up(check.model);
            return Some(Finding::Nothing);
        }
        (true, true) => {}
    }
    for third in &check.others[1..] {
        let Some(verdict) = check.ask(third, case).await else { continue };
        if check.compare(&verdict, &case.outputs).is_ok() {
            return wrong(second);
        }
        if check.compare(&verdict, &theirs).is_ok() {
            return wrong(subject);
        }
    }
    let known = store.lock().get(check.model);
    if let Some(known) = known.filter(|known| !check.fixed || known.case.dims == case.dims) {
        for party in [subject, second] {
            let answer = check.ask(party, &known.case).await?;
            if check.compare(&known.case.outputs, &answer).is_err() && known.convicts(party.worker) {
                return wrong(party);
            }
        }
    }
    Some(Finding::Undecided { worker: subject.worker, difference })
}

/// The canary of a model that was just loaded, before anybody is served; `Ok` where there is none.
///
/// # Errors
/// What its numbers are off by.
pub(crate) async fn canary<L: WorkerLink>(
    store: &Mutex<Store>,
    party: &Party<L>,
    model: &crate::Model,
    fixed: Option<&tensor::Bindings>,
) -> Result<(), Difference> {
    let (known, config) = {
        let mut store = store.lock();
        (store.get(model.hash), store.config())
    };
    let Some(known) = known.filter(|known| fixed.is_none_or(|dims| *known.case.dims == *dims)) else {
        return Ok(());
    };
    let request = RequestId(party.session.0);
    let Some(answer) = party.run(&known.case, request, &config).await else { return Ok(()) };
    match compare(&known.case.outputs, &answer, model.is_coarse(), &config) {
        Ok(()) => store.lock().passed(model.hash, party.worker),
        Err(difference) if !matches!(known.origin, Origin::Alone(_)) => return Err(difference),
        // One worker's word against another's; a spot check will tell.
        Err(_) => store.lock().forget(model.hash),
    }
    Ok(())
}
