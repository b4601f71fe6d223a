//! A model together with everything that a strategy looks at.

use onnx_graph::proto::ModelProto;

use super::cost::Costs;
use super::live::Live;
use crate::graph::{Graph, NodeId, Order, State, states};
use crate::read::ModelFile;
use crate::types::{self, Assumptions};

#[derive(Debug, Clone)]
pub(crate) struct Study<'m> {
    pub(crate) file: &'m ModelFile,
    pub(crate) graph: Graph,
    pub(crate) order: Order,
    pub(crate) states: Vec<State>,
    pub(crate) costs: Costs,
    pub(crate) live: Live,
    pub(crate) assumed: Assumptions,
}

impl<'m> Study<'m> {
    pub(crate) fn of(file: &'m ModelFile, assumed: Assumptions) -> Self {
        let model = file.model().proto();
        let mut graph = Graph::build(model);
        types::assign(&mut graph, model);
        let order = Order::of(&graph);
        let states = states(&graph, model);
        let costs = Costs::of(&graph, &order, &assumed);
        let live = Live::of(&graph, &order, &states, &assumed);
        Self { file, graph, order, states, costs, live, assumed }
    }

    pub(crate) fn proto(&self) -> &'m ModelProto {
        self.file.model().proto()
    }

    /// Whether a node attends: a softmax over scores, or an operator that holds one.
    pub(crate) fn attends(&self, node: NodeId) -> bool {
        let op = &*self.graph.nodes[node].op;
        op == "Softmax" || op.ends_with("Attention")
    }

    /// Whether a node does the heavy work of a network with a weight of its own.
    pub(crate) fn computes(&self, node: NodeId) -> bool {
        const HEAVY: [&str; 14] = [
            "MatMul",
            "Gemm",
            "Conv",
            "ConvTranspose",
            "MatMulInteger",
            "ConvInteger",
            "QLinearMatMul",
            "QLinearConv",
            "MatMulNBits",
            "FusedMatMul",
            "FusedConv",
            "FusedGemm",
            "LSTM",
            "GRU",
        ];
        let op = self.graph.nodes[node].op.rsplit(':').next().unwrap_or_default();
        HEAVY.contains(&op)
            && self.graph.nodes[node].inputs.iter().any(|&value| self.graph.is_constant(value))
    }
}
