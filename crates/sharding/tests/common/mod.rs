//! What several test files need.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod models;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use onnx_graph::Model;
use onnx_graph::proto::ModelProto;
use prost::Message as _;
use sharding::{ModelFile, Plan};
use sharding_testing::eval;
use tensor::{NamedTensor, Tensor};

/// Writes a model and opens it.
pub(crate) fn open(folder: &Path, model: &ModelProto) -> ModelFile {
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).expect("the folder can be written");
    ModelFile::open(path).expect("the model is sound")
}

/// A part as it was written, checked as any model is.
pub(crate) fn part(folder: &Path, plan: &Plan, stage: usize) -> ModelProto {
    let file = std::fs::read(folder.join(&plan.stages[stage].file)).expect("it was written");
    Model::parse(file.into()).expect("each part is a model").into_proto()
}

/// Runs the parts one after the other, by names.
pub(crate) fn chain(folder: &Path, plan: &Plan, inputs: &[NamedTensor]) -> Vec<NamedTensor> {
    let mut known: HashMap<Arc<str>, Tensor> =
        inputs.iter().map(|input| (input.name.clone(), input.tensor.clone())).collect();
    for stage in &plan.stages {
        let taken: Vec<NamedTensor> = stage
            .inputs
            .iter()
            .map(|spec| NamedTensor::new(spec.name.clone(), known[&spec.name].clone()))
            .collect();
        let given = eval(&part(folder, plan, stage.index), &taken).expect("each part computes");
        known.extend(given.into_iter().map(|output| (output.name, output.tensor)));
    }
    let output = |name: &Arc<str>| NamedTensor::new(name.clone(), known[name].clone());
    plan.outputs.iter().map(|output_of| output(&output_of.spec.name)).collect()
}

/// A square tensor of small numbers that depend on the seed.
pub(crate) fn square(name: &str, side: u64, seed: u64) -> NamedTensor {
    let count = side * side;
    let value = |at: u64| ((at * 37 + seed * 101) % 23) as f32 / 8.0 - 1.3;
    NamedTensor::new(name, Tensor::from_vec([side, side], (0..count).map(value).collect()).expect("it fits"))
}
