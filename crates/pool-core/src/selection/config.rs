//! The settings of selection, checked once.

use perf_history::ExperienceSettings;
use vocab::{Backend, BrowserName, PolicyName};

/// A setting of selection that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// A number that must be at least one is zero.
    #[error("selection: {0} must be at least 1")]
    Zero(&'static str),
    /// A number is outside its range.
    #[error("selection: {name} must be from 0 to 1, not {got}")]
    Range {
        /// Which setting.
        name: &'static str,
        /// What was given.
        got: f64,
    },
    /// Arms would hardly ever count as settled.
    #[error("selection: settle_ms must be from 0 to {max}, not {got}")]
    Settle {
        /// The largest that is taken.
        max: f64,
        /// What was given.
        got: f64,
    },
    /// The policy `fixed` was asked for without saying which arm.
    #[error("selection: the policy `fixed` needs a browser, a backend or both to stay with")]
    NothingFixed,
}

const MOST_SETTLE_MS: f64 = 60_000.0;

/// How arms are chosen.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SelectionConfig {
    /// The policy. Default: [`PolicyName::Weighted`].
    pub policy: PolicyName,
    /// The browser that the policy `fixed` stays with; `None` for any.
    pub fixed_browser: Option<BrowserName>,
    /// The backend that the policy `fixed` stays with; `None` for any.
    pub fixed_backend: Option<Backend>,
    /// How experience is gathered and weighed.
    pub experience: ExperienceSettings,
    /// Whether requests may be sent to arms of which little is known, to learn something. Exploring loads models and
    /// makes some requests slower. Default: no, the arms are ordered by what is assumed until there is evidence.
    pub explore: bool,
    /// For how many runs of a model and shape bucket, times the number of arms, any request may be such a one. Default 5.
    pub learning_runs: u32,
    /// Afterwards, one request in this many may be such a one. Default 16.
    pub explore_every: u32,
    /// An arm that is r times as slow as the best is looked at again after this many times r² requests, and only one
    /// arm in this many requests. Default 100.
    pub recheck_every: u32,
    /// By how much another arm's score must be higher before it takes the lead: arms that are about as good would take
    /// it in turns otherwise. Default 0.01, the worth of 3 % of latency.
    pub hysteresis: f64,
    /// After a change to or from an arm that is only tried, the times of the first runs do not count, until the arm has
    /// computed for this many milliseconds or run three times: the caches hold what another browser needed, threads have
    /// gone to sleep, and those of the other browser still spin. On two cores a run of 8 ms took 20 to 35 ms then.
    /// Default 60.
    pub settle_ms: f64,
    /// Where random numbers start from. Default 0.
    pub seed: u64,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self {
            policy: PolicyName::Weighted,
            fixed_browser: None,
            fixed_backend: None,
            experience: ExperienceSettings::default(),
            explore: false,
            learning_runs: 5,
            explore_every: 16,
            recheck_every: 100,
            hysteresis: 0.01,
            settle_ms: 60.0,
            seed: 0,
        }
    }
}

impl SelectionConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), SelectionError> {
        for (name, count) in [("explore_every", self.explore_every), ("recheck_every", self.recheck_every)] {
            if count == 0 {
                return Err(SelectionError::Zero(name));
            }
        }
        if !(0.0..=1.0).contains(&self.hysteresis) {
            return Err(SelectionError::Range { name: "hysteresis", got: self.hysteresis });
        }
        if !(0.0..=MOST_SETTLE_MS).contains(&self.settle_ms) {
            return Err(SelectionError::Settle { max: MOST_SETTLE_MS, got: self.settle_ms });
        }
        let nothing_fixed = self.fixed_browser.is_none() && self.fixed_backend.is_none();
        if self.policy == PolicyName::Fixed && nothing_fixed {
            return Err(SelectionError::NothingFixed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut SelectionConfig), expected: &str) {
        let mut config = SelectionConfig::default();
        change(&mut config);
        assert_eq!(config.validate().expect_err("it cannot work").to_string(), expected);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        assert_eq!(SelectionConfig::default().validate(), Ok(()));
        check_refused(|config| config.explore_every = 0, "selection: explore_every must be at least 1");
        check_refused(
            |config| config.hysteresis = f64::NAN,
            "selection: hysteresis must be from 0 to 1, not NaN",
        );
        check_refused(
            |config| config.settle_ms = -1.0,
            "selection: settle_ms must be from 0 to 60000, not -1",
        );
        check_refused(
            |config| config.policy = PolicyName::Fixed,
            "selection: the policy `fixed` needs a browser, a backend or both to stay with",
        );
    }
}
