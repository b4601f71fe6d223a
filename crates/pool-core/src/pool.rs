//! The pool as callers see it.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use telemetry::{Event, LeaveCause, RejectReason, Telemetry};
use tensor::NamedTensor;
use tokio::sync::oneshot;
use vocab::{Backend, FailureKind, ModelHash, RequestId, SequenceId, Step, WorkerId};

use crate::check::{Canary, Case};
use crate::core::{BreakerStatus, Core, CoreStats, Prospect, Stance, Submission};
use crate::driver::{Inner, Waiter};
use crate::membership::Membership;
use crate::selection::Selector;
use crate::{
    Completed, ConfigError, Held, Learning, LinkError, Model, PoolConfig, Preload, Request, RunError,
    RunReport, WorkerInfo, WorkerLink,
};

/// Workers that join and leave, and the requests that they compute.
///
/// Clones share one pool. When the last clone is dropped the pool aborts, as by [`abort`](Self::abort).
pub struct Pool<L: WorkerLink> {
    owner: Arc<Owner<L>>,
}

/// What all clones share; its drop is the end of the pool.
struct Owner<L: WorkerLink>(Arc<Inner<L>>);

impl<L: WorkerLink> Drop for Owner<L> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<L: WorkerLink> Clone for Pool<L> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<L: WorkerLink> std::fmt::Debug for Pool<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish()
    }
}

/// Everything that a pool holds, counted. After [`Pool::shutdown`] all of it is zero.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Workers, sessions, requests and leases.
    pub core: CoreStats,
    /// Tasks that are running: one that keeps the time, and one for each call to a worker.
    pub tasks: usize,
    /// Callers that wait for a result.
    pub waiters: usize,
    /// Calls to workers that have not ended.
    pub calls: usize,
}

/// How a [`Pool::drain`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// How many requests had not ended in time and were ended with [`RunError::ShuttingDown`].
    pub aborted: usize,
}

impl<L: WorkerLink> Pool<L> {
    /// A pool without workers. Must be called within a tokio runtime, which then runs its tasks.
    ///
    /// # Errors
    /// A setting that cannot work, or no runtime.
    pub fn new(config: PoolConfig, telemetry: Telemetry) -> Result<Self, ConfigError> {
        Self::with_learning(config, telemetry, Learning::default())
    }

    /// A pool without workers that knows what was observed earlier, and tells what it observes.
    ///
    /// # Errors
    /// A setting that cannot work, or no runtime.
    pub fn with_learning(
        config: PoolConfig,
        telemetry: Telemetry,
        learning: Learning,
    ) -> Result<Self, ConfigError> {
        let Learning { earlier, sink, policy } = learning;
        let mut core = Core::new(config)?;
        for observation in &earlier {
            core.selector_mut().observe(observation);
        }
        if let Some(policy) = policy {
            core.selector_mut().set_policy(policy);
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        Ok(Self { owner: Arc::new(Owner(Inner::start(core, telemetry, sink, runtime))) })
    }

    /// Looks at what the pool has learnt, and at how it chooses. The pool stands still meanwhile.
    pub fn with_selector<R>(&self, look: impl FnOnce(&Selector) -> R) -> R {
        self.inner().read(|core| look(core.selector()))
    }

    /// Makes a canary known: a run of a model whose answer is known. From now on it is made after each load of the model,
    /// before anybody is served, and now and then while the model is used. It takes the place of an earlier one. Its
    /// outputs are all of the model's, or some of them; without any it proves nothing.
    ///
    /// # Errors
    /// [`RunError::InvalidInput`] or [`RunError::UnknownOutput`] where it does not fit the model.
    pub fn set_canary(&self, model: &Model, canary: Canary) -> Result<(), RunError> {
        let Canary { inputs, outputs } = canary;
        let dims = Arc::new(model.signature.bind(&inputs).map_err(RunError::InvalidInput)?);
        let unknown = outputs.iter().find(|output| model.signature.output(&output.name).is_none());
        if let Some(unknown) = unknown {
            return Err(RunError::UnknownOutput(unknown.name.to_string()));
        }
        let all = outputs.len() == model.signature.outputs.len();
        let names = outputs.iter().map(|output| Arc::clone(&output.name)).collect();
        let names = Some(names).filter(|_| !all);
        self.inner().set_canary(model.hash, Case { inputs, dims, names, outputs });
        Ok(())
    }

    /// Tells how the recovery of a worker ended, so that the history has it: for each model that it held, whether it was
    /// there again after `took`, or was not.
    pub fn observe_recovery(&self, worker: WorkerId, held: &[Held], took: Duration, recovered: bool) {
        self.inner().decide(|core, now| core.observe_recovery(now, worker, held, took, recovered));
    }

    /// The circuit breakers of which something is known.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.inner().read(Core::breakers)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner<L>> {
        &self.owner.0
    }

