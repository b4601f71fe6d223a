//! Where the caches of a sequence are.

use serde::{Deserialize, Serialize};

use crate::SequenceId;

/// One step of a sequence whose caches stay with the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The sequence.
    pub sequence: SequenceId,
    /// Which incarnation of the caches is meant. In its first step, `position` 0, the caches come with the inputs, and
    /// replace whatever was there of the sequence.
    pub epoch: u64,
    /// Steps that the caches must already hold. Whoever holds caches of another epoch or position must not compute.
    pub position: u64,
}

/// What caches hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachesAt {
    /// Their incarnation.
    pub epoch: u64,
    /// The steps that they hold.
    pub position: u64,
    /// The sum of their sizes along the dimensions in which they grow: how much they hold, whatever the steps were.
    pub length: u64,
}
