//! What each strategy makes of models that it fits, and what it says of those that it does not.

mod common;

use std::path::Path;

use common::open;
use onnx_graph::proto::{AttributeProto, AttributeType, ModelProto};
use sharding::{
    BrokenPlan, DataFile, Link, Misfit, ModelFile, Plan, PlanError, Request, Shared, State, Strategy,
    Verdict, WorkerSpec, plan, plan_given,
};
use sharding_testing::Builder;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7 + seed) % 13) as f32 / 13.0 - 0.5).collect()
}

/// Layers with a residual around an attention (as far as a cut sees) and one around a product.
fn transformer(layers: usize) -> ModelProto {
    let mut builder = Builder::new().input("in", &[4, 4]).node("Relu", &["in"], &["x"]);
    let mut x = "x".to_owned();
    for layer in 0..layers {
        let n = |what: &str| format!("{what}{layer}");
        builder = builder
            .weight(&n("wq"), &[4, 4], &numbers(16, layer))
            .weight(&n("wf"), &[4, 4], &numbers(16, layer + 50))
            .node("MatMul", &[&x, &n("wq")], &[&n("q")])
            .node("Softmax", &[&n("q")], &[&n("p")])
            .node("MatMul", &[&n("p"), &x], &[&n("c")])
            .node("Add", &[&x, &n("c")], &[&n("y")])
            .node("MatMul", &[&n("y"), &n("wf")], &[&n("f")])
            .node("Relu", &[&n("f")], &[&n("r")])
            .node("Add", &[&n("y"), &n("r")], &[&n("x")]);
        x = n("x");
    }
    builder.output(&x).build()
}

/// Two stacks of products on inputs of their own, and a product of both.
fn towers() -> ModelProto {
    let mut builder = Builder::new().input("text", &[4, 4]).input("image", &[4, 4]);
    for side in ["text", "image"] {
        let mut x = side.to_owned();
        for layer in 0..4 {
            let (weight, next) = (format!("{side}.w{layer}"), format!("{side}.{layer}"));
            builder = builder.weight(&weight, &[4, 4], &numbers(16, layer)).node(
                "MatMul",
                &[&x, &weight],
                &[&next],
            );
            x = next;
        }
    }
    builder.node("MatMul", &["text.3", "image.3"], &["scores"]).output("scores").build()
}

fn chain(nodes: usize) -> ModelProto {
    let mut builder = Builder::new().input("x", &[4, 4]);
    let mut x = "x".to_owned();
    for at in 0..nodes {
        let (weight, next) = (format!("w{at}"), format!("y{at}"));
        builder = builder.weight(&weight, &[4, 4], &numbers(16, at)).node("MatMul", &[&x, &weight], &[&next]);
        x = next;
    }
    builder.output(&x).build()
}

fn opened(model: &ModelProto) -> (tempfile::TempDir, ModelFile) {
    let folder = tempfile::tempdir().expect("there is room");
    let file = open(folder.path(), model);
    (folder, file)
}

fn planned(model: &ModelProto, strategy: Strategy, shards: usize) -> Plan {
    let (_folder, file) = opened(model);
    plan(&file, &Request::new(strategy, shards)).expect("it fits").plan().clone()
}

#[track_caller]
fn check_misfit(
    model: &ModelProto,
    strategy: Strategy,
    shards: usize,
    expected: Misfit,
    others: &[Strategy],
) {
    let (_folder, file) = opened(model);
    let error = plan(&file, &Request::new(strategy, shards)).expect_err("it does not fit");
    let PlanError::Misfit { why, fitting, .. } = error else { panic!("{error:?}") };
    assert_eq!((why, fitting.as_slice()), (expected, others));
}

fn crossing(plan: &Plan) -> Vec<&str> {
    plan.flows.iter().map(|flow| &*flow.spec.name).collect()
}

