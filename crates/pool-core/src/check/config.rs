//! How often workers are checked.

use std::time::Duration;

/// How often workers are checked, and how far their numbers may be apart.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CheckConfig {
    /// Whether they are. Default: yes.
    pub enabled: bool,
    /// How long a session serves before it is checked, and between two checks of it, at the least. Default 10 s.
    pub interval: Duration,
    /// The share of a session's time that checks of it may take; others who are asked do it beside that. A check may take
    /// two runs: after a run of t, the next check comes 2 · t / share later at the earliest. Default 0.01.
    pub share: f64,
    /// How far floating-point numbers may be apart, as a share of the largest magnitude in the output, or of 1 where that
    /// is more. `None` (the default) for 1e-3, and for 5e-2 where the output or most of the model's weights have fewer
    /// than 32 bits.
    pub tolerance: Option<f64>,
    /// The share of integers, booleans and strings that may differ. Default 0.01: where two numbers are almost equal, the
    /// place of the largest one is not decided by the model.
    pub other_values: f64,
    /// How many bytes the inputs and outputs of a canary may have. Larger runs are not repeated. Default 4 MiB.
    pub most_bytes: u64,
    /// For how many models a canary is kept. Default 64.
    pub most_models: usize,
    /// How long a run that is only a check may take. Default 60 s.
    pub timeout: Duration,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            share: 0.01,
            tolerance: None,
            other_values: 0.01,
            most_bytes: 4 << 20,
            most_models: 64,
            timeout: Duration::from_secs(60),
        }
    }
}

impl CheckConfig {
    /// The first share that is none.
    pub(crate) fn wrong_share(&self) -> Option<(&'static str, f64)> {
        let all = [
            ("checks.share", self.share, f64::MIN_POSITIVE),
            ("checks.tolerance", self.tolerance.unwrap_or(0.0), 0.0),
            ("checks.other_values", self.other_values, 0.0),
        ];
        all.into_iter()
            .find(|(_, got, least)| !(*least..=1.0).contains(got))
            .map(|(name, got, _)| (name, got))
    }
}
