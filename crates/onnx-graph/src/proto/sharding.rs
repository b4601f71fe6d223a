//! How nodes are spread over devices, for the few models that say so.

/// A set of devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceConfigurationProto {
    /// The name of the set.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// How many devices there are.
    #[prost(int32, optional, tag = "2")]
    pub num_devices: Option<i32>,
    /// Their names.
    #[prost(string, repeated, tag = "3")]
    pub device: Vec<String>,
}

/// How one node is spread over a set of devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeDeviceConfigurationProto {
    /// The name of the set.
    #[prost(string, optional, tag = "1")]
    pub configuration_id: Option<String>,
    /// How each tensor is divided.
    #[prost(message, repeated, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// The stage of the pipeline.
    #[prost(int32, optional, tag = "3")]
    pub pipeline_stage: Option<i32>,
}

/// How one tensor is divided.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardingSpecProto {
    /// The tensor.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// The devices, or groups of them.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// Which devices form each group.
    #[prost(message, repeated, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// Which dimensions are divided.
    #[prost(message, repeated, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// A numbered list of numbers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntIntListEntryProto {
    /// The number of the list.
    #[prost(int64, optional, tag = "1")]
    pub key: Option<i64>,
    /// The list.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// How one dimension is divided.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardedDimProto {
    /// The dimension.
    #[prost(int64, optional, tag = "1")]
    pub axis: Option<i64>,
    /// Its parts.
    #[prost(message, repeated, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// A number of equal parts of a dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SimpleShardedDimProto {
    /// What is divided.
    #[prost(oneof = "SimpleShardedDim", tags = "1, 2")]
    pub dim: Option<SimpleShardedDim>,
    /// How many parts there are.
    #[prost(int64, optional, tag = "3")]
    pub num_shards: Option<i64>,
}

/// What is divided into equal parts.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum SimpleShardedDim {
    /// A number of elements.
    #[prost(int64, tag = "1")]
    DimValue(i64),
    /// A named size.
    #[prost(string, tag = "2")]
    DimParam(String),
}
