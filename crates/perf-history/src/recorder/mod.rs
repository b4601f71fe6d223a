//! Writing observations without making anybody wait: a bounded queue, and one thread that empties it into a store.

mod error;
mod flush;
mod handle;
mod pace;
mod queue;
mod settings;
mod shared;
mod stats;
mod writer;

pub use error::{FlushError, ShutdownError, StartError};
pub use flush::Flush;
pub use handle::{Recorder, RecorderHandle};
pub use settings::RecorderSettings;
pub use stats::RecorderStats;
