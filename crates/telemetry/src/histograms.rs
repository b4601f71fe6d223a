//! A fixed number of histograms of times, whose writers never wait.

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Each histogram exists this many times; a recorder takes whichever copy is free.
const STRIPES: usize = 4;
/// The largest value that is told apart: one hour, in microseconds. Larger ones count as one hour.
const MAX_US: u64 = 3_600_000_000;

/// One histogram, and the exact sum of its samples: a histogram knows each of them only to two significant digits.
#[derive(Clone)]
pub(crate) struct Times {
    histogram: Histogram<u32>,
    sum_us: u64,
}

/// One copy of every histogram; each is created when it is first needed.
type Stripe = Vec<Option<Box<Times>>>;

/// Histograms by index. Their number is fixed, so what they take is bounded, whatever is recorded.
pub(crate) struct Histograms {
    stripes: [Mutex<Stripe>; STRIPES],
    keys: usize,
}

impl std::fmt::Debug for Histograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histograms").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Times {
    fn empty() -> Option<Box<Self>> {
        let histogram = Histogram::new_with_bounds(1, MAX_US, 2).ok()?;
        Some(Box::new(Self { histogram, sum_us: 0 }))
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds, so adding cannot fail; a failure would only lose the other copy's samples.
        if self.histogram.add(&other.histogram).is_ok() {
            self.sum_us = self.sum_us.saturating_add(other.sum_us);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(crate) fn sum_ms(&self) -> f64 {
        self.sum_us as f64 / 1e3
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.histogram.mean() / 1e3
    }

    pub(crate) fn min_ms(&self) -> f64 {
        self.histogram.min() as f64 / 1e3
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.histogram.max() as f64 / 1e3
    }

    pub(crate) fn at_ms(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1e3
    }
}

impl Histograms {
    pub(crate) fn new(keys: usize) -> Self {
        Self { stripes: std::array::from_fn(|_| Mutex::new((0..keys).map(|_| None).collect())), keys }
    }

    /// Records samples, each with its index and its milliseconds; answers `false` where every copy was being used.
    pub(crate) fn record(&self, samples: &[(usize, f64)]) -> bool {
        let Some(mut stripe) = self.stripes.iter().find_map(|stripe| stripe.try_lock()) else { return false };
        for &(key, ms) in samples {
            let Some(slot) = stripe.get_mut(key) else { continue };
            if slot.is_none() {
                *slot = Times::empty();
            }
            if let Some(times) = slot {
                // Casting saturates, so a negative or NaN sample counts as zero instead of failing.
                let us = ((ms * 1e3) as u64).min(MAX_US);
                times.histogram.saturating_record(us);
                times.sum_us = times.sum_us.saturating_add(us);
            }
        }
        true
    }

    /// All copies taken together, by index; `None` where nothing was recorded.
    pub(crate) fn read(&self) -> Vec<Option<Box<Times>>> {
        let mut merged: Stripe = (0..self.keys).map(|_| None).collect();
        for stripe in &self.stripes {
            for (into, from) in merged.iter_mut().zip(stripe.lock().iter()) {
                let Some(from) = from else { continue };
                match into {
                    Some(into) => into.add(from),
                    None => *into = Some(from.clone()),
                }
            }
        }
        merged
    }
}
