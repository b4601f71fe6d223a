//! The messages of the ONNX file format, all of them and with all their fields.
//!
//! They are written by hand after the field numbers of `onnx.proto` (IR version 14), so that no protocol compiler is
//! needed. Every singular field keeps whether it was present, numbers are packed where the original packs them, and
//! payloads are [`bytes::Bytes`]: decoding from `Bytes` copies no weight, and encoding what was decoded gives the bytes
//! that the reference serializer gives. Fields that a newer format adds are dropped.

mod graph;
mod model;
mod sharding;
mod tensor;
mod types;

pub use graph::{AttributeProto, AttributeType, GraphProto, NodeProto, TensorAnnotation, ValueInfoProto};
pub use model::{FunctionProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TrainingInfoProto};
pub use sharding::{
    DeviceConfigurationProto, IntIntListEntryProto, NodeDeviceConfigurationProto, ShardedDimProto,
    ShardingSpecProto, SimpleShardedDim, SimpleShardedDimProto,
};
pub use tensor::{DataLocation, Segment, SparseTensorProto, TensorProto};
pub use types::{
    Dimension, DimensionValue, MapType, OpaqueType, OptionalType, SequenceType, SparseTensorType,
    TensorShapeProto, TensorType, TypeProto, TypeValue,
};
