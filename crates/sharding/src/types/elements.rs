//! The element types that an operator gives.

use onnx_graph::proto::NodeProto;
use tensor::DType;

use super::infer::attribute;
use super::scope::At;

/// The element type of each output; `None` for what is no tensor, and for operators that are not known here.
pub(crate) fn elements(at: &At<'_>) -> Vec<Option<DType>> {
    let node = at.node;
    let like = |input: usize| at.input(input).map(|ty| ty.dtype);
    let outputs = node.output.len();
    let all = |dtype: Option<DType>| vec![dtype; outputs];
    let first_then = |first: Option<DType>, rest: Option<DType>| {
        (0..outputs).map(|output| if output == 0 { first } else { rest }).collect::<Vec<_>>()
    };
    match node.op_type() {
        "Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" | "NonMaxSuppression" => all(Some(DType::I64)),
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" | "Not"
        | "IsNaN" | "IsInf" => all(Some(DType::Bool)),
        "Cast" => all(code(node, "to", || None)),
        "Constant" => all(constant(node)),
        "ConstantOfShape" => {
            let value = attribute(node, "value").and_then(|found| found.t.as_deref());
            all(value.map_or(Some(DType::F32), |value| DType::from_onnx_code(value.data_type())))
        }
        "EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => {
            all(code(node, "dtype", || like(0)))
        }
        "RandomNormal" | "RandomUniform" => all(code(node, "dtype", || Some(DType::F32))),
        "BlackmanWindow" | "HannWindow" | "HammingWindow" | "MelWeightMatrix" => {
            all(code(node, "output_datatype", || Some(DType::F32)))
        }
        "Multinomial" => all(code(node, "dtype", || Some(DType::I32))),
        "Where" | "CastLike" => all(like(1)),
        "OneHot" => all(like(2)),
        "QuantizeLinear" => {
            all(if at.has(2) { like(2) } else { code(node, "output_dtype", || Some(DType::U8)) })
        }
        "DequantizeLinear" => all(code(node, "output_dtype", || like(1))),
        "DynamicQuantizeLinear" => vec![Some(DType::U8), Some(DType::F32), Some(DType::U8)],
        "ConvInteger" | "MatMulInteger" => all(Some(DType::I32)),
        "QLinearConv" | "QLinearMatMul" => all(like(7)),
        "TopK" | "Unique" | "MaxPool" => first_then(like(0), Some(DType::I64)),
        "Dropout" => first_then(like(0), Some(DType::Bool)),
        "LayerNormalization" | "RMSNormalization" => first_then(like(0), Some(DType::F32)),
        // The normalised embedding, where the mask ends, and the embedding's sum as it was.
        "EmbedLayerNormalization" => vec![like(2), Some(DType::I32), like(2)],
        "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" => all(Some(DType::F32)),
        name if KEEPS.contains(&name) => all(like(0)),
        _ => all(None),
    }
}

/// Operators all of whose outputs are of the first input's element type.
const KEEPS: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "AffineGrid",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Attention",
    "AveragePool",
    "BatchNormalization",
    "BiasGelu",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "Ceil",
    "Celu",
    "CenterCropPad",
    "Clip",
    "Col2Im",
    "Compress",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Cos",
    "Cosh",
    "CumSum",
    "DFT",
    "DeformConv",
    "DepthToSpace",
    "Det",
    "Div",
    "Einsum",
    "Elu",
    "Erf",
    "Exp",
    "Expand",
    "FastGelu",
    "Flatten",
    "Floor",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "GRU",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "GridSample",
    "GroupNormalization",
    "GroupQueryAttention",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LSTM",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "LpPool",
    "MatMul",
    "MatMulNBits",
    "Max",
    "MaxRoiPool",
    "MaxUnpool",
    "Mean",
    "MeanVarianceNormalization",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "MultiHeadAttention",
    "Neg",
    "NegativeLogLikelihoodLoss",
    "PRelu",
    "Pad",
    "Pow",
    "QuickGelu",
    "RNN",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "ReverseSequence",
    "RoiAlign",
    "RotaryEmbedding",
    "Round",
    "STFT",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "SimplifiedLayerNormalization",
    "Sin",
    "Sinh",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "StringNormalizer",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "TensorScatter",
    "ThresholdedRelu",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Upsample",
];

fn code(node: &NodeProto, name: &str, otherwise: impl FnOnce() -> Option<DType>) -> Option<DType> {
    match attribute(node, name).and_then(|found| found.i).filter(|&code| code != 0) {
        // One that is stated and not known here, such as an eight-bit float, is not what would hold without it.
        Some(code) => i32::try_from(code).ok().and_then(DType::from_onnx_code),
        None => otherwise(),
    }
}

fn constant(node: &NodeProto) -> Option<DType> {
    node.attribute.iter().find_map(|attribute| match attribute.name() {
        "value" => DType::from_onnx_code(attribute.t.as_deref()?.data_type()),
        "value_float" | "value_floats" => Some(DType::F32),
        "value_int" | "value_ints" => Some(DType::I64),
        "value_string" | "value_strings" => Some(DType::String),
        _ => None,
    })
}