    /// Adds a worker. It stays until it leaves, until the membership is dropped, or until the pool finds it gone or
    /// unresponsive, which [`Membership::closed`] tells. A worker that comes back joins as a new one.
    pub fn join(&self, info: WorkerInfo, link: Arc<L>) -> Membership {
        self.inner().join(info, link, Stance::Serving)
    }

    /// Hands in a request. It is accepted or refused at once, without waiting; the ticket gives its result.
    ///
    /// # Errors
    /// The request was refused: [`RunError::InvalidInput`], [`RunError::UnknownOutput`], [`RunError::QueueFull`],
    /// [`RunError::NoWorker`], [`RunError::ModelTooLarge`] or [`RunError::ShuttingDown`].
    pub fn submit(&self, request: Request) -> Result<Ticket<L>, RunError> {
        let Request { model, inputs, outputs, constraints, worker, step } = request;
        let refused = |error| {
            self.inner().emit(Event::RequestRejected { reason: RejectReason::InvalidInput });
            error
        };
        let bound = match step {
            Some(step) => model.signature.bind_without(&inputs, |input| model.keeps(input, step)),
            None => model.signature.bind(&inputs),
        };
        let dims = bound.map_err(|error| refused(RunError::InvalidInput(error)))?;
        let unknown =
            outputs.iter().flat_map(|names| names.iter()).find(|name| model.signature.output(name).is_none());
        if let Some(unknown) = unknown {
            return Err(refused(RunError::UnknownOutput(unknown.to_string())));
        }
        let bytes_in = bytes_of(&inputs);
        let (dims, stateful) = (Arc::new(dims), step.is_some());
        let submission = Submission { model, dims, constraints, preload: false, bytes_in, worker, stateful };
        self.enter(submission, inputs, outputs, step)
    }

    fn enter(
        &self,
        submission: Submission,
        inputs: Arc<[NamedTensor]>,
        outputs: Option<Arc<[Arc<str>]>>,
        step: Option<Step>,
    ) -> Result<Ticket<L>, RunError> {
        let (answer, receiver) = oneshot::channel();
        let request = self.inner().submit(submission, Waiter { answer, inputs, outputs, step })?;
        Ok(Ticket { receiver, request, pool: Arc::downgrade(self.inner()), armed: true })
    }

    /// Hands in a request and waits for its result.
    ///
    /// Dropping the future cancels the request: its worker is told, and its slot is free again once the worker has
    /// confirmed that it stopped.
    ///
    /// # Errors
    /// Whatever kept it from giving a result; it has ended then, and is nowhere computed for anybody.
    pub async fn run(&self, request: Request) -> Result<Completed, RunError> {
        self.submit(request)?.await
    }

    /// Loads a model on one worker, or on the one that is named, ahead of its first request, and waits until it is loaded. Takes no slot, and
    /// answers at once where the model is loaded already.
    ///
    /// # Errors
    /// Like [`run`](Self::run).
    pub async fn preload(&self, preload: Preload) -> Result<RunReport, RunError> {
        let Preload { model, dims, constraints, worker } = preload;
        let submission =
            Submission { model, dims, constraints, preload: true, bytes_in: 0, worker, stateful: false };
        let completed = self.enter(submission, Arc::new([]), None, None)?.await?;
        Ok(completed.report)
    }

    /// The workers that could take a model, best first; see [`Core::prospects`].
    #[must_use]
    pub fn prospects(&self, model: &Model, backends: &[Backend], ours: &[&Model]) -> Vec<Prospect> {
        self.inner().decide(|core, now| core.prospects(now, model, backends, ours))
    }

    /// Has a worker give up the memory of a model: of each of its sessions there as soon as the runs that it has are over.
    /// One that requests wait for, or that is being loaded, stays until its memory is needed. Does not wait; answers
    /// whether there was one to give up.
    pub fn unload(&self, worker: WorkerId, model: ModelHash) -> bool {
        self.inner().decide(|core, now| core.unload(now, worker, model))
    }

