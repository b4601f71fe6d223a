//! What follows from a history: which browser is best for which models, what changed, and what to do.
//!
//! It is a calculation over roll-ups: it reads no clock and no database. The formulas are in `docs/history.md`.

mod affinity;
mod analyzer;
mod answer;
mod change;
mod collect;
mod compare;
mod discovery;
mod evidence;
mod lineage;
mod noise;
mod performance;
mod point;
mod ranking;
mod recommend;
mod regression;
mod settings;
mod slope;
mod table;
mod timeline;
mod trend;
pub(crate) mod words;

pub use analyzer::{Analyzer, analyze, analyze_store};
pub use answer::{
    Affinity, AgainstRole, Analysis, Candidate, Extent, Gain, Recommendation, RecommendationKind,
    SpecificRecommendation,
};
pub use performance::{ArmPerformance, BrowserPerformance, LatencySummary, ModelPerformance, Performance};
pub use regression::{Regression, VersionChange};
pub use settings::AnalysisSettings;
pub use timeline::{Timeline, TimelinePoint};
pub use trend::{Measure, Trend, Trends};
