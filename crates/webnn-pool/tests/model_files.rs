//! What is read of a model before any browser sees it: where it lies, what it is called, what it is for, and how large it
//! is.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use onnx_graph::proto::{
    Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use vocab::ModelType;
use webnn_pool::{ModelError, ModelSpec, ResolvedModel};

/// More than any model here needs.
const BUDGET: u64 = 1 << 30;

/// A model that adds `constant` to its input.
fn adds(input: &str, dims: &[i64], constant: TensorProto) -> Vec<u8> {
    let value = |name: &str| {
        let dim = |&size: &i64| Dimension { value: Some(DimensionValue::DimValue(size)), denotation: None };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor = TypeValue::TensorType(TensorType { elem_type: Some(1), shape });
        let r#type = Some(TypeProto { value: Some(tensor), denotation: None });
        ValueInfoProto { name: Some(name.to_owned()), r#type, ..ValueInfoProto::default() }
    };
    let add = NodeProto {
        op_type: Some("Add".to_owned()),
        input: vec![input.to_owned(), "c".to_owned()],
        output: vec!["y".to_owned()],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("main".to_owned()),
        node: vec![add],
        input: vec![value(input)],
        output: vec![value("y")],
        initializer: vec![constant],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: Some(10),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(20) }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    onnx_graph::Model::from_proto(model).expect("a sound model").encode().to_vec()
}

fn constant() -> TensorProto {
    TensorProto {
        dims: vec![4],
        data_type: Some(1),
        name: Some("c".to_owned()),
        raw_data: Some(Bytes::from_static(&[0; 16])),
        ..TensorProto::default()
    }
}

/// A constant of `floats` numbers that lie in `weights.bin`, behind `offset` bytes.
fn external(floats: i64, offset: u64) -> TensorProto {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
    TensorProto {
        dims: vec![floats],
        raw_data: None,
        data_location: Some(1),
        external_data: vec![entry("location", "weights.bin".to_owned()), entry("offset", offset.to_string())],
        ..constant()
    }
}

fn plain() -> Vec<u8> {
    adds("x", &[4], constant())
}

/// A folder that stays for as long as the test program runs.
fn folder(files: &[(&str, &[u8])]) -> PathBuf {
    static ALL: OnceLock<tempfile::TempDir> = OnceLock::new();
    let all = ALL.get_or_init(|| tempfile::tempdir().expect("a folder"));
    let folder = tempfile::tempdir_in(all.path()).expect("a folder").keep();
    for (name, contents) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, contents).expect("a file");
    }
    folder
}

fn read(spec: ModelSpec, budget: u64) -> Result<ResolvedModel, ModelError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(ResolvedModel::read(spec, budget))
}

#[track_caller]
fn model(path: impl AsRef<Path>) -> ResolvedModel {
    read(ModelSpec::path(path.as_ref()), BUDGET).unwrap_or_else(|error| panic!("{error:?}"))
}

#[track_caller]
fn error(path: impl AsRef<Path>) -> ModelError {
    read(ModelSpec::path(path.as_ref()), BUDGET)
        .map(|model| model.name().to_owned())
        .expect_err("not a usable model")
}

/// The name of a model in a folder with this file, given this path in the folder.
#[track_caller]
fn check_name(file: &str, given: &str, name: &str) {
    assert_eq!(model(folder(&[(file, &plain())]).join(given)).name(), name);
}

/// The family of a model in this file, with this configuration beside it.
#[track_caller]
fn check_family(file: &str, config: &str, family: Option<ModelType>) {
    let folder = folder(&[(file, &plain()), ("m/config.json", config.as_bytes())]);
    assert_eq!(model(folder.join("m")).model_type(), family);
}

#[test]
fn a_model_is_called_after_its_file_or_folder() {
    check_name("add.onnx", "add.onnx", "add");
    check_name("some/add.onnx", "some/add.onnx", "add");
    check_name("some/model.onnx", "some/model.onnx", "some");
    check_name("some/model.onnx", "some", "some");
    check_name("some/model.onnx", "some/../some/.", "some");
    check_name("some/onnx/model.onnx", "some", "some");
    check_name("some/1/model.onnx", "some", "some");
}

#[test]
fn a_caller_knows_better() {
    let path = folder(&[("whisper/model.onnx", &plain())]).join("whisper");
    let spec = ModelSpec::path(path).name("mine").version("7").model_type(ModelType::Vision);
    let model = read(spec, BUDGET).expect("a model");
    assert_eq!((model.name(), model.version(), model.model_type()), ("mine", "7", Some(ModelType::Vision)));
}