    /// Has a worker drop the caches of a sequence, and waits until it has.
    ///
    /// # Errors
    /// What the worker said. Where it is not there any more, or has the model not loaded, its caches are gone too.
    pub async fn release(
        &self,
        worker: WorkerId,
        model: ModelHash,
        sequence: SequenceId,
    ) -> Result<(), LinkError> {
        let Some((link, gone, sessions)) = self.inner().sessions_of(worker, model) else { return Ok(()) };
        for session in sessions {
            // Cancellation safety: nothing is kept for a release; where it is given up, the page may go on to do it.
            tokio::select! {
                biased;
                released = link.release(session, sequence) => match released {
                    Err(LinkError::Reported { kind: FailureKind::NoSuchSession, message: _ }) => {}
                    other => other?,
                },
                () = gone.token.cancelled() => return Ok(()),
            }
        }
        Ok(())
    }

    /// What the pool holds now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner().stats()
    }

    /// How many workers are in the pool now.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.inner().read(Core::workers)
    }

    /// The telemetry that the pool reports to.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        self.inner().telemetry()
    }

    /// Waits until at least `n` workers are in the pool.
    ///
    /// # Errors
    /// [`RunError::ShuttingDown`] where the pool closes first.
    pub async fn wait_for_workers(&self, n: usize) -> Result<(), RunError> {
        let enough = |core: &Core| core.workers() >= n || core.is_closed();
        self.inner().wait_until(enough).await;
        if self.inner().read(|core| core.workers() >= n) { Ok(()) } else { Err(RunError::ShuttingDown) }
    }

    /// Refuses requests from now on. Those that were accepted go on, unless no worker that is here can serve them.
    pub fn close(&self) {
        self.inner().close();
    }

    /// Closes, waits until every accepted request has ended, at most for `limit`, and ends the rest.
    pub async fn drain(&self, limit: Duration) -> DrainReport {
        self.close();
        let done = self.inner().wait_until(|core| core.unfinished() == 0);
        if tokio::time::timeout(limit.min(crate::config::MAX_DURATION), done).await.is_ok() {
            return DrainReport { aborted: 0 };
        }
        let aborted = self.inner().read(Core::unfinished);
        self.inner().end_requests();
        DrainReport { aborted }
    }

    /// Ends everything in an orderly fashion: refuses requests, ends those that were accepted with
    /// [`RunError::ShuttingDown`], waits until the workers have confirmed, at most for
    /// [`PoolConfig::cancel_grace`], lets the workers go, and waits for every task of the pool.
    ///
    /// Afterwards nothing is left: [`stats`](Self::stats) counts no request, worker, call or task.
    pub async fn shutdown(&self) {
        // Cancellation safety: each step may be repeated, and dropping this future leaves a pool that is closed; the
        // drop of its last clone does the rest.
        self.inner().end_requests();
        self.inner().wait_until(Core::is_at_rest).await;
        self.inner().abort();
        self.inner().wait_for_tasks().await;
    }

    /// Ends everything at once, without waiting for anything: requests end with [`RunError::ShuttingDown`], workers
    /// leave, and calls to them are dropped.
    pub fn abort(&self) {
        self.inner().abort();
    }
}

/// An accepted request: a future of its result.
///
/// Dropping it cancels the request.
#[must_use = "dropping a ticket cancels its request"]
pub struct Ticket<L: WorkerLink> {
    receiver: oneshot::Receiver<Result<Completed, RunError>>,
    request: RequestId,
    pool: Weak<Inner<L>>,
    armed: bool,
}

impl<L: WorkerLink> Ticket<L> {
    /// The request's id, under which telemetry tells about it.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }
}

impl<L: WorkerLink> std::fmt::Debug for Ticket<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("request", &self.request).finish_non_exhaustive()
    }
}

impl<L: WorkerLink> Future for Ticket<L> {
    type Output = Result<Completed, RunError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        self.armed = false;
        // The sender is dropped unused only when the pool itself is dropped.
        Poll::Ready(answer.unwrap_or(Err(RunError::ShuttingDown)))
    }
}

impl<L: WorkerLink> Drop for Ticket<L> {
    fn drop(&mut self) {
        // Cancellation safety: whoever waits drops the ticket, at whatever await; the request must not go on for
        // nobody, and its slot must come back.
        if self.armed
            && let Some(pool) = self.pool.upgrade()
        {
            pool.cancel(self.request);
        }
    }
}

/// How many bytes tensors have.
pub(crate) fn bytes_of(tensors: &[NamedTensor]) -> u64 {
    tensors.iter().map(|named| named.tensor.data().len() as u64).sum()
}

/// The cause that a worker's leaving has when its owner says nothing else.
pub(crate) const SILENT: LeaveCause = LeaveCause::Dropped;