#[test]
fn layers_are_cut_between_layers() {
    let plan = planned(&transformer(6), Strategy::Layer, 3);
    assert_eq!(crossing(&plan), ["x1", "x3"]);
    assert!(plan.stages.iter().all(|stage| stage.weight_bytes == 4 * 64));
    let odd = planned(&transformer(6), Strategy::Layer, 6);
    assert_eq!(crossing(&odd), ["x0", "x1", "x2", "x3", "x4"]);
}

#[test]
fn with_more_shards_than_layers_halves_are_cut() {
    let plan = planned(&transformer(3), Strategy::Layer, 6);
    assert_eq!(crossing(&plan), ["y0", "x0", "y1", "x1", "y2"]);
}

#[test]
fn attention_and_feed_forward_go_to_different_shards() {
    let plan = planned(&transformer(3), Strategy::AttentionFeedforward, 2);
    let shards: Vec<usize> = plan.stages.iter().map(|stage| stage.shard).collect();
    assert_eq!(shards, [0, 1, 0, 1, 0, 1]);
    assert_eq!(crossing(&plan), ["y0", "x0", "y1", "x1", "y2"], "one tensor over, one back");
    assert_eq!(plan.hops, 5);
}

#[test]
fn towers_are_independent_and_what_joins_them_is_behind_both() {
    let plan = planned(&towers(), Strategy::Component, 3);
    let after: Vec<&[usize]> = plan.stages.iter().map(|stage| stage.depends_on.as_slice()).collect();
    assert_eq!(after, [&[][..], &[], &[0, 1]]);
    let two = planned(&towers(), Strategy::Component, 2);
    assert_ne!(two.stages[0].shard, two.stages[1].shard);
    assert_eq!(planned(&towers(), Strategy::Component, 7).stages.len(), 7);
}

#[test]
fn what_does_not_fit_is_said_with_what_does() {
    use Strategy::{AttentionFeedforward, Component, Layer, Optimal};
    check_misfit(&chain(9), Component, 2, Misfit::OneComponent, &[Layer, Optimal]);
    check_misfit(&chain(9), AttentionFeedforward, 2, Misfit::NoAttention, &[Layer, Optimal]);
    check_misfit(&transformer(2), AttentionFeedforward, 1, Misfit::OneShard, &[Layer, Component, Optimal]);
    let few = Misfit::TooFewParts { most: 4, wanted: 5 };
    check_misfit(&transformer(2), AttentionFeedforward, 5, few, &[Layer, Optimal]);
    check_misfit(&chain(3), Layer, 4, Misfit::TooFewParts { most: 3, wanted: 4 }, &[]);
    let (_folder, file) = opened(&chain(3));
    assert!(matches!(plan(&file, &Request::new(Layer, 0)), Err(PlanError::NoShards)));
}

#[test]
fn stages_that_wait_for_each_other_are_refused() {
    let (_folder, file) = opened(&chain(3));
    let request = Request::new(Strategy::Given, 2);
    let given = |stages: &[Vec<usize>]| match plan_given(&file, &request, stages) {
        Err(PlanError::Misfit { why, .. }) => Some(why),
        _ => None,
    };
    assert_eq!(given(&[vec![0, 2], vec![1]]), Some(Misfit::Cyclic));
    assert_eq!(given(&[vec![0], vec![2]]), Some(Misfit::NotOnce { node: 1, stages: 0 }));
    assert_eq!(given(&[vec![0, 1], vec![1, 2]]), Some(Misfit::NotOnce { node: 1, stages: 2 }));
    assert_eq!(given(&[vec![0, 1], vec![2]]), None);
}

fn worker(name: &str, speed: f64, memory: u64) -> WorkerSpec {
    WorkerSpec { name: name.to_owned(), flops_per_s: speed, memory_bytes: memory }
}

fn optimal(shards: usize, workers: Vec<WorkerSpec>, in_flight: u32) -> Request {
    let mut request = Request::new(Strategy::Optimal, shards);
    request.workers = workers;
    request.in_flight = in_flight;
    request.memory_factor = 1;
    request.link = Link { latency_s: 1e-9, bytes_per_s: 1e12 };
    request
}