#[test]
fn the_file_at_the_top_goes_before_the_one_below() {
    let other = adds("other", &[4], constant());
    let folder = folder(&[("m/model.onnx", &plain()), ("m/onnx/model.onnx", &other)]);
    assert!(model(folder.join("m")).signature().input("x").is_some());
}

#[test]
fn the_family_is_what_the_configuration_says_then_the_graph_then_the_name() {
    check_family("m/model.onnx", "", None);
    check_family("m/model.onnx", "{}", None);
    check_family("m/model.onnx", "not json", None);
    check_family("m/model.onnx", r#"{"model_type":"whisper"}"#, Some(ModelType::Audio));
    check_family("m/onnx/model.onnx", r#"{"model_type":"whisper"}"#, Some(ModelType::Audio));
    check_family(
        "m/model.onnx",
        r#"{"model_type":"new","architectures":["LlamaForCausalLM"]}"#,
        Some(ModelType::TextGeneration),
    );
    // An encoder may be used to embed or to classify: that it is text is all that its name says.
    check_family("m/model.onnx", r#"{"model_type":"bert"}"#, None);

    let image = adds("pixel_values", &[1, 3, 2, 4], constant());
    let named = folder(&[("whisper/model.onnx", &image)]).join("whisper");
    assert_eq!(model(named).model_type(), Some(ModelType::Vision), "the graph goes before the name");
    let named = folder(&[("whisper/model.onnx", &plain())]).join("whisper");
    assert_eq!(model(named).model_type(), Some(ModelType::Audio));
}

#[test]
fn what_is_not_there_is_named() {
    let folder = folder(&[("empty/readme.txt", b""), ("text.onnx", b"hello"), ("none.onnx", b"")]);
    assert!(
        matches!(error(folder.join("nowhere")), ModelError::Read { path, .. } if path.ends_with("nowhere"))
    );
    assert!(
        matches!(error(folder.join("empty")), ModelError::NoModelIn { path, .. } if path.ends_with("empty"))
    );
    assert!(matches!(error(folder.join("text.onnx")), ModelError::Onnx { name, .. } if name == "text"));
    assert!(matches!(error(folder.join("none.onnx")), ModelError::Onnx { .. }));
    assert!(matches!(error("/dev/zero"), ModelError::Read { .. }));
}

#[test]
fn weights_in_another_file_belong_to_the_model() {
    let onnx = adds("x", &[4], external(4, 8));
    let with = |weights: &[u8]| folder(&[("model.onnx", &onnx), ("weights.bin", weights)]);
    let one = model(with(&[1; 24]));
    assert_eq!(one.hash(), model(with(&[1; 24])).hash());
    assert_ne!(one.hash(), model(with(&[2; 24])).hash(), "other weights make another model");
    assert!(matches!(
        error(with(&[1; 23])),
        ModelError::ExternalShort { got: 23, needed: 24, path, .. } if path.ends_with("weights.bin")
    ));
    let without = folder(&[("model.onnx", &onnx)]);
    assert!(
        matches!(error(without), ModelError::ExternalMissing { path, .. } if path.ends_with("weights.bin"))
    );
}

/// In memory there is nothing beside the model.
#[test]
fn a_model_in_memory_has_no_other_files() {
    let model = read(ModelSpec::bytes(plain()), BUDGET).expect("a model");
    assert_eq!((model.name(), model.version()), ("model", ""));
    let onnx = adds("x", &[4], external(4, 0));
    // Whatever lies in the folder that the program runs in is not the model's.
    assert!(matches!(
        read(ModelSpec::bytes(onnx), BUDGET),
        Err(ModelError::ExternalWithoutFolder { path, .. }) if path == "weights.bin"
    ));
}

#[test]
fn a_model_beyond_the_budget_is_refused_before_its_weights_are_looked_for() {
    // The file that holds the weights is not there: that it is not missed shows that nobody looked.
    let million = folder(&[("model.onnx", &adds("x", &[1_000_000], external(1_000_000, 0)))]);
    let needs = 4_000_000 * onnx_graph::LOAD_FACTOR;
    let refused = read(ModelSpec::path(&million), needs - 1);
    assert!(
        matches!(refused, Err(ModelError::TooLarge { needs: n, largest, .. }) if (n, largest) == (needs, needs - 1))
    );
    let within = read(ModelSpec::path(&million), needs);
    assert!(matches!(within, Err(ModelError::ExternalMissing { .. })), "{within:?}");
}

/// A file without contents that claims to be long: reading it would take a while, and the machine's memory.
#[test]
fn a_file_beyond_the_budget_is_not_read() {
    let path = folder(&[]).join("huge.onnx");
    std::fs::File::create(&path).and_then(|file| file.set_len(64 << 30)).expect("a sparse file");
    assert!(matches!(error(&path), ModelError::TooLarge { needs, .. } if needs == 64 << 30));
}
