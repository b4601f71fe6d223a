//! A scripted worker for the tests of everything that stands on `pool-core`.
//!
//! [`FakeWorker`] implements [`WorkerLink`](pool_core::WorkerLink) and computes nothing: it gives a run's inputs back
//! as its outputs, or does whatever its script says ([`Step`]). It keeps count of what happened to it and notices
//! when the pool breaks a promise of the seam (a run of a session that is not loaded, more runs at once than slots,
//! an unload of a session in use): see [`FakeWorker::violations`].
//!
//! It is for tests alone; nothing of the product may depend on it. It sleeps by tokio's clock, so that a test with
//! paused time takes none.
//!
//! ```
//! use pool_core_testing::{FakeWorker, Step};
//!
//! let worker = FakeWorker::new();
//! worker.script_run([Step::Vanish]);
//! assert_eq!(worker.counts().runs, 0);
//! assert!(worker.violations().is_empty());
//! ```

mod models;
mod script;
mod worker;

pub use models::{identity_model, identity_model_of, info, info_of, vector};
pub use script::{Counts, Step};
pub use worker::FakeWorker;
