//! One run through all stages.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tensor::{NamedTensor, Tensor};

use super::attempt::Task;
use super::error::RunError;
use super::executor::{Answer, Executor};
use super::host::StageHost;
use super::metrics::{ComponentMetrics, RunMetrics};
use super::sequence::Track;

impl<H: StageHost> Executor<H> {
    /// Runs every stage as soon as what it takes is there. With tracks, one a stage, it is a step of a sequence; in the
    /// first one the caches are among what is given.
    ///
    /// Everything happens within the future that is returned: the first error drops what is still running.
    pub(crate) async fn drive(
        &self,
        given: Vec<NamedTensor>,
        tracks: Option<&mut [Track]>,
        first: bool,
        tries: u32,
    ) -> Result<Answer, RunError<H::Error>> {
        let began = Self::now();
        let stepping = tracks.is_some();
        let mut tracks: Vec<Option<&mut Track>> = match tracks {
            Some(tracks) => tracks.iter_mut().map(Some).collect(),
            None => self.stages.iter().map(|_| None).collect(),
        };
        let mut known: HashMap<Arc<str>, Tensor> =
            given.into_iter().map(|input| (input.name, input.tensor)).collect();
        let mut waiting: BTreeSet<usize> = (0..self.stages.len()).collect();
        let mut done = vec![false; self.stages.len()];
        let mut components = vec![ComponentMetrics::default(); self.stages.len()];
        let mut running = FuturesUnordered::new();
        loop {
            let ready: Vec<usize> = waiting
                .iter()
                .copied()
                .filter(|&stage| self.stages[stage].depends_on.iter().all(|&before| done[before]))
                .collect();
            for stage in ready {
                waiting.remove(&stage);
                let inputs = self.inputs_of(stage, &known, stepping && !first)?;
                let outputs = self.outputs_of(stage, stepping);
                let track = tracks[stage].take().filter(|_| self.plan.states_of(stage).next().is_some());
                let started_ms = Self::ms_since(began);
                let task = Task { stage, inputs, outputs, track, tries, seat: None };
                running.push(async move {
                    let (reply, metrics) = self.attempt(task).await?;
                    Ok((reply, ComponentMetrics { started_ms, ..metrics }))
                });
            }
            let Some(next) = running.next().await else { break };
            let (reply, metrics) = next?;
            done[metrics.stage] = true;
            known.extend(reply.outputs.into_iter().map(|output| (output.name, output.tensor)));
            let stage = metrics.stage;
            components[stage] = metrics;
        }
        if let Some(&stage) = waiting.iter().next() {
            return Err(RunError::BrokenPlan { stage, name: "what a later stage gives".to_owned() });
        }
        let wanted = self.plan.outputs.iter().filter(|output| !stepping || !self.is_cache(&output.spec.name));
        let outputs = wanted.map(|output| {
            let name = &output.spec.name;
            let missing =
                || RunError::BrokenPlan { stage: output.stage.unwrap_or(0), name: name.to_string() };
            let tensor = known.get(name).cloned().ok_or_else(missing)?;
            Ok(NamedTensor::new(Arc::clone(name), tensor))
        });
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let metrics = RunMetrics {
            inference_time_ms: Self::ms_since(began),
            component_count: self.stages.len(),
            successful_components: done.iter().filter(|done| **done).count(),
            components,
        };
        Ok(Answer { outputs, metrics })
    }

    /// What a stage takes; without its caches, where these stay with it.
    fn inputs_of(
        &self,
        stage: usize,
        known: &HashMap<Arc<str>, Tensor>,
        without_caches: bool,
    ) -> Result<Vec<NamedTensor>, RunError<H::Error>> {
        let wanted = self.stages[stage].inputs.iter();
        let wanted = wanted.filter(|spec| !(without_caches && self.plan.state_of(&spec.name).is_some()));
        wanted
            .map(|spec| {
                let missing = || RunError::BrokenPlan { stage, name: spec.name.to_string() };
                let tensor = known.get(&spec.name).cloned().ok_or_else(missing)?;
                Ok(NamedTensor::new(Arc::clone(&spec.name), tensor))
            })
            .collect()
    }

    fn outputs_of(&self, stage: usize, stepping: bool) -> Arc<[Arc<str>]> {
        let all = self.stages[stage].outputs.iter().map(|spec| Arc::clone(&spec.name));
        all.filter(|name| !stepping || !self.is_cache(name)).collect()
    }

    fn is_cache(&self, output: &str) -> bool {
        self.plan.states.iter().any(|state| &*state.present == output)
    }
}
