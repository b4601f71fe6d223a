//! Why a file is refused as a model.

/// A file that is no ONNX model, or one that no browser runtime could run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file is something else than an ONNX model.
    #[error("the file is not an ONNX model: byte {offset} is no field of one")]
    NotOnnx {
        /// Where the first byte stands that no model has.
        offset: u64,
    },
    /// The file ends too early: it was probably cut off on its way.
    #[error("the file is truncated: a part of it reaches to byte {needed}, but it has {got} bytes")]
    Truncated {
        /// Bytes that the file must have at least.
        needed: u64,
        /// Bytes that it has.
        got: u64,
    },
    /// The file starts like a model, but a part within it is broken.
    #[error("the file is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the broken part starts.
        offset: u64,
        /// What is broken.
        what: &'static str,
    },
    /// A field within the file does not hold what it should.
    #[error("the file is damaged")]
    Decode(#[source] prost::DecodeError),
    /// The graphs or types are nested too deeply, or the file has too many parts.
    #[error("{what} is above the limit of {limit}")]
    OverLimit {
        /// What is too large.
        what: &'static str,
        /// The largest value allowed.
        limit: u64,
    },
    /// The model has no graph.
    #[error("the model has no graph")]
    NoGraph,
    /// The model does not say which operator set it uses.
    #[error("the model imports no operator set")]
    NoOpset,
    /// The model uses a version of an operator set that this program does not know, mostly one from its future.
    #[error("the model uses opset {version} of {domain}, but only 1 to {newest} are known")]
    UnknownOpset {
        /// The domain.
        domain: String,
        /// The version that the model imports.
        version: i64,
        /// The newest version in the table.
        newest: i64,
    },
    /// A node uses a domain that the model does not import.
    #[error("node {node} uses the domain {domain:?}, which the model does not import")]
    DomainNotImported {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The domain.
        domain: String,
    },
    /// A node uses a domain that no browser runtime implements, and the model does not define the operator itself.
    #[error(
        "node {node} uses {domain}:{operator}: that domain is neither ai.onnx, ai.onnx.ml nor com.microsoft, and the model does not define the operator"
    )]
    UnknownDomain {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The domain.
        domain: String,
        /// The operator.
        operator: String,
    },
    /// A node uses an operator that its domain does not have.
    #[error("node {node} uses the operator {operator:?}, which {domain} does not have")]
    UnknownOperator {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The domain.
        domain: String,
        /// The operator.
        operator: String,
    },
    /// A node uses an operator that came after the operator set that the model imports.
    #[error(
        "node {node} uses {operator}, which came with opset {since}, but the model imports opset {opset}"
    )]
    OperatorTooNew {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The operator.
        operator: String,
        /// The opset that introduced it.
        since: i64,
        /// The opset that the model imports.
        opset: i64,
    },
    /// A node takes a value that nothing gives.
    #[error("node {node} takes {input:?}, which nothing in the model gives")]
    UndefinedInput {
        /// The node: its name if it has one, else its operator and its first output.
        node: String,
        /// The name of the value.
        input: String,
    },
    /// A node needs its own result.
    #[error("the graph has a cycle: node {node} takes {input:?}, which needs the node's own output")]
    Cycle {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The name of the value.
        input: String,
    },
    /// A node stands before one that it needs.
    #[error(
        "the nodes are not in topological order: node {node} takes {input:?}, which only a later node gives"
    )]
    NotSorted {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The name of the value.
        input: String,
    },
    /// A function calls itself, directly or through others.
    #[error("the function {domain}:{name} calls itself")]
    RecursiveFunction {
        /// The function's domain.
        domain: String,
        /// Its name.
        name: String,
    },
    /// Two nodes of one graph, or a node and an input, give a value of the same name.
    #[error("node {node} gives {output:?}, which is given already")]
    DefinedTwice {
        /// The node, see [`OnnxError::UndefinedInput`].
        node: String,
        /// The name of the value.
        output: String,
    },
    /// A graph gives a value that nothing computes.
    #[error("the graph gives {output:?}, which nothing in it computes")]
    UndefinedOutput {
        /// The name of the value.
        output: String,
    },
    /// An input or output is of a type other than a tensor, or says no type.
    #[error("{value:?} is {kind}, but inputs and outputs must be tensors")]
    NotATensor {
        /// The name of the input or output.
        value: String,
        /// What it is.
        kind: &'static str,
    },
    /// An input or output has elements that cannot be sent to a browser.
    #[error("{value:?} has elements of ONNX type {code}, which is not supported")]
    UnsupportedElementType {
        /// The name of the input or output.
        value: String,
        /// The number of `TensorProto.DataType`.
        code: i32,
    },
    /// A constant's data is not what its type and dimensions say.
    #[error("constant {name:?} is malformed: {what}")]
    BadConstant {
        /// The name of the constant; empty if it has none.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A constant's data is said to lie where no model's data may lie.
    #[error(
        "constant {name:?} has its data in {path:?}: only files beside the model, or in folders there, are allowed"
    )]
    EscapingPath {
        /// The name of the constant.
        name: String,
        /// The path.
        path: String,
    },
}
