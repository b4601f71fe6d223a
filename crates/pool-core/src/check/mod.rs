//! Whether workers still compute what they should.
//!
//! A page that gives right shapes and wrong numbers looks healthy in every other respect. Two things find it. A *canary*
//! is a run whose answer is known: it is made after each load, before the session serves anybody, and again now and then.
//! A *spot check* repeats a request that was just answered on another worker and compares. A worker that is shown to be
//! wrong leaves the pool as [`LeaveCause::Quarantined`](crate::LeaveCause::Quarantined).
//!
//! A canary comes from the caller, or from the first answer that two workers agreed upon. Where there is only one worker,
//! it is that one's own first answer: then the check finds that its numbers have changed.
//!
//! # Who is believed
//!
//! A session that is off a canary is wrong where the canary is the caller's, was agreed upon, or was passed by that very
//! session before, unless all others are off it too. Where two workers disagree about a request, both do it again: one that does not repeat itself while the
//! other does is wrong. Otherwise a third one decides, and where there is none, the canary. Where nobody repeats himself
//! the model is not a function of its inputs, and is not checked any more; where nothing decides, that is told and nobody
//! is put out.

mod compare;
mod config;
mod confirm;
mod examine;
mod known;

pub(crate) use compare::{Difference, compare};
pub use config::CheckConfig;
pub(crate) use confirm::{Verdict, confirm, is_of_form};
pub(crate) use examine::{Check, Finding, Party, canary, examine};
pub use known::Canary;
pub(crate) use known::{Case, Origin, Store};
