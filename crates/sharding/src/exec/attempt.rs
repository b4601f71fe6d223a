//! One stage: tried on its worker, tried again, moved to another worker.

use std::collections::BTreeSet;
use std::sync::Arc;

use tensor::NamedTensor;
use tokio::time::{Instant, sleep, timeout};
use vocab::Step;

use super::error::{Phase, RunError, StageError};
use super::executor::{Executor, count};
use super::host::{HostError, LoadCall, RunCall, RunReply, StageHost};
use super::metrics::ComponentMetrics;
use super::placing::Seat;
use super::sequence::Track;

/// What a stage is asked for.
pub(crate) struct Task<'t> {
    pub(crate) stage: usize,
    pub(crate) inputs: Vec<NamedTensor>,
    pub(crate) outputs: Arc<[Arc<str>]>,
    /// Where the stage's caches are in the sequence, if this is a step.
    pub(crate) track: Option<&'t mut Track>,
    /// How often it may be tried.
    pub(crate) tries: u32,
    /// Where the last attempt ran; `None` where it found no place to run.
    pub(crate) seat: Option<Seat>,
}

/// A seat that is being filled: given up unless it was.
struct Filling<'e, H: StageHost> {
    executor: &'e Executor<H>,
    seat: Seat,
    filled: bool,
}

impl<H: StageHost> Drop for Filling<'_, H> {
    // Cancellation safety: a load that is dropped on its way may leave a session behind, which the next call drops.
    fn drop(&mut self) {
        let mut placing = self.executor.placing.lock();
        placing.arrived(self.seat);
        if !self.filled {
            placing.orphan(self.seat);
        }
    }
}

type Failure<E> = (Phase, StageError<E>);

impl<H: StageHost> Executor<H> {
    /// Brings a stage to its end, or says why that cannot be done.
    pub(crate) async fn attempt(
        &self,
        mut task: Task<'_>,
    ) -> Result<(RunReply, ComponentMetrics), RunError<H::Error>> {
        let began = Self::now();
        let stage = task.stage;
        let mut metrics = ComponentMetrics { stage, ..ComponentMetrics::default() };
        metrics.input_bytes = task.inputs.iter().map(|input| input.tensor.data().len() as u64).sum();
        let mut failed_on: BTreeSet<_> = BTreeSet::new();
        let mut here = 0;
        let mut lost = false;
        loop {
            metrics.attempts += 1;
            let before = task.seat.take();
            let (phase, source) = match self.try_once(&mut task, &failed_on, &mut metrics).await {
                Ok(reply) => {
                    metrics.took_ms = began.elapsed().as_secs_f64() * 1e3;
                    metrics.compute_ms = reply.compute_ms;
                    metrics.output_bytes = reply.outputs.iter().map(|o| o.tensor.data().len() as u64).sum();
                    return Ok((reply, metrics));
                }
                Err(failure) => failure,
            };
            if !lost && matches!(source, StageError::Host(HostError::CachesLost)) {
                // Nothing was computed, and nothing is wrong: they are given back, and that is no repetition.
                lost = true;
                metrics.attempts -= 1;
                task.lose_caches();
                continue;
            }
            let attempts = metrics.attempts;
            let hopeless = matches!(source, StageError::Host(HostError::Refused(_)));
            if hopeless || attempts >= task.tries {
                return Err(RunError::Stage { stage, attempts, phase, source });
            }
            tracing::debug!(stage, attempts, %phase, error = %source, "a stage is tried again");
            count(&self.counters.repeats);
            // Another run may have moved the stage since: what failed elsewhere is not held against this worker.
            here = if task.seat == before { here + 1 } else { 1 };
            match source {
                // The caches are rebuilt by the next attempt, on the same worker.
                StageError::Host(HostError::CachesLost) => task.lose_caches(),
                StageError::NoWorker { .. } => {}
                StageError::Host(HostError::Gone(_)) => {
                    metrics.moves += u32::from(self.give_up(&mut task, &mut failed_on));
                    here = 0;
                    continue;
                }
                _ if here >= self.config.tries_per_worker => {
                    metrics.moves += u32::from(self.give_up(&mut task, &mut failed_on));
                    here = 0;
                    continue;
                }
                // Whatever ran may or may not have moved the caches on.
                _ => task.lose_caches(),
            }
            let wait = self.backoff.lock().delay(attempts);
            sleep(wait).await;
        }
    }

