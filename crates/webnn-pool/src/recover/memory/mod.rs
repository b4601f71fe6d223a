//! Memory: how much each browser takes, what is given up where it is scarce, and browsers that are replaced in time.

mod acts;
mod course;
mod options;
mod order;
mod reading;
mod reconcile;
mod spare;
mod ward;
mod watch;

pub use options::{MemoryOptions, ReconcileOptions, RecycleOptions};
pub(super) use order::{Desk, Order};
pub use reading::BrowserMemory;
pub(super) use spare::Launching;
pub(crate) use watch::watch_memory;
