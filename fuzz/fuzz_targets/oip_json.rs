//! No bytes make the protocol's reader panic, and what it accepts survives being written and read again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tensor::oip::{InferRequest, Limits};

fuzz_target!(|input: (u16, &[u8])| {
    let (header_len, message) = input;
    let limits = Limits::default();
    let message = Bytes::copy_from_slice(message);
    for read in [
        InferRequest::from_json(&message, &limits),
        InferRequest::from_binary(message.clone(), header_len.into(), &limits),
    ] {
        let Ok(request) = read else { continue };
        let written = request.to_binary().expect("it was read");
        let header_len = written.header.len() as u64;
        let again = InferRequest::from_binary(written.into_bytes(), header_len, &limits);
        assert_eq!(again.expect("it was written"), request);
        let json = request.to_json().expect("it was read");
        InferRequest::from_json(&json, &limits).expect("it was written");
    }
});