    /// Has the stage leave the worker that the attempt ran on, which is passed over for a while. Where another run did
    /// that already, the stage's new seat is none of this failure's business, and the worker is not banned again.
    /// Answers whether it left one.
    fn give_up(&self, task: &mut Task<'_>, failed_on: &mut BTreeSet<vocab::WorkerId>) -> bool {
        task.lose_caches();
        let Some(seat) = task.seat else { return false };
        failed_on.insert(seat.worker);
        let mut placing = self.placing.lock();
        let left = placing.leave(task.stage, seat);
        if left {
            placing.ban(seat.worker, Self::now(), self.config.ban);
            count(&self.counters.moves);
        }
        left
    }

    async fn try_once(
        &self,
        task: &mut Task<'_>,
        failed_on: &BTreeSet<vocab::WorkerId>,
        metrics: &mut ComponentMetrics,
    ) -> Result<RunReply, Failure<H::Error>> {
        let seat = self.seat(task.stage, failed_on, metrics).await?;
        task.seat = Some(seat);
        metrics.worker = seat.worker.0;
        let step = match task.track.as_deref_mut() {
            None => None,
            Some(track) => {
                if !track.is_at(seat) && track.position() > 0 {
                    self.rebuild(task.stage, track, seat).await?;
                    metrics.rebuilds += 1;
                }
                Some(track.step(seat))
            }
        };
        let reply = self.call(task.stage, seat, task.inputs.clone(), &task.outputs, step).await;
        let reply = reply.map_err(|source| (Phase::Running, source))?;
        if let (Some(track), Some(caches)) = (task.track.as_deref_mut(), reply.caches) {
            track.advance(caches, &task.inputs);
        }
        self.placing.lock().praise(seat.worker);
        Ok(reply)
    }

    /// Runs every step that the caches held once more, on fresh caches.
    async fn rebuild(&self, stage: usize, track: &mut Track, seat: Seat) -> Result<(), Failure<H::Error>> {
        count(&self.counters.rebuilds);
        let none: Arc<[Arc<str>]> = Arc::new([]);
        track.restart(seat);
        for (inputs, step) in track.replay() {
            let reply = self.call(stage, seat, inputs, &none, Some(step)).await;
            let reply = reply.map_err(|source| (Phase::Rebuilding, source))?;
            track.replayed(reply.caches);
        }
        if track.is_rebuilt() {
            return Ok(());
        }
        let (epoch, position) = (track.epoch(), track.position());
        Err((Phase::Rebuilding, StageError::BadCaches { epoch, position }))
    }

    /// One call, whose reply is complete and is where the step leads.
    async fn call(
        &self,
        stage: usize,
        seat: Seat,
        inputs: Vec<NamedTensor>,
        outputs: &Arc<[Arc<str>]>,
        step: Option<Step>,
    ) -> Result<RunReply, StageError<H::Error>> {
        let Seat { worker, session } = seat;
        let call = RunCall { session, worker, stage, inputs, outputs: Arc::clone(outputs), step };
        let after = self.config.run_timeout;
        let mut reply = match timeout(after, self.host.run(call)).await {
            Ok(reply) => reply?,
            Err(_) => return Err(StageError::TimedOut { after }),
        };
        let declared = &self.stages[stage].outputs;
        for name in outputs.iter() {
            let spec = declared.iter().find(|spec| spec.name == *name);
            let fits = |output: &&NamedTensor| {
                output.name == *name
                    && spec.is_none_or(|spec| {
                        let rank = spec.dims.as_ref().map(Vec::len);
                        spec.dtype == output.tensor.dtype()
                            && rank.is_none_or(|rank| rank == output.tensor.shape().rank())
                    })
            };
            if !reply.outputs.iter().any(|output| fits(&output)) {
                return Err(StageError::BadReply { name: name.to_string() });
            }
        }
        reply.outputs.retain(|output| outputs.contains(&output.name));
        if let Some(step) = step {
            match reply.caches {
                Some(at) if at.epoch == step.epoch && at.position == step.position + 1 => {}
                Some(at) => return Err(StageError::BadCaches { epoch: at.epoch, position: at.position }),
                None => return Err(StageError::BadCaches { epoch: step.epoch, position: step.position }),
            }
        }
        Ok(reply)
    }

