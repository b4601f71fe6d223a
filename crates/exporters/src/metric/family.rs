//! Metric families: a name, what it means, and its series.

use std::borrow::Cow;

/// What a family measures, and so what may be done with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A number that only grows, from zero at the start of the process.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// How many samples there were, what they add up to, and their quantiles.
    Summary,
}

impl Kind {
    /// The name in Prometheus's text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// The distribution of some samples.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Pairs of a quantile, between 0 and 1, and the value below which that share of the samples lies. Empty where there
    /// are no samples.
    pub quantiles: Vec<(f64, f64)>,
    /// All samples added up, in the unit of the family.
    pub sum: f64,
    /// How many samples there are.
    pub count: u64,
}

impl Summary {
    /// A distribution with these quantiles, sum and count.
    #[must_use]
    pub const fn new(quantiles: Vec<(f64, f64)>, sum: f64, count: u64) -> Self {
        Self { quantiles, sum, count }
    }

    /// The distribution of nothing: no quantiles, and zeros.
    #[must_use]
    pub const fn empty() -> Self {
        Self::new(Vec::new(), 0.0, 0)
    }
}

/// What a series reads at the moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reading {
    /// A whole number, of a counter or a gauge.
    Whole(u64),
    /// A number, of a counter or a gauge.
    Real(f64),
    /// A distribution, of a summary.
    Summary(Summary),
}

impl From<u64> for Reading {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Reading {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Summary> for Reading {
    fn from(value: Summary) -> Self {
        Self::Summary(value)
    }
}

/// One series of a family: its labels, and what it reads.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The labels that tell this series from the family's others, each name once.
    pub labels: Vec<(&'static str, String)>,
    /// What it reads.
    pub value: Reading,
}

impl Sample {
    /// A series with these labels.
    #[must_use]
    pub fn new(labels: Vec<(&'static str, String)>, value: impl Into<Reading>) -> Self {
        Self { labels, value: value.into() }
    }
}

/// One metric with all its series.
///
/// Nothing is checked here: the exporters say what they leave out and why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// The name, in Prometheus's style: `webnn_pool_…`, with the unit and, for a counter, `_total` at its end.
    pub name: Cow<'static, str>,
    /// What it means, in one sentence.
    pub help: Cow<'static, str>,
    /// What its numbers are.
    pub kind: Kind,
    /// Its series.
    pub samples: Vec<Sample>,
}

impl Family {
    /// A family without series.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        Self { name: name.into(), help: help.into(), kind, samples: Vec::new() }
    }

    /// A counter with one series that has no labels.
    #[must_use]
    pub fn counter(
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        value: impl Into<Reading>,
    ) -> Self {
        Self::new(name, help, Kind::Counter).with(Vec::new(), value)
    }

    /// A gauge with one series that has no labels.
    #[must_use]
    pub fn gauge(
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        value: impl Into<Reading>,
    ) -> Self {
        Self::new(name, help, Kind::Gauge).with(Vec::new(), value)
    }

    /// The same family with one more series.
    #[must_use]
    pub fn with(mut self, labels: Vec<(&'static str, String)>, value: impl Into<Reading>) -> Self {
        self.samples.push(Sample::new(labels, value));
        self
    }
}
