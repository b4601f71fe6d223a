//! Workers that belong to somebody else.
//!
//! A guest is a worker that the pool's owner did not start: a browser somewhere that was let in. It adds room to what the
//! owner's workers serve, and is relied on for nothing. What it computes is compared with what one of them computes, and is
//! held back until then, as often as [`Confirmation`] says; what it says about time and memory is not used.

use std::collections::BTreeSet;
use std::sync::Arc;

use vocab::ModelHash;

use crate::{Pool, WorkerLink};

/// How many answers of a guest are held until a worker of the owner's has confirmed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmation {
    /// So many right answers of a guest, one after the other from its first, are all confirmed. Default 20.
    pub first: u32,
    /// Afterwards each is confirmed with a chance of one in so many, drawn where the guest cannot know it. Zero stands for
    /// none, one for all. Default 10.
    pub then_one_in: u32,
}

impl Default for Confirmation {
    fn default() -> Self {
        Self { first: 20, then_one_in: 10 }
    }
}

/// What makes a worker a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guest {
    /// A name for people: `guest-3`.
    pub label: Arc<str>,
    /// The only models that it is given. Default: none.
    pub models: Arc<BTreeSet<ModelHash>>,
    /// Whether it is relied on like a worker of the owner's: its answers are not held, what it measures is learnt from, and
    /// it serves where there is no other. It still gets no other models, and no sequences. Default: no.
    pub trusted: bool,
    /// How many of its answers are confirmed.
    pub confirmation: Confirmation,
    /// What the chance is drawn from. A secret: who knows it knows which answers are looked at.
    pub seed: u64,
}

impl Guest {
    /// A guest that is not trusted, and gets no model yet.
    #[must_use]
    pub fn new(label: impl Into<Arc<str>>, seed: u64) -> Self {
        Self {
            label: label.into(),
            models: Arc::default(),
            trusted: false,
            confirmation: Confirmation::default(),
            seed,
        }
    }
}

impl<L: WorkerLink> Pool<L> {
    /// Whether a worker is here that requests can rely on: one of the owner's, or a guest that is trusted.
    #[must_use]
    pub fn is_staffed(&self) -> bool {
        self.inner().read(crate::core::Core::is_staffed)
    }

    /// Gives every guest these models and no others, from now on. What a guest has loaded of others is unloaded as soon as
    /// the runs that it has are over. Guests that join later bring their own list.
    pub fn set_guest_models(&self, models: &Arc<BTreeSet<ModelHash>>) {
        self.inner().decide(|core, now| core.set_guest_models(now, models));
    }
}
