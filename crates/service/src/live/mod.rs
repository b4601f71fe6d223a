//! The feed behind the live page: what is there now, once a second, and what happens, at once.
//!
//! [`News`] hears every event of the pool and keeps those that an operator wants to know of. [`compose`] makes a frame out
//! of what the engine, the models' statistics and the news say; it reads no clock. [`hub`] has the one task that makes
//! frames while somebody looks, and hands each to everybody who does. `docs/live.md` tells what travels.

mod compose;
mod frame;
mod hub;
mod insight;
mod news;
mod spread;
mod stream;

pub use insight::{
    Affinities, AffinityRow, BackendDetail, FlowHop, FlowStage, Insight, ShardFlow, WorkerDetail,
};
pub use news::News;

pub(crate) use hub::Hub;
pub(crate) use spread::Spread;
