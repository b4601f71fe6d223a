//! Models for the executor.

use std::time::Duration;

use onnx_graph::proto::ModelProto;
use sharding::{Executor, ExecutorConfig, Plan, Request, Strategy, WriteOptions, plan_given, write};
use sharding_testing::{Builder, ScriptedHost};
use tensor::{NamedTensor, Tensor};

use super::open;

/// One run takes that long on a scripted worker.
pub(crate) const RUN: Duration = Duration::from_millis(10);

/// A model, its parts and its plan.
pub(crate) struct Cut {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) model: ModelProto,
    pub(crate) plan: Plan,
}

impl Cut {
    fn of(model: ModelProto, stages: &[Vec<usize>]) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let file = open(folder.path(), &model);
        let cut =
            plan_given(&file, &Request::new(Strategy::Given, 1), stages).expect("the stages are sorted");
        let plan = write(&cut, folder.path(), &WriteOptions::default()).expect("there is room");
        Self { folder, model, plan }
    }

    pub(crate) fn executor(&self, workers: u64, config: ExecutorConfig) -> Executor<ScriptedHost> {
        let host = ScriptedHost::new(self.plan.clone(), workers, RUN);
        Executor::new(self.plan.clone(), self.folder.path(), host, config).expect("the settings make sense")
    }
}

/// `a` goes to two stages that do not depend on each other, and a fourth joins them.
pub(crate) fn diamond() -> Cut {
    let numbers: Vec<f32> = (0_u8..9).map(|at| f32::from(at) / 9.0 - 0.4).collect();
    let model = Builder::new()
        .input("a", &[3, 3])
        .weight("w", &[3, 3], &numbers)
        .node("Tanh", &["a"], &["first"])
        .node("MatMul", &["first", "w"], &["left"])
        .node("Add", &["first", "w"], &["right"])
        .node("Mul", &["left", "right"], &["joined"])
        .output("joined")
        .output("left")
        .build();
    Cut::of(model, &[vec![0], vec![1], vec![2], vec![3]])
}

/// Three layers with a cache of rows and one of columns each, and beside them a stage without caches. Each step sees what
/// all steps before it put into the caches.
pub(crate) fn decoder() -> Cut {
    let numbers =
        |seed: u8| (0_u8..9).map(|at| f32::from((at * 5 + seed) % 9) / 9.0 - 0.45).collect::<Vec<f32>>();
    let mut builder = Builder::new().input("row", &[1, 3]).input("column", &[3, 1]);
    let (mut row, mut column) = ("row".to_owned(), "column".to_owned());
    let mut stages = Vec::new();
    for layer in 0..3_u8 {
        let name = |what: &str| format!("{what}.{layer}");
        let [wk, wv, pk, pv, k, v, ks, vs, mixed, wide, tall, next_row, next_column] = [
            "wk",
            "wv",
            "past.rows",
            "past.columns",
            "k",
            "v",
            "present.rows",
            "present.columns",
            "mixed",
            "wide",
            "tall",
            "row",
            "column",
        ]
        .map(name);
        builder = builder
            .input(&pk, &[-1, 3])
            .input(&pv, &[3, -1])
            .weight(&wk, &[3, 3], &numbers(layer))
            .weight(&wv, &[3, 3], &numbers(layer + 3))
            .node("MatMul", &[&row, &wk], &[&k])
            .concat(&[&pk, &k], &ks, 0)
            .node("MatMul", &[&wv, &column], &[&v])
            .concat(&[&pv, &v], &vs, 1)
            .node("MatMul", &[&vs, &ks], &[&mixed])
            .node("MatMul", &[&row, &mixed], &[&wide])
            .node("Tanh", &[&wide], &[&next_row])
            .node("MatMul", &[&mixed, &column], &[&tall])
            .node("Tanh", &[&tall], &[&next_column])
            .output(&ks)
            .output(&vs);
        let from = usize::from(layer) * 9;
        stages.push((from..from + 9).collect());
        (row, column) = (next_row, next_column);
    }
    builder = builder.node("Neg", &["row"], &["negative"]).output("negative").output(&row).output(&column);
    stages.push(vec![27]);
    Cut::of(builder.build(), &stages)
}

/// What one step of the decoder takes, without caches.
pub(crate) fn step_inputs(seed: u64) -> Vec<NamedTensor> {
    let value = |at: u64| ((seed * 31 + at * 17) % 19) as f32 / 9.5 - 1.0;
    let row: Vec<f32> = (0..3).map(value).collect();
    let column: Vec<f32> = (3..6).map(value).collect();
    vec![
        NamedTensor::new("row", Tensor::from_vec([1, 3], row).expect("it fits")),
        NamedTensor::new("column", Tensor::from_vec([3, 1], column).expect("it fits")),
    ]
}

/// Caches that hold nothing, as the whole model takes them.
pub(crate) fn no_caches() -> Vec<NamedTensor> {
    let none = |dims: [u64; 2]| Tensor::from_vec(dims, Vec::<f32>::new()).expect("it fits");
    let layer = |layer: usize| {
        [
            NamedTensor::new(format!("past.rows.{layer}"), none([0, 3])),
            NamedTensor::new(format!("past.columns.{layer}"), none([3, 0])),
        ]
    };
    (0..3).flat_map(layer).collect()
}
