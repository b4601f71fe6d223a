//! Files: what is read, what is refused, what is left behind.

mod common;

use std::path::Path;

use onnx_graph::proto::{DataLocation, ModelProto, StringStringEntryProto, TensorProto};
use onnx_graph::{Model, OnnxError};
use prost::Message as _;
use sharding::{ModelFile, Plan, ReadError, Request, Strategy, WriteError, WriteOptions, plan, write};
use sharding_testing::Builder;

const SIDE: usize = 32;

/// Products with weights that are too large to stay in memory.
fn model(layers: usize) -> ModelProto {
    let mut builder = Builder::new().input("x", &[SIDE as i64, SIDE as i64]);
    let mut x = "x".to_owned();
    for layer in 0..layers {
        let (weight, next) = (format!("w{layer}"), format!("y{layer}"));
        let values: Vec<f32> = (0..SIDE * SIDE).map(|at| (at * (layer + 3)) as f32).collect();
        builder = builder.weight(&weight, &[SIDE as i64, SIDE as i64], &values).node(
            "MatMul",
            &[&x, &weight],
            &[&next],
        );
        x = next;
    }
    builder.output(&x).build()
}

/// The same with the weights in a file beside it, from an offset on.
fn outside(mut model: ModelProto, folder: &Path) -> ModelProto {
    let mut data = vec![0xAA_u8; 100];
    let graph = model.graph.as_mut().expect("it was built");
    for weight in &mut graph.initializer {
        let raw = weight.raw_data.take().expect("it has raw data");
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        weight.external_data = vec![
            entry("location", "data.bin".to_owned()),
            entry("offset", data.len().to_string()),
            entry("length", raw.len().to_string()),
        ];
        weight.data_location = Some(DataLocation::External as i32);
        data.extend_from_slice(&raw);
    }
    std::fs::write(folder.join("data.bin"), data).expect("there is room");
    model
}

fn save(folder: &Path, model: &ModelProto) -> std::path::PathBuf {
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).expect("there is room");
    path
}

/// The bytes of a part's weights, wherever they are.
fn values(folder: &Path, weight: &TensorProto) -> Vec<u8> {
    if let Some(raw) = &weight.raw_data {
        return raw.to_vec();
    }
    let entry = |key: &str| {
        weight
            .external_data
            .iter()
            .find(|entry| entry.key() == key)
            .expect("it says where it is")
            .value()
            .to_owned()
    };
    let file = std::fs::read(folder.join(entry("location"))).expect("it is there");
    let number = |key| entry(key).parse::<usize>().expect("it is a number");
    file[number("offset")..][..number("length")].to_vec()
}

fn check(model: &ModelProto, path: &Path, limit: u64) -> Plan {
    let parts = tempfile::tempdir().expect("there is room");
    let file = ModelFile::open(path).expect("it is sound");
    let cut = plan(&file, &Request::new(Strategy::Layer, 3)).expect("it fits");
    let options = {
        let mut options = WriteOptions::default();
        options.inline_limit = limit;
        options
    };
    let plan = write(&cut, parts.path(), &options).expect("there is room");
    let whole = &model.graph.as_ref().expect("it was built").initializer;
    let mut seen = 0;
    for stage in &plan.stages {
        let bytes = std::fs::read(parts.path().join(&stage.file)).expect("it was written");
        let part = Model::parse(bytes.into()).expect("it is a model").into_proto();
        for weight in &part.graph.as_ref().expect("it has a graph").initializer {
            let original =
                whole.iter().find(|other| other.name() == weight.name()).expect("it is the whole's");
            let data = original.raw_data.as_deref().expect("it has raw data");
            assert_eq!(values(parts.path(), weight), data);
            seen += 1;
        }
    }
    assert_eq!(seen, whole.len());
    plan
}

#[test]
fn weights_come_from_within_and_from_beside_and_go_there() {
    let folder = tempfile::tempdir().expect("there is room");
    let plain = model(6);
    let within = save(folder.path(), &plain);
    assert!(check(&plain, &within, u64::MAX).stages.iter().all(|stage| stage.data.is_empty()));
    let beside = check(&plain, &within, 0);
    assert!(beside.stages.iter().all(|stage| stage.data[0].bytes >= stage.weight_bytes));
    let external = save(folder.path(), &outside(plain.clone(), folder.path()));
    check(&plain, &external, u64::MAX);
    check(&plain, &external, 0);
}

#[test]
fn numbers_in_typed_fields_are_weights_like_others() {
    let folder = tempfile::tempdir().expect("there is room");
    let plain = model(3);
    let mut typed = plain.clone();
    for weight in &mut typed.graph.as_mut().expect("it was built").initializer {
        let raw = weight.raw_data.take().expect("it has raw data");
        let (words, _) = raw.as_chunks::<4>();
        weight.float_data = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    }
    check(&plain, &save(folder.path(), &typed), u64::MAX);
}

#[test]
fn a_model_that_was_cut_off_is_refused_wherever_it_was() {
    let folder = tempfile::tempdir().expect("there is room");
    let whole = model(3).encode_to_vec();
    let path = folder.path().join("model.onnx");
    for length in (0..whole.len()).step_by(61) {
        std::fs::write(&path, &whole[..length]).expect("there is room");
        let error = ModelFile::open(&path).expect_err("it is not whole");
        assert!(matches!(error, ReadError::Model { .. }), "{length}: {error:?}");
    }
    std::fs::write(&path, b"\x89PNG not a model at all").expect("there is room");
    let error = ModelFile::open(&path).expect_err("it is a picture");
    let ReadError::Model { source: OnnxError::NotOnnx { .. }, .. } = error else { panic!("{error:?}") };
}

