//! stub
use super::{Misfit, Proposal};
use crate::cut::Study;
use crate::plan::Request;
pub(super) fn propose(_: &Study<'_>, _: &Request) -> Result<Proposal, Misfit> { Err(Misfit::OneComponent) }
