//! A walk over the encoded file before anything is decoded.
//!
//! The decoder's own error does not tell a truncated file from one that never was a model, and it builds one struct
//! for every two bytes if a file asks for that. This walk finds both out first, without allocating.

use std::mem::size_of;

use crate::OnnxError;
use crate::proto;

/// How deeply messages may be nested: a subgraph takes three levels. The decoder's own limit is 100.
pub(crate) const MAX_DEPTH: usize = 64;

/// How large the structs may become that the file decodes to, payloads aside.
const MAX_STRUCT_BYTES: u64 = 512 << 20;

/// What a short text or a small message takes, about.
const SMALL: usize = 64;

/// The messages that hold others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// A sequence, map or optional type: a type within a type.
    Nested,
    Function,
    Training,
    /// Holds nothing that is worth a look.
    Leaf,
}

impl Kind {
    const fn child(self, field: u64) -> Self {
        match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 11..=13) | (Self::Function, 12) => Self::ValueInfo,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::ValueInfo, 2) | (Self::Attribute, 14 | 15) | (Self::Nested, 1 | 2) => Self::Type,
            (Self::Type, 1 | 8) => Self::TensorType,
            (Self::Type, 4 | 5 | 9) => Self::Nested,
            (Self::TensorType, 2) => Self::Shape,
            _ => Self::Leaf,
        }
    }

    const fn struct_bytes(self) -> usize {
        match self {
            Self::Graph => size_of::<proto::GraphProto>(),
            Self::Node => size_of::<proto::NodeProto>(),
            Self::Attribute => size_of::<proto::AttributeProto>(),
            Self::Tensor => size_of::<proto::TensorProto>(),
            Self::Sparse => size_of::<proto::SparseTensorProto>(),
            Self::ValueInfo => size_of::<proto::ValueInfoProto>(),
            Self::Function => size_of::<proto::FunctionProto>(),
            Self::Training => size_of::<proto::TrainingInfoProto>(),
            _ => SMALL,
        }
    }

    /// Whether a model's field has this wire type; `None` for fields that this version does not know.
    const fn model_field(field: u64, wire_type: u64) -> Option<bool> {
        match field {
            1 | 5 => Some(wire_type == VARINT),
            2..=4 | 6..=8 | 14 | 20 | 25 | 26 => Some(wire_type == LENGTH),
            _ => None,
        }
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

/// Checks that the file is a model all of whose parts are there.
pub(crate) fn check(file: &[u8]) -> Result<(), OnnxError> {
    if file.is_empty() {
        return Err(OnnxError::Empty);
    }
    let got = file.len() as u64;
    let mut at = 0_usize;
    let mut struct_bytes = 0_u64;
    let mut known = false;
    // Each message that is open: what it is and where it ends.
    let mut open = vec![(Kind::Model, file.len())];
    while let Some(&(kind, end)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let start = at;
        let broken = |what| match kind {
            Kind::Model => OnnxError::NotOnnx { offset: start as u64 },
            _ => OnnxError::Damaged { offset: start as u64, what },
        };
        let Some(key) = varint(&file[..end], &mut at) else {
            return Err(if known && kind == Kind::Model && end - start < 10 {
                OnnxError::Truncated { needed: got + 1, got }
            } else {
                broken("a field has no readable number")
            });
        };
        let (field, wire_type) = (key >> 3, key & 7);
        let fits = if kind == Kind::Model { Kind::model_field(field, wire_type) } else { None };
        if field == 0 || fits == Some(false) {
            return Err(broken("a field has a number or type that does not exist"));
        }
        let length = match wire_type {
            VARINT => {
                if varint(&file[..end], &mut at).is_none() {
                    let cut = fits == Some(true) && end - start < 20;
                    return Err(if cut {
                        OnnxError::Truncated { needed: got + 1, got }
                    } else {
                        broken("a number is unreadable")
                    });
                }
                0
            }
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH => varint(&file[..end], &mut at).unwrap_or(u64::MAX),
            _ => return Err(broken("a field has a number or type that does not exist")),
        };
        let needed = (at as u64).saturating_add(length);
        if needed > end as u64 {
            return Err(if fits == Some(true) {
                OnnxError::Truncated { needed, got }
            } else {
                broken("a part is longer than what holds it")
            });
        }
        known |= fits == Some(true);
        if wire_type == LENGTH {
            let child = kind.child(field);
            struct_bytes += child.struct_bytes() as u64;
            if struct_bytes > MAX_STRUCT_BYTES {
                let what = "the memory that the file's structure takes";
                return Err(OnnxError::OverLimit { what, limit: MAX_STRUCT_BYTES });
            }
            if child != Kind::Leaf {
                if open.len() == MAX_DEPTH {
                    let what = "the nesting of graphs and types";
                    return Err(OnnxError::OverLimit { what, limit: MAX_DEPTH as u64 });
                }
                open.push((child, needed as usize));
                continue;
            }
        }
        // What is needed ends within the file, so it fits.
        at = needed as usize;
    }
    Ok(())
}

/// Reads a variable-length number; `None` if it does not end in time.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