#[test]
fn a_worker_that_is_three_times_as_fast_gets_three_times_the_work() {
    let (_folder, file) = opened(&chain(8));
    let workers = vec![worker("slow", 1e3, 1 << 30), worker("fast", 3e3, 1 << 30)];
    let cut = plan(&file, &optimal(2, workers, 8)).expect("it fits");
    let mut stages: Vec<(&str, usize)> = cut
        .plan()
        .stages
        .iter()
        .map(|stage| (stage.worker.as_deref().expect("it was chosen"), stage.nodes))
        .collect();
    stages.sort_unstable();
    assert_eq!(stages, [("fast", 6), ("slow", 2)]);
}

#[test]
fn memory_is_respected_and_what_fits_nowhere_is_said() {
    let (_folder, file) = opened(&chain(8));
    // Eight weights of 64 bytes; the fast worker has room for three.
    let workers = || vec![worker("fast", 9e3, 3 * 64), worker("large", 1e3, 5 * 64)];
    let cut = plan(&file, &optimal(2, workers(), 8)).expect("it just fits");
    let estimate = cut.plan().estimate.as_ref().expect("workers are known");
    assert_eq!(estimate.verdict, Verdict::Necessary);
    let tight = vec![worker("a", 9e3, 3 * 64), worker("b", 1e3, 4 * 64)];
    let error = plan(&file, &optimal(2, tight, 8)).expect_err("eight do not fit into seven");
    assert!(matches!(error, PlanError::Misfit { why: Misfit::OutOfMemory { needed: 64 }, .. }), "{error:?}");
}

#[test]
fn workers_that_are_left_out_are_spoken_of() {
    let (_folder, file) = opened(&chain(20));
    // The fast ones have room for one weight each, so that they could take it only all together.
    let workers = |count: usize, last: u64| {
        let kind =
            |at: usize| worker(&format!("w{at}"), 1e6 - at as f64, if at + 1 == count { last } else { 64 });
        (0..count).map(kind).collect::<Vec<_>>()
    };
    let whole = 20 * 64;
    let cut = |workers, shards| plan(&file, &optimal(shards, workers, 1)).map(|cut| cut.plan().clone());
    let why = |workers, shards| match cut(workers, shards) {
        Err(PlanError::Misfit { why, .. }) => Some(why),
        _ => None,
    };
    // Of twelve kinds all are considered, also the slowest.
    let found = cut(workers(12, whole), 2).expect("the slowest has room");
    assert!(found.stages.iter().any(|stage| stage.worker.as_deref() == Some("w11")), "{found}");
    assert_eq!(why(workers(12, 64), 2), Some(Misfit::OutOfMemory { needed: 64 }));
    assert_eq!(why(workers(30, whole), 2), Some(Misfit::TooManyKinds { kinds: 30, considered: 13 }));
    assert_eq!(why(workers(2, whole), 3), Some(Misfit::TooFewWorkers { given: 2, wanted: 3 }));
    let roomy = (0..30).map(|at| worker("roomy", 1e6 - f64::from(at), whole)).collect();
    let noted = cut(roomy, 3).expect("there is room").notes;
    assert_eq!(noted[0], "the 17 slowest of 30 kinds of workers were not considered");
    // However many are alike, only as many as there are shards make a difference.
    let alike = (0..400).map(|at| worker("alike", 1e6 - f64::from(at % 4), whole)).collect();
    assert!(cut(alike, 5).expect("there is room").notes.iter().all(|note| !note.contains("considered")));
}

#[test]
fn it_says_when_not_to_shard() {
    let (_folder, file) = opened(&chain(8));
    let alike = (0..2).map(|_| worker("same", 1e3, 1 << 30)).collect();
    let mut request = optimal(2, alike, 1);
    request.link = Link { latency_s: 1.0, bytes_per_s: 1e12 };
    let cut = plan(&file, &request).expect("it fits");
    let estimate = cut.plan().estimate.as_ref().expect("workers are known");
    let Verdict::DoNotShard { times_slower } = estimate.verdict else { panic!("{estimate:?}") };
    let whole = estimate.unsharded_latency_s.expect("it fits whole");
    assert!((times_slower - (whole + 1.0) / whole).abs() < 1e-6, "it loses one hop of a second");
}

