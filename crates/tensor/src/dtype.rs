//! The element types, and every name and number under which the outside world knows them.

use serde::{Deserialize, Serialize};

/// Text that names no element type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown element type {0:?}: expected a name like \"float32\", \"int64\" or \"string\"")]
pub struct UnknownDType(pub String);

/// The type of one element of a tensor.
///
/// [`DType::as_str`] is the name used by ONNX Runtime Web and by this project's own wire; [`DType::oip_name`] is the
/// one of the Open Inference Protocol; [`DType::onnx_code`] is the number of ONNX's `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, one byte.
    #[serde(rename = "uint8")]
    U8,
    /// Unsigned, two bytes.
    #[serde(rename = "uint16")]
    U16,
    /// Unsigned, four bytes.
    #[serde(rename = "uint32")]
    U32,
    /// Unsigned, eight bytes.
    #[serde(rename = "uint64")]
    U64,
    /// Signed, one byte.
    #[serde(rename = "int8")]
    I8,
    /// Signed, two bytes.
    #[serde(rename = "int16")]
    I16,
    /// Signed, four bytes.
    #[serde(rename = "int32")]
    I32,
    /// Signed, eight bytes.
    #[serde(rename = "int64")]
    I64,
    /// Unsigned, four bits: two elements a byte, the first one in the low nibble.
    #[serde(rename = "uint4")]
    U4,
    /// Signed, four bits: two elements a byte, the first one in the low nibble.
    #[serde(rename = "int4")]
    I4,
    /// IEEE 754 half precision, two bytes.
    #[serde(rename = "float16")]
    F16,
    /// Brain floating point, two bytes: the upper half of a `float32`.
    #[serde(rename = "bfloat16")]
    Bf16,
    /// IEEE 754 single precision, four bytes.
    #[serde(rename = "float32")]
    F32,
    /// IEEE 754 double precision, eight bytes.
    #[serde(rename = "float64")]
    F64,
    /// UTF-8 text of any length: four bytes of length, then the text.
    String,
}

impl DType {
    /// Every element type, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U4,
        Self::I4,
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
        Self::String,
    ];

    /// The lower-case name that ONNX Runtime Web uses (`bfloat16`, which it lacks, is named alike).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U4 => "uint4",
            Self::I4 => "int4",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::String => "string",
        }
    }

    /// The `datatype` of the Open Inference Protocol v2.
    ///
    /// `UINT4` and `INT4` are this project's extension: the protocol has no four-bit type. Their JSON data is one
    /// number an element, their binary data is packed as in [`DType::byte_len`].
    #[must_use]
    pub const fn oip_name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "UINT8",
            Self::U16 => "UINT16",
            Self::U32 => "UINT32",
            Self::U64 => "UINT64",
            Self::I8 => "INT8",
            Self::I16 => "INT16",
            Self::I32 => "INT32",
            Self::I64 => "INT64",
            Self::U4 => "UINT4",
            Self::I4 => "INT4",
            Self::F16 => "FP16",
            Self::Bf16 => "BF16",
            Self::F32 => "FP32",
            Self::F64 => "FP64",
            Self::String => "BYTES",
        }
    }

    /// Reads a `datatype` of the Open Inference Protocol v2; `None` for any other text.
    #[must_use]
    pub fn from_oip_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| dtype.oip_name() == name)
    }

    /// The number of ONNX's `TensorProto.DataType`.
    #[must_use]
    pub const fn onnx_code(self) -> i32 {
        self.wire_code() as i32
    }

    /// Reads a number of ONNX's `TensorProto.DataType`; `None` for complex, 8-bit float and other types that no
    /// browser runtime takes as an input or output.
    #[must_use]
    pub fn from_onnx_code(code: i32) -> Option<Self> {
        Self::from_wire_code(u8::try_from(code).ok()?)
    }

    /// The code that stands in the [binary frame](crate::frame). It equals the ONNX number, so that a page needs one
    /// table only.
    #[must_use]
    pub const fn wire_code(self) -> u8 {
        match self {
            Self::F32 => 1,
            Self::U8 => 2,
            Self::I8 => 3,
            Self::U16 => 4,
            Self::I16 => 5,
            Self::I32 => 6,
            Self::I64 => 7,
            Self::String => 8,
            Self::Bool => 9,
            Self::F16 => 10,
            Self::F64 => 11,
            Self::U32 => 12,
            Self::U64 => 13,
            Self::Bf16 => 16,
            Self::U4 => 21,
            Self::I4 => 22,
        }
    }

    /// Reads a code of the binary frame; `None` for one that is not assigned.
    #[must_use]
    pub fn from_wire_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| dtype.wire_code() == code)
    }

    /// Bits of one element: 4 to 64, a `bool` takes 8; `None` for text.
    #[must_use]
    pub const fn bits(self) -> Option<u32> {
        match self {
            Self::U4 | Self::I4 => Some(4),
            Self::Bool | Self::U8 | Self::I8 => Some(8),
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => Some(16),
            Self::U32 | Self::I32 | Self::F32 => Some(32),
            Self::U64 | Self::I64 | Self::F64 => Some(64),
            Self::String => None,
        }
    }

    /// Bytes that this many elements take, four-bit elements packed two a byte with an odd last one taking a whole
    /// byte. `None` for text, whose length depends on the data, and where the product is above `u64::MAX`.
    #[must_use]
    pub const fn byte_len(self, elements: u64) -> Option<u64> {
        match self.bits() {
            Some(4) => Some(elements.div_ceil(2)),
            Some(bits) => elements.checked_mul(bits as u64 / 8),
            None => None,
        }
    }

    /// Whether the type is one of the four floating-point types.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for DType {
    type Err = UnknownDType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|dtype| dtype.as_str() == text);
        found.ok_or_else(|| UnknownDType(text.to_owned()))
    }
}
