//! Browsers that nobody but the user installs.

use vocab::BrowserName;

use super::error::PartError;
use super::{Done, Work};
use crate::detect::detect_on;
use crate::detection::Detection;

impl Work<'_> {
    /// Finds a browser that is never installed from here, or says what the user can do.
    pub(super) fn only_find(&self, name: BrowserName) -> Result<Done, PartError> {
        match detect_on(self.host, self.home, name) {
            Detection::Found(found) => Ok(Done::AlreadyThere(describe(&found))),
            Detection::Missing { reason: _, hint } => Err(PartError::ByHand { advice: hint }),
        }
    }
}

/// A found browser in words.
pub(super) fn describe(found: &crate::detection::Installed) -> String {
    let driver = found.driver_version.as_deref().unwrap_or("of an unknown version");
    format!("{} {}, driver {driver}", found.name, found.version)
}