#[test]
fn given_stages_are_estimated_on_a_worker_each() {
    let (_folder, file) = opened(&chain(3));
    let mut request = optimal(1, vec![worker("a", 1e3, 1 << 30), worker("b", 2e3, 1 << 30)], 1);
    let cut = |request: &Request, stages: &[Vec<usize>]| {
        plan_given(&file, request, stages).expect("they are sorted").plan().clone()
    };
    let three = cut(&request, &[vec![0], vec![1], vec![2]]);
    assert_eq!((three.shards, three.estimate), (3, None), "there are two workers for three stages");
    request.workers.push(worker("c", 4e3, 1 << 30));
    let estimate = cut(&request, &[vec![0], vec![1], vec![2]]).estimate.expect("there are enough");
    // A product of 4 × 4 takes 128 operations; the largest of three takes longest.
    assert!((estimate.bottleneck_s - 0.128).abs() < 1e-9, "{estimate:?}");
}

/// The plan of three stages, changed like that, is refused like that, and drawing and printing it does no harm.
#[track_caller]
fn check_broken(change: impl FnOnce(&mut Plan), expected: BrokenPlan) {
    let mut plan = planned(&chain(6), Strategy::Layer, 3);
    assert_eq!(plan.check(), Ok(()));
    change(&mut plan);
    assert_eq!(plan.check(), Err(expected));
    assert!(sharding::svg(&plan).ends_with("</svg>\n") && !plan.to_string().is_empty());
}

#[test]
fn plans_that_do_not_hold_together_are_refused() {
    check_broken(|plan| plan.version = 2, BrokenPlan::Version { version: 2 });
    check_broken(|plan| plan.stages[1].index = 9, BrokenPlan::Misplaced { place: 1, index: 9 });
    check_broken(|plan| plan.stages[1].depends_on = vec![2], BrokenPlan::NotBefore { stage: 1, on: 2 });
    check_broken(|plan| plan.stages[1].depends_on = vec![1], BrokenPlan::NotBefore { stage: 1, on: 1 });
    let none = |what| BrokenPlan::NoSuchStage { what, stage: 7, stages: 3 };
    check_broken(|plan| plan.outputs[0].stage = Some(7), none("an output"));
    check_broken(|plan| plan.flows[0].from = 7, none("a flow"));
    check_broken(|plan| plan.flows[0].to = vec![1, 7], none("a flow"));
    let state = || State { past: "x".into(), present: "y".into(), axis: None, stage: 7 };
    check_broken(|plan| plan.states.push(state()), none("a cache"));
    let shared = || Shared { name: "w".into(), bytes: u64::MAX, stages: vec![7, 0, 0] };
    check_broken(|plan| plan.shared.push(shared()), none("a shared weight"));
    for file in ["", ".", "..", "../stage-00.onnx", "/etc/passwd", "a\\b", "c:stage", "folder/"] {
        let refused = || BrokenPlan::NotPlain { stage: 2, file: file.to_owned() };
        check_broken(|plan| plan.stages[2].file = file.to_owned(), refused());
        let data = DataFile { file: file.to_owned(), bytes: 1, sha256: String::new() };
        check_broken(|plan| plan.stages[2].data.push(data), refused());
    }
}

#[test]
fn the_plan_explains_itself() {
    let plan = planned(&transformer(4), Strategy::Layer, 2);
    let text = plan.to_string();
    assert!(text.contains("0 → 1") && text.contains("x1: float32[4,4] (64 B)"), "{text}");
    let picture = sharding::svg(&plan);
    assert!(picture.starts_with("<svg") && picture.matches("<rect").count() == 2, "{picture}");
    let back: Plan =
        serde_json::from_str(&serde_json::to_string(&plan).expect("it has a form")).expect("it reads");
    assert_eq!(back, plan);
}

