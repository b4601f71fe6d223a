//! The shapes that an operator gives, where they follow from shapes and small constants.

use std::ops::Range;

use tensor::Dim;

use super::ranks::ranks;
use super::scope::At;
use super::spatial;

type Dims = Option<Vec<Dim>>;

/// The dimensions of each output; shorter than the outputs where nothing is known about the rest.
pub(crate) fn shapes(at: &At<'_>) -> Vec<Dims> {
    let outputs = at.node.output.len();
    let one = |dims: Dims| vec![dims];
    let like_first = || at.dims(0).map(<[Dim]>::to_vec);
    match at.node.op_type() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "And" | "Or" | "Xor" | "Equal" | "Less"
        | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Where" | "Max" | "Min" | "Sum" | "Mean"
        | "PRelu" | "BitwiseAnd" | "BitwiseOr" => one(broadcast_all(at)),
        "MatMul" | "MatMulInteger" => one(at.dims(0).zip(at.dims(1)).and_then(|(a, b)| matmul(a, b))),
        "MatMulNBits" => one(last_replaced(at.dims(0), at.int("N"))),
        "Gemm" => one(gemm(at)),
        "Conv" | "ConvInteger" | "FusedConv" => one(spatial::conv(at)),
        "MaxPool" | "AveragePool" | "LpPool" => vec![spatial::pool(at); outputs],
        "GlobalAveragePool" | "GlobalMaxPool" => one(at.dims(0).map(|dims| {
            let size = |(at, dim): (usize, &Dim)| if at < 2 { dim.clone() } else { Dim::Fixed(1) };
            dims.iter().enumerate().map(size).collect()
        })),
        "Transpose" => one(transpose(at)),
        "Concat" => one(concat(at)),
        "Flatten" => one(at.dims(0).map(|dims| {
            let axis = axis(at.int("axis").unwrap_or(1), dims.len() + 1).unwrap_or(1).min(dims.len());
            vec![product(&dims[..axis]), product(&dims[axis..])]
        })),
        "Unsqueeze" => one(unsqueeze(at)),
        "Squeeze" => one(squeeze(at)),
        "Reshape" => one(reshape(at)),
        "Gather" => one(at.dims(0).zip(at.dims(1)).and_then(|(data, places)| {
            let axis = axis(at.int("axis").unwrap_or(0), data.len())?;
            Some([&data[..axis], places, &data[axis + 1..]].concat())
        })),
        "Shape" => one(at.dims(0).map(|dims| vec![Dim::Fixed(shape_range(at, dims.len()).len() as u64)])),
        "Size" => one(Some(Vec::new())),
        "ConstantOfShape" => one(at.sizes(0)),
        "Expand" => one(at.sizes(1).and_then(|sizes| broadcast(at.dims(0)?, &sizes))),
        "Range" => one(Some(vec![Dim::Unknown])),
        "Slice" => one(slice(at)),
        "Pad" | "Tile" => one(at.dims(0).map(|dims| vec![Dim::Unknown; dims.len()])),
        "Split" => vec![at.dims(0).map(|dims| split(at, dims)); outputs],
        name if name.starts_with("Reduce") || name.starts_with("Arg") => one(reduce(at)),
        "Cast"
        | "Dropout"
        | "QuantizeLinear"
        | "DequantizeLinear"
        | "BatchNormalization"
        | "LayerNormalization"
        | "Not"
        | "CumSum"
        | "IsNaN"
        | "IsInf"
        | "RotaryEmbedding"
        | "SkipLayerNormalization"
        | "SkipSimplifiedLayerNormalization" => one(like_first()),
        name if UNARY.contains(&name) => one(like_first()),
        _ => ranks(at),
    }
}

/// Operators with one output that is shaped as their first input.
const UNARY: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BiasGelu",
    "BitwiseNot",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "FastGelu",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "QuickGelu",
    "Reciprocal",
    "Relu",
    "RMSNormalization",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "SimplifiedLayerNormalization",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

pub(crate) fn fixed(size: i64) -> Dim {
    u64::try_from(size).map_or(Dim::Unknown, Dim::Fixed)
}

/// An axis that may count from the back.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_front).ok().filter(|&axis| axis < rank)
}

