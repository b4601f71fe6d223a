//! Operators of whose shapes only part is told here, mostly the number of dimensions: enough to send what they give.

use tensor::Dim;

use super::scope::At;

type Dims = Option<Vec<Dim>>;

/// The dimensions of each output, open ones as unknown; empty where not even their number follows.
pub(crate) fn ranks(at: &At<'_>) -> Vec<Dims> {
    let outputs = at.node.output.len();
    let like = |input: usize| at.dims(input).map(<[Dim]>::to_vec);
    let open = |rank: usize| Some(vec![Dim::Unknown; rank]);
    let ranked = |input: usize| at.dims(input).and_then(|dims| open(dims.len()));
    let with = |first: Dims, rest: Dims| {
        (0..outputs).map(|output| if output == 0 { first.clone() } else { rest.clone() }).collect()
    };
    match at.node.op_type() {
        "ConvTranspose" | "Resize" | "Upsample" | "DepthToSpace" | "SpaceToDepth" | "GridSample"
        | "CenterCropPad" | "MaxUnpool" | "DeformConv" | "QLinearConv" => vec![ranked(0)],
        "TopK" => vec![ranked(0); outputs],
        "ScatterND" | "ScatterElements" | "Scatter" | "TensorScatter" | "RandomNormalLike"
        | "RandomUniformLike" | "Bernoulli" | "CastLike" | "EyeLike" | "ReverseSequence" => vec![like(0)],
        "GatherElements" => vec![like(1)],
        "GatherND" => vec![gather_nd(at)],
        "OneHot" => vec![at.dims(0).and_then(|dims| open(dims.len() + 1))],
        "NonZero" | "NonMaxSuppression" | "Multinomial" | "FusedGemm" => vec![open(2)],
        "RandomNormal" | "RandomUniform" => vec![at.ints("shape").and_then(|sizes| open(sizes.len()))],
        "DynamicQuantizeLinear" => with(like(0), Some(Vec::new())),
        "QLinearMatMul" => vec![longer(at, 0, 3)],
        "FusedMatMul" | "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" => vec![longer(at, 0, 1)],
        "LSTM" | "GRU" | "RNN" => with(open(4), open(3)),
        "Einsum" => vec![einsum(at)],
        // The fused operators' caches have four dimensions. Where keys come packed with queries, the width changes.
        "GroupQueryAttention" | "MultiHeadAttention" if at.has(1) => with(like(0), open(4)),
        "GroupQueryAttention" | "MultiHeadAttention" => with(open(3), open(4)),
        "Attention" => with(ranked(0), open(at.dims(4).map_or(4, <[Dim]>::len))),
        "EmbedLayerNormalization" => vec![open(3), open(1), open(3)],
        _ => Vec::new(),
    }
}

fn longer(at: &At<'_>, a: usize, b: usize) -> Dims {
    Some(vec![Dim::Unknown; at.dims(a)?.len().max(at.dims(b)?.len())])
}

/// `rank(data) + rank(indices) − last(indices) − 1 − batch_dims`, as ONNX's `GatherND` says.
fn gather_nd(at: &At<'_>) -> Dims {
    let (data, places) = (at.dims(0)?, at.dims(1)?);
    let Dim::Fixed(depth) = places.last()? else { return None };
    let batch = usize::try_from(at.int("batch_dims").unwrap_or(0)).ok()?;
    let rank = (data.len() + places.len())
        .checked_sub(usize::try_from(*depth).ok()?.checked_add(1)?.checked_add(batch)?)?;
    Some(vec![Dim::Unknown; rank])
}

/// One dimension for each letter behind the arrow.
fn einsum(at: &At<'_>) -> Dims {
    let equation = std::str::from_utf8(at.text("equation")?).ok()?;
    let (_, result) = equation.split_once("->")?;
    let letters = result.chars().filter(|c| c.is_ascii_alphabetic()).count();
    (!result.contains('.')).then(|| vec![Dim::Unknown; letters])
}
