//! Keeping browsers alive: each has a task that watches over it, and revives it by the recovery layer when it is in
//! trouble.

mod choice;
mod config;
mod deeds;
mod error;
mod memory;
mod patient;
mod proof;
mod report;
mod shared;
mod signs;
mod supervise;
mod watch;

pub use config::RecoveryOptions;
pub(crate) use memory::watch_memory;
pub use memory::{BrowserMemory, MemoryOptions, ReconcileOptions, RecycleOptions};
pub(crate) use patient::Patient;
pub use report::{LearnedRung, RecoveryReport};
pub(crate) use shared::Shared;
pub(crate) use supervise::supervise;
