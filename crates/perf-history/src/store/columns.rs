//! Values as columns, the same for every database: words for what is named, integers for counts.

use std::str::FromStr;
use std::sync::Arc;

use vocab::{DeviceKind, ModelHash};

use crate::stats::LatencySketch;
use crate::{Arm, ModelId, Operation, Totals};

/// A column that holds what this version cannot read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRow {
    #[error("{what} cannot be read")]
    Word {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{0:?} is no operation")]
    Operation(String),
    #[error("a model's hash has {0} bytes instead of 32")]
    Hash(usize),
    #[error("the latencies of a roll-up are damaged")]
    Sketch,
    #[error("row {id} of {table} is missing, and another row needs it")]
    Missing { table: &'static str, id: i64 },
}

/// Reads a word of a closed list.
pub(super) fn word<T>(what: &'static str, text: &str) -> Result<T, BadRow>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| BadRow::Word { what, source: Box::new(error) })
}

/// Reads the name of an operation.
pub(super) fn operation(text: &str) -> Result<Operation, BadRow> {
    let known = Operation::ALL.iter().copied().find(|operation| operation.as_str() == text);
    known.ok_or_else(|| BadRow::Operation(text.to_owned()))
}

/// Unsigned numbers as the signed ones that databases have; everything below 2⁶³ is the same number.
pub(super) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// What [`signed`] was given.
pub(super) const fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

/// A time that is not finite was not measured.
pub(super) fn finite(ms: Option<f64>) -> Option<f64> {
    ms.filter(|ms| ms.is_finite())
}

/// A row of the table `models`.
#[derive(Debug)]
pub(super) struct ModelRow {
    pub(super) hash: Vec<u8>,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) model_type: Option<String>,
    pub(super) precision: String,
}

impl TryFrom<ModelRow> for ModelId {
    type Error = BadRow;

    fn try_from(row: ModelRow) -> Result<Self, BadRow> {
        let ModelRow { hash, name, version, model_type, precision } = row;
        let hash = <[u8; 32]>::try_from(hash).map_err(|hash| BadRow::Hash(hash.len()))?;
        Ok(Self {
            hash: ModelHash(hash),
            name: name.into(),
            version: version.into(),
            model_type: model_type.map(|name| word("a model's type", &name)).transpose()?,
            precision: precision.into(),
        })
    }
}

/// A row of the table `arms`.
#[derive(Debug)]
pub(super) struct ArmRow {
    pub(super) browser: String,
    pub(super) browser_version: String,
    pub(super) backend: String,
    pub(super) device_requested: Option<String>,
    pub(super) device_effective: String,
    pub(super) adapter: Option<String>,
    pub(super) threads: i64,
}

impl TryFrom<ArmRow> for Arm {
    type Error = BadRow;

    fn try_from(row: ArmRow) -> Result<Self, BadRow> {
        let ArmRow {
            browser,
            browser_version,
            backend,
            device_requested,
            device_effective,
            adapter,
            threads,
        } = row;
        Ok(Self {
            browser: word("a browser's name", &browser)?,
            browser_version: browser_version.into(),
            backend: word("a backend's name", &backend)?,
            device_requested: device_requested.map(DeviceKind::from),
            device_effective: DeviceKind::from(device_effective),
            adapter: adapter.map(Arc::from),
            threads: u32::try_from(threads)
                .map_err(|error| BadRow::Word { what: "a number of threads", source: Box::new(error) })?,
        })
    }
}

/// The columns of a roll-up's sums, in the order of [`TotalsRow`].
pub(super) const TOTALS: &str = "ok, failed, wrong, vanished, timed_out, out_of_memory, neutral, loads_ok, \
     loads_failed, recoveries_ok, recoveries_failed, latencies, load_ms, ln_sum, ln_square_sum, sketch";

/// How many columns of [`TOTALS`] are counts; they come first.
pub(super) const COUNTS: usize = 12;

/// How many columns of [`TOTALS`] are sums of numbers; they come next. The sketch is last.
pub(super) const SUMS: usize = 3;

/// The sums of a roll-up as columns.
#[derive(Debug)]
pub(super) struct TotalsRow {
    pub(super) counts: [i64; COUNTS],
    pub(super) sums: [f64; SUMS],
    pub(super) sketch: Vec<u8>,
}

impl From<&Totals> for TotalsRow {
    fn from(totals: &Totals) -> Self {
        let Totals {
            ok,
            failed,
            wrong,
            vanished,
            timed_out,
            out_of_memory,
            neutral,
            loads_ok,
            loads_failed,
            load_ms,
            recoveries_ok,
            recoveries_failed,
            latencies,
            ln_sum,
            ln_square_sum,
            sketch,
        } = totals;
        let counts = [
            ok,
            failed,
            wrong,
            vanished,
            timed_out,
            out_of_memory,
            neutral,
            loads_ok,
            loads_failed,
            recoveries_ok,
            recoveries_failed,
            latencies,
        ];
        Self {
            counts: counts.map(|&count| signed(count)),
            // Databases keep no NaN; absurd times can add up to one.
            sums: [*load_ms, *ln_sum, *ln_square_sum].map(|sum| if sum.is_nan() { 0.0 } else { sum }),
            sketch: sketch.to_bytes(),
        }
    }
}

/// The sums that these columns hold.
pub(super) fn totals(counts: [i64; COUNTS], sums: [f64; SUMS], sketch: &[u8]) -> Result<Totals, BadRow> {
    let [
        ok,
        failed,
        wrong,
        vanished,
        timed_out,
        out_of_memory,
        neutral,
        loads_ok,
        loads_failed,
        recoveries_ok,
        recoveries_failed,
        latencies,
    ] = counts.map(unsigned);
    let [load_ms, ln_sum, ln_square_sum] = sums;
    Ok(Totals {
        ok,
        failed,
        wrong,
        vanished,
        timed_out,
        out_of_memory,
        neutral,
        loads_ok,
        loads_failed,
        load_ms,
        recoveries_ok,
        recoveries_failed,
        latencies,
        ln_sum,
        ln_square_sum,
        sketch: LatencySketch::from_bytes(sketch).ok_or(BadRow::Sketch)?,
    })
}
