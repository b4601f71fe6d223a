//! From roll-ups to an answer.

use std::collections::BTreeSet;

use super::affinity::{UNKNOWN, affinity};
use super::answer::{Analysis, Extent};
use super::collect::{Collected, Series};
use super::evidence::evidence;
use super::lineage::lineages;
use super::performance::{browsers, types};
use super::point::Point;
use super::recommend::{for_type, specific};
use super::regression::regressions;
use super::settings::AnalysisSettings;
use super::timeline::timeline;
use super::trend::trends;
use crate::{HistoryStore, Period, Rollup, StoreError, UnixMillis};

/// Takes roll-ups one at a time and says at the end what follows from them; [`analyze_store`] does so with a store's.
///
/// ```
/// use perf_history::analysis::{AnalysisSettings, Analyzer};
/// use perf_history::{Source, UnixMillis};
///
/// // Without any history there is an answer, too, and it says what it rests on.
/// let nothing = Analyzer::new(AnalysisSettings::default()).finish(UnixMillis(0));
/// assert_eq!(nothing.model_type_affinities["audio"].source, Source::Default);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Analyzer {
    settings: AnalysisSettings,
    collected: Collected,
}

impl Analyzer {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: AnalysisSettings) -> Self {
        Self { settings, collected: Collected::default() }
    }

    /// Takes the next hour or day, in whatever order they come. What is in an hour must not be in a day, too; this is as
    /// stores give them.
    pub fn add(&mut self, rollup: &Rollup) {
        self.collected.add(rollup);
    }

    /// What follows. `now` is only written into the answer: what is recent is so by the latest observation.
    #[must_use]
    pub fn finish(self, now: UnixMillis) -> Analysis {
        let Self { settings, collected } = self;
        let rollups = collected.rollups;
        let series = collected.sorted();
        let lineages = lineages(&series);
        let found = regressions(&lineages, &settings);
        let trends = trends(&lineages, &found.starts, &settings);
        let evidence = evidence(&lineages, &found.starts, &settings);
        let mut model_type_affinities = std::collections::BTreeMap::new();
        let mut recommendations = std::collections::BTreeMap::new();
        for model_type in types() {
            let unheard_of = || series.iter().all(|series| series.model.model_type.is_some());
            if model_type.is_none() && unheard_of() {
                continue;
            }
            let name = model_type.map_or(UNKNOWN, vocab::ModelType::as_str);
            let (affinity, ranked) = affinity(&evidence, model_type, &settings);
            recommendations.insert(name, for_type(model_type, &affinity, &ranked, &settings));
            model_type_affinities.insert(name, affinity);
        }
        Analysis {
            generated_at: now,
            history: extent(&series, rollups),
            browser_performance: browsers(&series, &evidence, &settings),
            model_type_affinities,
            specific_recommendations: specific(&evidence, &found.regressions, &trends.series, &settings),
            trends,
            regressions: found.regressions,
            recommendations,
            timelines: series.iter().map(timeline).collect(),
        }
    }
}

fn extent(series: &[Series], rollups: u64) -> Extent {
    let points = || series.iter().flat_map(|series| &series.points);
    let runs = |series: &Series| series.totals.ok.saturating_add(series.totals.failed);
    Extent {
        from: points().map(|point| point.at).min().map(UnixMillis),
        to: points().map(Point::end).max().map(UnixMillis),
        rollups,
        runs: series.iter().map(runs).fold(0, u64::saturating_add),
        series: series.len() as u64,
        models: series.iter().map(|series| &series.model).collect::<BTreeSet<_>>().len() as u64,
        arms: series.iter().map(|series| &series.arm).collect::<BTreeSet<_>>().len() as u64,
    }
}

/// What follows from these roll-ups; [`Analyzer`] takes them one at a time.
#[must_use]
pub fn analyze(rollups: &[Rollup], now: UnixMillis, settings: &AnalysisSettings) -> Analysis {
    let mut analyzer = Analyzer::new(*settings);
    rollups.iter().for_each(|rollup| analyzer.add(rollup));
    analyzer.finish(now)
}

/// What follows from the last days of a store: as many as
/// [`history_days`](AnalysisSettings::history_days) says, to the full hour or day.
///
/// # Errors
/// [`StoreError`].
pub fn analyze_store(
    store: &mut dyn HistoryStore,
    now: UnixMillis,
    settings: &AnalysisSettings,
) -> Result<Analysis, StoreError> {
    let length = i64::from(settings.history_days).saturating_mul(Period::Day.ms());
    let since = (length > 0).then(|| UnixMillis(now.0.saturating_sub(length)));
    let mut analyzer = Analyzer::new(*settings);
    store.visit_rollups(since, &mut |rollup| analyzer.add(rollup))?;
    Ok(analyzer.finish(now))
}
