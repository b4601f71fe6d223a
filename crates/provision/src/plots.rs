//! The files that the live page draws its plots with.

use std::path::PathBuf;

use crate::home::Home;
use crate::pins;
use crate::stamp::Stamp;

/// The folder of uPlot's files, of the version that this release expects; `None` where they are not installed, or not whole:
/// the page does without plots then.
///
/// Checks that every file has the length it was installed with. Takes well below a millisecond.
#[must_use]
pub fn find_plots(home: &Home) -> Option<PathBuf> {
    let folder = home.uplot();
    Stamp::check(&folder, pins::UPLOT).is_ok().then_some(folder)
}
