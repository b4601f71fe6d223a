//! No bytes make the frame's reader panic, and whatever it accepts is written as the same bytes again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tensor::frame::{Limits, decode, encode};

fuzz_target!(|message: &[u8]| {
    if let Ok(frame) = decode(Bytes::copy_from_slice(message), &Limits::default()) {
        let again = encode(frame.kind, frame.id, &frame.meta, &frame.tensors).expect("it fitted before");
        assert_eq!(again, message);
    }
});
