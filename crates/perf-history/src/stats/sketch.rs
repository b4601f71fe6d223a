//! Latencies in little space.

/// A histogram of latencies over buckets that grow by 5 %, so that every quantile is known to about 2.5 %.
///
/// Only buckets that hold something take room, so the latencies of one arm take a few hundred bytes. Weights are
/// numbers of samples; they may be fractions, where old samples count for less.
///
/// The bucket of a latency of `x` ms is ⌊ln x ⁄ ln 1.05⌋, clamped to ±500, so it reaches from 0.000 000 03 ms to a year.
/// (Masson, Rim and Lee, "DDSketch", 2019.)
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatencySketch {
    /// Buckets with their weights, sorted by bucket.
    buckets: Vec<(i16, f64)>,
}

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.05;
const FARTHEST: f64 = 500.0;

fn bucket(ms: f64) -> i16 {
    let bucket = (ms.ln() / GROWTH.ln()).floor().clamp(-FARTHEST, FARTHEST);
    // In range, because it was clamped; a zero's logarithm is minus infinity, and is clamped as well.
    bucket as i16
}

/// The geometric middle of a bucket.
fn middle(bucket: i16) -> f64 {
    GROWTH.powf(f64::from(bucket) + 0.5)
}

impl LatencySketch {
    /// Adds a latency in milliseconds. What is not a number, negative or without weight is left out.
    pub fn add(&mut self, ms: f64, weight: f64) {
        if !(ms.is_finite() && ms >= 0.0 && weight.is_finite() && weight > 0.0) {
            return;
        }
        self.add_bucket(bucket(ms), weight);
    }

    fn add_bucket(&mut self, bucket: i16, weight: f64) {
        match self.buckets.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
            Ok(at) => self.buckets[at].1 += weight,
            Err(at) => self.buckets.insert(at, (bucket, weight)),
        }
    }

    /// Adds everything that another sketch holds.
    pub fn merge(&mut self, other: &Self) {
        // Both are sorted, so whatever comes next lies further on.
        let mut at = 0;
        for &(bucket, weight) in &other.buckets {
            while self.buckets.get(at).is_some_and(|&(there, _)| there < bucket) {
                at += 1;
            }
            match self.buckets.get_mut(at) {
                Some((there, sum)) if *there == bucket => *sum += weight,
                _ => self.buckets.insert(at, (bucket, weight)),
            }
        }
    }

    /// Multiplies every weight, and forgets what has become less than a ten-thousandth of a sample.
    pub fn scale(&mut self, factor: f64) {
        for (_, weight) in &mut self.buckets {
            *weight *= factor;
        }
        self.buckets.retain(|&(_, weight)| weight > 1e-4);
    }

    /// The number of samples.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.buckets.iter().map(|&(_, weight)| weight).sum()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The latency in milliseconds that a share `q` (0 to 1) of the samples does not exceed; `None` without samples.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut left = q.clamp(0.0, 1.0) * self.weight();
        for &(bucket, weight) in &self.buckets {
            left -= weight;
            if left <= 0.0 {
                return Some(middle(bucket));
            }
        }
        self.buckets.last().map(|&(bucket, _)| middle(bucket))
    }

    /// The same, but between the ends of a bucket by how many of its samples are below: known no better, and without
    /// steps where it is drawn over time.
    #[must_use]
    pub fn smooth_quantile(&self, q: f64) -> Option<f64> {
        let mut left = q.clamp(0.0, 1.0) * self.weight();
        for &(bucket, weight) in &self.buckets {
            if left <= weight {
                let share = if weight > 0.0 { (left / weight).clamp(0.0, 1.0) } else { 0.5 };
                return Some(GROWTH.powf(f64::from(bucket) + share));
            }
            left -= weight;
        }
        self.buckets.last().map(|&(bucket, _)| middle(bucket))
    }

    /// Its contents for a store: for each bucket its number and its weight, little-endian, as `i16` and `f32`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.buckets.len() * 6);
        for &(bucket, weight) in &self.buckets {
            bytes.extend_from_slice(&bucket.to_le_bytes());
            // Counts up to 16 million are kept exactly.
            bytes.extend_from_slice(&(weight as f32).to_le_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` where it did not write this.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (entries, []) = bytes.as_chunks::<6>() else { return None };
        let mut buckets: Vec<(i16, f64)> = Vec::with_capacity(entries.len());
        for &[a, b, weight @ ..] in entries {
            let bucket = i16::from_le_bytes([a, b]);
            let weight = f64::from(f32::from_le_bytes(weight));
            let ascending = buckets.last().is_none_or(|&(last, _)| last < bucket);
            if !(ascending && weight.is_finite() && weight >= 0.0) {
                return None;
            }
            buckets.push((bucket, weight));
        }
        Some(Self { buckets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_known_to_a_few_per_cent(
            mut values in prop::collection::vec(1e-3..1e6_f64, 1..200),
            q in 0.0..=1.0_f64,
        ) {
            let mut sketch = LatencySketch::default();
            for &value in &values {
                sketch.add(value, 1.0);
            }
            values.sort_by(f64::total_cmp);
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let got = sketch.quantile(q).expect("it holds samples");
            prop_assert!((got / exact).ln().abs() < 0.03, "{got} instead of {exact}");
            let smooth = sketch.smooth_quantile(q).expect("it holds samples");
            prop_assert!((smooth / got).ln().abs() < 0.025, "{smooth} instead of {got}");
        }

        #[test]
        fn merging_is_adding_everything(
            left in prop::collection::vec(1e-3..1e6_f64, 0..50),
            right in prop::collection::vec(1e-3..1e6_f64, 0..50),
        ) {
            let of = |values: &[f64]| {
                let mut sketch = LatencySketch::default();
                values.iter().for_each(|&value| sketch.add(value, 1.0));
                sketch
            };
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }

        #[test]
        fn bytes_give_it_back(values in prop::collection::vec(0.0..1e6_f64, 0..100)) {
            let mut sketch = LatencySketch::default();
            values.iter().for_each(|&value| sketch.add(value, 1.0));
            prop_assert_eq!(LatencySketch::from_bytes(&sketch.to_bytes()), Some(sketch));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(sketch) = LatencySketch::from_bytes(&bytes) {
                let _ = sketch.quantile(0.5);
            }
        }
    }

    #[test]
    fn what_is_no_latency_is_left_out() {
        let mut sketch = LatencySketch::default();
        for ms in [f64::NAN, f64::INFINITY, -1.0] {
            sketch.add(ms, 1.0);
        }
        sketch.add(1.0, f64::NAN);
        sketch.add(1.0, 0.0);
        assert!(sketch.is_empty());
        assert_eq!(sketch.quantile(0.5), None);
        sketch.add(0.0, 1.0);
        assert!(sketch.quantile(0.5).is_some_and(|ms| ms < 1e-6));
    }
}
