//! Which guests a pool takes.

use pool_core::Confirmation;
use webnn_bridge::JoinConfig;

/// Which guests a pool takes, what they get, and how far they are believed. Give it to
/// [`AcceleratorBuilder::join`](crate::AcceleratorBuilder::join); without it there are none.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct JoinOptions {
    /// The names of the models that guests get. Default: none, and then they get nothing to do.
    pub models: Vec<String>,
    /// Whether guests are believed like the pool's own browsers: no answer is held until it is confirmed, and they serve also
    /// where no browser of the pool's own is there. Default: no. A pool of guests alone answers nothing without it.
    pub trust: bool,
    /// How many answers of a guest that is not trusted are held until a browser of the pool's own has computed the same.
    /// Default: the first 20, then one in 10.
    pub confirmation: Confirmation,
    /// On which terms they are let in.
    pub terms: JoinConfig,
}
