//! Models that are small and ask for much: planning them takes no longer and breaks nothing.

mod common;

use common::{open, part};
use onnx_graph::proto::{
    AttributeProto, AttributeType, FunctionProto, ModelProto, NodeProto, OperatorSetIdProto,
};
use sharding::{Request, Strategy, WriteOptions, plan, svg, write};
use sharding_testing::Builder;

fn call(name: &str, input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(name.to_owned()),
        domain: Some("local".to_owned()),
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// Two products with a call of `f0` before them; each function calls the next one ten times.
fn fan(levels: usize) -> ModelProto {
    let mut model = Builder::new()
        .input("x", &[2, 2])
        .weight("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
        .node("Relu", &["x"], &["f"])
        .node("MatMul", &["x", "w"], &["y"])
        .node("MatMul", &["y", "w"], &["z"])
        .output("z")
        .output("f")
        .build();
    let import = |domain: &str| OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(20) };
    model.opset_import.push(import("local"));
    model.graph.as_mut().expect("it was built").node[0] = call("f0", "x", "f");
    let function = |level: usize| {
        let inner = |at: usize| {
            let (from, to) = (format!("v{at}"), format!("v{}", at + 1));
            if level + 1 == levels {
                NodeProto { op_type: Some("Relu".to_owned()), domain: None, ..call("", &from, &to) }
            } else {
                call(&format!("f{}", level + 1), &from, &to)
            }
        };
        FunctionProto {
            name: Some(format!("f{level}")),
            domain: Some("local".to_owned()),
            input: vec!["v0".to_owned()],
            output: vec!["v10".to_owned()],
            node: (0..10).map(inner).collect(),
            opset_import: vec![import(""), import("local")],
            ..FunctionProto::default()
        }
    };
    model.functions = (0..levels).map(function).collect();
    model
}

#[test]
fn functions_that_call_others_many_times_do_not_hold_up_planning() {
    let folder = tempfile::tempdir().expect("there is room");
    for (levels, stages) in [(3, 2), (12, 2)] {
        let file = open(folder.path(), &fan(levels));
        let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("the products can be cut");
        assert_eq!(cut.plan().stages.len(), stages);
    }
}

#[test]
fn a_function_of_the_standard_domain_goes_with_its_calls_under_both_names() {
    for (own, called) in [("ai.onnx", ""), ("", "ai.onnx")] {
        let folder = tempfile::tempdir().expect("there is room");
        let mut model = fan(1);
        model.functions[0].domain = Some(own.to_owned());
        model.graph.as_mut().expect("it was built").node[0].domain = Some(called.to_owned());
        let file = open(folder.path(), &model);
        let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("the products can be cut");
        let parts = folder.path().join("parts");
        let written = write(&cut, &parts, &WriteOptions::default()).expect("there is room");
        let held = (0..2).map(|stage| part(&parts, &written, stage).functions.len()).sum::<usize>();
        assert_eq!(held, 1, "the part that calls it has it");
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        ints: values.to_vec(),
        r#type: Some(AttributeType::Ints as i32),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    }
}

/// Every operator whose sizes are computed from numbers that a file says, with the largest and smallest numbers.
fn huge(size: i64) -> ModelProto {
    let mut model = Builder::new()
        .input("x", &[size, size, -1])
        .input("i", &[4, 3])
        .input("image", &[1, size, size, size])
        .input("kernel", &[size, size, size, 3])
        .weight("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
        .node("Concat", &["x", "x", "x"], &["c"])
        .node("MatMul", &["c", "c"], &["m"])
        .node("GatherND", &["m", "i"], &["g"])
        .node("Conv", &["image", "kernel"], &["v"])
        .node("MaxPool", &["v"], &["p"])
        .node("MaxPool", &["p"], &["q"])
        .node("Relu", &["q"], &["y"])
        .node("Relu", &["g"], &["z"])
        .node("MatMul", &["m", "w"], &["n"])
        .node("MatMul", &["n", "w"], &["o"])
        .output("y")
        .output("z")
        .output("o")
        .build();
    let nodes = &mut model.graph.as_mut().expect("it was built").node;
    nodes[0].attribute = vec![int("axis", 0)];
    nodes[2].attribute = vec![int("batch_dims", size)];
    let window = |sign: i64| {
        vec![
            ints("kernel_shape", &[sign * size, size]),
            ints("dilations", &[size, sign * size]),
            ints("pads", &[size, size, size, sign * size]),
            ints("strides", &[1, size]),
        ]
    };
    nodes[3].attribute = window(1);
    nodes[4].attribute = window(-1);
    nodes[5].attribute = vec![ints("kernel_shape", &[size, i64::MIN]), ints("dilations", &[i64::MIN, size])];
    model
}

#[test]
fn sizes_beyond_all_numbers_are_counted_as_the_largest() {
    let folder = tempfile::tempdir().expect("there is room");
    for size in [i64::MAX, 1 << 40, 0] {
        let file = open(folder.path(), &huge(size));
        for assumed in [u64::MAX, 1 << 40, 1, 0] {
            let mut fitting = 0;
            for (strategy, shards) in Strategy::ALL.into_iter().flat_map(|s| [(s, 1), (s, 2), (s, 3)]) {
                let mut request = Request::new(strategy, shards);
                request.assumptions.otherwise = assumed;
                request.memory_factor = u64::MAX;
                if let Ok(cut) = plan(&file, &request) {
                    assert!(!svg(cut.plan()).is_empty() && !cut.plan().to_string().is_empty());
                    fitting += 1;
                }
            }
            assert!(fitting >= 3, "{size} {assumed}: {fitting}");
        }
    }
}
