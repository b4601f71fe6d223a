//! One check, from the run that was answered to the verdict.

use std::sync::Arc;

use parking_lot::Mutex;
use telemetry::CheckOutcome;
use tensor::NamedTensor;
use tokio_util::sync::CancellationToken;
use vocab::{RequestId, SessionId, WorkerId};

use super::known::{Case, Known, Origin, Store};
use super::{CheckConfig, Difference, compare};
use crate::membership::Gone;
use crate::{Model, RunCall, WorkerLink};

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
    pub(crate) model: Arc<Model>,
    /// Whether the session takes no other sizes than those of the case.
    pub(crate) fixed: bool,
    pub(crate) subject: Party<L>,
    /// Others that have the model loaded and take the same sizes.
    pub(crate) others: Vec<Party<L>>,
    /// The run that was just answered.
    pub(crate) case: Case,
    /// How many checks of this session there were.
    pub(crate) turn: u64,
}

/// What a check showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// Its numbers are right.
    Fine(WorkerId),
    /// Nobody could be asked, or it cannot be told.
    Nothing,
    /// This worker's numbers are wrong, as this session showed.
    Wrong { worker: WorkerId, session: SessionId, by: CheckOutcome, difference: Difference },
    /// Two workers disagree, and nothing tells who is right.
    Undecided { worker: WorkerId, difference: Difference },
}

