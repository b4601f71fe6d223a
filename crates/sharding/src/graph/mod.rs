//! The model as nodes and values by number, with what cutting wants to know about each.

mod build;
mod captures;
mod order;
mod repeat;
mod state;
mod weight;

use std::collections::HashMap;
use std::sync::Arc;

use crate::types::ValueType;

pub(crate) use captures::{captures, subgraphs};
pub(crate) use order::Order;
pub(crate) use repeat::{Repeat, repeats, signatures};
pub(crate) use state::{State, states};
pub(crate) use weight::weight_bytes;

/// The number of a node: its place in the file.
pub(crate) type NodeId = usize;

/// The number of a value.
pub(crate) type ValueId = usize;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The caller gives it.
    Input,
    /// It is a weight of that many bytes.
    Weight(u64),
    /// A node computes it.
    Node(NodeId),
}

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It depends on what the caller gives, or draws at random, and an output depends on it: it is in exactly one stage.
    Live,
    /// It depends on weights only: every stage that needs it has a copy.
    Constant,
    /// No output depends on it: no stage has it.
    Dead,
}

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its operator, with the domain in front unless that is the standard one.
    pub(crate) op: Arc<str>,
    /// Its name, which may be empty.
    pub(crate) name: Arc<str>,
    /// What it takes, each value once, including what its subgraphs take from outside of them.
    pub(crate) inputs: Vec<ValueId>,
    /// What it gives.
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) role: Role,
}

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) name: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) consumers: Vec<NodeId>,
    pub(crate) is_output: bool,
    /// Its type, where it is a tensor whose element type is known.
    pub(crate) ty: Option<ValueType>,
}

/// A model's main graph.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<Value>,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) by_name: HashMap<Arc<str>, ValueId>,
}

impl Graph {
    /// The node that computes a value.
    pub(crate) fn producer(&self, value: ValueId) -> Option<NodeId> {
        match self.values[value].origin {
            Origin::Node(node) => Some(node),
            Origin::Input | Origin::Weight(_) => None,
        }
    }

    /// The live node that computes a value, if it is one that flows.
    pub(crate) fn live_producer(&self, value: ValueId) -> Option<NodeId> {
        self.producer(value).filter(|&node| self.nodes[node].role == Role::Live)
    }

    /// Whether a value is the same in every run, so that each stage can have its own.
    pub(crate) fn is_constant(&self, value: ValueId) -> bool {
        match self.values[value].origin {
            Origin::Input => false,
            Origin::Weight(_) => true,
            Origin::Node(node) => self.nodes[node].role == Role::Constant,
        }
    }

    /// Whether a value can cross a cut: a tensor of known element type and rank, as a model's inputs and outputs must be.
    pub(crate) fn is_sendable(&self, value: ValueId) -> bool {
        self.values[value].ty.as_ref().is_some_and(|ty| ty.dims.is_some())
    }

    /// The live nodes that give a node something.
    pub(crate) fn predecessors(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes[node].inputs.iter().filter_map(|&value| self.live_producer(value))
    }

    /// Constant nodes and weights that a value needs, itself included, added to `nodes` and `weights`.
    pub(crate) fn cone(
        &self,
        value: ValueId,
        nodes: &mut std::collections::BTreeSet<NodeId>,
        weights: &mut std::collections::BTreeSet<ValueId>,
    ) {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match self.values[value].origin {
                Origin::Input => {}
                Origin::Weight(_) => _ = weights.insert(value),
                Origin::Node(node) if self.nodes[node].role == Role::Constant => {
                    if nodes.insert(node) {
                        open.extend(&self.nodes[node].inputs);
                    }
                }
                Origin::Node(_) => {}
            }
        }
    }
}
