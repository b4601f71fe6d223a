//! What a guest wants.

use serde::{Deserialize, Serialize};

/// Why a guest pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseCause {
    /// Whoever sits there said so.
    User,
    /// Its tab is hidden, where browsers give a page little time.
    Hidden,
    /// It runs on a battery that is almost empty.
    Battery,
    /// Another cause, of a newer page.
    #[serde(other)]
    Other,
}

/// What a guest wants of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Wish {
    /// Work.
    #[default]
    Work,
    /// No new work for a while. It stays, with all that it has loaded.
    Pause(PauseCause),
    /// To go, when what it has begun is done.
    Leave,
}
