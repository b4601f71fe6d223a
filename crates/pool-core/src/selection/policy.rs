//! The seam of policies.

use std::fmt::Debug;

use perf_history::{ScoreWeights, Standing, UnixMillis};
use rand::rngs::SmallRng;

use super::{Context, SelectionConfig};

/// Chooses an arm from the table of those that could compute a request.
///
/// One policy decides for every model; what it remembers about one model and shape bucket lies in the [`Context`].
pub trait Policy: Debug + Send {
    /// Chooses a row. There is at least one.
    fn choose(&mut self, view: View<'_>) -> Choice;
}

/// What a policy decides from.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "a policy is tested with views of its own making")]
pub struct View<'a> {
    /// The arms that could compute the request. The leader is the first: the best one, or the one that led before where
    /// the best is hardly better.
    pub rows: &'a [Standing],
    /// The time.
    pub now: UnixMillis,
    /// The course of decisions for this model and shape bucket. This decision is counted already.
    pub context: &'a mut Context,
    /// Random numbers.
    pub random: &'a mut SmallRng,
    /// The settings.
    pub config: &'a SelectionConfig,
    /// The longest run that may be risked to learn something, in milliseconds.
    pub longest_ms: f64,
}

impl View<'_> {
    pub(crate) fn weights(&self) -> &ScoreWeights {
        &self.config.experience.weights
    }
}

/// A policy's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "policies build it in full")]
pub struct Choice {
    /// The row of the table.
    pub row: usize,
    /// Whether the request must go to that arm. Otherwise it is what comes first, and another arm may take the request
    /// where that ends it sooner.
    pub pinned: bool,
    /// Why.
    pub why: Why,
}

impl Choice {
    /// The leader, unless another arm would end the request sooner.
    pub const LEADER: Self = Self { row: 0, pinned: false, why: Why::Leader };

    /// This row and no other.
    #[must_use]
    pub const fn pinned(row: usize, why: Why) -> Self {
        Self { row, pinned: true, why }
    }
}

/// Why an arm was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// Only one arm could compute the request.
    Only,
    /// It comes first.
    Leader,
    /// It does not come first, and ends the request sooner than waiting for the first one would.
    Sooner,
    /// Too little is known about it.
    Learning,
    /// It may well be better than the leader, as far as is known.
    Promising,
    /// It was better than it was known to be, so it is tried again.
    Surprise,
    /// It was not looked at for long.
    Recheck,
    /// It comes first and its model was not loaded there yet, while others have it.
    Move,
    /// It was drawn or counted out, by a policy that explores in its own way.
    Drawn,
    /// It is the one that was fixed.
    Fixed,
}

impl Why {
    /// Whether the request was sent there to learn something.
    #[must_use]
    pub const fn is_exploration(self) -> bool {
        matches!(self, Self::Learning | Self::Promising | Self::Surprise | Self::Recheck)
    }
}
