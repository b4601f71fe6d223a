//! How browsers are revived.

use std::time::Duration;

use recovery::{ConfigError, RecoverySettings};

/// Longer than this, nothing that was lost would be found in a lifetime that matters.
const LONGEST: Duration = Duration::from_secs(3_600);

/// How browsers in trouble are revived. Set the fields, then hand it to
/// [`AcceleratorBuilder::recovery`](crate::AcceleratorBuilder::recovery).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecoveryOptions {
    /// Whether a browser that is lost is revived. Default: yes; otherwise it is ended, and the pool goes on without it.
    pub enabled: bool,
    /// Whether another installed browser may take the place of one that cannot be revived. Default: yes.
    pub switch: bool,
    /// How often each browser is looked at, beside what tells of itself. Default 1 s.
    pub heartbeat: Duration,
    /// How long a page that lost its connection may take to connect again by itself before something else is tried, and
    /// one that is to be loaded anew to go and to connect; once it has connected, it may take as long as the ladder
    /// allows. Default 2.5 s: its own attempts begin after 0.1 s.
    pub absence: Duration,
    /// How long a driver may take to answer the question whether it still has its browser. Default 2 s.
    pub answer: Duration,
    /// How long a run may take at least before the thread that computes it can count as hung: it does when the run also
    /// takes twenty times longer than its session ever took, larger inputs allowed for. Default 5 s.
    pub overdue: Duration,
    /// The recovery layer's own settings. Defaults: those of [`RecoverySettings`], but a page that is silent for 5 s is
    /// asked by a ping of its own, and counts as hung if it leaves that unanswered too; a reconnection may take 20 s,
    /// because a page that starts again probes its backends again.
    pub settings: RecoverySettings,
}

impl RecoveryOptions {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { enabled: _, switch: _, heartbeat, absence, answer, overdue, settings } = self;
        let times =
            [("heartbeat", *heartbeat), ("absence", *absence), ("answer", *answer), ("overdue", *overdue)];
        for (name, got) in times {
            if got.is_zero() || got > LONGEST {
                return Err(ConfigError::Duration { name, max: LONGEST, got });
            }
        }
        settings.validate()
    }
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        let mut settings = RecoverySettings::default();
        settings.diagnosis.control_silence = Duration::from_secs(5);
        settings.ladder.limits.reconnect = Duration::from_secs(20);
        settings.signs_limit = Duration::from_secs(3);
        Self {
            enabled: true,
            switch: true,
            heartbeat: Duration::from_secs(1),
            absence: Duration::from_millis(2_500),
            answer: Duration::from_secs(2),
            overdue: Duration::from_secs(5),
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut RecoveryOptions), works: bool) {
        let mut options = RecoveryOptions::default();
        change(&mut options);
        assert_eq!(options.validate().is_ok(), works, "{options:?}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        check(|_| {}, true);
        check(|options| options.heartbeat = Duration::ZERO, false);
        check(|options| options.absence = Duration::MAX, false);
        check(|options| options.answer = Duration::ZERO, false);
        check(|options| options.settings.ladder.deadline = Duration::ZERO, false);
    }
}
