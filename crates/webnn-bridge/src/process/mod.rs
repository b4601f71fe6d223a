//! Owning processes: everything that we start is gone when we are gone, however we end.
//!
//! Three nets, each under the one before it:
//! 1. [`OwnedProcess`] kills its whole process group when it is dropped or ended;
//! 2. a watchdog, a small shell script in a group of its own, waits for our end of a pipe to close, which the kernel
//!    does also when we are killed with SIGKILL, and then kills what carries our mark and deletes our run directory;
//! 3. the next start looks for run directories whose owner is gone and does the same ([`reap_stale`]).
//!
//! What is ours is known by an environment variable, [`MARK`], that drivers, browsers and their children inherit. A
//! process id alone would not do: ids are reused, and geckodriver and Chromium start processes that we never see.

mod mark;
mod owned;
mod run_dir;
mod stale;
mod table;
mod watchdog;

pub use mark::{MARK, marked_processes};
pub(crate) use owned::OwnedProcess;
pub(crate) use run_dir::{BrowserPlace, RunDir};
pub use stale::reap_stale;
pub use table::{MarkedProcess, kill_process, process_table};
