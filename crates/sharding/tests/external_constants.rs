//! Constants in files beside the model, wherever in it they stand: parts have them with their data.

mod common;

use std::path::Path;

use common::{chain, part, square};
use onnx_graph::proto::{
    AttributeProto, AttributeType, DataLocation, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use prost::Message as _;
use sharding::{ModelFile, ReadError, Request, Strategy, WriteOptions, plan, plan_given, write};
use sharding_testing::{Builder, eval};

fn place(location: &str, offset: usize, length: usize) -> Vec<StringStringEntryProto> {
    let entries =
        [("location", location.to_owned()), ("offset", offset.to_string()), ("length", length.to_string())];
    entries
        .into_iter()
        .map(|(key, value)| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) })
        .collect()
}

/// Puts the data of a constant into a file beside the model.
fn put_outside(weight: &mut TensorProto, folder: &Path, location: &str) {
    let raw = weight.raw_data.take().expect("it has raw data");
    std::fs::write(folder.join(location), [&[7; 40], &*raw].concat()).expect("there is room");
    weight.external_data = place(location, 40, raw.len());
    weight.data_location = Some(DataLocation::External as i32);
}

fn save(folder: &Path, model: &ModelProto) -> std::path::PathBuf {
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).expect("there is room");
    path
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| at as f32 / 10.0 - 0.4).collect()
}

/// `y = if s < t { x + v } else { x }`, then a product.
fn branching() -> ModelProto {
    let then = Builder::new().weight("v", &[3, 3], &numbers(9)).node("Add", &["x", "v"], &["a"]).output("a");
    let otherwise = Builder::new().node("Identity", &["x"], &["b"]).output("b");
    Builder::new()
        .input("x", &[3, 3])
        .weight("s", &[], &[0.0])
        .weight("t", &[], &[1.0])
        .weight("w", &[3, 3], &numbers(9))
        .node("Less", &["s", "t"], &["c"])
        .branch("c", "y", then, otherwise)
        .node("MatMul", &["y", "w"], &["z"])
        .output("z")
        .build()
}

#[test]
fn a_body_keeps_its_weights_when_it_is_cut_off() {
    let (folder, parts) = (tempfile::tempdir().expect("there is room"), tempfile::tempdir().expect("so too"));
    let whole = branching();
    let mut outside = whole.clone();
    let graph = outside.graph.as_mut().expect("it was built");
    let body = graph.node[1].attribute[0].g.as_mut().expect("it is a branch");
    put_outside(&mut body.initializer[0], folder.path(), "body.bin");
    let file = ModelFile::open(save(folder.path(), &outside)).expect("it is sound");
    let cut =
        plan_given(&file, &Request::new(Strategy::Given, 2), &[vec![1], vec![2]]).expect("it is sorted");
    let plan = write(&cut, parts.path(), &WriteOptions::default()).expect("there is room");
    let inputs = [square("x", 3, 1)];
    assert_eq!(chain(parts.path(), &plan, &inputs), eval(&whole, &inputs).expect("it computes"));
}

#[test]
fn a_constant_of_a_node_keeps_its_data() {
    let (folder, parts) = (tempfile::tempdir().expect("there is room"), tempfile::tempdir().expect("so too"));
    let mut model = Builder::new()
        .input("x", &[3, 3])
        .node("MatMul", &["x", "x"], &["y"])
        .node("MatMul", &["y", "x"], &["z"])
        .output("z")
        .build();
    let mut constant = TensorProto {
        dims: vec![20, 20],
        data_type: Some(1),
        raw_data: Some(vec![1; 1600].into()),
        ..TensorProto::default()
    };
    put_outside(&mut constant, folder.path(), "constant.bin");
    let value = AttributeProto {
        name: Some("value".to_owned()),
        t: Some(Box::new(constant)),
        r#type: Some(AttributeType::Tensor as i32),
        ..AttributeProto::default()
    };
    let graph = model.graph.as_mut().expect("it was built");
    let (op_type, output) = (Some("Constant".to_owned()), vec!["k".to_owned()]);
    graph.node.insert(1, NodeProto { op_type, output, attribute: vec![value], ..NodeProto::default() });
    graph.node[2].input[1] = "k".to_owned();
    let file = ModelFile::open(save(folder.path(), &model)).expect("it is sound");
    let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("it fits");
    let plan = write(&cut, parts.path(), &WriteOptions::default()).expect("there is room");
    let second = part(parts.path(), &plan, 1).graph.expect("it has one");
    let constant = second.node.iter().find_map(|node| node.attribute.first()?.t.as_deref());
    let data = constant.and_then(|constant| constant.raw_data.as_deref());
    assert_eq!(data, Some(&[1; 1600][..]));
}

#[test]
fn a_place_that_was_left_over_does_not_count_where_there_is_data() {
    for (at, values) in [(0, numbers(9)), (1, numbers(400))] {
        let (folder, parts) = (tempfile::tempdir().expect("there is room"), tempfile::tempdir().expect("so"));
        let side = values.len().isqrt() as i64;
        let whole = Builder::new()
            .input("x", &[side, side])
            .weight("w", &[side, side], &values)
            .node("MatMul", &["x", "w"], &["y"])
            .node("MatMul", &["y", "w"], &["z"])
            .output("z")
            .build();
        let mut stale = whole.clone();
        let graph = stale.graph.as_mut().expect("it was built");
        graph.initializer[0].external_data = place("gone.bin", 12, 8);
        let file = ModelFile::open(save(folder.path(), &stale)).expect("the data is here");
        let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("it fits");
        let plan = write(&cut, parts.path(), &WriteOptions::default()).expect("there is room");
        let inputs = [square("x", side as u64, 1)];
        let expected = eval(&whole, &inputs).expect("it computes");
        assert_eq!(chain(parts.path(), &plan, &inputs), expected, "case {at}");
    }
}

#[test]
fn no_file_of_weights_may_have_the_name_of_the_model_itself() {
    let folder = tempfile::tempdir().expect("there is room");
    for location in ["#self", "./#self"] {
        let mut main = branching();
        put_outside(&mut main.graph.as_mut().expect("it was built").initializer[2], folder.path(), "#self");
        main.graph.as_mut().expect("it was built").initializer[2].external_data = place(location, 40, 36);
        let mut inner = branching();
        let graph = inner.graph.as_mut().expect("it was built");
        let body = graph.node[1].attribute[0].g.as_mut().expect("it is a branch");
        put_outside(&mut body.initializer[0], folder.path(), "#self");
        body.initializer[0].external_data = place(location, 40, 36);
        for model in [main, inner] {
            let error = ModelFile::open(save(folder.path(), &model)).expect_err("that name is taken");
            assert!(matches!(error, ReadError::ReservedLocation { .. }), "{error:?}");
        }
    }
}
