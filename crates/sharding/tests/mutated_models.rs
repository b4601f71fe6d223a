//! Models that were damaged, byte by byte or in what they say: each is refused or cut, in a bounded time, and breaks nothing.

mod common;
#[path = "common/ordeal.rs"]
mod ordeal;
#[path = "common/tweaks.rs"]
mod tweaks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use common::models::decoder;
use onnx_graph::proto::{DataLocation, ModelProto, StringStringEntryProto};
use prost::Message as _;
use sharding_testing::Builder;
use tokio::time::Instant;
use tweaks::{Dice, tweak};

/// How long one damaged model may take, with all strategies and files. The models are small: sound ones take hundredths.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often each model is changed in each of the two ways.
const CASES: u64 = 800;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the same numbers for the same seed, everywhere.
struct Seeded(u64);

impl Dice for Seeded {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }
}

/// Attention and feed-forward layers, as an exporter wrote them.
fn exported() -> Vec<u8> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/micro/golden-f32/model.onnx");
    std::fs::read(fixture).expect("the fixture is in the repository")
}

/// A branch between products, with a weight in a file beside the model and a small one within the branch.
fn branching(folder: &Path) -> Vec<u8> {
    let numbers: Vec<f32> = (0..400_u16).map(|at| f32::from(at) / 400.0 - 0.5).collect();
    let then = Builder::new().weight("v", &[1, 20], &numbers[..20]).node("Add", &["y", "v"], &["a"]);
    let otherwise = Builder::new().node("MatMul", &["y", "w"], &["b"]).output("b");
    let mut model = Builder::new()
        .input("x", &[-1, 20])
        .weight("w", &[20, 20], &numbers)
        .weight("s", &[], &[0.5])
        .node("MatMul", &["x", "w"], &["y"])
        .node("ReduceMax", &["y"], &["m"])
        .node("Less", &["m", "s"], &["c"])
        .branch("c", "z", then.output("a"), otherwise)
        .node("MatMul", &["z", "w"], &["o"])
        .output("o")
        .output("m")
        .build();
    let weight = &mut model.graph.as_mut().expect("it was built").initializer[0];
    std::fs::write(folder.join("data.bin"), weight.raw_data.take().expect("it has raw data"))
        .expect("there is room");
    let (key, value) = (Some("location".to_owned()), Some("data.bin".to_owned()));
    weight.external_data = vec![StringStringEntryProto { key, value }];
    weight.data_location = Some(DataLocation::External as i32);
    model.encode_to_vec()
}

/// Makes one change to the file that knows nothing of what it means.
fn damage(file: &mut Vec<u8>, dice: &mut Seeded) {
    if file.is_empty() {
        return;
    }
    let at = dice.roll(file.len());
    let until = (at + 1 + dice.roll(40)).min(file.len());
    match dice.roll(8) {
        0 => file.truncate(at),
        1 => _ = file.drain(at..until),
        2 => file.extend_from_within(at..until),
        3 => file.insert(at, dice.roll(256) as u8),
        4 => _ = file.splice(at..at, vec![0xff; dice.roll(12)]),
        5 => file[at..until].reverse(),
        6 => file[at] ^= 1 << dice.roll(8),
        _ => file[at] = [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
    }
}

/// Changes the model in that many ways, of which one in so many can still be cut.
#[track_caller]
fn check(model: &[u8], folder: &Path, one_in: u64, change: impl Fn(&[u8], &mut Seeded) -> Vec<u8>) {
    let sound = ordeal::undergo(folder, model).expect("undamaged it is sound");
    assert!(sound > 0, "undamaged it can be cut");
    let mut cut = 0;
    for case in 0..CASES {
        let damaged = change(model, &mut Seeded(case));
        let began = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| ordeal::undergo(folder, &damaged)));
        let cuts = done.unwrap_or_else(|_| panic!("case {case} broke it"));
        assert!(began.elapsed() < PATIENCE, "case {case} took {:?}", began.elapsed());
        cut += u64::from(cuts.is_some_and(|cuts| cuts > 0));
    }
    // What is always refused at the door tests the door alone.
    assert!(cut > CASES / one_in, "only {cut} of {CASES} could be cut");
}

#[track_caller]
fn check_damaged(model: &[u8], folder: &Path) {
    check(model, folder, 50, |model, dice| {
        let mut file = model.to_vec();
        (0..=dice.roll(3)).for_each(|_| damage(&mut file, dice));
        file
    });
}

#[track_caller]
fn check_tweaked(model: &[u8], folder: &Path) {
    check(model, folder, 8, |model, dice| {
        let mut model = ModelProto::decode(model).expect("it is sound");
        (0..=dice.roll(4)).for_each(|_| tweak(&mut model, dice));
        model.encode_to_vec()
    });
}

#[test]
fn an_exported_model() {
    let folder = tempfile::tempdir().expect("there is room");
    check_damaged(&exported(), folder.path());
    check_tweaked(&exported(), folder.path());
}

#[test]
fn a_decoder_with_caches() {
    let folder = tempfile::tempdir().expect("there is room");
    let model = decoder().model.encode_to_vec();
    check_damaged(&model, folder.path());
    check_tweaked(&model, folder.path());
}

#[test]
fn a_model_with_a_branch_and_a_file_of_weights() {
    let folder = tempfile::tempdir().expect("there is room");
    let model = branching(folder.path());
    check_damaged(&model, folder.path());
    check_tweaked(&model, folder.path());
}
