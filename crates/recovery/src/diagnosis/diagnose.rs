//! The rules that turn evidence into a fault.

use std::time::Duration;

use vocab::{FailureKind, Fault};

use super::{Canary, Seen, Signs};
use crate::config::{ConfigError, positive, within};

/// When evidence counts as a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DiagnosisConfig {
    /// For how long the main thread may be silent. Default 15 s: three heartbeats of 5 s.
    pub control_silence: Duration,
    /// For how long a thread that holds work may make no progress. Default 60 s, because a run of a large model on a
    /// slow processor takes tens of seconds and reports nothing meanwhile.
    pub data_silence: Duration,
    /// How many times longer than usual runs may take. Default 5.
    pub slowdown: f64,
    /// How many reports of the same kind, since the last look, mean that memory has run out or the device is lost.
    /// Default 1.
    pub reports: u32,
}

impl Default for DiagnosisConfig {
    fn default() -> Self {
        Self {
            control_silence: Duration::from_secs(15),
            data_silence: Duration::from_secs(60),
            slowdown: 5.0,
            reports: 1,
        }
    }
}

impl DiagnosisConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        positive(&[("control_silence", self.control_silence), ("data_silence", self.data_silence)])?;
        within("slowdown", self.slowdown, 1.0, 1e6)?;
        crate::config::at_least_one(&[("reports", self.reports as usize)])
    }
}

/// The most severe fault for which there is evidence; `None` where nothing is wrong as far as can be seen.
///
/// A milder fault is not looked for behind a more severe one: of a dead process it means nothing that its socket closed.
/// In particular, a silent main thread is a hung page only while its connection is not known to be closed.
///
/// ```
/// use recovery::{DiagnosisConfig, Fault, Seen, Signs, diagnose};
///
/// let mut signs = Signs::default();
/// signs.control = Seen::Down;
/// assert_eq!(diagnose(&signs, &DiagnosisConfig::default()), Some(Fault::SocketLost));
/// signs.process = Seen::Down;
/// assert_eq!(diagnose(&signs, &DiagnosisConfig::default()), Some(Fault::ProcessDead));
/// ```
#[must_use]
pub fn diagnose(signs: &Signs, config: &DiagnosisConfig) -> Option<Fault> {
    Fault::ALL.iter().copied().find(|&fault| shows(signs, config, fault))
}

/// Whether there is evidence of this fault.
fn shows(signs: &Signs, config: &DiagnosisConfig, fault: Fault) -> bool {
    let silent = |silence: Option<Duration>, limit: Duration| {
        silence.is_some_and(|silence| silence.saturating_sub(signs.observer_away) > limit)
    };
    let reported = |kind: &FailureKind| {
        let times = signs.reported.iter().filter(|&reported| reported == kind).count();
        times >= config.reports.max(1) as usize
    };
    match fault {
        Fault::ProcessDead => signs.process == Seen::Down,
        Fault::DriverDead => signs.driver == Seen::Down,
        Fault::PageCrashed => signs.tab_crashed,
        Fault::PageHung => {
            signs.control != Seen::Down && silent(signs.control_silence, config.control_silence)
        }
        Fault::WorkerHung => {
            signs.leases > 0
                && signs.control != Seen::Down
                && signs.data != Seen::Down
                && silent(signs.data_silence, config.data_silence)
        }
        Fault::SocketLost => signs.control == Seen::Down || signs.data == Seen::Down,
        Fault::DeviceLost => reported(&FailureKind::DeviceLost),
        Fault::OutOfMemory => reported(&FailureKind::OutOfMemory),
        Fault::WrongNumbers => signs.canary == Canary::Wrong,
        Fault::Slow => signs.slowdown.is_some_and(|slowdown| slowdown > config.slowdown),
    }
}
