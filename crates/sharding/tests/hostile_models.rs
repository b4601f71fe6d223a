//! Models that somebody made to do harm: each is refused for its reason, or cut, within bounded time and memory.

mod common;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::open;
use onnx_graph::OnnxError;
use onnx_graph::proto::{
    AttributeProto, DataLocation, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    SparseTensorProto, StringStringEntryProto, TensorProto,
};
use prost::Message as _;
use sharding::{ModelFile, ReadError, Request, Strategy, plan};
use sharding_testing::Builder;
use tokio::time::Instant;

/// What any file may take that is refused at the door.
const PATIENCE: Duration = Duration::from_secs(5);

fn save(folder: &Path, file: &[u8]) -> PathBuf {
    let path = folder.join("model.onnx");
    std::fs::write(&path, file).expect("there is room");
    path
}

/// The file is refused as a model, soon and for that reason.
#[track_caller]
fn check_refused(path: impl Into<PathBuf>, is_it: impl FnOnce(&OnnxError) -> bool) {
    let began = Instant::now();
    let error = ModelFile::open(path).expect_err("it is to be refused");
    assert!(matches!(&error, ReadError::Model { source, .. } if is_it(source)), "{error:?}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[track_caller]
fn check_model(model: &ModelProto, is_it: impl FnOnce(&OnnxError) -> bool) {
    let folder = tempfile::tempdir().expect("there is room");
    check_refused(save(folder.path(), &model.encode_to_vec()), is_it);
}

#[test]
fn bad_fixtures_are_refused_for_their_reason() {
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bad");
    let file = |name: &str| bad.join(name).join("model.onnx");
    check_refused(file("empty"), |error| *error == OnnxError::Empty);
    check_refused(file("text"), |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_refused(file("corrupt"), |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_refused(file("cyclic"), |error| matches!(error, OnnxError::Cycle { .. }));
    check_refused(file("escaping-path"), |error| matches!(error, OnnxError::EscapingPath { .. }));
    check_refused(file("future-opset"), |error| matches!(error, OnnxError::UnknownOpset { .. }));
    check_refused(file("unknown-domain"), |error| matches!(error, OnnxError::UnknownDomain { .. }));
    check_refused(file("unknown-operator"), |error| matches!(error, OnnxError::UnknownOperator { .. }));
    let error = ModelFile::open(file("too-large")).expect_err("its weights are not there");
    assert!(matches!(&error, ReadError::Io { path, .. } if path.ends_with("weights.bin")), "{error:?}");
    // A tensor of 64 TiB in the middle is for whoever runs it to refuse; here it is a number.
    let allocation = ModelFile::open(file("allocation")).expect("the file itself is sound");
    assert!(plan(&allocation, &Request::new(Strategy::Layer, 1)).is_ok());
}

#[test]
fn parts_that_reach_far_beyond_the_file_take_no_memory_for_it() {
    // A graph, a weight within a graph, and the weight's data: each says that it has 2⁶² bytes.
    let length = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    let folder = tempfile::tempdir().expect("there is room");
    for heads in [&[0x3a][..], &[0x3a, 0x10, 0x2a], &[0x3a, 0x10, 0x2a, 0x0d, 0x4a]] {
        let path = save(folder.path(), &[&[0x08, 0x0a], heads, &length, &[0; 8]].concat());
        check_refused(path, |error| matches!(error, OnnxError::Truncated { .. } | OnnxError::Damaged { .. }));
    }
}

/// Nodes of which each takes what the one before it gives, and the first one what the last one gives.
fn ring(length: usize) -> ModelProto {
    let mut builder = Builder::new().input("x", &[2]);
    for at in 0..length {
        let before = format!("v{}", (at + length - 1) % length);
        builder = builder.node("Add", &["x", &before], &[&format!("v{at}")]);
    }
    builder.output("v0").build()
}

#[test]
fn cycles_are_found_whatever_their_length() {
    for length in [1, 2, 100_000] {
        check_model(&ring(length), |error| matches!(error, OnnxError::Cycle { .. }));
    }
    // The way back leads through the body of a branch.
    let body = Builder::new().node("Relu", &["y"], &["a"]).output("a");
    let model = Builder::new()
        .input("x", &[2])
        .input("c", &[])
        .branch("c", "b", body.clone(), body)
        .node("Add", &["x", "b"], &["y"])
        .output("y")
        .build();
    // Seen from within the body, what only comes later is not there.
    check_model(&model, |error| matches!(error, OnnxError::UndefinedInput { input, .. } if input == "y"));
}

fn external(location: &str, dims: &[i64]) -> TensorProto {
    let (key, value) = (Some("location".to_owned()), Some(location.to_owned()));
    TensorProto {
        name: Some("outside".to_owned()),
        dims: dims.to_vec(),
        data_type: Some(1),
        external_data: vec![StringStringEntryProto { key, value }],
        data_location: Some(DataLocation::External as i32),
        ..TensorProto::default()
    }
}

/// A model for each place in which a constant can stand, with this one there.
fn everywhere(constant: &TensorProto) -> Vec<ModelProto> {
    let sound = Builder::new().input("x", &[2]).node("Relu", &["x"], &["y"]).output("y").build();
    let with = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = sound.clone();
        change(model.graph.as_mut().expect("it was built"));
        model
    };
    let attribute =
        |attribute: AttributeProto| AttributeProto { name: Some("value".to_owned()), ..attribute };
    let tensor =
        || attribute(AttributeProto { t: Some(Box::new(constant.clone())), ..AttributeProto::default() });
    let sparse =
        || SparseTensorProto { values: Some(constant.clone()), indices: None, dims: constant.dims.clone() };
    let body = || GraphProto { initializer: vec![constant.clone()], ..GraphProto::default() };
    let mut function = sound.clone();
    let (name, domain) = (Some("f".to_owned()), Some("local".to_owned()));
    let constant_node = NodeProto {
        op_type: Some("Constant".to_owned()),
        output: vec!["c".to_owned()],
        attribute: vec![tensor()],
        ..NodeProto::default()
    };
    function.functions.push(FunctionProto {
        name,
        domain: domain.clone(),
        node: vec![constant_node],
        opset_import: sound.opset_import.clone(),
        ..FunctionProto::default()
    });
    function.opset_import.push(OperatorSetIdProto { domain, version: Some(1) });
    vec![
        with(&|graph| graph.initializer.push(constant.clone())),
        with(&|graph| graph.sparse_initializer.push(sparse())),
        with(&|graph| graph.node[0].attribute.push(tensor())),
        with(&|graph| {
            let sparse_tensor = Some(Box::new(sparse()));
            let whole = AttributeProto { sparse_tensor, ..AttributeProto::default() };
            graph.node[0].attribute.push(attribute(whole));
        }),
        with(&|graph| {
            let whole = AttributeProto { g: Some(Box::new(body())), ..AttributeProto::default() };
            graph.node[0].attribute.push(attribute(whole));
        }),
        function,
    ]
}

#[test]
fn no_constant_lies_outside_of_the_folder_even_if_it_is_there() {
    let outer = tempfile::tempdir().expect("there is room");
    let folder = outer.path().join("models");
    std::fs::create_dir(&folder).expect("there is room");
    let secret = outer.path().join("secret.bin");
    std::fs::write(&secret, [0; 8]).expect("there is room");
    let absolute = secret.to_str().expect("it is plain");
    for location in
        ["../secret.bin", "./../secret.bin", "a/../../secret.bin", "..", "..\\secret.bin", absolute]
    {
        for (at, model) in everywhere(&external(location, &[2])).iter().enumerate() {
            let path = save(&folder, &model.encode_to_vec());
            let error = ModelFile::open(path).expect_err("it leads outside");
            let refused = matches!(&error, ReadError::Model { source: OnnxError::EscapingPath { .. }, .. });
            assert!(refused, "{location:?} in place {at}: {error:?}");
        }
    }
}

#[test]
fn weights_larger_than_any_file_are_refused_by_their_sizes() {
    let bad = |error: &OnnxError| matches!(error, OnnxError::BadConstant { .. });
    for dims in
        [&[i64::MAX, 2][..], &[1 << 32, 1 << 32], &[i64::MAX; 30], &[-1], &[i64::MIN, 0], &[1 << 62, 4]]
    {
        for model in everywhere(&external("data.bin", dims)) {
            check_model(&model, bad);
        }
        for model in everywhere(&TensorProto { raw_data: Some(vec![0; 64].into()), ..inside(dims) }) {
            check_model(&model, bad);
        }
    }
    // Four tebibytes can be counted, but they are not there.
    let folder = tempfile::tempdir().expect("there is room");
    std::fs::write(folder.path().join("data.bin"), [0; 64]).expect("there is room");
    for model in everywhere(&external("data.bin", &[1 << 40])) {
        let path = save(folder.path(), &model.encode_to_vec());
        let error = ModelFile::open(path).expect_err("they are not there");
        assert!(matches!(error, ReadError::ShortWeights { needed, got: 64, .. } if needed == 4 << 40));
    }
}

fn inside(dims: &[i64]) -> TensorProto {
    TensorProto { external_data: Vec::new(), data_location: None, ..external("", dims) }
}

#[test]
fn constants_of_nodes_that_are_too_large_to_hold_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().expect("there is room");
    // Three gibibytes that take no room on a disk.
    File::create(folder.path().join("data.bin"))
        .and_then(|file| file.set_len(3 << 30))
        .expect("files can have holes");
    let [_, sparse, attribute, sparse_attribute, body, function] =
        <[ModelProto; 6]>::try_from(everywhere(&external("data.bin", &[3 << 28]))).expect("there are six");
    for model in [sparse, attribute, sparse_attribute, body, function] {
        let path = save(folder.path(), &model.encode_to_vec());
        let began = Instant::now();
        let error = ModelFile::open(path).expect_err("it is too large");
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error:?}");
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
}

#[test]
fn sizes_of_inputs_are_numbers_and_take_nothing() {
    let folder = tempfile::tempdir().expect("there is room");
    let most = i64::MAX;
    let model = Builder::new()
        .input("x", &[most, most, most])
        .node("Relu", &["x"], &["a"])
        .node("Tanh", &["a"], &["y"])
        .output("y")
        .build();
    let file = open(folder.path(), &model);
    for (strategy, shards) in [(Strategy::Layer, 2), (Strategy::Optimal, 2), (Strategy::Layer, 1)] {
        let cut = plan(&file, &Request::new(strategy, shards)).expect("there are two nodes");
        assert_eq!(cut.plan().stages.len(), shards);
    }
}

/// Bytes that one node takes in the files below: each takes the value before it and gives the next one.
const NODE: u64 = 28;

/// Writes a model of that many nodes, node by node.
fn stream_chain(path: &Path, nodes: u32) {
    let ends = Builder::new().input("00000000", &[2]).output(&format!("{nodes:08x}")).build();
    let shell = ModelProto { graph: None, ..ends.clone() };
    let ends = ends.graph.expect("it was built").encode_to_vec();
    stream(path, &shell, u64::from(nodes) * NODE, &ends, |out| {
        for at in 0..nodes {
            let (taken, given) = (format!("{at:08x}"), format!("{:08x}", at + 1));
            out.write_all(&[0x0a, 26, 0x0a, 8])?;
            out.write_all(taken.as_bytes())?;
            out.write_all(&[0x12, 8])?;
            out.write_all(given.as_bytes())?;
            out.write_all(b"\x22\x04Relu")?;
        }
        Ok(())
    });
}

/// Writes a model whose graph begins with what is written by `put`, of that length, and ends with `rest`.
fn stream(
    path: &Path,
    shell: &ModelProto,
    length: u64,
    rest: &[u8],
    put: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) {
    let mut head = shell.encode_to_vec();
    head.push(0x3a);
    prost::encode_length_delimiter(length as usize + rest.len(), &mut head).expect("a vector grows");
    let mut out = BufWriter::new(File::create(path).expect("there is room"));
    let whole = out.write_all(&head).and_then(|()| put(&mut out)).and_then(|()| out.write_all(rest));
    whole.and_then(|()| out.flush()).expect("there is room");
}

/// What became of a file in a process of its own.
#[cfg(target_os = "linux")]
struct Outcome {
    took: Duration,
    peak: u64,
    what: String,
}

/// The variable that names the file.
#[cfg(target_os = "linux")]
const FILE: &str = "SHARDING_HOSTILE_FILE";

/// Runs the test below in a process that does nothing else, so that its peak of memory is the file's.
#[cfg(target_os = "linux")]
fn alone(path: &Path) -> Outcome {
    let own = std::env::current_exe().expect("it runs");
    let mut child = std::process::Command::new(own);
    child.args(["--exact", "a_file_that_another_test_names"]).env(FILE, path);
    assert!(child.output().expect("it starts").status.success());
    let told = std::fs::read_to_string(path.with_extension("outcome")).expect("it was written");
    let mut parts = told.splitn(3, ' ');
    let mut number = || parts.next().and_then(|text| text.parse().ok()).expect("it is a number");
    let (took, peak) = (Duration::from_millis(number()), number());
    Outcome { took, peak, what: parts.next().expect("it says what became of it").to_owned() }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_another_test_names() {
    let Some(path) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let began = Instant::now();
    let what = match ModelFile::open(&path) {
        Ok(file) => match plan(&file, &Request::new(Strategy::Layer, 2)) {
            Ok(cut) => format!("{} stages", cut.plan().stages.len()),
            Err(error) => format!("{error:?}"),
        },
        Err(error) => format!("{error:?}"),
    };
    let took = began.elapsed().as_millis();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: u64 = peak.and_then(|kib| kib.parse().ok()).expect("Linux tells it");
    std::fs::write(path.with_extension("outcome"), format!("{took} {} {what}", peak << 10))
        .expect("there is room");
}

/// The file's fate, and bounds on the time and the bytes that it took.
#[cfg(target_os = "linux")]
#[track_caller]
fn check_bounded(path: &Path, fate: &str, seconds: u64, most: u64) {
    let Outcome { took, peak, what } = alone(path);
    assert!(what.contains(fate), "{what}");
    assert!(took < Duration::from_secs(seconds), "{took:?}");
    assert!(peak < most, "{} MiB", peak >> 20);
}

#[cfg(target_os = "linux")]
#[test]
fn ten_million_nodes_are_refused_before_they_are_held() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("model.onnx");
    stream_chain(&path, 10_000_000);
    // The structure is held encoded, twice at the worst moment; decoded it would take about four gigabytes.
    let bytes = std::fs::metadata(&path).expect("it was written").len();
    check_bounded(&path, "OverLimit", 20, 2 * bytes + (64 << 20));
}

#[cfg(target_os = "linux")]
#[test]
fn ten_million_nodes_in_few_bytes_are_refused_before_they_are_held() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("model.onnx");
    let model = Builder::new().input("x", &[2]).output("x").build();
    let rest = model.graph.as_ref().expect("it was built").encode_to_vec();
    let shell = ModelProto { graph: None, ..model };
    stream(&path, &shell, 20_000_000, &rest, |out| {
        (0..10_000).try_for_each(|_| out.write_all(&[0x0a, 0].repeat(1000)))
    });
    check_bounded(&path, "OverLimit", 20, 128 << 20);
}

#[test]
fn more_nodes_than_can_be_planned_are_refused() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("model.onnx");
    stream_chain(&path, 100_001);
    let error = ModelFile::open(&path).expect_err("it has one too many");
    assert!(matches!(error, ReadError::TooManyNodes { nodes: 100_001, limit: 100_000, .. }), "{error:?}");
}

