//! What the settings of every part have in common: how they are checked, and what is wrong with one that cannot work.

use std::time::Duration;

/// A setting that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number that must be at least one is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A duration is zero, or too long to be added to a point in time.
    #[error("{name} must be more than zero and at most {max:?}, not {got:?}")]
    Duration {
        /// Which setting.
        name: &'static str,
        /// The longest that is allowed.
        max: Duration,
        /// What was given.
        got: Duration,
    },
    /// A number lies outside its range.
    #[error("{name} must lie between {least} and {most}, not {got}")]
    Range {
        /// Which setting.
        name: &'static str,
        /// The least that is allowed.
        least: f64,
        /// The most that is allowed.
        most: f64,
        /// What was given.
        got: f64,
    },
    /// Two settings contradict each other.
    #[error("{lower} must not be more than {upper}")]
    Order {
        /// The setting that is too large.
        lower: &'static str,
        /// The setting that bounds it.
        upper: &'static str,
    },
}

/// The longest duration that is allowed anywhere; it can be added to any realistic point in time.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Refuses a count of zero.
pub(crate) fn at_least_one(counts: &[(&'static str, usize)]) -> Result<(), ConfigError> {
    counts.iter().find(|(_, count)| *count == 0).map_or(Ok(()), |(name, _)| Err(ConfigError::Zero(name)))
}

/// Refuses durations that are zero or too long.
pub(crate) fn positive(durations: &[(&'static str, Duration)]) -> Result<(), ConfigError> {
    match durations.iter().find(|(_, got)| got.is_zero() || *got > MAX_DURATION) {
        Some(&(name, got)) => Err(ConfigError::Duration { name, max: MAX_DURATION, got }),
        None => Ok(()),
    }
}

/// Refuses a number outside its range, and what is no number.
pub(crate) fn within(name: &'static str, got: f64, least: f64, most: f64) -> Result<(), ConfigError> {
    if (least..=most).contains(&got) { Ok(()) } else { Err(ConfigError::Range { name, least, most, got }) }
}

/// Refuses a lower setting that is above the upper one.
pub(crate) fn ordered<T: PartialOrd>(
    (lower, low): (&'static str, T),
    (upper, high): (&'static str, T),
) -> Result<(), ConfigError> {
    if low <= high { Ok(()) } else { Err(ConfigError::Order { lower, upper }) }
}

/// Seconds as a duration that can be added to a point in time, whatever came out of a formula.
pub(crate) fn seconds(seconds: f64) -> Duration {
    let most = MAX_DURATION.as_secs_f64();
    Duration::from_secs_f64(if seconds.is_nan() { most } else { seconds.clamp(0.0, most) })
}
