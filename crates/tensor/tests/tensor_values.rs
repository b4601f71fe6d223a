//! Values go into a tensor and come out again, for every element type; what does not fit is refused.

use bytes::Bytes;
use tensor::{DType, Element, Shape, Tensor, TensorError, bf16, f16};

#[track_caller]
fn check<T: Element + PartialEq + std::fmt::Debug>(values: &[T], bytes: &[u8], wide: &[f64]) {
    let shape = [values.len() as u64];
    let tensor = Tensor::from_slice(shape, values).expect("counted");
    assert_eq!(tensor.data(), bytes);
    assert_eq!(tensor, Tensor::from_vec(shape, values.to_vec()).expect("counted"));
    assert_eq!(tensor.to_vec::<T>().expect("its own type"), values);
    assert_eq!(tensor.to_f64_vec().expect("numbers"), wide);
    // At an odd address the values cannot be borrowed, but they can always be copied.
    let shifted = Bytes::from([&[0], bytes].concat()).slice(1..);
    let shifted = Tensor::new(T::DTYPE, shape, shifted).expect("right length");
    assert_eq!(shifted.to_vec::<T>().expect("its own type"), values);
    assert!(shifted.as_slice::<T>().is_none_or(|slice| slice == values));
    assert_eq!(tensor.dtype().byte_len(tensor.elements()), Some(bytes.len() as u64));
}

#[test]
fn values_are_little_endian() {
    check(&[true, false], &[1, 0], &[1.0, 0.0]);
    check(&[1_u8, 255], &[1, 255], &[1.0, 255.0]);
    check(&[-1_i8], &[255], &[-1.0]);
    check(&[258_u16], &[2, 1], &[258.0]);
    check(&[-2_i16], &[0xfe, 0xff], &[-2.0]);
    check(&[1_u32], &[1, 0, 0, 0], &[1.0]);
    check(&[-1_i32], &[255; 4], &[-1.0]);
    check(&[1_u64 << 56], &[0, 0, 0, 0, 0, 0, 0, 1], &[(1_u64 << 56) as f64]);
    check(&[i64::MIN], &[0, 0, 0, 0, 0, 0, 0, 0x80], &[i64::MIN as f64]);
    check(&[f16::ONE], &[0, 0x3c], &[1.0]);
    check(&[bf16::ONE], &[0x80, 0x3f], &[1.0]);
    check(&[1.0_f32], &[0, 0, 0x80, 0x3f], &[1.0]);
    check(&[-2.0_f64], &[0, 0, 0, 0, 0, 0, 0, 0xc0], &[-2.0]);
    check::<f32>(&[], &[], &[]);
}

#[test]
fn four_bit_values_are_packed_low_nibble_first() {
    let signed = Tensor::pack_i4([3], &[-8, 7, -1]).expect("in range");
    assert_eq!(signed.data(), &[0x78, 0x0f][..]);
    assert_eq!(signed.unpack_i4().expect("int4"), [-8, 7, -1]);
    assert_eq!(signed.to_f64_vec().expect("numbers"), [-8.0, 7.0, -1.0]);
    let unsigned = Tensor::pack_u4([2], &[1, 15]).expect("in range");
    assert_eq!(unsigned.data(), &[0xf1][..]);
    assert_eq!(unsigned.unpack_u4().expect("uint4"), [1, 15]);
    let range = Tensor::pack_i4([1], &[8]).expect_err("too large");
    assert_eq!(range, TensorError::NibbleRange { dtype: DType::I4, index: 0, value: 8 });
}

#[test]
fn a_vector_is_taken_over_without_a_copy() {
    let values = vec![1.0_f32; 1000];
    let at = values.as_ptr();
    let tensor = Tensor::from_vec([10, 100], values).expect("counted");
    assert_eq!(tensor.as_slice::<f32>().expect("aligned").as_ptr(), at);
    assert_eq!(tensor.reshape([1000]).expect("as many").data().as_ptr(), at.cast());
    assert_eq!(tensor.as_slice::<i32>(), None);
}

#[test]
fn text_is_checked_once_and_borrowed() {
    let texts = Tensor::from_strings([2, 1], &["", "né"]).expect("counted");
    assert_eq!(texts.data(), &b"\0\0\0\0\x03\0\0\0n\xc3\xa9"[..]);
    assert_eq!(texts.strings().expect("text"), ["", "né"]);
    assert_eq!(texts.to_f64_vec(), Err(TensorError::NotNumeric));

    let new = |shape: Shape, data: &'static [u8]| Tensor::new(DType::String, shape, Bytes::from_static(data));
    assert_eq!(new([1].into(), b"\x02\0\0\0a"), Err(TensorError::TextCut { index: 0 }));
    assert_eq!(new([2].into(), b"\0\0\0\0"), Err(TensorError::TextCut { index: 1 }));
    assert_eq!(new([0].into(), b"a"), Err(TensorError::TextLeftOver { elements: 0, bytes: 1 }));
    assert!(matches!(new([1].into(), b"\x01\0\0\0\xff"), Err(TensorError::TextNotUtf8 { index: 0, .. })));
    assert_eq!(new([u64::MAX].into(), b""), Err(TensorError::TextCut { index: 0 }));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let new = |shape: Shape| Tensor::new(DType::F32, shape, Bytes::from_static(&[0; 8]));
    assert!(new([2].into()).is_ok());
    assert!(matches!(new([3].into()), Err(TensorError::WrongLength { expected: 12, got: 8, .. })));
    assert!(matches!(new([u64::MAX, 2].into()), Err(TensorError::TooLarge { .. })));
    assert!(matches!(new([u64::MAX].into()), Err(TensorError::TooLarge { .. })));
    assert!(matches!(new([u64::MAX, u64::MAX, 0].into()), Err(TensorError::WrongLength { expected: 0, .. })));
    let two = Tensor::new(DType::Bool, [2], Bytes::from_static(&[1, 2]));
    assert_eq!(two, Err(TensorError::BadBool { index: 1, value: 2 }));
    assert_eq!(
        Tensor::scalar(1_u8).to_vec::<i8>(),
        Err(TensorError::WrongDType { expected: DType::I8, got: DType::U8 })
    );
}

#[test]
fn every_type_has_one_name_and_number_everywhere() {
    for &dtype in DType::ALL {
        assert_eq!(dtype.to_string().parse(), Ok(dtype));
        assert_eq!(serde_json::to_value(dtype).expect("a name"), dtype.as_str());
        assert_eq!(DType::from_oip_name(dtype.oip_name()), Some(dtype));
        assert_eq!(DType::from_onnx_code(dtype.onnx_code()), Some(dtype));
        assert_eq!(DType::from_wire_code(dtype.wire_code()), Some(dtype));
    }
    assert_eq!(DType::from_onnx_code(14), None);
    assert_eq!(DType::from_onnx_code(257), None);
    assert_eq!(DType::from_onnx_code(-1), None);
    assert_eq!(DType::I4.byte_len(u64::MAX), Some(1 << 63));
    assert_eq!(DType::F64.byte_len(1 << 61), None);
    assert_eq!(Shape::from([1, 128]).to_string(), "[1,128]");
}
