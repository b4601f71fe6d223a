//! Whatever a model looks like and wherever it is cut: the parts together are the whole, and hold no more than that.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::{chain, open, part, square};
use onnx_graph::proto::{GraphProto, ModelProto};
use proptest::prelude::*;
use sharding::{Plan, Request, Strategy as Cut, WriteOptions, plan, plan_given, write};
use sharding_testing::{Builder, eval};

/// One node to be: what it does, and draws from which what it takes is chosen.
#[derive(Debug, Clone)]
struct Draw {
    op: u8,
    picks: [u16; 3],
    stage: u8,
}

#[derive(Debug, Clone)]
struct Recipe {
    nodes: Vec<Draw>,
    outputs: Vec<u16>,
    odd_outputs: bool,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let draw = (0_u8..12, any::<[u16; 3]>(), 0_u8..3);
    let draw = draw.prop_map(|(op, picks, stage)| Draw { op, picks, stage });
    (prop::collection::vec(draw, 1..24), prop::collection::vec(any::<u16>(), 1..4), any::<bool>())
        .prop_map(|(nodes, outputs, odd_outputs)| Recipe { nodes, outputs, odd_outputs })
}

/// A model of squares: two inputs, three weights of which one is tiny, and what the recipe says. Branches, weights that
/// several nodes use, several outputs, dead nodes, optional inputs and bodies that use outer values all come about.
fn model(recipe: &Recipe) -> ModelProto {
    let numbers =
        |seed: u16| (0..9).map(|at| f32::from((at * 7 + seed) % 11) / 6.0 - 0.7).collect::<Vec<f32>>();
    let mut builder = Builder::new()
        .input("a", &[3, 3])
        .input("b", &[3, 3])
        .weight("w", &[3, 3], &numbers(1))
        .weight("v", &[3, 3], &numbers(5))
        .weight("s", &[], &[0.25])
        .node("Neg", &["w"], &["constant"]);
    let mut values: Vec<String> = ["a", "b", "w", "v", "constant"].map(str::to_owned).to_vec();
    for (at, draw) in recipe.nodes.iter().enumerate() {
        // Mostly recent values, so that graphs are deep.
        let pick = |which: usize| {
            let back = usize::from(draw.picks[which]);
            let from = if back.is_multiple_of(3) { values.len() } else { values.len().min(4) };
            values[values.len() - 1 - back % from].as_str()
        };
        let (x, y, z) = (pick(0), pick(1), pick(2));
        let name = format!("n{at}");
        builder = match draw.op {
            0 => builder.node("Add", &[x, y], &[&name]),
            1 => builder.node("Sub", &[x, y], &[&name]),
            2 => builder.node("Tanh", &[x], &[&name]),
            3 => builder.node("MatMul", &[x, "w"], &[&name]),
            4 => builder.node("MatMul", &[x, y], &[&name]),
            5 => builder.node("Relu", &[x], &[&name]),
            6 => builder.node("Clip", &[x, "", "s"], &[&name]),
            7 => builder.node("Clip", &[x, "s"], &[&name]),
            8 => builder.node("Sum", &[x, y, z, "v"], &[&name]),
            9 => builder.node("Mul", &[x, "constant"], &[&name]),
            10 => builder.node("Max", &[x, y], &[&name]),
            _ => {
                let condition = format!("c{at}");
                let then =
                    Builder::new().node("Add", &[x, "v"], &[&format!("t{at}")]).output(&format!("t{at}"));
                let otherwise = Builder::new()
                    .node("MatMul", &[y, z], &[&format!("e{at}")])
                    .node("Tanh", &[&format!("e{at}")], &[&format!("f{at}")])
                    .output(&format!("f{at}"));
                builder.node("Less", &["s", "s2"], &[&condition]).branch(&condition, &name, then, otherwise)
            }
        };
        values.push(name);
    }
    builder = builder.weight("s2", &[], &[if recipe.odd_outputs { 0.0 } else { 1.0 }]);
    let mut outputs: BTreeSet<String> =
        recipe.outputs.iter().map(|&at| values[5 + usize::from(at) % (values.len() - 5)].clone()).collect();
    if recipe.odd_outputs {
        outputs.extend(["a", "v", "constant"].map(str::to_owned));
    }
    outputs.iter().fold(builder, |builder, output| builder.output(output)).build()
}

