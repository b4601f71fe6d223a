//! Guests: browsers that somebody else opened, and that join the pool by a code.
//!
//! The page server lets them in; here is what the pool does with one that is in. It proves itself before our eyes, gets the
//! models that the operator allows, works, pauses and leaves as it likes, and is put out for good where it computes something
//! wrong. It is never launched, restarted or replaced: of the rungs of recovery it has a ping, a reconnection and a reload.

mod desk;
mod host;
mod options;
mod prove;

pub(crate) use desk::{FrontDesk, receive};
pub use desk::{GuestReport, GuestState};
pub use options::JoinOptions;
