//! What a sound model answers, and that nothing of it is lost on the way through.

mod common;

use bytes::Bytes;
use common::{constant, external, graph, model, node, opset, text, value};
use onnx_graph::proto::{FunctionProto, GraphProto, ModelProto, SparseTensorProto, TensorProto};
use onnx_graph::{LOAD_FACTOR, Model};
use prost::Message;
use vocab::ModelType;

fn parsed(proto: &ModelProto) -> Model {
    Model::parse(proto.encode_to_vec().into()).expect("it is sound")
}

#[test]
fn a_model_answers_for_itself() {
    let model = parsed(&model(graph()));
    let [x, which] = &model.signature().inputs[..] else { panic!("w is initialized, so it is no input") };
    assert_eq!(
        (x.to_string(), which.to_string()),
        ("x: float32[batch,3]".to_owned(), "which: bool[]".to_owned())
    );
    assert_eq!(model.signature().outputs[0].to_string(), "y: float32[batch,2]");
    assert_eq!(model.weight_bytes(), 4 * (6 + 2));
    assert_eq!(model.precision(), Some(tensor::DType::F32));
    assert_eq!(model.peak_load_bytes(), LOAD_FACTOR * 32);
    assert_eq!(model.opset(), Some(20));
    assert_eq!(model.opset_of("com.microsoft"), None);
    let operators: Vec<_> = model.operators().into_iter().collect();
    assert_eq!(operators, [("Add".to_owned(), 1), ("If".to_owned(), 1), ("MatMul".to_owned(), 2)]);
}

#[test]
fn weights_share_the_bytes_of_the_file() {
    let file = Bytes::from(model(graph()).encode_to_vec());
    let range = file.as_ptr_range();
    let model = Model::parse(file).expect("it is sound");
    let graph = model.proto().graph.as_ref().expect("it has one");
    let raw = graph.initializer[0].raw_data.as_ref().expect("it has data");
    assert!(range.contains(&raw.as_ptr()));
}

#[test]
fn a_file_survives_being_read_and_written() {
    let file = Bytes::from(model(graph()).encode_to_vec());
    assert_eq!(Model::parse(file.clone()).expect("it is sound").encode(), file);
}

#[test]
fn external_files_are_listed_once_with_the_size_that_they_need() {
    let mut graph = graph();
    graph.initializer = vec![
        external("w", &[3, 2], &[("location", "./weights/a.bin"), ("offset", "4096"), ("length", "24")]),
        external("b", &[2], &[("location", "weights/a.bin")]),
    ];
    let model = parsed(&model(graph));
    let [file] = model.external_files() else { panic!("it is one file") };
    assert_eq!((file.path.as_str(), file.min_bytes), ("weights/a.bin", 4096 + 24));
    assert_eq!(model.weight_bytes(), 32);
}

#[test]
fn constants_may_lie_in_typed_fields() {
    let typed = |fill: fn(&mut TensorProto), data_type: i32, dims: Vec<i64>| {
        let mut constant = TensorProto { data_type: Some(data_type), dims, ..constant("c", &[]) };
        constant.raw_data = None;
        fill(&mut constant);
        constant
    };
    let mut graph = graph();
    graph.initializer.extend([
        typed(|c| c.float_data = vec![0.0; 2], 1, vec![2]),
        typed(|c| c.int32_data = vec![0; 2], 22, vec![3]),
        typed(|c| c.int64_data = vec![0; 2], 7, vec![2]),
        typed(|c| c.uint64_data = vec![0; 2], 12, vec![2]),
        typed(|c| c.double_data = vec![0.0; 2], 11, vec![2, 1]),
        typed(|c| c.string_data = vec![Bytes::from_static(b"abc")], 8, vec![]),
        typed(|_| (), 1, vec![0, 5]),
    ]);
    let (values, indices) = (Some(constant("s", &[3])), Some(constant("", &[3, 2])));
    graph.sparse_initializer.push(SparseTensorProto { values, indices, dims: vec![9, 9] });
    assert_eq!(parsed(&model(graph)).weight_bytes(), 12 + 24 + 32 + 8 + 2 + 16 + 8 + 16 + 3);
}

#[test]
fn a_model_may_define_its_own_operators() {
    let mut own = node("Twice", &["x"], &["y"]);
    own.domain = text("my.domain");
    let graph = GraphProto {
        input: vec![value("x", 1, &["n"])],
        node: vec![own],
        output: vec![value("y", 1, &["n"])],
        ..GraphProto::default()
    };
    let twice = FunctionProto {
        name: text("Twice"),
        domain: text("my.domain"),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: vec![node("Add", &["a", "a"], &["b"])],
        opset_import: vec![opset("", 20)],
        ..FunctionProto::default()
    };
    let proto = ModelProto { functions: vec![twice], ..model(graph) };
    let operators: Vec<_> = parsed(&proto).operators().into_iter().collect();
    assert_eq!(operators, [("Add".to_owned(), 1), ("my.domain:Twice".to_owned(), 1)]);
}

/// A model that takes and gives these, each as name, element type and dimensions.
#[track_caller]
fn check_family(inputs: &[(&str, i32, &[&str])], output: (&str, &[&str]), family: Option<ModelType>) {
    let names: Vec<&str> = inputs.iter().map(|input| input.0).collect();
    let graph = GraphProto {
        input: inputs.iter().map(|(name, code, dims)| value(name, *code, dims)).collect(),
        node: vec![node("Sum", &names, &[output.0])],
        output: vec![value(output.0, 1, output.1)],
        ..GraphProto::default()
    };
    assert_eq!(parsed(&model(graph)).family(), family);
}

#[test]
fn the_family_is_guessed_from_the_interface() {
    let ids = ("input_ids", 7, &["batch", "sequence"][..]);
    let image = ("pixel_values", 1, &["batch", "3", "224", "224"][..]);
    let past = ("past_key_values.0.key", 1, &["batch", "2", "past", "32"][..]);
    check_family(&[ids], ("sentence_embedding", &["batch", "384"]), Some(ModelType::TextEmbedding));
    check_family(&[ids], ("logits", &["batch", "2"]), Some(ModelType::Text));
    check_family(&[ids], ("last_hidden_state", &["batch", "sequence", "384"]), Some(ModelType::Text));
    check_family(&[ids], ("logits", &["batch", "sequence", "32000"]), Some(ModelType::TextGeneration));
    check_family(&[ids, past], ("logits", &["batch", "sequence", "512"]), Some(ModelType::TextGeneration));
    check_family(&[image], ("logits", &["batch", "1000"]), Some(ModelType::Vision));
    check_family(&[("x", 1, &["1", "3", "h", "w"])], ("y", &["1", "10"]), Some(ModelType::Vision));
    check_family(&[ids, image], ("logits_per_image", &["i", "t"]), Some(ModelType::Multimodal));
    check_family(
        &[("input_features", 1, &["b", "80", "3000"])],
        ("h", &["b", "1500", "384"]),
        Some(ModelType::Audio),
    );
    check_family(&[("m", 1, &["b", "128", "frames"])], ("h", &["b", "t", "384"]), Some(ModelType::Audio));
    check_family(&[("x", 1, &["n", "4"])], ("y", &["n", "2"]), None);
}
