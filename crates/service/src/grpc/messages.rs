//! The messages of the Open Inference Protocol's gRPC form, by their field numbers: package `inference`, service
//! `GRPCInferenceService`, with the extensions of Triton that are there. Fields that nobody reads here are left out; a
//! decoder skips them.

use std::collections::HashMap;

use bytes::Bytes;

/// Declares messages without a comment for each field: the protocol's specification says what they mean.
macro_rules! messages {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty,)* })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, PartialEq, prost::Message)]
            pub(super) struct $name { $($(#[$field_meta])* pub(super) $field: $type,)* }
        )+
    };
}

messages! {
    /// No fields.
    Nothing {}

    /// The answer to `ServerLive`.
    ServerLive { #[prost(bool, tag = "1")] live: bool, }

    /// The answer to `ServerReady` and `ModelReady`.
    Ready { #[prost(bool, tag = "1")] ready: bool, }

    /// A model by name and version: of `ModelReady`, `ModelMetadata`, `ModelConfig` and `ModelStatistics`.
    ModelName {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] version: String,
    }

    /// The answer to `ServerMetadata`.
    ServerMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(string, repeated, tag = "3")] extensions: Vec<String>,
    }

    /// One tensor of a model's metadata.
    TensorMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] datatype: String,
        #[prost(int64, repeated, tag = "3")] shape: Vec<i64>,
    }

    /// The answer to `ModelMetadata`.
    ModelMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, repeated, tag = "2")] versions: Vec<String>,
        #[prost(string, tag = "3")] platform: String,
        #[prost(message, repeated, tag = "4")] inputs: Vec<TensorMetadata>,
        #[prost(message, repeated, tag = "5")] outputs: Vec<TensorMetadata>,
    }

    /// A setting of a request, a tensor or a response.
    InferParameter {
        #[prost(oneof = "ParameterChoice", tags = "1, 2, 3, 4, 5")] parameter_choice: Option<ParameterChoice>,
    }

    /// The elements of a tensor, typed.
    InferTensorContents {
        #[prost(bool, repeated, tag = "1")] bool_contents: Vec<bool>,
        #[prost(int32, repeated, tag = "2")] int_contents: Vec<i32>,
        #[prost(int64, repeated, tag = "3")] int64_contents: Vec<i64>,
        #[prost(uint32, repeated, tag = "4")] uint_contents: Vec<u32>,
        #[prost(uint64, repeated, tag = "5")] uint64_contents: Vec<u64>,
        #[prost(float, repeated, tag = "6")] fp32_contents: Vec<f32>,
        #[prost(double, repeated, tag = "7")] fp64_contents: Vec<f64>,
        #[prost(bytes = "bytes", repeated, tag = "8")] bytes_contents: Vec<Bytes>,
    }

    /// A tensor of a request or a response.
    InferTensor {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] datatype: String,
        #[prost(int64, repeated, tag = "3")] shape: Vec<i64>,
        #[prost(map = "string, message", tag = "4")] parameters: HashMap<String, InferParameter>,
        #[prost(message, optional, tag = "5")] contents: Option<InferTensorContents>,
    }

    /// An output that is asked for.
    InferRequestedOutput {
        #[prost(string, tag = "1")] name: String,
        #[prost(map = "string, message", tag = "2")] parameters: HashMap<String, InferParameter>,
    }

    /// The question of `ModelInfer`.
    ModelInferRequest {
        #[prost(string, tag = "1")] model_name: String,
        #[prost(string, tag = "2")] model_version: String,
        #[prost(string, tag = "3")] id: String,
        #[prost(map = "string, message", tag = "4")] parameters: HashMap<String, InferParameter>,
        #[prost(message, repeated, tag = "5")] inputs: Vec<InferTensor>,
        #[prost(message, repeated, tag = "6")] outputs: Vec<InferRequestedOutput>,
        #[prost(bytes = "bytes", repeated, tag = "7")] raw_input_contents: Vec<Bytes>,
    }

    /// The answer to `ModelInfer`.
    ModelInferResponse {
        #[prost(string, tag = "1")] model_name: String,
        #[prost(string, tag = "2")] model_version: String,
        #[prost(string, tag = "3")] id: String,
        #[prost(map = "string, message", tag = "4")] parameters: HashMap<String, InferParameter>,
        #[prost(message, repeated, tag = "5")] outputs: Vec<InferTensor>,
        #[prost(bytes = "bytes", repeated, tag = "6")] raw_output_contents: Vec<Bytes>,
    }

    /// One answer of `ModelStreamInfer`.
    ModelStreamInferResponse {
        #[prost(string, tag = "1")] error_message: String,
        #[prost(message, optional, tag = "2")] infer_response: Option<ModelInferResponse>,
    }

    /// An input of a model's configuration.
    ConfigInput {
        #[prost(string, tag = "1")] name: String,
        #[prost(int32, tag = "2")] data_type: i32,
        #[prost(int64, repeated, tag = "4")] dims: Vec<i64>,
        #[prost(bool, tag = "8")] optional: bool,
    }

    /// An output of a model's configuration.
    ConfigOutput {
        #[prost(string, tag = "1")] name: String,
        #[prost(int32, tag = "2")] data_type: i32,
        #[prost(int64, repeated, tag = "3")] dims: Vec<i64>,
    }

    /// How batches are formed.
    ConfigBatching {
        #[prost(int32, repeated, tag = "1")] preferred_batch_size: Vec<i32>,
        #[prost(uint64, tag = "2")] max_queue_delay_microseconds: u64,
    }

    /// A model's configuration.
    ModelConfig {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] platform: String,
        #[prost(int32, tag = "4")] max_batch_size: i32,
        #[prost(message, repeated, tag = "5")] input: Vec<ConfigInput>,
        #[prost(message, repeated, tag = "6")] output: Vec<ConfigOutput>,
        #[prost(message, optional, tag = "11")] dynamic_batching: Option<ConfigBatching>,
        #[prost(string, tag = "17")] backend: String,
    }

    /// The answer to `ModelConfig`.
    ModelConfigResponse { #[prost(message, optional, tag = "1")] config: Option<ModelConfig>, }

    /// How often, and how long together.
    Duration {
        #[prost(uint64, tag = "1")] count: u64,
        #[prost(uint64, tag = "2")] ns: u64,
    }

    /// Times by part.
    InferStatistics {
        #[prost(message, optional, tag = "1")] success: Option<Duration>,
        #[prost(message, optional, tag = "2")] fail: Option<Duration>,
        #[prost(message, optional, tag = "3")] queue: Option<Duration>,
        #[prost(message, optional, tag = "4")] compute_input: Option<Duration>,
        #[prost(message, optional, tag = "5")] compute_infer: Option<Duration>,
        #[prost(message, optional, tag = "6")] compute_output: Option<Duration>,
        #[prost(message, optional, tag = "7")] cache_hit: Option<Duration>,
        #[prost(message, optional, tag = "8")] cache_miss: Option<Duration>,
    }

    /// Times by batch size.
    BatchStatistics {
        #[prost(uint64, tag = "1")] batch_size: u64,
        #[prost(message, optional, tag = "2")] compute_input: Option<Duration>,
        #[prost(message, optional, tag = "3")] compute_infer: Option<Duration>,
        #[prost(message, optional, tag = "4")] compute_output: Option<Duration>,
    }

    /// What was asked of one model.
    ModelStatistics {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(uint64, tag = "3")] last_inference: u64,
        #[prost(uint64, tag = "4")] inference_count: u64,
        #[prost(uint64, tag = "5")] execution_count: u64,
        #[prost(message, optional, tag = "6")] inference_stats: Option<InferStatistics>,
        #[prost(message, repeated, tag = "7")] batch_stats: Vec<BatchStatistics>,
    }

    /// The answer to `ModelStatistics`.
    ModelStatisticsResponse { #[prost(message, repeated, tag = "1")] model_stats: Vec<ModelStatistics>, }

    /// The question of `RepositoryIndex`.
    RepositoryIndexRequest {
        #[prost(string, tag = "1")] repository_name: String,
        #[prost(bool, tag = "2")] ready: bool,
    }

    /// One line of the index.
    ModelIndex {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(string, tag = "3")] state: String,
        #[prost(string, tag = "4")] reason: String,
    }

    /// The answer to `RepositoryIndex`.
    RepositoryIndexResponse { #[prost(message, repeated, tag = "1")] models: Vec<ModelIndex>, }

    /// A setting of a load; what it holds is not read, because none is supported.
    RepositoryParameter {}

    /// The question of `RepositoryModelLoad` and `RepositoryModelUnload`.
    RepositoryModel {
        #[prost(string, tag = "1")] repository_name: String,
        #[prost(string, tag = "2")] model_name: String,
        #[prost(map = "string, message", tag = "3")] parameters: HashMap<String, RepositoryParameter>,
    }
}

/// What a setting holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ParameterChoice {
    /// Yes or no.
    #[prost(bool, tag = "1")]
    Bool(bool),
    /// A whole number.
    #[prost(int64, tag = "2")]
    Int64(i64),
    /// A text.
    #[prost(string, tag = "3")]
    String(String),
    /// A number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// A whole number without sign.
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}