    /// Where the stage is; it is loaded if it is nowhere.
    async fn seat(
        &self,
        stage: usize,
        failed_on: &BTreeSet<vocab::WorkerId>,
        metrics: &mut ComponentMetrics,
    ) -> Result<Seat, Failure<H::Error>> {
        // Cancellation safety: a permit whose holder is dropped is free again, and the gate is never closed.
        let _turn = self.gates[stage].acquire().await;
        if let Some(seat) = self.placing.lock().seat(stage) {
            return Ok(seat);
        }
        let began = Self::now();
        let seat = self.load(stage, failed_on, None).await?;
        metrics.loads += 1;
        metrics.load_ms += Self::ms_since(began);
        self.placing.lock().sit(stage, seat);
        Ok(seat)
    }

    /// Loads a stage on the worker that suits it best, on one of `without` only if there is no other, and never on
    /// `taken`.
    async fn load(
        &self,
        stage: usize,
        without: &BTreeSet<vocab::WorkerId>,
        taken: Option<vocab::WorkerId>,
    ) -> Result<Seat, Failure<H::Error>> {
        let of = &self.stages[stage];
        let mut health = self.host.health(of).await;
        health.retain(|worker| Some(worker.worker) != taken);
        let seat = {
            let mut placing = self.placing.lock();
            let worker = placing.choose(&self.plan, stage, &health, without, Self::now());
            let Some(worker) = worker else {
                return Err((Phase::Placing, StageError::NoWorker { bytes: of.weight_bytes }));
            };
            let seat = Seat { worker, session: placing.new_session() };
            placing.expect(stage, seat);
            seat
        };
        let mut filling = Filling { executor: self, seat, filled: false };
        let Seat { worker, session } = seat;
        let call = LoadCall { session, worker, stage: Arc::clone(of), file: self.folder.join(&of.file) };
        count(&self.counters.loads);
        let after = self.config.load_timeout;
        let failure = match timeout(after, self.host.load(call)).await {
            Ok(Ok(())) => {
                filling.filled = true;
                return Ok(seat);
            }
            // What would fail everywhere is not held against the worker.
            Ok(Err(error @ HostError::Refused(_))) => return Err((Phase::Loading, StageError::Host(error))),
            Ok(Err(error)) => StageError::Host(error),
            Err(_) => StageError::TimedOut { after },
        };
        self.placing.lock().ban(worker, Self::now(), self.config.ban);
        Err((Phase::Loading, failure))
    }

    /// Loads a stage before it is needed, and its standby where that is asked for.
    pub(crate) async fn ensure_seat(&self, stage: usize) -> Result<(), RunError<H::Error>> {
        let mut metrics = ComponentMetrics::default();
        let mut attempts = 0;
        let seat = loop {
            attempts += 1;
            match self.seat(stage, &BTreeSet::new(), &mut metrics).await {
                Ok(seat) => break seat,
                Err((phase, source)) => {
                    let hopeless = matches!(source, StageError::Host(HostError::Refused(_)));
                    if hopeless || attempts >= self.config.tries {
                        return Err(RunError::Stage { stage, attempts, phase, source });
                    }
                }
            }
            let wait = self.backoff.lock().delay(attempts);
            sleep(wait).await;
        };
        if self.config.standby && self.placing.lock().standby(stage).is_none() {
            // A standby on the same worker would die with it. None is better than one of that kind.
            let second = self.load(stage, &BTreeSet::new(), Some(seat.worker)).await;
            let mut placing = self.placing.lock();
            let moved = placing.seat(stage).map(|seat| seat.worker);
            match second {
                Ok(second) if moved != Some(second.worker) => placing.stand_by(stage, second),
                Ok(second) => placing.orphan(second),
                Err((phase, error)) => tracing::debug!(stage, %phase, %error, "there is no standby"),
            }
        }
        Ok(())
    }

    pub(crate) fn ms_since(began: Instant) -> f64 {
        began.elapsed().as_secs_f64() * 1e3
    }
}

impl Task<'_> {
    fn lose_caches(&mut self) {
        if let Some(track) = self.track.as_deref_mut() {
            track.lose();
        }
    }
}
