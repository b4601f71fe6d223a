//! Requests and responses in JSON: exact numbers, typed errors, and no bytes that make the reader panic.

use proptest::prelude::*;
use tensor::oip::{DataError, InferRequest, InferResponse, Limits, OipError};
use tensor::{DType, NamedTensor, Shape, Tensor, bf16, f16};

fn parse(datatype: &str, shape: &str, data: &str) -> Result<Tensor, OipError> {
    // The data stands before the datatype, which is the harder order.
    let json = format!(
        r#"{{"inputs":[{{"name":"x","data":{data},"shape":{shape},"datatype":"{datatype}","extra":[1]}}]}}"#
    );
    let mut request = InferRequest::from_json(json.as_bytes(), &Limits::default())?;
    assert_eq!(&*request.inputs[0].name, "x");
    Ok(request.inputs.remove(0).tensor)
}

#[track_caller]
fn check(datatype: &str, shape: &str, data: &str, expected: Tensor) {
    assert_eq!(parse(datatype, shape, data).expect("valid"), expected);
}

#[track_caller]
fn check_refused(datatype: &str, shape: &str, data: &str, is_it: impl Fn(&DataError) -> bool) {
    match parse(datatype, shape, data).expect_err("not valid") {
        OipError::Data { tensor, source } if tensor == "x" => assert!(is_it(&source), "{source:?}"),
        other => panic!("{other:?}"),
    }
}

fn of<T: tensor::Element>(values: &[T]) -> Tensor {
    Tensor::from_slice([values.len() as u64], values).expect("counted")
}

#[test]
fn integers_are_exact_to_their_last_bit() {
    check("INT64", "[3]", "[9223372036854775807, -9223372036854775808, -0]", of(&[i64::MAX, i64::MIN, 0]));
    check("UINT64", "[2]", "[18446744073709551615,-0]", of(&[u64::MAX, 0]));
    check("INT64", "[1]", "[9007199254740993]", of(&[9_007_199_254_740_993_i64]));
    check("UINT8", "[2]", "[0,255]", of(&[0_u8, 255]));
    check("INT4", "[3]", "[-8,7,1]", Tensor::pack_i4([3], &[-8, 7, 1]).expect("in range"));
    check("UINT4", "[3]", "[15,0,9]", Tensor::pack_u4([3], &[15, 0, 9]).expect("in range"));
}

#[test]
fn floats_are_rounded_once() {
    check("FP32", "[3]", "[0.1, 1e-45, -0.0]", of(&[0.1_f32, f32::from_bits(1), -0.0]));
    // Through a double this lands exactly between two singles and is rounded to the wrong one of them.
    check("FP32", "[1]", "[1.00000017881393432617187499]", of(&[1.000_000_1_f32]));
    check("FP64", "[1]", "[0.1]", of(&[0.1_f64]));
    check("FP16", "[2]", "[0.1, 65504]", of(&[f16::from_f64(0.1), f16::MAX]));
    check("BF16", "[1]", "[2.718e3]", of(&[bf16::from_f64(2.718e3)]));
    let nan = parse("FP32", "[1]", "[null]").expect("null is not a number");
    assert!(nan.to_vec::<f32>().expect("fp32")[0].is_nan());
}

