//! Starting browsers: which command line, which capabilities, which environment, for each of the names that we know.

mod capabilities;
mod display;
mod driver;
mod error;
mod spec;

pub(crate) use display::Display;
pub(crate) use driver::RunningBrowser;
pub use driver::Tab;
pub use error::LaunchError;
pub use spec::{BrowserSource, LaunchSpec};
