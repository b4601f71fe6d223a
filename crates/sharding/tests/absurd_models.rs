//! Models that are small and ask for much: planning them takes no longer and breaks nothing.

mod common;

use common::open;
use onnx_graph::proto::{FunctionProto, ModelProto, NodeProto, OperatorSetIdProto};
use sharding::{Request, Strategy, plan};
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