#[test]
fn booleans_and_text() {
    check("BOOL", "[2]", "[true,false]", of(&[true, false]));
    let texts = ["", "a\"]\\,[é\u{1F600}", "\n"];
    let expected = Tensor::from_strings([3], &texts).expect("counted");
    check("BYTES", "[3]", r#"["", "a\"]\\,[\u00e9\ud83d\ude00", "\n"]"#, expected);
}

#[test]
fn data_is_flat_or_nested_like_the_shape() {
    let matrix = Tensor::from_slice([2, 3], &[1_i32, 2, 3, 4, 5, 6]).expect("counted");
    check("INT32", "[2,3]", "[1,2,3,4,5,6]", matrix.clone());
    check("INT32", "[2,3]", " [ [ 1 , 2,3 ]\n,[4,5,6]]", matrix);
    check("INT32", "[]", "[7]", Tensor::scalar(7_i32));
    check("INT32", "[0,3]", "[]", Tensor::from_slice::<i32>([0, 3], &[]).expect("empty"));
    check("INT32", "[2,0]", "[[],[]]", Tensor::from_slice::<i32>([2, 0], &[]).expect("empty"));

    let nesting = |error: &DataError| matches!(error, DataError::WrongNesting { .. });
    check_refused("INT32", "[2,3]", "[[1,2],[3,4],[5,6]]", nesting);
    check_refused("INT32", "[2,3]", "[[1,2,3],4,5,6]", nesting);
    check_refused("INT32", "[2,3]", "[1,2,3,[4,5,6]]", nesting);
    check_refused("INT32", "[2,1]", "[1,[2]]", nesting);
    check_refused("INT32", "[2,3]", "[[[1,2,3]],[[4,5,6]]]", nesting);
    check_refused(
        "INT32",
        "[2]",
        &"[".repeat(9000).chars().chain("]".repeat(9000).chars()).collect::<String>(),
        nesting,
    );
}

#[test]
fn wrong_values_name_themselves() {
    let kind = |at: u64, text: &'static str| move |error: &DataError| matches!(error, DataError::WrongKind { index, value, .. } if *index == at && value == text);
    let range = |at: u64, text: &'static str| move |error: &DataError| matches!(error, DataError::OutOfRange { index, value, .. } if *index == at && value == text);
    check_refused("INT64", "[2]", "[1,1.5]", kind(1, "1.5"));
    check_refused("INT64", "[2]", "[1,1e2]", kind(1, "1e2"));
    check_refused("INT64", "[1]", "[null]", kind(0, "null"));
    check_refused("INT64", "[1]", "[true]", kind(0, "true"));
    check_refused("INT64", "[1]", "[\"1\"]", kind(0, "\"1\""));
    check_refused("INT64", "[1]", "[{}]", kind(0, "an object"));
    check_refused("INT64", "[1]", "[9223372036854775808]", range(0, "9223372036854775808"));
    check_refused("UINT8", "[2]", "[0,-1]", range(1, "-1"));
    check_refused("INT4", "[1]", "[8]", range(0, "8"));
    check_refused("FP16", "[1]", "[65520]", range(0, "65520"));
    check_refused("FP32", "[1]", "[1e39]", range(0, "1e39"));
    check_refused("FP64", "[1]", "[-1e999]", range(0, "-1e999"));
    check_refused("FP32", "[1]", "[\"NaN\"]", kind(0, "\"NaN\""));
    check_refused("BOOL", "[1]", "[1]", kind(0, "1"));
    check_refused("BYTES", "[1]", "[1]", kind(0, "1"));
}

#[test]
fn wrong_counts_are_refused() {
    let count = |error: &DataError| matches!(error, DataError::WrongCount { .. });
    check_refused("FP32", "[3]", "[1,2]", count);
    check_refused("FP32", "[1]", "[1,2]", count);
    check_refused("FP32", "[]", "[]", count);
    check_refused("FP32", "[]", "5", |error| matches!(error, DataError::NotAnArray));
}

#[track_caller]
fn check_message(json: &str, is_it: impl Fn(&OipError) -> bool) {
    let error = InferRequest::from_json(json.as_bytes(), &Limits::default()).expect_err("not valid");
    assert!(is_it(&error), "{error:?}");
}

#[test]
fn wrong_messages_are_refused() {
    let json = |error: &OipError| matches!(error, OipError::Json(_));
    check_message("", json);
    check_message("{}", json);
    check_message(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1"#, json);
    check_message(r#"{"inputs":[{"name":"x","shape":[-1],"datatype":"FP32","data":[1]}]}"#, json);
    check_message(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}"#, json);
    check_message(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FLOAT","data":[1]}]}"#, |error| {
        matches!(error, OipError::UnknownDatatype { .. })
    });
    check_message(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}"#, |error| {
        matches!(error, OipError::NoData { .. })
    });
    check_message(
        r#"{"inputs":[{"name":"x","shape":[4000000000,4],"datatype":"FP32","data":[]}]}"#,
        |error| matches!(error, OipError::OverLimit { what: "element count", .. }),
    );
    check_message(r#"{"inputs":[],"parameters":{"binary_data_output":1}}"#, |error| {
        matches!(error, OipError::BadParameter { .. })
    });
}