/// The evaluator tells truth by a number, and so nobody but it could run this model: in ONNX `Less` gives a bool. What is
/// cut is the same.
fn graph(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().expect("it was built")
}

/// A stage for each node, such that nobody waits for a later one.
fn stages(recipe: &Recipe, model: &ModelProto) -> Vec<Vec<usize>> {
    let draws: HashMap<String, u8> =
        recipe.nodes.iter().enumerate().map(|(at, draw)| (format!("n{at}"), draw.stage)).collect();
    let mut stage_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut stages = vec![Vec::new(); 40];
    for (at, node) in graph(model).node.iter().enumerate() {
        let bodies = node.attribute.iter().filter_map(|attribute| attribute.g.as_deref());
        let inner = bodies.flat_map(|body| &body.node).flat_map(|node| &node.input);
        let before = node.input.iter().chain(inner).filter_map(|name| stage_of.get(name.as_str())).max();
        let jump = draws.get(&node.output[0]).copied().unwrap_or(0);
        let stage = before.copied().unwrap_or(0) + usize::from(jump);
        stages[stage].push(at);
        node.output.iter().for_each(|name| _ = stage_of.insert(name, stage));
    }
    stages
}

fn check_parts(folder: &std::path::Path, model: &ModelProto, plan: &Plan) {
    let whole: BTreeMap<String, _> =
        graph(model).initializer.iter().map(|weight| (weight.name().to_owned(), weight.clone())).collect();
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for stage in &plan.stages {
        let part = part(folder, plan, stage.index);
        let inner = |node: &onnx_graph::proto::NodeProto| -> Vec<String> {
            let bodies = node.attribute.iter().filter_map(|attribute| attribute.g.as_deref());
            bodies.flat_map(|body| &body.node).flat_map(|node| node.input.clone()).collect()
        };
        let mut used: BTreeSet<String> = BTreeSet::new();
        for node in &graph(&part).node {
            used.extend(node.input.iter().cloned());
            used.extend(inner(node));
        }
        used.extend(graph(&part).output.iter().map(|output| output.name().to_owned()));
        for weight in &graph(&part).initializer {
            assert!(used.contains(weight.name()), "{} holds {} in vain", stage.file, weight.name());
            assert_eq!(whole.get(weight.name()), Some(weight), "{}", stage.file);
            *held.entry(weight.name().to_owned()).or_default() += 1;
        }
    }
    let shared: BTreeMap<String, usize> =
        plan.shared.iter().map(|shared| (shared.name.to_string(), shared.stages.len())).collect();
    for (name, count) in held {
        assert_eq!(
            shared.get(&name).copied().unwrap_or(1),
            count,
            "{name} is declared as often as it is held"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn random_parts_together_are_the_whole(recipe in recipes(), seed in 0_u64..100) {
        let folder = tempfile::tempdir().expect("there is room");
        let model = model(&recipe);
        let file = open(folder.path(), &model);
        let inputs = [square("a", 3, seed), square("b", 3, seed + 1)];
        let whole = eval(&model, &inputs).expect("the evaluator knows what was drawn");
        let given = plan_given(&file, &Request::new(Cut::Given, 1), &stages(&recipe, &model)).expect("it is sorted");
        let mut cuts = vec![given];
        for strategy in Cut::ALL {
            for shards in [2, 3] {
                cuts.extend(plan(&file, &Request::new(strategy, shards)));
            }
        }
        for cut in cuts {
            let parts = folder.path().join("parts");
            let plan = write(&cut, &parts, &WriteOptions::default()).expect("there is room");
            prop_assert_eq!(&chain(&parts, &plan, &inputs), &whole);
            check_parts(&parts, &model, &plan);
            let read: Plan = serde_json::from_slice(&std::fs::read(parts.join("plan.json")).expect("it is there"))
                .expect("a plan reads back");
            prop_assert_eq!(read, plan);
        }
    }
}
