//! The seam to whatever lets guests in: browsers that somebody else opens.

use std::time::Duration;

/// What lets guests in.
pub trait Guests: Send + Sync + 'static {
    /// Gives out a code that lets one browser in.
    ///
    /// # Errors
    /// Why there is none, in its own words, with what to do.
    fn invite(&self) -> Result<Invited, String>;

    /// The address of the page by which guests join; `None` where none are let in.
    fn join_url(&self) -> Option<String>;
}

// It is kept as a trait object, so it must stay dyn-compatible.
const _: Option<&dyn Guests> = None;

/// A code that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever lets guests in builds it in full")]
pub struct Invited {
    /// The code, as people type it.
    pub code: String,
    /// The address to open, with the code in its fragment.
    pub url: String,
    /// For how long it is good.
    pub expires_in: Duration,
}
