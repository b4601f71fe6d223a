//! What a node weighs and how much it computes.

use std::collections::{BTreeSet, HashSet};

use tensor::Dim;

use crate::graph::{Graph, NodeId, Order, Origin, ValueId};
use crate::types::Assumptions;

/// What one node is taken to weigh at most, in bytes, and to compute, in operations. A file has no more than 2²² nodes, so
/// that all masses can be added up; works are added with [`total`].
const MOST_MASS: u64 = 1 << 40;
const MOST_WORK: u64 = 1 << 50;

/// A sum that ends at the largest number.
pub(crate) fn total(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// Costs by place in the order.
#[derive(Debug, Clone)]
pub(crate) struct Costs {
    /// Bytes of weights that the node is the first to need, weights computed from others included.
    pub(crate) mass: Vec<u64>,
    /// Floating-point operations, estimated: two for each multiplication with an addition, one for each other element.
    pub(crate) work: Vec<u64>,
}

impl Costs {
    pub(crate) fn of(graph: &Graph, order: &Order, assumed: &Assumptions) -> Self {
        let mut counted = HashSet::new();
        let mass = order.nodes.iter().map(|&node| mass(graph, node, assumed, &mut counted)).collect();
        let work = order.nodes.iter().map(|&node| work(graph, node, assumed)).collect();
        Self { mass, work }
    }
}

fn mass(graph: &Graph, node: NodeId, assumed: &Assumptions, counted: &mut HashSet<ValueId>) -> u64 {
    let mut sum = 0;
    for &value in &graph.nodes[node].inputs {
        if !graph.is_constant(value) || !counted.insert(value) {
            continue;
        }
        let (mut nodes, mut weights) = (BTreeSet::new(), BTreeSet::new());
        graph.cone(value, &mut nodes, &mut weights);
        let held = total(weights.iter().map(|&weight| bytes(graph, weight)));
        let computed = match graph.values[value].origin {
            Origin::Node(_) => graph.values[value].ty.as_ref().and_then(|ty| assumed.bytes(ty)).unwrap_or(0),
            _ => 0,
        };
        counted.extend(weights);
        sum = total([sum, held.max(computed)]);
    }
    sum.min(MOST_MASS)
}

fn bytes(graph: &Graph, weight: ValueId) -> u64 {
    match graph.values[weight].origin {
        Origin::Weight(bytes) => bytes,
        _ => 0,
    }
}

fn work(graph: &Graph, node: NodeId, assumed: &Assumptions) -> u64 {
    let of = &graph.nodes[node];
    let elements = |value: ValueId| graph.values[value].ty.as_ref().and_then(|ty| assumed.elements(ty));
    let dims =
        |at: usize| of.inputs.get(at).and_then(|&value| graph.values[value].ty.as_ref()?.dims.as_deref());
    let given = total(of.outputs.iter().filter_map(|&value| elements(value)));
    let size = |dim: &Dim| assumed.size(dim);
    let name = of.op.rsplit(':').next().unwrap_or_default();
    let sums = match name {
        "MatMul" | "MatMulInteger" | "FusedMatMul" | "Gemm" | "MatMulNBits" | "QLinearMatMul"
        | "FusedGemm" => dims(0).and_then(<[Dim]>::last).map(size),
        "Conv" | "ConvInteger" | "FusedConv" | "ConvTranspose" => {
            dims(1).map(|kernel| assumed.product(kernel.get(1..).unwrap_or_default()))
        }
        "GroupQueryAttention" | "MultiHeadAttention" | "Attention" => {
            Some(assumed.otherwise.saturating_mul(2))
        }
        _ => None,
    };
    let work = match sums {
        Some(sums) => given.saturating_mul(sums).saturating_mul(2),
        None => given,
    };
    work.min(MOST_WORK)
}