#[test]
fn nothing_is_read_where_there_is_nothing() {
    assert!(ModelFile::open(Path::new("no such model.onnx")).is_err());
}

#[test]
fn layers_are_evened_out_by_work_where_each_worker_could_hold_all() {
    // Four weights that are only added, which is next to no work, and four as large ones that are multiplied with.
    let mut builder = Builder::new().input("in", &[20, 20]);
    let mut x = "in".to_owned();
    for at in 0..8 {
        let (weight, next) = (format!("w{at}"), format!("x{at}"));
        let op = if at < 4 { "Add" } else { "MatMul" };
        builder = builder.weight(&weight, &[20, 20], &numbers(400, at));
        builder = builder.node(op, &[&x, &weight], &[&next]);
        x = next;
    }
    let folder = tempfile::tempdir().expect("there is room");
    let file = open(folder.path(), &builder.output("x7").build());
    let worker = |memory_bytes| WorkerSpec { name: "w".to_owned(), flops_per_s: 1e9, memory_bytes };
    let cut = |memory: u64| {
        let mut request = Request::new(Strategy::Layer, 2);
        request.workers = vec![worker(memory), worker(memory)];
        plan(&file, &request).expect("it can be cut").plan().clone()
    };
    let shares = |plan: &Plan| {
        let work: Vec<f64> = plan.stages.iter().map(|stage| stage.work as f64).collect();
        let weight: Vec<f64> = plan.stages.iter().map(|stage| stage.weight_bytes as f64).collect();
        let share = |of: &[f64]| of[0] / of.iter().sum::<f64>();
        (share(&work), share(&weight))
    };
    let roomy = cut(1 << 30);
    let whole: u64 = roomy.weight_bytes;
    assert!(roomy.notes.iter().any(|note| note.contains("by work")), "{:?}", roomy.notes);
    let tight = cut(whole * 3);
    assert!(!tight.notes.iter().any(|note| note.contains("by work")), "{:?}", tight.notes);
    let near = |share: (f64, f64), (work, weight): (f64, f64)| {
        assert!((share.0 - work).abs() < 0.05 && (share.1 - weight).abs() < 0.05, "{share:?}");
    };
    near(shares(&roomy), (0.5, 0.75));
    near(shares(&tight), (0.0, 0.5));
}

#[test]
fn a_stated_type_that_cannot_be_sent_is_not_taken_for_the_usual_one() {
    let cut_at = |stated: Option<i64>| {
        let mut model = Builder::new()
            .input("x", &[4, 4])
            .weight("scale", &[], &[0.5])
            .node("Relu", &["x"], &["a"])
            .node("QuantizeLinear", &["a", "scale"], &["q"])
            .node("DequantizeLinear", &["q", "scale"], &["b"])
            .node("Relu", &["b"], &["y"])
            .output("y")
            .build();
        model.graph.as_mut().expect("it was built").node[1].attribute =
            stated.map(|code| attribute("output_dtype", code)).into_iter().collect();
        let folder = tempfile::tempdir().expect("there is room");
        let file = open(folder.path(), &model);
        let most = (1..=4).rev().find_map(|shards| plan(&file, &Request::new(Strategy::Layer, shards)).ok());
        let flows = most.expect("one shard always fits").plan().flows.clone();
        flows.iter().map(|flow| flow.spec.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(cut_at(None), ["a", "q", "b"], "without a zero point it is uint8");
    // FLOAT8E4M3FN; what is made of it has no known rank either.
    assert_eq!(cut_at(Some(17)), ["a"]);
}

fn attribute(name: &str, value: i64) -> AttributeProto {
    let (name, r#type) = (Some(name.to_owned()), Some(AttributeType::Int as i32));
    AttributeProto { name, r#type, i: Some(value), ..AttributeProto::default() }
}
