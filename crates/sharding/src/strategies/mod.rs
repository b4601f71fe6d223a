//! Where to cut: one file a strategy.

mod attention;
mod blocks;
mod component;
mod held;
mod layer;
mod minmax;
mod names;
mod optimal;
mod towers;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cut::{Draft, Study};
use crate::plan::{Estimate, Request};

/// How a model is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// Contiguous blocks of layers, of about the same weight; of about the same work, where each of the workers that were
    /// given could hold the whole model.
    Layer,
    /// Attention with its caches on some shards, feed-forward on the others.
    AttentionFeedforward,
    /// Towers and what joins them; independent ones run at once.
    Component,
    /// The contiguous cut that is fastest on given workers.
    Optimal,
    /// As the caller said, node by node: see [`plan_given`](crate::plan_given).
    Given,
}

impl Strategy {
    /// Every strategy that finds the places to cut at by itself.
    pub const ALL: [Self; 4] = [Self::Layer, Self::AttentionFeedforward, Self::Component, Self::Optimal];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::AttentionFeedforward => "attention-feedforward",
            Self::Component => "component",
            Self::Optimal => "optimal",
            Self::Given => "given",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy {0:?}: expected layer, attention-feedforward, component or optimal")]
pub struct UnknownStrategy(pub String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

/// Why a strategy does not fit a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// There are not enough places to cut at.
    #[error("the model can be cut into {most} such parts at most, and {wanted} were asked for")]
    TooFewParts {
        /// Parts that there can be.
        most: usize,
        /// Parts that were asked for.
        wanted: usize,
    },
    /// There are not enough workers for a shard each.
    #[error("{given} workers were given, and {wanted} shards need one each")]
    TooFewWorkers {
        /// Workers that were given.
        given: usize,
        /// Shards that were asked for.
        wanted: usize,
    },
    /// Workers are too different for all to be considered, and those that were have not enough room.
    #[error(
        "the workers are of {kinds} kinds, of which only the {considered} fastest were considered, and no distribution over these fits"
    )]
    TooManyKinds {
        /// Kinds of workers that were given: equally fast and equally large ones are of one kind.
        kinds: usize,
        /// Kinds that were considered.
        considered: usize,
    },
    /// There are no residual blocks that attend.
    #[error("the model has no attention block that a residual connection goes around")]
    NoAttention,
    /// There are no residual blocks that only feed forward.
    #[error("the model has no feed-forward block that a residual connection goes around")]
    NoFeedForward,
    /// The model is all of one piece.
    #[error(
        "the model has one component only: no two parts of it depend on different inputs, and no names tell them apart"
    )]
    OneComponent,
    /// One shard cannot hold two kinds of blocks apart.
    #[error("at least two shards are needed to keep attention and feed-forward apart")]
    OneShard,
    /// Two stages would each wait for the other.
    #[error("two stages would wait for each other")]
    Cyclic,
    /// A cache would be taken by one stage and given by another.
    #[error("the cache {name:?} would be taken by one stage and given by another")]
    TornCache {
        /// The input that takes it.
        name: String,
    },
    /// A value that is no tensor of known element type and rank would have to be sent.
    #[error("the value {name:?} would cross a cut, but it is not known to be a tensor of some type and rank")]
    Unsendable {
        /// The value.
        name: String,
    },
    /// It was not said what goes where.
    #[error("no stages were given")]
    NothingGiven,
    /// A node that an output depends on is in no stage, or in several.
    #[error("the node {node} is in {stages} stages, and every node that counts must be in exactly one")]
    NotOnce {
        /// The node, by its place in the file.
        node: usize,
        /// Stages that it was given to.
        stages: usize,
    },
    /// No workers were named, or no distribution respects their memory.
    #[error(
        "no distribution over the given workers fits their memory: the largest piece that cannot be cut needs {needed} bytes"
    )]
    OutOfMemory {
        /// Bytes that the largest piece needs on one worker.
        needed: u64,
    },
}

/// What a strategy proposes.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) drafts: Vec<Draft>,
    /// What a reader of the plan should know.
    pub(crate) notes: Vec<String>,
    /// The workers that the shards are meant for, by index, where that was decided.
    pub(crate) workers: Option<Vec<usize>>,
    /// What it would take on the given workers.
    pub(crate) estimate: Option<Estimate>,
}

impl Proposal {
    pub(crate) const fn new(drafts: Vec<Draft>) -> Self {
        Self { drafts, notes: Vec::new(), workers: None, estimate: None }
    }
}

pub(crate) fn propose(study: &Study<'_>, request: &Request, strategy: Strategy) -> Result<Proposal, Misfit> {
    if request.shards == 1 && strategy != Strategy::AttentionFeedforward {
        let nodes = study.order.nodes.clone();
        return Ok(Proposal::new(vec![Draft { label: "whole".to_owned(), shard: 0, nodes }]));
    }
    match strategy {
        Strategy::Layer => layer::propose(study, request),
        Strategy::AttentionFeedforward => attention::propose(study, request.shards),
        Strategy::Component => component::propose(study, request.shards),
        Strategy::Optimal => optimal::propose(study, request),
        Strategy::Given => Err(Misfit::NothingGiven),
    }
}
