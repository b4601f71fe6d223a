//! Steps whose caches stay with the stages.

use std::sync::Arc;

use tensor::{DType, Dim, NamedTensor, Shape, Signature, Tensor};
use vocab::{CachesAt, SequenceId, Step};

use super::error::RunError;
use super::executor::{Answer, Executor, count};
use super::host::{StageHost, Unload};
use super::placing::Seat;

/// A sequence of steps through a model with caches, such as the generation of one text.
///
/// At each step every stage is told which incarnation of its caches is meant and how many steps they must hold. A stage
/// whose caches are elsewhere, older or newer is given them back by replaying what it took so far, which is kept here.
/// Dropping the sequence has the caches dropped with the executor's next call.
#[derive(Debug)]
pub struct Sequence<H: StageHost> {
    executor: Arc<Executor<H>>,
    id: SequenceId,
    tracks: Vec<Track>,
    steps: u64,
    tries: u32,
}

impl<H: StageHost> Sequence<H> {
    pub(crate) fn new(executor: Arc<Executor<H>>, id: SequenceId) -> Self {
        let tracks = executor.plan.stages.iter().map(|_| Track::new(id)).collect();
        let tries = executor.config.tries;
        Self { executor, id, tracks, steps: 0, tries }
    }

    /// The same sequence, where a stage is tried that often in all in each step; at least once.
    #[must_use]
    pub const fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Steps that gave an answer.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Bytes of inputs that are kept to rebuild caches from.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.tracks.iter().map(|track| track.kept_bytes).sum()
    }

    /// Takes one step. The caches are given with the first step, or left out where they begin empty; later they stay where
    /// they are. The answer has every output but the caches. After an error, or where the future was dropped, the
    /// sequence is where it was before the step.
    ///
    /// # Errors
    /// As [`Executor::run`]; and a sequence that would have to keep more than it may.
    pub async fn step(&mut self, inputs: Vec<NamedTensor>) -> Result<Answer, RunError<H::Error>> {
        let executor = Arc::clone(&self.executor);
        let done = executor.beside_drops(self.once(inputs)).await;
        let counters = &self.executor.counters;
        count(if done.is_ok() { &counters.answers } else { &counters.errors });
        done
    }

    async fn once(&mut self, mut inputs: Vec<NamedTensor>) -> Result<Answer, RunError<H::Error>> {
        let (kept, limit) = (self.kept_bytes(), self.executor.config.kept_bytes);
        if kept > limit {
            return Err(RunError::SequenceTooLong { kept, limit });
        }
        let caches = |name: &str| self.executor.plan.state_of(name).is_some();
        let whole = &self.executor.signature;
        let rest: Vec<NamedTensor> = inputs.iter().filter(|input| !caches(&input.name)).cloned().collect();
        let specs = whole.inputs.iter().filter(|spec| !caches(&spec.name)).cloned().collect();
        let bound = Signature { inputs: specs, outputs: Vec::new() }.bind(&rest).map_err(RunError::Inputs)?;
        if self.steps == 0 {
            let missing = whole.inputs.iter().filter(|spec| caches(&spec.name));
            for spec in
                missing.filter(|spec| !inputs.iter().any(|input| input.name == spec.name)).collect::<Vec<_>>()
            {
                let axis = self.executor.plan.state_of(&spec.name).and_then(|state| state.axis);
                let size = |dim: &Dim| bound.get(&*dim.to_string()).copied();
                inputs.extend(
                    empty(spec.dtype, spec.dims.as_deref(), axis, &size)
                        .map(|tensor| NamedTensor::new(spec.name.clone(), tensor)),
                );
            }
            whole.bind(&inputs).map_err(RunError::Inputs)?;
        } else {
            inputs = rest;
        }
        // Cancellation safety: the tracks move on in a copy, which replaces them only when the answer is out. Workers
        // that have moved on by then are found out by their position, and rebuilt. So are those whose incarnation was
        // given away to a step that came to nothing, because no number is used twice.
        let mut tracks = self.tracks.clone();
        self.tracks.iter_mut().for_each(|track| track.epochs_used += EPOCHS_A_STEP);
        let driven = self.executor.drive(inputs, Some(&mut tracks), self.steps == 0, self.tries).await;
        let answer = match driven {
            Ok(answer) => answer,
            Err(error) => {
                // Wherever they are, some of them have moved on.
                self.tracks.iter_mut().for_each(Track::lose);
                return Err(error);
            }
        };
        for (track, own) in tracks.iter_mut().zip(&self.tracks) {
            track.epochs_used = track.epochs_used.max(own.epochs_used);
        }
        self.tracks = tracks;
        self.steps += 1;
        Ok(answer)
    }
}

