//! What is looked at before a model is cut, and how a cut becomes parts.

mod cost;
mod live;
mod part;
mod quotient;
mod study;

pub(crate) use cost::total;
pub(crate) use part::{Part, extract};
pub(crate) use quotient::{Quotient, quotient};
pub(crate) use study::Study;

use crate::graph::NodeId;

/// One stage before its part is made: which nodes, on which shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// What it is, for people.
    pub(crate) label: String,
    /// The shard that hosts it, from 0. A shard can host several stages.
    pub(crate) shard: usize,
    /// Its live nodes.
    pub(crate) nodes: Vec<NodeId>,
}
