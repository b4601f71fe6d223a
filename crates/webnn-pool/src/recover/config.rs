//! How browsers are revived.

use std::time::Duration;

use recovery::{ConfigError, RecoverySettings, Thresholds};

use super::memory::{MemoryOptions, ReconcileOptions, RecycleOptions};

/// Longer than this, nothing that was lost would be found in a lifetime that matters.
pub(super) const LONGEST: Duration = Duration::from_secs(3_600);

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
    /// allows. Default 2.5 s: its own attempts begin after 0.02 s.
    pub absence: Duration,
    /// How long a driver may take to answer the question whether it still has its browser. Default 2 s.
    pub answer: Duration,
    /// How long a run may take at least before the thread that computes it can count as hung: it does when the run also
    /// takes twenty times longer than its session ever took, larger inputs allowed for. Default 5 s.
    pub overdue: Duration,
    /// The recovery layer's own settings. Defaults: those of [`RecoverySettings`], but a page that is silent for 5 s is
    /// asked by a ping of its own, and counts as hung if it leaves that unanswered too; a reconnection may take 20 s,
    /// because a page that starts again probes its backends again; and as the machine's memory is not ours alone, its
    /// pressure is elevated from 0.9 of a limit on, high from 0.94 on and critical from 0.97 on.
    pub settings: RecoverySettings,
    /// What is done where memory is scarce.
    pub memory: MemoryOptions,
    /// When a browser that works is replaced.
    pub recycle: RecycleOptions,
    /// How processes, workers and connections are compared.
    pub reconcile: ReconcileOptions,
}

impl RecoveryOptions {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            enabled: _,
            switch: _,
            heartbeat,
            absence,
            answer,
            overdue,
            settings,
            memory,
            recycle,
            reconcile,
        } = self;
        durations(&[
            ("heartbeat", *heartbeat),
            ("absence", *absence),
            ("answer", *answer),
            ("overdue", *overdue),
        ])?;
        settings.validate()?;
        memory.validate()?;
        recycle.validate()?;
        reconcile.validate()
    }
}

/// Refuses what is zero or longer than anybody would want.
pub(super) fn durations(all: &[(&'static str, Duration)]) -> Result<(), ConfigError> {
    match all.iter().find(|(_, got)| got.is_zero() || *got > LONGEST) {
        Some(&(name, got)) => Err(ConfigError::Duration { name, max: LONGEST, got }),
        None => Ok(()),
    }
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        let mut settings = RecoverySettings::default();
        settings.diagnosis.control_silence = Duration::from_secs(5);
        settings.ladder.limits.reconnect = Duration::from_secs(20);
        settings.signs_limit = Duration::from_secs(3);
        settings.pressure.shares = Thresholds { elevated: 0.9, high: 0.94, critical: 0.97 };
        Self {
            enabled: true,
            switch: true,
            heartbeat: Duration::from_secs(1),
            absence: Duration::from_millis(2_500),
            answer: Duration::from_secs(2),
            overdue: Duration::from_secs(5),
            settings,
            memory: MemoryOptions::default(),
            recycle: RecycleOptions::default(),
            reconcile: ReconcileOptions::default(),
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
        check(|options| options.memory.interval = Duration::ZERO, false);
        check(|options| options.memory.wasm_heap_bytes = Some(1), false);
        check(|options| options.memory.browser_bytes = Some(0), false);
        check(|options| options.memory.least_browsers = 0, false);
        check(|options| options.memory.pressure.shares.high = 0.1, false);
        check(|options| options.recycle.retry = Duration::ZERO, false);
        check(|options| options.recycle.config.tasks = Some(0), false);
        check(|options| options.reconcile.interval = Duration::MAX, false);
        check(|options| options.reconcile.grace = Duration::ZERO, false);
    }
}