#[test]
fn weights_that_are_missing_or_short_are_named() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = save(folder.path(), &outside(model(3), folder.path()));
    let data = folder.path().join("data.bin");
    std::fs::File::options()
        .write(true)
        .open(&data)
        .expect("it is there")
        .set_len(5000)
        .expect("it can be cut");
    let error = ModelFile::open(&path).expect_err("weights are missing");
    let ReadError::ShortWeights { needed: 12388, got: 5000, .. } = error else { panic!("{error:?}") };
    std::fs::remove_file(&data).expect("it is there");
    assert!(matches!(ModelFile::open(&path), Err(ReadError::Io { path, .. }) if path == data));
}

#[test]
fn an_older_plan_leaves_no_parts_and_a_failed_write_no_plan() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = save(folder.path(), &outside(model(6), folder.path()));
    let parts = folder.path().join("parts");
    let file = ModelFile::open(&path).expect("it is sound");
    let cut = |shards| plan(&file, &Request::new(Strategy::Layer, shards)).expect("it fits");
    let names = || {
        let entries = std::fs::read_dir(&parts).expect("it is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    write(&cut(4), &parts, &WriteOptions::default()).expect("there is room");
    write(&cut(2), &parts, &WriteOptions::default()).expect("there is room");
    assert_eq!(names(), ["plan.json", "stage-00.onnx", "stage-01.onnx"]);
    std::fs::write(folder.path().join("data.bin"), b"gone").expect("there is room");
    let error = write(&cut(2), &parts, &WriteOptions::default()).expect_err("there are no weights any more");
    assert!(matches!(error, WriteError::Weights { .. }), "{error:?}");
    assert!(!names().contains(&"plan.json".to_owned()), "{:?}", names());
    assert!(names().iter().all(|name| !name.ends_with(".draft")), "{:?}", names());
}

#[test]
fn a_model_is_not_written_over() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("stage-00.onnx");
    std::fs::write(&path, model(4).encode_to_vec()).expect("there is room");
    check_spared(&path, folder.path());
    let other = tempfile::tempdir().expect("there is room");
    let draft = other.path().join("stage-01.onnx.draft");
    std::fs::write(&draft, model(4).encode_to_vec()).expect("there is room");
    check_spared(&draft, other.path());
}

/// Files of weights that this process has open, as Linux tells.
#[cfg(target_os = "linux")]
fn open_weights(folder: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
    let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder) && target.extension() == Some("w".as_ref())).count()
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_files_of_weights_as_there_are_weights_are_not_all_open() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    let folder = tempfile::tempdir().expect("there is room");
    let mut many = model(300);
    for (at, weight) in many.graph.as_mut().expect("it was built").initializer.iter_mut().enumerate() {
        let raw = weight.raw_data.take().expect("it has raw data");
        let name = format!("{at}.w");
        std::fs::write(folder.path().join(&name), &raw).expect("there is room");
        let (key, value) = (Some("location".to_owned()), Some(name));
        weight.external_data = vec![StringStringEntryProto { key, value }];
        weight.data_location = Some(DataLocation::External as i32);
    }
    let file = ModelFile::open(save(folder.path(), &many)).expect("it is sound");
    let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("it fits");
    let (done, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(open_weights(folder.path()), Ordering::Relaxed);
            }
        });
        write(&cut, &folder.path().join("parts"), &WriteOptions::default()).expect("there is room");
        done.store(true, Ordering::Relaxed);
    });
    assert!(most.load(Ordering::Relaxed) <= 1, "{most:?}");
}

#[test]
fn a_part_that_is_cut_again_is_not_removed_with_its_plan() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = save(folder.path(), &model(8));
    let file = ModelFile::open(&path).expect("it is sound");
    let parts = folder.path().join("parts");
    let cut = plan(&file, &Request::new(Strategy::Layer, 4)).expect("it fits");
    let options = {
        let mut options = WriteOptions::default();
        options.inline_limit = 0;
        options
    };
    write(&cut, &parts, &options).expect("there is room");
    // None of the two new parts has the name of this one, but the older plan names it and its weights.
    check_spared(&parts.join("stage-03.onnx"), &parts);
    let weights = ["stage-03.onnx.data", "plan.json", "stage-00.onnx"];
    assert!(weights.iter().all(|name| parts.join(name).exists()), "nothing was removed");
}

#[test]
fn an_older_plan_reaches_no_file_outside_of_its_folder() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = save(folder.path(), &model(4));
    let file = ModelFile::open(&path).expect("it is sound");
    let parts = folder.path().join("parts");
    let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("it fits");
    let mut old = write(&cut, &parts, &WriteOptions::default()).expect("there is room");
    for name in ["..", ".", "../model.onnx", "", "/"] {
        old.stages[1].file = name.to_owned();
        std::fs::write(parts.join("plan.json"), serde_json::to_vec(&old).expect("it is one"))
            .expect("there is room");
        write(&cut, &parts, &WriteOptions::default()).expect("such names are passed over");
        assert!(path.exists(), "{name:?}");
    }
}

/// Cutting the model into that folder is refused, and leaves it as it was.
#[track_caller]
fn check_spared(path: &Path, folder: &Path) {
    let before = std::fs::read(path).expect("it is there");
    let file = ModelFile::open(path).expect("it is sound");
    let cut = plan(&file, &Request::new(Strategy::Layer, 2)).expect("it fits");
    let error = write(&cut, folder, &WriteOptions::default()).expect_err("it would be lost");
    assert!(matches!(error, WriteError::WouldOverwrite { path: refused } if refused == path));
    assert_eq!(std::fs::read(path).expect("it is still there"), before);
}