#[test]
fn what_json_cannot_say_is_counted() {
    let tensor = of(&[f32::NAN, 1.0, f32::INFINITY]);
    let response = InferResponse { outputs: vec![NamedTensor::new("y", tensor)], ..InferResponse::default() };
    let json = response.to_json().expect("it writes");
    let value: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(value["outputs"][0]["data"], serde_json::json!([null, 1.0, null]));
    assert_eq!(value["outputs"][0]["parameters"]["non_finite"], 2);
}

#[test]
fn a_response_has_the_documented_members() {
    let response = InferResponse {
        model_name: "minilm".to_owned(),
        model_version: Some("2".to_owned()),
        id: Some("a".to_owned()),
        parameters: serde_json::from_str(r#"{"browser":"firefox"}"#).expect("an object"),
        outputs: vec![NamedTensor::new("y", Tensor::from_slice([1, 2], &[0.1_f32, 2.0]).expect("counted"))],
    };
    let json = response.to_json().expect("it writes");
    let expected = concat!(
        r#"{"model_name":"minilm","model_version":"2","id":"a","parameters":{"browser":"firefox"},"#,
        r#""outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[0.1,2.0]}]}"#
    );
    assert_eq!(json, expected);
    assert_eq!(InferResponse::from_json(&json, &Limits::default()).expect("it reads"), response);
}

fn any_finite() -> impl Strategy<Value = Tensor> {
    let dtype = prop::sample::select(DType::ALL);
    (dtype, prop::collection::vec(0_u64..4, 0..4), prop::collection::vec(any::<[u8; 8]>(), 64)).prop_map(
        |(dtype, dims, noise)| {
            let shape = Shape::from(dims);
            let elements = shape.elements().expect("small") as usize;
            let one = |bytes: &[u8; 8]| match dtype {
                DType::Bool => vec![bytes[0] & 1],
                DType::F16 if !f16::from_le_bytes([bytes[0], bytes[1]]).is_finite() => vec![0; 2],
                DType::Bf16 if !bf16::from_le_bytes([bytes[0], bytes[1]]).is_finite() => vec![0; 2],
                DType::F32 if !f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).is_finite() => {
                    vec![0; 4]
                }
                DType::F64 if !f64::from_le_bytes(*bytes).is_finite() => vec![0; 8],
                DType::String => {
                    let text = String::from_utf8_lossy(bytes);
                    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
                }
                _ => bytes[..dtype.bits().expect("no text").div_ceil(8) as usize].to_vec(),
            };
            if matches!(dtype, DType::I4 | DType::U4) {
                let nibbles: Vec<u8> = noise[..elements].iter().map(|bytes| bytes[0] & 15).collect();
                let signed: Vec<i8> = nibbles.iter().map(|&nibble| nibble as i8 - 8).collect();
                return match dtype {
                    DType::U4 => Tensor::pack_u4(shape, &nibbles).expect("in range"),
                    _ => Tensor::pack_i4(shape, &signed).expect("in range"),
                };
            }
            let data: Vec<u8> = noise[..elements].iter().flat_map(one).collect();
            Tensor::new(dtype, shape, data.into()).expect("well formed")
        },
    )
}

proptest! {
    #[test]
    fn every_finite_value_survives_json(tensors in prop::collection::vec(any_finite(), 0..4)) {
        let inputs = tensors.into_iter().enumerate();
        let inputs: Vec<_> = inputs.map(|(i, tensor)| NamedTensor::new(format!("t\"{i}"), tensor)).collect();
        let request = InferRequest { inputs, ..InferRequest::default() };
        let json = request.to_json().expect("it writes");
        prop_assert_eq!(InferRequest::from_json(&json, &Limits::default()).expect("it reads"), request);
    }

    #[test]
    fn damaged_messages_never_panic(
        tensor in any_finite(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:0-9eE.\\-\\\\a-z]"), 1..4),
    ) {
        let request = InferRequest { inputs: vec![NamedTensor::new("t", tensor)], ..InferRequest::default() };
        let mut json = request.to_json().expect("it writes").to_vec();
        for (at, with) in damage {
            let at = at.index(json.len());
            json[at] = with.as_bytes()[0];
        }
        // Either it is refused, or what was read can be written and read again.
        if let Ok(read) = InferRequest::from_json(&json, &Limits::default()) {
            let again = read.to_json().expect("it writes");
            prop_assert!(InferRequest::from_json(&again, &Limits::default()).is_ok());
        }
    }
}
