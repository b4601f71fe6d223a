//! How an analysis weighs what it is given.

use crate::ScoreWeights;

/// Settings of an [`Analyzer`](super::Analyzer).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AnalysisSettings {
    /// What success and latency weigh where browsers are put in order. Default 70 % and 30 %.
    pub weights: ScoreWeights,
    /// How many runs an arm needs to be judged by its history and no longer by what is assumed. Default 10.
    pub sample_floor: u64,
    /// Over how many days before the latest observation arms are compared. Trends and regressions are looked for in
    /// everything that is given. Default 28.
    pub recent_days: u32,
    /// How many days before `now` are read from a store by [`analyze_store`](super::analyze_store); zero reads
    /// everything. Default 30: of ten million observations in 90 days that is a third, and takes a third of the time.
    pub history_days: u32,
    /// The share of what is called significant that may be noise: the false discovery rate, 0 to 1. Default 0.05.
    pub q: f64,
    /// Changes of latency by a smaller share than this are not reported, however sure they are. Default 0.05.
    pub least_change: f64,
    /// How many trends, regressions and specific recommendations are listed at most, and how many alternatives to one
    /// arm; those that matter most come first. Default 200.
    pub most_listed: usize,
}

impl Default for AnalysisSettings {
    fn default() -> Self {
        Self {
            weights: ScoreWeights::default(),
            sample_floor: 10,
            recent_days: 28,
            history_days: 30,
            q: 0.05,
            least_change: 0.05,
            most_listed: 200,
        }
    }
}
