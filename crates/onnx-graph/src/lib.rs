//! Reads ONNX models losslessly and answers what must be known before one is sent to a browser.
//!
//! [`Model::parse`] refuses what no browser runtime could run, with an error that says what is wrong; a model that it
//! returns answers for its [signature](Model::signature), its [weights](Model::weight_bytes), its
//! [operators](Model::operators) and its [family](Model::family). [`mod@proto`] has the messages themselves, with every
//! field, so that a model can be taken apart and put together again.
//!
//! This crate does **not** run models, infer shapes, cut graphs, or touch files and networks: it is handed the bytes of
//! one file and says which other files the model needs.
//!
//! ```
//! use onnx_graph::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
//! use onnx_graph::{Model, OnnxError};
//!
//! let node = NodeProto { op_type: Some("NoSuchOperator".to_owned()), ..NodeProto::default() };
//! let model = ModelProto {
//!     opset_import: vec![OperatorSetIdProto { domain: None, version: Some(20) }],
//!     graph: Some(GraphProto { node: vec![node], ..GraphProto::default() }),
//!     ..ModelProto::default()
//! };
//! assert!(matches!(Model::from_proto(model), Err(OnnxError::UnknownOperator { .. })));
//! ```

pub mod proto;

mod check;
mod error;
mod family;
mod interface;
mod model;
mod operators;
mod walk;
mod weights;
mod wire;

pub use error::OnnxError;
pub use model::{LOAD_FACTOR, Model};
pub use operators::{calls, qualified};
pub use weights::ExternalFile;
