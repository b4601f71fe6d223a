//! The fake worker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::{LinkError, LoadCall, LoadReport, RunCall, RunReply, WorkerLink};
use tensor::{NamedTensor, Tensor};
use tokio_util::sync::CancellationToken;
use vocab::{CachesAt, DeviceKind, FailureKind, SequenceId, SessionId};

use crate::{Counts, Step};

/// A worker that follows a script. Cloning it gives another handle to the same worker.
#[derive(Debug, Clone, Default)]
pub struct FakeWorker {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    loads: Script,
    runs: Script,
    unloads: Script,
    counts: Counts,
    slots: Option<u64>,
    /// The sessions that are loaded, with how many runs each has.
    sessions: BTreeMap<SessionId, u64>,
    violations: Vec<String>,
}

/// The steps that are left, and what is done when there are none.
#[derive(Debug)]
struct Script {
    steps: VecDeque<Step>,
    then: Step,
}

impl Default for Script {
    fn default() -> Self {
        Self { steps: VecDeque::new(), then: Step::Ok }
    }
}

impl Script {
    fn next(&mut self) -> Step {
        self.steps.pop_front().unwrap_or_else(|| self.then.clone())
    }
}

/// A run in flight; the drop ends it, also where the pool drops the call.
struct Running {
    state: Arc<Mutex<State>>,
    session: SessionId,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.counts.running -= 1;
        if let Some(runs) = state.sessions.get_mut(&self.session) {
            *runs -= 1;
        }
    }
}

impl FakeWorker {
    /// A worker that does at once whatever is asked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do with the next loads; after these it is [`Step::Ok`], or what [`always_load`](Self::always_load) says.
    pub fn script_load(&self, steps: impl IntoIterator<Item = Step>) {
        self.state.lock().loads.steps.extend(steps);
    }

    /// What to do with the next runs.
    pub fn script_run(&self, steps: impl IntoIterator<Item = Step>) {
        self.state.lock().runs.steps.extend(steps);
    }

    /// What to do with the next unloads.
    pub fn script_unload(&self, steps: impl IntoIterator<Item = Step>) {
        self.state.lock().unloads.steps.extend(steps);
    }

    /// What to do with every load that has no step of its own.
    pub fn always_load(&self, step: Step) {
        self.state.lock().loads.then = step;
    }

    /// What to do with every run that has no step of its own.
    pub fn always_run(&self, step: Step) {
        self.state.lock().runs.then = step;
    }

    /// Takes note of a violation when more runs than this are in flight.
    pub fn expect_slots(&self, slots: u64) {
        self.state.lock().slots = Some(slots);
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts { loaded: state.sessions.len() as u64, ..state.counts }
    }

    /// The promises of the seam that the pool has broken, in words. Empty in a correct pool.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }
}

/// Does a step's waiting and failing; what is left to do on `Ok` is the caller's.
async fn act(step: Step, cancel: &CancellationToken) -> Result<(), LinkError> {
    let reported =
        |kind: FailureKind| LinkError::Reported { message: format!("scripted to fail: {kind}"), kind };
    let wait = async |time: Duration| {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(LinkError::Cancelled),
            () = tokio::time::sleep(time) => Ok(()),
        }
    };
    match step {
        Step::Ok | Step::Lie(_) | Step::Noise => Ok(()),
        Step::Slow(time) => wait(time).await,
        Step::Fail(kind) => Err(reported(kind)),
        Step::FailAfter(time, kind) => wait(time).await.and_then(|()| Err(reported(kind))),
        Step::UntilCancelled => {
            cancel.cancelled().await;
            Err(LinkError::Cancelled)
        }
        Step::SlowToCancel(time) => {
            cancel.cancelled().await;
            tokio::time::sleep(time).await;
            Err(LinkError::Cancelled)
        }
        Step::Never => std::future::pending().await,
        Step::Vanish => Err(LinkError::Vanished { detail: "scripted to vanish".to_owned() }),
        Step::Panic => panic!("scripted to panic"),
    }
}

