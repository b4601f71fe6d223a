//! Latencies over time, to draw.

use std::sync::Arc;

use super::collect::Series;
use crate::{Arm, ModelId, Period, ShapeBucket, UnixMillis};

/// How the latency of one model, in one shape, on one arm went over time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Timeline {
    /// The model.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// The arm.
    pub arm: Arc<Arm>,
    /// How long a time each point stands for: days, or hours where there are few days.
    pub period: Period,
    /// The points, in the order of time.
    pub points: Vec<TimelinePoint>,
    /// All of its runs.
    pub runs: u64,
}

/// The latencies of one hour or day, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TimelinePoint {
    /// When it began.
    pub at: UnixMillis,
    /// The median of a day; of an hour, the geometric mean.
    pub middle_ms: f64,
    /// One in ten is below it. Of an hour, as if the logarithms of its latencies were normal.
    pub low_ms: f64,
    /// One in ten is above it.
    pub high_ms: f64,
    /// How many latencies there are.
    pub samples: u64,
}

/// With fewer days than this, a timeline has hours.
const FEW_DAYS: usize = 5;

pub(super) fn timeline(series: &Series) -> Timeline {
    let hourly =
        series.days.len() < FEW_DAYS && series.points.iter().any(|point| point.period == Period::Hour);
    let points = if hourly {
        let hours = series.points.iter().filter(|point| point.n > 0.0 && point.period == Period::Hour);
        hours
            .map(|point| {
                let sigma = (point.spread / point.n).sqrt();
                // The tenth below and above of a normal variable.
                let at = |z: f64| (point.mean + z * sigma).clamp(-30.0, 40.0).exp();
                TimelinePoint {
                    at: UnixMillis(point.at),
                    middle_ms: at(0.0),
                    low_ms: at(-1.2816),
                    high_ms: at(1.2816),
                    samples: point.n as u64,
                }
            })
            .collect()
    } else {
        let day = |(start, sketch): &(i64, crate::stats::LatencySketch)| {
            Some(TimelinePoint {
                at: UnixMillis(*start),
                middle_ms: sketch.smooth_quantile(0.5)?,
                low_ms: sketch.smooth_quantile(0.1)?,
                high_ms: sketch.smooth_quantile(0.9)?,
                samples: sketch.weight() as u64,
            })
        };
        series.days.iter().filter_map(day).collect()
    };
    Timeline {
        model: series.model.clone(),
        shape: series.shape.clone(),
        arm: series.arm.clone(),
        period: if hourly { Period::Hour } else { Period::Day },
        points,
        runs: series.totals.ok.saturating_add(series.totals.failed),
    }
}
