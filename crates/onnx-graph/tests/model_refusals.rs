//! Every way in which a model can be unsound has its own error, found without running anything.

mod common;

use common::{constant, external, graph, model, node, opset, text, value};
use onnx_graph::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, SequenceType, TypeProto, TypeValue,
};
use onnx_graph::{Model, OnnxError};
use prost::Message;

#[track_caller]
fn check(change: impl FnOnce(&mut ModelProto), is_it: impl FnOnce(&OnnxError) -> bool) {
    let mut proto = model(graph());
    change(&mut proto);
    let error = Model::parse(proto.encode_to_vec().into()).expect_err("it is unsound");
    assert!(is_it(&error), "{error:?}");
}

#[track_caller]
fn check_graph(change: impl FnOnce(&mut GraphProto), is_it: impl FnOnce(&OnnxError) -> bool) {
    check(|model| change(model.graph.as_mut().expect("it has one")), is_it);
}

#[track_caller]
fn check_file(file: Vec<u8>, is_it: impl FnOnce(&OnnxError) -> bool) {
    let error = Model::parse(file.into()).expect_err("it is no model");
    assert!(is_it(&error), "{error:?}");
}

#[test]
fn files_that_are_no_models() {
    check_file(Vec::new(), |error| *error == OnnxError::Empty);
    check_file(b"This is a text file.\n".to_vec(), |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_file(b"<!DOCTYPE html><html></html>".to_vec(), |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_file(b"\x89PNG\r\n\x1a\n".to_vec(), |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_file(vec![0xff; 100], |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_file(b"\x08\x0a".to_vec(), |error| *error == OnnxError::NoGraph);
}

#[test]
fn a_file_cut_anywhere_is_truncated_or_incomplete() {
    let file = model(graph()).encode_to_vec();
    for length in 1..file.len() {
        check_file(file[..length].to_vec(), |error| match error {
            OnnxError::Truncated { needed, got } => *got == length as u64 && *needed > *got,
            // Between two fields of the model, nothing says that more should follow.
            OnnxError::NoGraph | OnnxError::NoOpset => true,
            _ => length == 1,
        });
    }
}

#[test]
fn broken_parts_are_found_before_decoding() {
    let mut file = model(graph()).encode_to_vec();
    // The first node's length, right behind the graph's own key and length, is made too long.
    file[2 + 3 + 1] = 0x7f;
    file[2 + 3 + 2] = 0xff;
    check_file(file, |error| matches!(error, OnnxError::Damaged { .. }));
    let mut file = model(graph()).encode_to_vec();
    let at = file.windows(4).position(|bytes| bytes == b"main").expect("the graph's name");
    file[at] = 0xff;
    check_file(file, |error| matches!(error, OnnxError::Decode(_)));
}

#[test]
fn missing_parts() {
    check(|model| model.graph = None, |error| *error == OnnxError::NoGraph);
    check(|model| model.opset_import.clear(), |error| *error == OnnxError::NoOpset);
    check(
        |model| model.opset_import = vec![opset("", 999)],
        |error| matches!(error, OnnxError::UnknownOpset { version: 999, .. }),
    );
}

#[test]
fn operators_that_do_not_exist() {
    check_graph(
        |graph| graph.node[1].op_type = text("NoSuch"),
        |error| matches!(error, OnnxError::UnknownOperator { operator, .. } if operator == "NoSuch"),
    );
    check_graph(
        |graph| graph.node[1].op_type = None,
        |error| matches!(error, OnnxError::UnknownOperator { .. }),
    );
    check_graph(
        |graph| graph.node[1].domain = text("com.example"),
        |error| matches!(error, OnnxError::UnknownDomain { domain, .. } if domain == "com.example"),
    );
    check_graph(
        |graph| graph.node[1].domain = text("com.microsoft"),
        |error| matches!(error, OnnxError::DomainNotImported { .. }),
    );
    check_graph(
        |graph| graph.node[1].op_type = text("RMSNormalization"),
        |error| matches!(error, OnnxError::OperatorTooNew { since: 23, opset: 20, .. }),
    );
    // The same within a branch.
    check_graph(
        |graph| {
            let branch = graph.node[0].attribute[1].g.as_mut().expect("a branch");
            branch.node[0].op_type = text("NoSuch");
        },
        |error| matches!(error, OnnxError::UnknownOperator { .. }),
    );
}

#[test]
fn operators_of_the_runtime_are_known() {
    let mut proto = model(graph());
    proto.opset_import.push(opset("com.microsoft", 1));
    let add = &mut proto.graph.as_mut().expect("it has one").node[1];
    (add.op_type, add.domain) = (text("WhateverComes"), text("com.microsoft"));
    assert!(Model::from_proto(proto.clone()).is_ok());
    let add = &mut proto.graph.as_mut().expect("it has one").node[1];
    (add.op_type, add.domain) = (text("SimplifiedLayerNormalization"), text("ai.onnx"));
    assert!(Model::from_proto(proto).is_ok());
}

#[test]
fn values_that_are_not_there() {
    check_graph(
        |graph| graph.node[1].input[1] = "c".to_owned(),
        |error| matches!(error, OnnxError::UndefinedInput { input, .. } if input == "c"),
    );
    check_graph(|graph| graph.node.swap(0, 1), |error| matches!(error, OnnxError::NotSorted { .. }));
    check_graph(
        |graph| {
            graph.node.insert(0, node("Add", &["y", "b"], &["early"]));
            graph.node[2].input[1] = "early".to_owned();
        },
        |error| matches!(error, OnnxError::Cycle { .. }),
    );
    check_graph(
        |graph| graph.node[1].input[1] = "y".to_owned(),
        |error| matches!(error, OnnxError::Cycle { .. }),
    );
    check_graph(
        |graph| graph.node[1].output[0] = "x".to_owned(),
        |error| matches!(error, OnnxError::DefinedTwice { output, .. } if output == "x"),
    );
    check_graph(
        |graph| graph.output[0].name = text("nowhere"),
        |error| matches!(error, OnnxError::UndefinedOutput { output } if output == "nowhere"),
    );
    // What a branch computes is not visible outside of it.
    check_graph(
        |graph| graph.node[1].input[0] = "z".to_owned(),
        |error| matches!(error, OnnxError::UndefinedInput { input, .. } if input == "z"),
    );
}

#[test]
fn interfaces_that_no_browser_can_be_sent() {
    check_graph(
        |graph| graph.input[0] = value("x", 14, &["2"]),
        |error| matches!(error, OnnxError::UnsupportedElementType { code: 14, .. }),
    );
    check_graph(|graph| graph.output[0].r#type = None, |error| matches!(error, OnnxError::NotATensor { .. }));
    let sequence = TypeValue::SequenceType(Box::new(SequenceType { elem_type: None }));
    check_graph(
        |graph| graph.input[0].r#type = Some(TypeProto { value: Some(sequence), denotation: None }),
        |error| matches!(error, OnnxError::NotATensor { kind: "a sequence", .. }),
    );
}

#[test]
fn constants_that_are_not_what_they_claim() {
    let bad = |error: &OnnxError| matches!(error, OnnxError::BadConstant { .. });
    check_graph(|graph| graph.initializer[0].dims = vec![3, 3], bad);
    check_graph(|graph| graph.initializer[0].dims = vec![-1], bad);
    check_graph(|graph| graph.initializer[0].dims = vec![i64::MAX; 3], bad);
    check_graph(|graph| graph.initializer[0].data_type = Some(99), bad);
    check_graph(|graph| graph.initializer[0].raw_data = None, bad);
    check_graph(|graph| graph.initializer.push(external("e", &[2], &[])), bad);
    check_graph(
        |graph| graph.initializer.push(external("e", &[2], &[("location", "a"), ("offset", "-1")])),
        bad,
    );
    check_graph(
        |graph| graph.initializer.push(external("e", &[2], &[("location", "a"), ("length", "9")])),
        bad,
    );
    // Also where it is the value of a node.
    check_graph(
        |graph| {
            let mut wrong = constant("", &[2]);
            wrong.dims = vec![3];
            let t = Some(Box::new(wrong));
            graph.node[1].attribute.push(AttributeProto { t, ..AttributeProto::default() });
        },
        bad,
    );
}

#[test]
fn paths_out_of_the_folder() {
    let paths = [
        "../w",
        "a/../../w",
        "/etc/passwd",
        "..",
        "",
        ".",
        "C:w",
        "..\\w",
        "\\\\host\\w",
        "a//b",
        ".//w",
        "a\0b",
    ];
    for path in paths {
        check_graph(
            |graph| graph.initializer.push(external("e", &[2], &[("location", path)])),
            |error| matches!(error, OnnxError::EscapingPath { .. }),
        );
    }
}

#[test]
fn functions_that_call_themselves() {
    let function = |name: &str, calls: &str| {
        let mut call = node(calls, &["x"], &["y"]);
        call.domain = text("local");
        FunctionProto {
            name: text(name),
            domain: text("local"),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            node: vec![call],
            opset_import: vec![opset("local", 1)],
            ..FunctionProto::default()
        }
    };
    let functions = |calls: [&str; 3]| {
        let names = ["a", "b", "c"];
        names.iter().zip(calls).map(|(name, calls)| function(name, calls)).collect::<Vec<_>>()
    };
    let refused = |error: &OnnxError| matches!(error, OnnxError::RecursiveFunction { .. });
    check(|model| model.functions = functions(["a", "c", "c"]), refused);
    check(|model| model.functions = functions(["b", "c", "b"]), refused);
    // Within a body of a node too.
    check(
        |model| {
            model.functions = vec![function("a", "a")];
            let call = model.functions[0].node.remove(0);
            let mut holder = node("If", &["x"], &["y"]);
            let body =
                GraphProto { node: vec![call], output: vec![value("y", 1, &[])], ..GraphProto::default() };
            let g = Some(Box::new(body));
            holder.attribute = vec![AttributeProto { g, ..AttributeProto::default() }];
            model.functions[0].node = vec![holder];
            model.functions[0].opset_import.push(opset("", 20));
        },
        refused,
    );
    // What is called twice, or has another overload of its own name within, does not call itself.
    let mut sound = functions(["b", "c", "c"]);
    sound[2].node[0] = node("Relu", &["x"], &["y"]);
    sound[2].opset_import = vec![opset("", 20)];
    let mut other = function("a", "c");
    other.overload = text("other");
    sound[0].node[0].overload = text("other");
    sound[0].node[0].op_type = text("a");
    sound.push(other);
    let proto = ModelProto { functions: sound, ..model(graph()) };
    assert_eq!(Model::from_proto(proto).err(), None);
}

#[test]
fn depth_is_bounded() {
    let nest = |depth: usize| {
        (0..depth).fold(GraphProto::default(), |inner, _| {
            let g = Some(Box::new(inner));
            let attribute = AttributeProto { g, ..AttributeProto::default() };
            let mut node = node("If", &[], &[]);
            node.attribute = vec![attribute];
            GraphProto { node: vec![node], ..GraphProto::default() }
        })
    };
    assert!(Model::parse(model(nest(15)).encode_to_vec().into()).is_ok());
    check(|model| model.graph = Some(nest(40)), |error| matches!(error, OnnxError::OverLimit { .. }));
    let error = Model::from_proto(model(nest(40))).expect_err("it is too deep");
    assert!(matches!(error, OnnxError::OverLimit { .. }), "{error:?}");
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    // Four million empty nodes take 8 MB in the file, but would take a gigabyte of structs.
    let nodes = [0x0a, 0x00].repeat(4 << 20);
    let mut file = vec![0x08, 0x0a, 0x3a];
    prost::encode_length_delimiter(nodes.len(), &mut file).expect("a vector grows");
    file.extend_from_slice(&nodes);
    check_file(file, |error| matches!(error, OnnxError::OverLimit { .. }));
}
