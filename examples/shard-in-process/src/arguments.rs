//! What the program was asked to do.

use std::path::{Path, PathBuf};

use sharding::Strategy;

pub(crate) const USAGE: &str = "usage: shard-in-process [MODEL [SHARDS [STRATEGY [REQUEST]]]]
  MODEL     an ONNX model; default a small one of this repository, with its request
  SHARDS    how many parts; default 3
  STRATEGY  layer, attention-feedforward, component or optimal; default layer
  REQUEST   a file with an Open Inference Protocol request; default inputs that are made up";

pub(crate) struct Arguments {
    pub(crate) model: PathBuf,
    pub(crate) shards: usize,
    pub(crate) strategy: Strategy,
    /// `None` where inputs are to be made up.
    pub(crate) request: Option<PathBuf>,
}

impl Arguments {
    /// Reads them in their order; what is missing at the end has its default.
    pub(crate) fn parse(given: &[String]) -> Option<Self> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/micro/golden-f32");
        let [model, shards, strategy, request, ..] = [0, 1, 2, 3].map(|at| given.get(at));
        let own_request = golden.join("cases/golden/request.json");
        Some(Self {
            request: request.map(PathBuf::from).or(model.is_none().then_some(own_request)),
            model: model.map_or_else(|| golden.join("model.onnx"), PathBuf::from),
            shards: shards.map_or(Ok(3), |text| text.parse()).ok()?,
            strategy: strategy.map_or(Ok(Strategy::Layer), |text| text.parse()).ok()?,
        })
        .filter(|_| given.len() <= 4)
    }
}
