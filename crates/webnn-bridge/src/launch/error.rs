//! Why a browser could not be launched.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use vocab::BrowserName;

/// Why a launch failed. Nothing of the attempt is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// A file or directory for the browser could not be made.
    #[error("could not make the profile directory of {browser}")]
    Profile {
        /// The browser.
        browser: BrowserName,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The driver could not be started.
    #[error("could not start the driver of {browser} ({program})")]
    Spawn {
        /// The browser.
        browser: BrowserName,
        /// The driver's program.
        program: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The driver ended before it answered.
    #[error("the driver of {browser} ended at once ({status}): run it by hand to see why")]
    DriverEnded {
        /// The browser.
        browser: BrowserName,
        /// How it ended.
        status: ExitStatus,
    },
    /// The driver did not answer in time.
    #[error("the driver of {browser} did not answer within {waited:?}")]
    DriverSilent {
        /// The browser.
        browser: BrowserName,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The driver could not start a session.
    #[error("{browser} did not start: the driver refused a session")]
    Session {
        /// The browser.
        browser: BrowserName,
        /// The driver's answer.
        #[source]
        source: Box<thirtyfour::error::WebDriverError>,
    },
    /// The browser started but did not finish within the time allowed.
    #[error("{browser} did not finish {phase} within {waited:?}")]
    TimedOut {
        /// The browser.
        browser: BrowserName,
        /// What it was doing.
        phase: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A virtual display is needed and could not be had.
    #[error("{browser} needs a display: install Xvfb (Debian: apt-get install xvfb), or set DISPLAY")]
    NoDisplay {
        /// The browser.
        browser: BrowserName,
        /// The cause, where there was one.
        #[source]
        source: Option<io::Error>,
    },
    /// The page opened but never said that it was ready.
    #[error("the page in {browser} ended before it was ready")]
    PageEnded {
        /// The browser.
        browser: BrowserName,
        /// Why.
        #[source]
        source: crate::link::PageEnd,
    },
    /// The bridge is shutting down.
    #[error("the bridge is shutting down")]
    ShuttingDown,
}