/// Incarnations that one step may use up, at most one for each attempt.
const EPOCHS_A_STEP: u64 = 1 << 20;

/// A cache that holds nothing: zero along the dimension in which it grows, and in the others what the inputs say.
fn empty(
    dtype: DType,
    dims: Option<&[Dim]>,
    axis: Option<usize>,
    size: &dyn Fn(&Dim) -> Option<u64>,
) -> Option<Tensor> {
    let axis = axis?;
    let of = |(at, dim): (usize, &Dim)| match dim {
        _ if at == axis => Some(0),
        Dim::Fixed(size) => Some(*size),
        dim => size(dim),
    };
    let dims: Vec<u64> = dims?.iter().enumerate().map(of).collect::<Option<_>>()?;
    Tensor::new(dtype, Shape::new(&dims), bytes::Bytes::new()).ok()
}

impl<H: StageHost> Drop for Sequence<H> {
    fn drop(&mut self) {
        let mut placing = self.executor.placing.lock();
        for stage in 0..self.tracks.len() {
            let caches = self.executor.plan.states_of(stage).next().is_some();
            if let Some(Seat { worker, session }) = placing.seat(stage).filter(|_| caches) {
                placing.orphan_unload(Unload { session, worker, sequence: Some(self.id) });
            }
        }
    }
}

/// Where one stage's caches are.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    sequence: SequenceId,
    seat: Option<Seat>,
    epoch: u64,
    /// Incarnations that were given out, in steps that came to nothing too.
    epochs_used: u64,
    position: u64,
    length: u64,
    /// What each step brought; sharing the bytes with whoever gave them.
    kept: Vec<Vec<NamedTensor>>,
    kept_bytes: u64,
    /// What the caches hold after the last step that was replayed.
    replayed_length: u64,
}

impl Track {
    const fn new(sequence: SequenceId) -> Self {
        Self {
            sequence,
            seat: None,
            epoch: 0,
            epochs_used: 0,
            position: 0,
            length: 0,
            kept: Vec::new(),
            kept_bytes: 0,
            replayed_length: 0,
        }
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether what was replayed holds as much as what was lost.
    pub(crate) const fn is_rebuilt(&self) -> bool {
        self.replayed_length == self.length
    }

    pub(crate) fn is_at(&self, seat: Seat) -> bool {
        self.seat == Some(seat)
    }

    /// The caches cannot be relied on any more.
    pub(crate) const fn lose(&mut self) {
        self.seat = None;
    }

    /// The step that comes next, on a seat where the caches are.
    pub(crate) fn step(&mut self, seat: Seat) -> Step {
        if self.position == 0 {
            self.restart(seat);
        }
        Step { sequence: self.sequence, epoch: self.epoch, position: self.position }
    }

    pub(crate) const fn restart(&mut self, seat: Seat) {
        self.epochs_used += 1;
        self.epoch = self.epochs_used;
        self.seat = Some(seat);
        self.replayed_length = 0;
    }

    /// What has to be run again, in order.
    pub(crate) fn replay(&self) -> Vec<(Vec<NamedTensor>, Step)> {
        let step = |position| Step { sequence: self.sequence, epoch: self.epoch, position };
        (0_u64..).zip(&self.kept).map(|(position, inputs)| (inputs.clone(), step(position))).collect()
    }

    pub(crate) fn replayed(&mut self, caches: Option<CachesAt>) {
        self.replayed_length = caches.map_or(0, |caches| caches.length);
    }

    pub(crate) fn advance(&mut self, caches: CachesAt, inputs: &[NamedTensor]) {
        self.position = caches.position;
        self.length = caches.length;
        self.kept_bytes += inputs.iter().map(|input| input.tensor.data().len() as u64).sum::<u64>();
        self.kept.push(inputs.to_vec());
    }
}