/// Which dimensions `Shape` gives.
pub(crate) fn shape_range(at: &At<'_>, rank: usize) -> Range<usize> {
    let clamp = |place: i64| {
        let place = if place < 0 { place + rank as i64 } else { place };
        place.clamp(0, rank as i64) as usize
    };
    let (start, end) = (at.int("start").map_or(0, clamp), at.int("end").map_or(rank, clamp));
    start..end.max(start)
}

pub(crate) fn product(dims: &[Dim]) -> Dim {
    dims.iter()
        .try_fold(1_u64, |product, dim| match dim {
            Dim::Fixed(size) => product.checked_mul(*size),
            _ => None,
        })
        .map_or_else(
            || match dims {
                [only] => only.clone(),
                _ => Dim::Unknown,
            },
            Dim::Fixed,
        )
}

fn broadcast_all(at: &At<'_>) -> Dims {
    let mut dims = at.dims(0)?.to_vec();
    for input in 1..at.node.input.len() {
        dims = broadcast(&dims, at.dims(input)?)?;
    }
    Some(dims)
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Dims {
    let rank = a.len().max(b.len());
    let from_back = |dims: &[Dim], back: usize| match dims.len().checked_sub(back) {
        Some(at) => dims[at].clone(),
        None => Dim::Fixed(1),
    };
    let joined = (1..=rank).rev().map(|back| match (from_back(a, back), from_back(b, back)) {
        (Dim::Fixed(1), other) | (other, Dim::Fixed(1)) => other,
        // A size above one decides, because the other one can only be 1 or the same.
        (Dim::Fixed(size), _) | (_, Dim::Fixed(size)) => Dim::Fixed(size),
        // A named size is the likely one, and nothing checks a name against a size.
        (name @ Dim::Symbol(_), Dim::Unknown) | (Dim::Unknown, name @ Dim::Symbol(_)) => name,
        (a, b) if a == b => a,
        _ => Dim::Unknown,
    });
    Some(joined.collect())
}

fn matmul(a: &[Dim], b: &[Dim]) -> Dims {
    match (a, b) {
        ([], _) | (_, []) => None,
        ([_], [_]) => Some(Vec::new()),
        ([_], [front @ .., _, columns]) => Some([front, std::slice::from_ref(columns)].concat()),
        ([front @ .., _], [_]) => Some(front.to_vec()),
        ([a_front @ .., rows, _], [b_front @ .., _, columns]) => {
            let mut dims = broadcast(a_front, b_front)?;
            dims.extend([rows.clone(), columns.clone()]);
            Some(dims)
        }
    }
}

fn gemm(at: &At<'_>) -> Dims {
    let ([a0, a1], [b0, b1]) = (at.dims(0)?, at.dims(1)?) else { return None };
    let rows = if at.int("transA").unwrap_or(0) == 0 { a0 } else { a1 };
    let columns = if at.int("transB").unwrap_or(0) == 0 { b1 } else { b0 };
    Some(vec![rows.clone(), columns.clone()])
}

fn last_replaced(dims: Option<&[Dim]>, size: Option<i64>) -> Dims {
    let (dims, size) = (dims?, size?);
    let (_, front) = dims.split_last()?;
    Some([front, &[fixed(size)]].concat())
}

fn transpose(at: &At<'_>) -> Dims {
    let dims = at.dims(0)?;
    match at.ints("perm").filter(|perm| !perm.is_empty()) {
        None => Some(dims.iter().rev().cloned().collect()),
        Some(perm) => perm.iter().map(|&from| dims.get(usize::try_from(from).ok()?).cloned()).collect(),
    }
}

fn concat(at: &At<'_>) -> Dims {
    let mut dims = at.dims(0)?.to_vec();
    let axis = axis(at.int("axis")?, dims.len())?;
    for input in 1..at.node.input.len() {
        let other = at.dims(input)?;
        for (place, (dim, other)) in dims.iter_mut().zip(other).enumerate() {
            match (&*dim, other) {
                (Dim::Fixed(a), Dim::Fixed(b)) if place == axis => {
                    *dim = a.checked_add(*b).map_or(Dim::Unknown, Dim::Fixed)
                }
                _ if place == axis => *dim = Dim::Unknown,
                (Dim::Unknown, known) => *dim = known.clone(),
                _ => {}
            }
        }
    }
    Some(dims)
}

fn unsqueeze(at: &At<'_>) -> Dims {
    let dims = at.dims(0)?;
    let axes = at.axes("axes", 1)?;
    let rank = dims.len() + axes.len();
    let new: Vec<usize> = axes.iter().map(|&place| axis(place, rank)).collect::<Option<_>>()?;
    let mut old = dims.iter();
    (0..rank)
        .map(|place| if new.contains(&place) { Some(Dim::Fixed(1)) } else { old.next().cloned() })
        .collect()
}

fn squeeze(at: &At<'_>) -> Dims {
    let dims = at.dims(0)?;
    let gone: Vec<usize> = match at.axes("axes", 1) {
        Some(axes) => axes.iter().map(|&place| axis(place, dims.len())).collect::<Option<_>>()?,
        None if at.has(1) => return None,
        None if dims.iter().any(|dim| !matches!(dim, Dim::Fixed(_))) => return None,
        None => (0..dims.len()).filter(|&place| dims[place] == Dim::Fixed(1)).collect(),
    };
    Some(
        dims.iter()
            .enumerate()
            .filter(|(place, _)| !gone.contains(place))
            .map(|(_, dim)| dim.clone())
            .collect(),
    )
}

fn reshape(at: &At<'_>) -> Dims {
    let Some(sizes) = at.ints("shape").or_else(|| at.constant(1)) else { return at.sizes(1) };
    let copies = at.int("allowzero").unwrap_or(0) == 0;
    let mut dims: Vec<Dim> = Vec::with_capacity(sizes.len());
    for (place, &size) in sizes.iter().enumerate() {
        dims.push(match size {
            0 if copies => at.dims(0).and_then(|from| from.get(place)).cloned().unwrap_or(Dim::Unknown),
            size => fixed(size),
        });
    }
    if let Some(open) = sizes.iter().position(|&size| size == -1)
        && let Some(Dim::Fixed(total)) = at.dims(0).map(product)
        && let Dim::Fixed(known) = product(&[&dims[..open], &dims[open + 1..]].concat())
        && known > 0
    {
        dims[open] = Dim::Fixed(total / known);
    }
    Some(dims)
}

/// Only the dimensions that are sliced change.
fn slice(at: &At<'_>) -> Dims {
    let mut dims = at.dims(0)?.to_vec();
    let axes = at.axes("axes", 3);
    for place in 0..dims.len() {
        let sliced = |axes: &[i64]| axes.iter().any(|&sliced| axis(sliced, dims.len()) == Some(place));
        if axes.is_none_or(sliced) {
            dims[place] = Dim::Unknown;
        }
    }
    Some(dims)
}

fn split(at: &At<'_>, dims: &[Dim]) -> Vec<Dim> {
    let mut dims = dims.to_vec();
    if let Some(axis) = axis(at.int("axis").unwrap_or(0), dims.len()) {
        dims[axis] = match (&dims[axis], at.has(1) || at.ints("split").is_some()) {
            (Dim::Fixed(size), false) if size % at.node.output.len() as u64 == 0 => {
                Dim::Fixed(size / at.node.output.len() as u64)
            }
            _ => Dim::Unknown,
        };
    }
    dims
}

fn reduce(at: &At<'_>) -> Dims {
    let dims = at.dims(0)?;
    let arg = at.node.op_type().starts_with("Arg");
    let keep = at.int("keepdims").unwrap_or(1) != 0;
    let gone: Vec<usize> = if arg {
        vec![axis(at.int("axis").unwrap_or(0), dims.len())?]
    } else {
        match at.axes("axes", 1) {
            Some(axes) if !axes.is_empty() => {
                axes.iter().map(|&place| axis(place, dims.len())).collect::<Option<_>>()?
            }
            _ if at.has(1) => return None,
            _ => (0..dims.len()).collect(),
        }
    };
    let kept = dims.iter().enumerate().filter_map(|(place, dim)| match (gone.contains(&place), keep) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(Dim::Fixed(1)),
        (true, false) => None,
    });
    Some(kept.collect())
}
