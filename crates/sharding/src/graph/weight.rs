//! How large a weight is.

use onnx_graph::proto::TensorProto;
use tensor::DType;

/// Bytes of a weight's data, wherever it lies. The model was checked, so its dimensions can be multiplied.
pub(crate) fn weight_bytes(weight: &TensorProto) -> u64 {
    let code = weight.data_type();
    if code == DType::String.onnx_code() {
        return weight.string_data.iter().map(|text| text.len() as u64).sum();
    }
    let elements = weight.dims.iter().fold(1_u64, |product, &dim| product.saturating_mul(dim.max(0) as u64));
    let bits = match code {
        // complex64, complex128; the 8-bit floats; float4; the two-bit integers.
        14 => 64,
        15 => 128,
        17..=20 | 24 | 27 | 28 => 8,
        23 => 4,
        25 | 26 => 2,
        code => DType::from_onnx_code(code).and_then(DType::bits).map_or(0, u64::from),
    };
    elements.saturating_mul(bits).div_ceil(8)
}