/// The next noise; no two runs of any worker have the same.
static NOISE: AtomicU32 = AtomicU32::new(1);

/// The same tensor, off by this much where it holds 32-bit floating-point numbers.
fn shifted(one: &NamedTensor, off: f32) -> NamedTensor {
    let Some(numbers) = one.tensor.as_slice::<f32>().filter(|_| off != 0.0) else { return one.clone() };
    let numbers: Vec<f32> = numbers.iter().map(|number| number + off).collect();
    let tensor = Tensor::from_vec(one.tensor.shape().clone(), numbers);
    tensor.map_or_else(|_| one.clone(), |tensor| NamedTensor::new(Arc::clone(&one.name), tensor))
}

impl WorkerLink for FakeWorker {
    async fn load(&self, call: LoadCall) -> Result<LoadReport, LinkError> {
        let step = {
            let mut state = self.state.lock();
            state.counts.loads += 1;
            state.loads.next()
        };
        let started = tokio::time::Instant::now();
        act(step, &call.cancel).await?;
        let mut state = self.state.lock();
        if state.sessions.insert(call.session, 0).is_some() {
            state.violations.push(format!("session {} was loaded twice", call.session));
        }
        Ok(LoadReport {
            load_ms: started.elapsed().as_secs_f64() * 1e3,
            memory_bytes: None,
            placement: vec![(call.backend.to_string(), 1)],
            device_requested: call.device.clone(),
            device_effective: DeviceKind::Cpu,
            detail: serde_json::Map::new(),
        })
    }

    async fn run(&self, call: RunCall) -> Result<RunReply, LinkError> {
        let (step, _running) = {
            let mut state = self.state.lock();
            state.counts.runs += 1;
            state.counts.running += 1;
            state.counts.most_running = state.counts.most_running.max(state.counts.running);
            let running = state.counts.running;
            if let Some(slots) = state.slots.filter(|&slots| running > slots) {
                state.violations.push(format!("{running} runs on {slots} slots"));
            }
            match state.sessions.get_mut(&call.session) {
                Some(runs) => *runs += 1,
                None => {
                    state.violations.push(format!("a run of session {}, which is not loaded", call.session))
                }
            }
            (state.runs.next(), Running { state: Arc::clone(&self.state), session: call.session })
        };
        let started = tokio::time::Instant::now();
        let off = match step {
            Step::Lie(off) => off,
            Step::Noise => NOISE.fetch_add(1, Ordering::Relaxed) as f32,
            _ => 0.0,
        };
        act(step, &call.cancel).await?;
        let wanted = |name: &Arc<str>| call.outputs.as_ref().is_none_or(|names| names.contains(name));
        Ok(RunReply {
            outputs: call
                .inputs
                .iter()
                .filter(|tensor| wanted(&tensor.name))
                .map(|one| shifted(one, off))
                .collect(),
            in_page_ms: started.elapsed().as_secs_f64() * 1e3,
            caches: call.step.map(|step| CachesAt {
                epoch: step.epoch,
                position: step.position + 1,
                length: step.position + 1,
            }),
            marks: None,
        })
    }

    async fn unload(&self, session: SessionId) -> Result<(), LinkError> {
        let step = {
            let mut state = self.state.lock();
            state.counts.unloads += 1;
            match state.sessions.get(&session) {
                Some(0) => {}
                Some(runs) => {
                    let runs = *runs;
                    state.violations.push(format!("an unload of session {session} with {runs} runs"));
                }
                None => state.violations.push(format!("an unload of session {session}, which is not loaded")),
            }
            state.unloads.next()
        };
        act(step, &CancellationToken::new()).await?;
        self.state.lock().sessions.remove(&session);
        Ok(())
    }

    async fn release(&self, _: SessionId, _: SequenceId) -> Result<(), LinkError> {
        self.state.lock().counts.releases += 1;
        Ok(())
    }
}