impl<L: WorkerLink> Party<L> {
    /// What it computes; `None` where it does not answer, which is for others to notice.
    pub(super) async fn run(
        &self,
        case: &Case,
        request: RequestId,
        config: &CheckConfig,
    ) -> Option<Vec<NamedTensor>> {
        let call = RunCall {
            request,
            session: self.session,
            inputs: Arc::clone(&case.inputs),
            outputs: case.names.clone(),
            step: None,
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

impl<L> Party<L> {
    /// Its numbers are wrong.
    fn wrong(&self, by: CheckOutcome, difference: Difference) -> Finding {
        Finding::Wrong { worker: self.worker, session: self.session, by, difference }
    }
}

impl<L> Check<L> {
    /// Every worker that is named in it.
    pub(crate) fn named(&self) -> Vec<WorkerId> {
        self.others.iter().chain([&self.subject]).map(|party| party.worker).collect()
    }
}

/// A check that is being made. The store is never locked while anybody is waited for.
struct Examination<'a, L> {
    store: &'a Mutex<Store>,
    config: CheckConfig,
    check: Check<L>,
}

/// Checks a worker.
pub(crate) async fn examine<L: WorkerLink>(store: &Mutex<Store>, check: Check<L>) -> Finding {
    let model = check.model.hash;
    let (known, config) = {
        let mut store = store.lock();
        if store.is_unpredictable(model) {
            return Finding::Nothing;
        }
        (store.get(model), store.config())
    };
    // Those with somebody to compare with are checked in both ways, in turns.
    let spot = !check.others.is_empty() && check.turn % 2 == 1;
    let examination = Examination { store, config, check };
    let finding = match known.filter(|known| examination.suits(known)) {
        Some(known) if !spot => examination.canary_again(&known).await,
        _ => examination.compare_with_others().await,
    };
    finding.unwrap_or(Finding::Nothing)
}

impl<L: WorkerLink> Examination<'_, L> {
    /// Whether the session takes the sizes of a canary.
    fn suits(&self, known: &Known) -> bool {
        !self.check.fixed || known.case.dims == self.check.case.dims
    }

    fn compare(&self, reference: &[NamedTensor], answer: &[NamedTensor]) -> Result<(), Difference> {
        compare(reference, answer, self.check.model.is_coarse(), &self.config)
    }

    async fn ask(&self, party: &Party<L>, case: &Case) -> Option<Vec<NamedTensor>> {
        party.run(case, self.check.request, &self.config).await
    }

    fn passed(&self, known: &Known, party: &Party<L>) {
        self.store.lock().passed(self.check.model.hash, &known.case, party.worker, party.session);
    }

    /// The canary once more. `None` where somebody did not answer.
    async fn canary_again(&self, known: &Known) -> Option<Finding> {
        let (subject, others) = (&self.check.subject, &self.check.others);
        let answer = self.ask(subject, &known.case).await?;
        let Err(difference) = self.compare(&known.case.outputs, &answer) else {
            self.passed(known, subject);
            return Some(Finding::Fine(subject.worker));
        };
        if known.convicts(subject.session) {
            // What all others share is no fault of this one; a second liar is no excuse for the first.
            let mut off = 0;
            for other in others {
                let Some(second) = self.ask(other, &known.case).await else { continue };
                if self.compare(&known.case.outputs, &second).is_ok() {
                    off = 0;
                    break;
                }
                off += 1;
            }
            if off == 0 {
                return Some(subject.wrong(CheckOutcome::WrongByCanary, difference));
            }
        } else if let Origin::Alone(first) = known.origin {
            // Only one worker vouches for it, and that was another one, or on another backend.
            for other in others.iter().filter(|other| other.worker != first) {
                let Some(second) = self.ask(other, &known.case).await else { continue };
                if self.compare(&known.case.outputs, &second).is_ok() {
                    self.passed(known, other);
                    return Some(subject.wrong(CheckOutcome::WrongByCanary, difference));
                }
                if self.compare(&answer, &second).is_ok() {
                    let case = Case { outputs: answer, ..Case::clone(&known.case) };
                    let passed = vec![subject.session, other.session];
                    self.store.lock().keep(self.check.model.hash, Arc::new(case), Origin::Agreed, passed);
                    let first = others.iter().find(|other| other.worker == first);
                    let wrong = first.map(|first| first.wrong(CheckOutcome::WrongByCanary, difference));
                    return Some(wrong.unwrap_or(Finding::Fine(subject.worker)));
                }
            }
        }
        self.store.lock().forget(self.check.model.hash);
        Some(Finding::Undecided { worker: subject.worker, difference })
    }

    /// The request that was just answered, on another worker. `None` where somebody did not answer.
    async fn compare_with_others(&self) -> Option<Finding> {
        let Check { subject, others, case, model, .. } = &self.check;
        if !self.store.lock().takes(case) {
            return Some(Finding::Nothing);
        }
        let keep = |origin, passed| {
            let mut store = self.store.lock();
            if store.get(model.hash).is_none() {
                store.keep(model.hash, Arc::new(case.clone()), origin, passed);
            }
        };
        let Some(second) = others.first() else {
            let again = self.ask(subject, case).await?;
            if self.compare(&case.outputs, &again).is_ok() {
                keep(Origin::Alone(subject.worker), vec![subject.session]);
                return Some(Finding::Fine(subject.worker));
            }
            self.store.lock().give_up(model.hash);
            return Some(Finding::Nothing);
        };
        let theirs = self.ask(second, case).await?;
        let Err(difference) = self.compare(&theirs, &case.outputs) else {
            keep(Origin::Agreed, vec![subject.session, second.session]);
            return Some(Finding::Fine(subject.worker));
        };
        let wrong = |party: &Party<L>| Some(party.wrong(CheckOutcome::WrongBySpotCheck, difference.clone()));
        let ours_again = self.ask(subject, case).await?;
        let theirs_again = self.ask(second, case).await?;
        let repeats =
            (self.compare(&case.outputs, &ours_again).is_ok(), self.compare(&theirs, &theirs_again).is_ok());
        match repeats {
            (false, true) => return wrong(subject),
            (true, false) => return wrong(second),
            (false, false) => {
                self.store.lock().give_up(model.hash);
                return Some(Finding::Nothing);
            }
            (true, true) => {}
        }
        for third in &others[1..] {
            let Some(verdict) = self.ask(third, case).await else { continue };
            if self.compare(&verdict, &case.outputs).is_ok() {
                return wrong(second);
            }
            if self.compare(&verdict, &theirs).is_ok() {
                return wrong(subject);
            }
        }
        let known = self.store.lock().get(model.hash);
        if let Some(known) = known.filter(|known| self.suits(known)) {
            for party in [subject, second] {
                let answer = self.ask(party, &known.case).await?;
                if self.compare(&known.case.outputs, &answer).is_err() && known.convicts(party.session) {
                    return wrong(party);
                }
            }
        }
        Some(Finding::Undecided { worker: subject.worker, difference })
    }
}

/// The canary of a model that was just loaded, before anybody is served; `Ok` where there is none. A `stranger` is a guest
/// that is not trusted.
///
/// # Errors
/// What its numbers are off by.
pub(crate) async fn canary<L: WorkerLink>(
    store: &Mutex<Store>,
    party: &Party<L>,
    model: &Model,
    fixed: Option<&tensor::Bindings>,
    stranger: bool,
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
        // Of a stranger's word nothing is made, for or against anybody else.
        Ok(()) if stranger => {}
        Err(difference) if stranger => return Err(difference),
        Ok(()) => store.lock().passed(model.hash, &known.case, party.worker, party.session),
        Err(difference) if !matches!(known.origin, Origin::Alone(_)) => return Err(difference),
        // One worker's word against another's; a spot check will tell.
        Err(_) => store.lock().forget(model.hash),
    }
    Ok(())
}
