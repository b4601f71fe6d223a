//! How large the constants are, and in which files they lie.

use std::collections::BTreeMap;

use tensor::{DType, Shape};

use crate::OnnxError;
use crate::proto::{DataLocation, ModelProto, TensorProto};
use crate::walk::{Visitor, walk};

/// A file beside the model that holds constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalFile {
    /// Its path relative to the model's folder, with `/` between folders; it cannot leave that folder.
    pub path: String,
    /// Bytes that it must have at least for every constant to be there.
    pub min_bytes: u64,
}

/// What is known about the constants of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) bytes: u64,
    pub(crate) external: Vec<ExternalFile>,
    /// The element type, by ONNX's code, that most of these bytes have.
    pub(crate) dominant: Option<i32>,
}

/// Adds up all constants and checks that each has the data that it claims.
pub(crate) fn weigh(model: &ModelProto) -> Result<Weights, OnnxError> {
    let mut scale = Scale::default();
    walk(model, &mut scale);
    let Scale { bytes, external, by_type, error } = scale;
    if let Some(error) = error {
        return Err(error);
    }
    let external = external.into_iter().map(|(path, min_bytes)| ExternalFile { path, min_bytes });
    let dominant = by_type.into_iter().filter(|&(_, bytes)| bytes > 0);
    let dominant = dominant.max_by_key(|&(_, bytes)| bytes).map(|(code, _)| code);
    Ok(Weights { bytes, external: external.collect(), dominant })
}

#[derive(Default)]
struct Scale {
    bytes: u64,
    by_type: BTreeMap<i32, u64>,
    external: BTreeMap<String, u64>,
    error: Option<OnnxError>,
}

impl<'a> Visitor<'a> for Scale {
    fn constant(&mut self, constant: &'a TensorProto) {
        if self.error.is_none() {
            self.error = self.add(constant).err();
        }
    }
}

impl Scale {
    fn add(&mut self, constant: &TensorProto) -> Result<(), OnnxError> {
        let bad = |what| OnnxError::BadConstant { name: constant.name().to_owned(), what };
        let elements = elements(constant).ok_or_else(|| bad("its dimensions are negative or too large"))?;
        let bits = bits(constant.data_type()).ok_or_else(|| bad("its element type does not exist"))?;
        let overflow = || bad("it has more bytes than can be counted");
        let expected = elements.checked_mul(bits).ok_or_else(overflow)?.div_ceil(8);
        let bytes = if constant.data_location() == DataLocation::External {
            self.add_external(constant, expected)?;
            expected
        } else if constant.data_type() == DType::String.onnx_code() {
            if constant.string_data.len() as u64 != elements {
                return Err(bad("it has another number of texts than elements"));
            }
            constant.string_data.iter().map(|text| text.len() as u64).sum()
        } else {
            if !has_data(constant, elements, bits, expected) {
                return Err(bad("its data has another length than its type and dimensions say"));
            }
            expected
        };
        self.bytes = self.bytes.checked_add(bytes).ok_or_else(overflow)?;
        *self.by_type.entry(constant.data_type()).or_default() += bytes;
        Ok(())
    }

    fn add_external(&mut self, constant: &TensorProto, expected: u64) -> Result<(), OnnxError> {
        let bad = |what| OnnxError::BadConstant { name: constant.name().to_owned(), what };
        let entry = |key| constant.external_data.iter().find(|entry| entry.key() == key);
        let number = |key, what| match entry(key) {
            None => Ok(None),
            Some(entry) => entry.value().parse::<u64>().map(Some).map_err(|_| bad(what)),
        };
        let path = entry("location").ok_or_else(|| bad("its data is in another file, which is not named"))?;
        let path = path.value();
        let path = path.strip_prefix("./").unwrap_or(path);
        if !stays_inside(path) {
            let (name, path) = (constant.name().to_owned(), path.to_owned());
            return Err(OnnxError::EscapingPath { name, path });
        }
        let offset = number("offset", "the offset of its data is no number")?.unwrap_or(0);
        let length = number("length", "the length of its data is no number")?.unwrap_or(expected);
        if length != expected {
            return Err(bad("its data has another length than its type and dimensions say"));
        }
        let end = offset.checked_add(length).ok_or_else(|| bad("its data ends beyond any file"))?;
        let min_bytes = self.external.entry(path.to_owned()).or_default();
        *min_bytes = end.max(*min_bytes);
        Ok(())
    }
}

/// Whether a path names a file in the model's folder on every system: relative, without a way up, and without what
/// only some systems take for a separator.
fn stays_inside(path: &str) -> bool {
    let odd = |c: char| c == '\\' || c == ':' || c.is_control();
    !path.contains(odd) && path.split('/').all(|part| !part.is_empty() && part != "..") && path != "."
}

fn elements(constant: &TensorProto) -> Option<u64> {
    let dims = constant.dims.iter().map(|&dim| u64::try_from(dim).ok()).collect::<Option<Vec<u64>>>()?;
    Shape::from(dims).elements()
}

/// Bits of one element as it is stored, also of the types that no input can have; 0 for text.
fn bits(code: i32) -> Option<u64> {
    match code {
        // complex64, complex128
        14 => Some(64),
        15 => Some(128),
        // The 8-bit floats, and the 6-bit ones, which take a byte each.
        17..=20 | 24 | 27 | 28 => Some(8),
        // float4e2m1
        23 => Some(4),
        // uint2, int2
        25 | 26 => Some(2),
        code => DType::from_onnx_code(code).map(|dtype| dtype.bits().map_or(0, u64::from)),
    }
}

fn has_data(constant: &TensorProto, elements: u64, bits: u64, expected: u64) -> bool {
    if let Some(raw) = &constant.raw_data {
        return raw.len() as u64 == expected;
    }
    let (stored, wanted) = match constant.data_type() {
        1 => (constant.float_data.len(), elements),
        14 => (constant.float_data.len(), elements.saturating_mul(2)),
        7 => (constant.int64_data.len(), elements),
        11 => (constant.double_data.len(), elements),
        15 => (constant.double_data.len(), elements.saturating_mul(2)),
        12 | 13 => (constant.uint64_data.len(), elements),
        // Types below a byte are packed into bytes first, and each byte takes a number.
        _ if bits < 8 => (constant.int32_data.len(), expected),
        _ => (constant.int32_data.len(), elements),
    };
    stored as u64 == wanted
}