/// Additions that each look as if they ended a layer that began with the model.
#[test]
fn a_long_way_around_holds_nobody_up() {
    let mut builder =
        Builder::new().input("x", &[2]).node("Relu", &["x"], &["s"]).node("Relu", &["s"], &["v0"]);
    for at in 0..20_000 {
        builder = builder.node("Add", &[&format!("v{at}"), "s"], &[&format!("v{}", at + 1)]);
    }
    let folder = tempfile::tempdir().expect("there is room");
    let file = open(folder.path(), &builder.output("v20000").build());
    let began = Instant::now();
    let request = Request::new(Strategy::AttentionFeedforward, 2);
    assert!(plan(&file, &request).is_err(), "nothing in it attends");
    assert!(began.elapsed() < 6 * PATIENCE, "{:?}", began.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_nodes_as_no_model_has_are_planned_in_bounds() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("model.onnx");
    stream_chain(&path, 50_000);
    check_bounded(&path, "2 stages", 20, 256 << 20);
}

#[cfg(target_os = "linux")]
#[test]
fn weights_of_many_gigabytes_take_no_memory() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("model.onnx");
    // A weight of eight gibibytes in the model's own file, all of it a hole in the file.
    let data = 8_u64 << 30;
    let mut model = Builder::new()
        .input("x", &[2])
        .node("Relu", &["x"], &["a"])
        .node("Mul", &["a", "outside"], &["y"])
        .output("y")
        .build();
    let rest = model.graph.take().expect("it was built").encode_to_vec();
    let mut head = inside(&[2, 1 << 30]).encode_to_vec();
    head.push(0x4a);
    prost::encode_length_delimiter(data as usize, &mut head).expect("a vector grows");
    let mut field = vec![0x2a];
    prost::encode_length_delimiter(head.len() + data as usize, &mut field).expect("a vector grows");
    let front = [rest, field, head].concat();
    stream(&path, &model, data, &front, |_| Ok(()));
    let file = File::options().write(true).open(&path).expect("it was written");
    let written = file.metadata().expect("it was written").len();
    file.set_len(written + data).expect("files can have holes");
    check_bounded(&path, "2 stages", 5, 64 << 20);
}
