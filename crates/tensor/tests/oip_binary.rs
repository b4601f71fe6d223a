//! The binary tensor data extension: the bytes lie where they should, are shared, and add up.

use bytes::Bytes;
use tensor::oip::{InferRequest, InferResponse, Limits, OipError};
use tensor::{NamedTensor, Tensor};

fn request() -> InferRequest {
    InferRequest {
        id: Some("7".to_owned()),
        parameters: serde_json::from_str(r#"{"binary_data_output":true}"#).expect("an object"),
        inputs: vec![
            NamedTensor::new("a", Tensor::from_slice([2], &[1_i16, 2]).expect("counted")),
            NamedTensor::new("b", Tensor::from_strings([1], &["é"]).expect("counted")),
        ],
        outputs: serde_json::from_str(r#"[{"name":"y","parameters":{"binary_data":false}},{"name":"z"}]"#)
            .expect("outputs"),
    }
}

#[test]
fn a_binary_request_reads_back_and_shares_its_bytes() {
    let message = request().to_binary().expect("it writes");
    assert_eq!(
        message.parts,
        [Bytes::from_static(b"\x01\0\x02\0"), Bytes::from_static(b"\x02\0\0\0\xc3\xa9")]
    );
    let header_len = message.header.len() as u64;
    let bytes = message.into_bytes();
    let range = bytes.as_ptr_range();
    let read = InferRequest::from_binary(bytes, header_len, &Limits::default()).expect("it reads");
    assert_eq!(read, request());
    assert!(range.contains(&read.inputs[0].tensor.data().as_ptr()));
}

#[test]
fn an_output_overrides_what_is_asked_for_all() {
    assert!(!request().wants_binary("y"));
    assert!(request().wants_binary("z"));
    assert!(request().wants_binary("not listed"));
    assert!(!InferRequest::default().wants_binary("y"));
}

#[test]
fn json_and_binary_mix_in_one_response() {
    let outputs = vec![
        NamedTensor::new("y", Tensor::from_slice([1], &[1.5_f32]).expect("counted")),
        NamedTensor::new("z", Tensor::from_slice([1], &[f32::NAN]).expect("counted")),
    ];
    let response = InferResponse { model_name: "m".to_owned(), outputs, ..InferResponse::default() };
    let message = response.to_binary(|name| request().wants_binary(name)).expect("it writes");
    assert_eq!(message.parts.len(), 1);
    assert!(message.header.windows(12).any(|text| text == b"\"data\":[1.5]"));
    let header_len = message.header.len() as u64;
    let read = InferResponse::from_binary(message.into_bytes(), header_len, &Limits::default());
    assert_eq!(read.expect("it reads"), response);
}

#[track_caller]
fn check(tensor: &str, binary: &'static [u8], is_it: impl Fn(&OipError) -> bool) {
    let json = format!(r#"{{"inputs":[{{"name":"x","datatype":"INT16",{tensor}}}]}}"#);
    let message = [json.as_bytes(), binary].concat();
    let error = InferRequest::from_binary(message.into(), json.len() as u64, &Limits::default());
    let error = error.expect_err("not valid");
    assert!(is_it(&error), "{error:?}");
}

#[test]
fn sizes_must_add_up() {
    check(r#""shape":[2],"parameters":{"binary_data_size":4}"#, b"123", |error| {
        matches!(error, OipError::BinaryCut { claimed: 4, left: 3, .. })
    });
    check(r#""shape":[2],"parameters":{"binary_data_size":4}"#, b"12345", |error| {
        matches!(error, OipError::BinaryLeftOver { bytes: 1 })
    });
    check(r#""shape":[2],"parameters":{"binary_data_size":3}"#, b"123", |error| {
        matches!(error, OipError::Tensor { .. })
    });
    check(r#""shape":[1],"parameters":{"binary_data_size":2},"data":[1]"#, b"12", |error| {
        matches!(error, OipError::TwoData { .. })
    });
    check(r#""shape":[1],"parameters":{"binary_data_size":-2}"#, b"12", |error| {
        matches!(error, OipError::BadParameter { .. })
    });
    check(r#""shape":[1],"parameters":{"shared_memory_region":"r"}"#, b"", |error| {
        matches!(error, OipError::SharedMemory { .. })
    });
    let short = InferRequest::from_binary(Bytes::from_static(b"{}"), 3, &Limits::default());
    assert!(matches!(short, Err(OipError::HeaderLength { header: 3, message: 2 })));
}
