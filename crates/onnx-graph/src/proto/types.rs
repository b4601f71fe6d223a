//! The types of values.

/// The type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    /// What the value is.
    #[prost(oneof = "TypeValue", tags = "1, 4, 5, 7, 8, 9")]
    pub value: Option<TypeValue>,
    /// What it means, for example `IMAGE`.
    #[prost(string, optional, tag = "6")]
    pub denotation: Option<String>,
}

/// What a value is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TypeValue {
    /// A tensor.
    #[prost(message, tag = "1")]
    TensorType(TensorType),
    /// A list of values of one type.
    #[prost(message, tag = "4")]
    SequenceType(Box<SequenceType>),
    /// Values by key.
    #[prost(message, tag = "5")]
    MapType(Box<MapType>),
    /// A type of a domain's own.
    #[prost(message, tag = "7")]
    OpaqueType(OpaqueType),
    /// A tensor that is mostly zero.
    #[prost(message, tag = "8")]
    SparseTensorType(SparseTensorType),
    /// A value or none.
    #[prost(message, tag = "9")]
    OptionalType(Box<OptionalType>),
}

/// A tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// The element type.
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// The shape; absent where not even the rank is known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A tensor that is mostly zero.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorType {
    /// The element type.
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// The shape; absent where not even the rank is known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A list of values of one type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SequenceType {
    /// The type of each.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// Values by key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapType {
    /// The element type of the keys.
    #[prost(int32, optional, tag = "1")]
    pub key_type: Option<i32>,
    /// The type of the values.
    #[prost(message, optional, boxed, tag = "2")]
    pub value_type: Option<Box<TypeProto>>,
}

/// A value or none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OptionalType {
    /// The type of the value.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// A type of a domain's own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpaqueType {
    /// The domain.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// The name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// The dimensions of a tensor type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// The dimensions, outermost first.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// Its size; absent where any size will do.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
    /// What it means, for example `DATA_CHANNEL`.
    #[prost(string, optional, tag = "3")]
    pub denotation: Option<String>,
}

/// The size of a dimension.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DimensionValue {
    /// A number.
    #[prost(int64, tag = "1")]
    DimValue(i64),
    /// A name: the same size wherever it stands.
    #[prost(string, tag = "2")]
    DimParam(String),
}
