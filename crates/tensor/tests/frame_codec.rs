//! The frame survives round trips, keeps to its layout, and no bytes whatever make the reader panic or over-allocate.

use bytes::Bytes;
use proptest::prelude::*;
use tensor::frame::{Frame, FrameError, Limits, decode, encode};
use tensor::{DType, NamedTensor, Shape, Tensor};

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let dtype = prop::sample::select(DType::ALL);
    (dtype, prop::collection::vec(0_u64..5, 0..4), any::<u64>()).prop_map(|(dtype, dims, seed)| {
        let shape = Shape::from(dims);
        let elements = shape.elements().expect("small");
        let noise = |index: u64| (seed.wrapping_mul(index | 1) >> 17) as u8;
        match dtype.byte_len(elements) {
            Some(_) if dtype == DType::Bool => {
                let bools: Vec<bool> = (0..elements).map(|index| noise(index) & 1 == 1).collect();
                Tensor::from_vec(shape, bools).expect("counted")
            }
            Some(length) => {
                Tensor::new(dtype, shape, (0..length).map(noise).collect()).expect("right length")
            }
            None => {
                let texts: Vec<String> = (0..elements).map(|i| "é".repeat((noise(i) % 5).into())).collect();
                Tensor::from_strings(shape, &texts).expect("counted")
            }
        }
    })
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let tensors = prop::collection::vec(("[a-zé./:]{0,12}", any_tensor()), 0..5);
    let meta = prop::collection::vec(any::<u8>(), 0..40);
    (any::<u16>(), any::<u64>(), meta, tensors).prop_map(|(kind, id, meta, tensors)| {
        let tensors = tensors.into_iter().map(|(name, tensor)| NamedTensor::new(name, tensor)).collect();
        Frame { kind, id, meta: meta.into(), tensors }
    })
}

fn bytes_of(frame: &Frame) -> Bytes {
    encode(frame.kind, frame.id, &frame.meta, &frame.tensors).expect("it fits")
}

proptest! {
    #[test]
    fn what_is_written_reads_back(frame in any_frame()) {
        let bytes = bytes_of(&frame);
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(decode(bytes, &Limits::default()), Ok(frame));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(bytes.into(), &Limits::default()).is_err());
    }

    #[test]
    fn what_reads_from_a_damaged_frame_is_what_its_bytes_say(
        frame in any_frame(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes_of(&frame).to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        // One content has one frame only: whatever is accepted must be written as the same bytes again.
        if let Ok(read) = decode(bytes.clone().into(), &Limits::default()) {
            prop_assert_eq!(bytes_of(&read), bytes);
        }
    }
}

#[test]
fn payloads_are_slices_of_the_message() {
    let tensor = Tensor::from_vec([3], vec![1.0_f32, 2.0, 3.0]).expect("counted");
    let bytes = encode(0, 0, b"{}", &[NamedTensor::new("x", tensor)]).expect("it fits");
    let range = bytes.as_ptr_range();
    let frame = decode(bytes, &Limits::default()).expect("valid");
    assert!(range.contains(&frame.tensors[0].tensor.data().as_ptr()));
}

#[test]
fn the_layout_is_the_documented_one() {
    let tensor = Tensor::from_slice([2], &[1_i16, -1]).expect("counted");
    let bytes = encode(7, 9, b"{}", &[NamedTensor::new("ab", tensor)]).expect("it fits");
    let mut expected = Vec::new();
    expected.extend_from_slice(b"WNF1\x07\0\x01\0\x09\0\0\0\0\0\0\0");
    expected.extend_from_slice(b"\x02\0\0\0\x20\0\0\0\x50\0\0\0\0\0\0\0");
    expected.extend_from_slice(b"{}\0\0\0\0\0\0");
    expected.extend_from_slice(b"\x05\x01\x02\0\0\0\0\0\x04\0\0\0\0\0\0\0");
    expected.extend_from_slice(b"\x02\0\0\0\0\0\0\0ab\0\0\0\0\0\0");
    expected.extend_from_slice(b"\x01\0\xff\xff\0\0\0\0");
    assert_eq!(bytes, expected);
}

/// A valid frame of one tensor `x`: f32 [2].
fn valid() -> Vec<u8> {
    let tensor = Tensor::from_slice([2], &[1.0_f32, 2.0]).expect("counted");
    encode(1, 2, b"", &[NamedTensor::new("x", tensor)]).expect("it fits").to_vec()
}

#[track_caller]
fn check(at: usize, bytes: &[u8], limits: &Limits, is_it: impl Fn(&FrameError) -> bool) {
    let mut frame = valid();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    let error = decode(frame.into(), limits).expect_err("it is damaged");
    assert!(is_it(&error), "{error:?}");
}

#[test]
fn each_damage_has_its_error() {
    let limits = Limits::default();
    check(0, b"W", &Limits { max_frame_bytes: 71, ..Limits::default() }, |error| {
        matches!(error, FrameError::OverLimit { what: "frame length", got: 72, limit: 71 })
    });
    check(0, b"X", &limits, |error| matches!(error, FrameError::BadMagic { .. }));
    check(24, &[0xff; 8], &limits, |error| matches!(error, FrameError::WrongTotal { claimed: u64::MAX, .. }));
    check(16, &[0xff; 4], &limits, |error| {
        matches!(error, FrameError::OverLimit { what: "meta length", .. })
    });
    check(20, &[0xff; 4], &limits, |error| matches!(error, FrameError::Truncated { what: "table" }));
    check(6, &[2], &limits, |error| matches!(error, FrameError::Truncated { .. }));
    check(6, &[0xff, 0xff], &limits, |error| {
        matches!(error, FrameError::OverLimit { what: "tensor count", .. })
    });
    check(6, &[0], &limits, |error| matches!(error, FrameError::LeftOver { .. }));
    check(32, &[99], &limits, |error| matches!(error, FrameError::UnknownDType { code: 99, .. }));
    check(33, &[33], &limits, |error| matches!(error, FrameError::OverLimit { what: "rank", .. }));
    check(34, &[0xff, 0xff], &limits, |error| {
        matches!(error, FrameError::OverLimit { what: "name length", .. })
    });
    check(36, &[1], &limits, |error| matches!(error, FrameError::NotZero { .. }));
    check(40, &[9], &limits, |error| matches!(error, FrameError::Truncated { what: "payload" }));
    check(40, &[0xff; 8], &limits, |error| matches!(error, FrameError::Truncated { what: "payload" }));
    check(48, &[3], &limits, |error| matches!(error, FrameError::Tensor { .. }));
    check(48, &[0xff; 8], &limits, |error| matches!(error, FrameError::Tensor { .. }));
    check(56, &[0xff], &limits, |error| matches!(error, FrameError::NameNotUtf8 { index: 0, .. }));
    check(57, &[1], &limits, |error| matches!(error, FrameError::NotZero { what: "padding" }));
}

#[test]
fn bytes_that_belong_to_no_tensor_are_refused() {
    let mut frame = valid();
    frame.extend_from_slice(&[0; 8]);
    frame[24..32].copy_from_slice(&80_u64.to_le_bytes());
    let error = decode(frame.into(), &Limits::default()).expect_err("it is too long");
    assert_eq!(error, FrameError::LeftOver { what: "the payloads", bytes: 8 });
}

#[test]
fn a_claim_of_3_gb_in_10_bytes_is_refused() {
    let mut frame = valid();
    frame[24..32].copy_from_slice(&3_000_000_000_u64.to_le_bytes());
    frame.truncate(10);
    assert_eq!(decode(frame.into(), &Limits::default()), Err(FrameError::TooShort { got: 10 }));
}
