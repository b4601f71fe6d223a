//! No bytes make the reader panic, and whatever it accepts can be asked everything.

mod common;

use common::{graph, model};
use onnx_graph::Model;
use proptest::prelude::*;
use prost::Message;

fn ask_everything(file: Vec<u8>) {
    let Ok(model) = Model::parse(file.into()) else { return };
    let answers = (model.signature().clone(), model.weight_bytes(), model.operators(), model.family());
    let again = Model::parse(model.encode()).expect("what was accepted is accepted again");
    assert_eq!((again.signature().clone(), again.weight_bytes(), again.operators(), again.family()), answers);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        ask_everything(bytes);
    }

    #[test]
    fn a_damaged_model(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = model(graph()).encode_to_vec();
        for (at, value) in damage {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        ask_everything(file);
    }
}
