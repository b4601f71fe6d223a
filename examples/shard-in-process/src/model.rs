//! A model in tract: loaded once, and made ready for the sizes that it is run with.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tensor::NamedTensor;
use tract_onnx::prelude::{
    Framework as _, InferenceFact, InferenceModel, InferenceModelExt as _, IntoRunnable as _,
    IntoTValue as _, TVec, TypedRunnableModel,
};

use crate::failure::Failure;
use crate::tensors::{datum_type, dims, from_tract, to_tract};

pub(crate) struct TractModel {
    graph: InferenceModel,
    outputs: Vec<Arc<str>>,
    /// The inputs' types and sizes of the last run, and the model made ready for them.
    ready: Mutex<Option<(Vec<InferenceFact>, Arc<TypedRunnableModel>)>>,
}

impl TractModel {
    /// Reads a model whose outputs have these names.
    pub(crate) fn open(path: &Path, outputs: Vec<Arc<str>>) -> Result<Self, Failure> {
        // Sizes follow from those of the inputs; the open ones that a file states, `batch` for one, would contradict them.
        let reader = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        let graph = reader.model_for_path(path).map_err(tract("read"))?;
        Ok(Self { graph, outputs, ready: Mutex::default() })
    }

    /// Runs it once. Inputs are matched by name; outputs come in the model's order.
    pub(crate) fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, Failure> {
        let sources = self.graph.input_outlets().map_err(tract("find the inputs of"))?;
        let names = sources.iter().map(|outlet| &self.graph.node(outlet.node).name);
        let taken = names.map(|name| {
            let found = inputs.iter().find(|input| *input.name == **name);
            found.map(|input| &input.tensor).ok_or_else(|| Failure::NoInput(name.clone()))
        });
        let taken = taken.collect::<Result<Vec<_>, _>>()?;
        let facts = taken
            .iter()
            .map(|tensor| Ok(InferenceFact::dt_shape(datum_type(tensor.dtype())?, dims(tensor).as_slice())));
        let model = self.ready_for(facts.collect::<Result<_, Failure>>()?)?;
        let values = taken.into_iter().map(|tensor| Ok(to_tract(tensor)?.into_tvalue()));
        let given = model.run(values.collect::<Result<TVec<_>, Failure>>()?).map_err(tract("run"))?;
        if given.len() != self.outputs.len() {
            return Err(Failure::Outputs { expected: self.outputs.len(), got: given.len() });
        }
        let named = self.outputs.iter().zip(&given);
        named.map(|(name, value)| Ok(NamedTensor::new(name.clone(), from_tract(value)?))).collect()
    }

    fn ready_for(&self, facts: Vec<InferenceFact>) -> Result<Arc<TypedRunnableModel>, Failure> {
        // Whoever panicked while holding the lock left nothing half done behind it.
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, model)) = ready.as_ref().filter(|(known, _)| *known == facts) {
            return Ok(Arc::clone(model));
        }
        let mut graph = self.graph.clone();
        for (at, fact) in facts.iter().enumerate() {
            graph = graph.with_input_fact(at, fact.clone()).map_err(tract("fix the inputs of"))?;
        }
        let model = graph.into_optimized().map_err(tract("optimise"))?;
        let model = model.into_runnable().map_err(tract("make ready"))?;
        *ready = Some((facts, Arc::clone(&model)));
        Ok(model)
    }
}

fn tract(doing: &'static str) -> impl Fn(tract_onnx::prelude::TractError) -> Failure {
    move |source| Failure::Tract { doing, source }
}
