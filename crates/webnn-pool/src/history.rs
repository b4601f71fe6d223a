//! What was observed: read when the pool starts, kept while it runs, and analysed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use perf_history::analysis::{Analysis, AnalysisSettings, Analyzer, analyze_store};
use perf_history::{
    Arm, Location, ModelId, Observation, Period, Query, Recorder, RecorderHandle, RecorderSettings, Rollup,
    ShapeBucket, Totals, UnixMillis, store,
};
use pool_core::{Learning, ObservationSink};
use telemetry::Telemetry;

use crate::error::HistoryError;

/// How many of the latest observations of each model, shape and arm the pool begins with.
const EACH: u32 = 64;
/// How old they may be, in milliseconds.
const OLDEST_MS: i64 = 60 * 86_400_000;
/// How many rows of hours are kept in memory where there is no database.
const MOST_ROWS: usize = 10_000;

/// The time now; a clock before 1970 counts as 1970.
pub(crate) fn unix_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Where an accelerator's observations go.
#[derive(Debug)]
pub(crate) enum History {
    /// Into a database.
    Kept(Box<KeptHistory>),
    /// Into memory, for as long as the process lives.
    Memory(Arc<MemoryHistory>),
}

/// A database and what writes to it.
#[derive(Debug)]
pub(crate) struct KeptHistory {
    location: Location,
    /// Gone once it was shut down.
    recorder: Option<Recorder>,
    handle: RecorderHandle,
}

struct Sink(RecorderHandle);

impl ObservationSink for Sink {
    fn observe(&self, observation: Observation) {
        self.0.record(observation);
    }
}

impl History {
    /// Opens a database, reads what the pool is to know, and starts to write; without one, begins with nothing.
    ///
    /// It blocks.
    pub(crate) fn begin(
        location: Option<Location>,
        telemetry: Telemetry,
    ) -> Result<(Self, Learning), HistoryError> {
        let mut learning = Learning::default();
        let Some(location) = location else {
            let memory = Arc::new(MemoryHistory::default());
            learning.sink = Some(memory.clone());
            return Ok((Self::Memory(memory), learning));
        };
        let mut store = store::open(&location)?;
        let since = Some(UnixMillis(unix_now().0 - OLDEST_MS));
        let mut earlier: Vec<Observation> = store
            .observations(&Query::Latest { each: EACH, since })?
            .into_iter()
            .map(|stored| stored.observation)
            .collect();
        earlier.sort_by_key(|observation| observation.at);
        let mut settings = RecorderSettings::default();
        settings.telemetry = telemetry;
        let recorder = Recorder::start(store, settings)?;
        let handle = recorder.handle().clone();
        learning.earlier = earlier;
        learning.sink = Some(Arc::new(Sink(handle.clone())));
        let kept = KeptHistory { location, recorder: Some(recorder), handle };
        Ok((Self::Kept(Box::new(kept)), learning))
    }

    /// What follows from everything that was observed until now.
    pub(crate) async fn analyze(&self) -> Result<Analysis, HistoryError> {
        let settings = AnalysisSettings::default();
        match self {
            Self::Kept(kept) => {
                kept.handle.flush().await?;
                analyze_location(kept.location.clone(), settings).await
            }
            Self::Memory(memory) => Ok(memory.analyze(settings)),
        }
    }

    /// Writes what waits. It blocks.
    pub(crate) fn finish(&mut self) {
        if let Self::Kept(kept) = self
            && let Some(recorder) = kept.recorder.take()
            && let Err(error) = recorder.shutdown()
        {
            tracing::warn!(%error, "the last observations were not kept");
        }
    }
}

/// What follows from a database that somebody else may be writing to. It is not changed, and not created.
///
/// # Errors
/// The database is not there, is none of ours, or cannot be read.
pub async fn analyze_location(
    location: Location,
    settings: AnalysisSettings,
) -> Result<Analysis, HistoryError> {
    let read = tokio::task::spawn_blocking(move || {
        let mut store = store::open_read_only(&location)?;
        Ok(analyze_store(store.as_mut(), unix_now(), &settings)?)
    });
    read.await.unwrap_or(Err(HistoryError::TaskLost))
}

type Key = (UnixMillis, Arc<ModelId>, ShapeBucket, Arc<Arm>);

/// The sums of every hour, in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryHistory {
    hours: Mutex<BTreeMap<Key, Totals>>,
}

impl ObservationSink for MemoryHistory {
    fn observe(&self, observation: Observation) {
        let start = Period::Hour.start(observation.at);
        let key = (start, observation.model.clone(), observation.shape.clone(), observation.arm.clone());
        let mut hours = self.hours.lock();
        hours.entry(key).or_default().add(&observation);
        if hours.len() > MOST_ROWS {
            // The oldest hour's row.
            hours.pop_first();
        }
    }
}

impl MemoryHistory {
    fn analyze(&self, settings: AnalysisSettings) -> Analysis {
        let mut analyzer = Analyzer::new(settings);
        for ((start, model, shape, arm), totals) in self.hours.lock().iter() {
            analyzer.add(&Rollup {
                model: model.clone(),
                shape: shape.clone(),
                arm: arm.clone(),
                period: Period::Hour,
                start: *start,
                totals: totals.clone(),
            });
        }
        analyzer.finish(unix_now())
    }
}
