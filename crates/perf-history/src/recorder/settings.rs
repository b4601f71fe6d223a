//! How a recorder works, and what is checked about it.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telemetry::Telemetry;

use super::StartError;
use crate::{Retention, UnixMillis};

/// Settings of a [`Recorder`](super::Recorder). They are checked when it starts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecorderSettings {
    /// How many observations may wait to be written, those that are being written included; one takes about 200
    /// bytes. What comes when so many wait is lost, and counted. Default 65 536.
    pub capacity: usize,
    /// How many observations are written at once at most. Default 2 048.
    pub batch: usize,
    /// How long fewer than a batch may wait for others. Default 200 ms.
    pub gather: Duration,
    /// How long to wait after the first failure of the store; it doubles with each further one. Default 100 ms.
    pub retry_first: Duration,
    /// How long to wait between two tries at most. Default 5 s.
    pub retry_most: Duration,
    /// How long a failing or slow store is given when the recorder ends; after that no further try begins, but for a
    /// first one. Default 5 s.
    pub shutdown: Duration,
    /// How long what is kept; `None` drops nothing. Default: that of [`Retention`].
    pub retention: Option<Retention>,
    /// How often it is looked for what is not kept any more. It is done for the first time when the recorder starts.
    /// Default one hour.
    pub compact_every: Duration,
    /// What time it is for `retention`. Default: the system's clock.
    pub clock: fn() -> UnixMillis,
    /// Who is told about trouble. Default: a handle of its own, to which nobody listens.
    pub telemetry: Telemetry,
}

impl Default for RecorderSettings {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            batch: 2_048,
            gather: Duration::from_millis(200),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(5),
            shutdown: Duration::from_secs(5),
            retention: Some(Retention::default()),
            compact_every: Duration::from_secs(3_600),
            clock: system_clock,
            telemetry: Telemetry::default(),
        }
    }
}

/// The system's time; a clock before 1970 counts as 1970.
fn system_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl RecorderSettings {
    pub(super) fn check(&self) -> Result<(), StartError> {
        let Self {
            capacity,
            batch,
            gather: _,
            retry_first,
            retry_most,
            shutdown: _,
            retention: _,
            compact_every,
            clock: _,
            telemetry: _,
        } = self;
        for (setting, is_zero) in [
            ("batch", *batch == 0),
            ("retry_first", retry_first.is_zero()),
            ("compact_every", compact_every.is_zero()),
        ] {
            if is_zero {
                return Err(StartError::Zero { setting });
            }
        }
        within("batch", batch, "capacity", capacity)?;
        within("retry_first", retry_first, "retry_most", retry_most)
    }
}

fn within<T: Debug + PartialOrd>(
    small: &'static str,
    found: &T,
    large: &'static str,
    most: &T,
) -> Result<(), StartError> {
    if found <= most {
        return Ok(());
    }
    Err(StartError::TooLarge { small, found: format!("{found:?}"), large, most: format!("{most:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut RecorderSettings), says: &str) {
        let mut settings = RecorderSettings::default();
        change(&mut settings);
        let said = settings.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert_eq!(said, says);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        check(|_| {}, "fine");
        check(|settings| settings.batch = 0, "batch of a recorder must not be 0");
        check(|settings| settings.retry_first = Duration::ZERO, "retry_first of a recorder must not be 0");
        check(
            |settings| settings.compact_every = Duration::ZERO,
            "compact_every of a recorder must not be 0",
        );
        check(
            |settings| settings.capacity = 100,
            "batch of a recorder (2048) must not be larger than its capacity (100)",
        );
        check(
            |settings| settings.retry_most = Duration::from_millis(10),
            "retry_first of a recorder (100ms) must not be larger than its retry_most (10ms)",
        );
    }
}
