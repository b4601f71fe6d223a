//! No bytes make the reader of models panic, and every question about an accepted model has an answer.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onnx_graph::Model;

fuzz_target!(|file: &[u8]| {
    if let Ok(model) = Model::parse(Bytes::copy_from_slice(file)) {
        let _ = (model.signature(), model.weight_bytes(), model.external_files());
        let _ = (model.operators(), model.opset(), model.family(), model.peak_load_bytes());
        assert!(Model::parse(model.encode()).is_ok());
    }
});
