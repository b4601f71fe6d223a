//! The same for files that are models: what the input decides is how a sound one is changed.

#![no_main]

#[path = "../../crates/sharding/tests/common/ordeal.rs"]
mod ordeal;
#[path = "../../crates/sharding/tests/common/tweaks.rs"]
mod tweaks;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use onnx_graph::proto::ModelProto;
use prost::Message as _;
use tweaks::{Dice, tweak};

const SOUND: &[u8] = include_bytes!("../../fixtures/micro/golden-f32/model.onnx");

struct Drawn<'a>(Unstructured<'a>);

impl Dice for Drawn<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        // When the input is used up, every decision is the first one.
        self.0.choose_index(sides).unwrap_or(0)
    }
}

fuzz_target!(|input: &[u8]| {
    let mut model = ModelProto::decode(SOUND).expect("it is sound");
    let mut dice = Drawn(Unstructured::new(input));
    while !dice.0.is_empty() {
        tweak(&mut model, &mut dice);
    }
    let folder = tempfile::tempdir().expect("there is room");
    ordeal::undergo(folder.path(), &model.encode_to_vec());
});
