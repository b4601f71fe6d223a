//! How long a batch will take, from how long batches took.

/// Fits `took = base + each · rows` by least squares in which older batches count less.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimate {
    weight: f64,
    rows: f64,
    took: f64,
    rows_rows: f64,
    rows_took: f64,
}

/// What a batch still counts when the next one has come: the last twenty or so decide.
const KEEP: f64 = 0.95;

impl Estimate {
    /// Learns that so many rows took so long, in milliseconds.
    pub(super) fn learn(&mut self, rows: u64, took_ms: f64) {
        if !took_ms.is_finite() || took_ms < 0.0 {
            return;
        }
        let rows = rows as f64;
        for sum in
            [&mut self.weight, &mut self.rows, &mut self.took, &mut self.rows_rows, &mut self.rows_took]
        {
            *sum *= KEEP;
        }
        self.weight += 1.0;
        self.rows += rows;
        self.took += took_ms;
        self.rows_rows += rows * rows;
        self.rows_took += rows * took_ms;
    }

    /// Milliseconds that so many rows will take; `None` while nothing is known.
    pub(super) fn of(&self, rows: u64) -> Option<f64> {
        if self.weight <= 0.0 {
            return None;
        }
        let rows = rows as f64;
        let spread = self.weight * self.rows_rows - self.rows * self.rows;
        let mean = self.took / self.weight;
        // One size alone tells no slope: then a batch is taken to cost as much as the rows that it has.
        let each = if spread > 1e-9 * self.rows_rows {
            ((self.weight * self.rows_took - self.rows * self.took) / spread).max(0.0)
        } else {
            mean / (self.rows / self.weight)
        };
        let base = (mean - each * self.rows / self.weight).max(0.0);
        Some(base + each * rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.of(1), None);
        for rows in [1, 2, 8, 4, 1, 16] {
            estimate.learn(rows, 3.0 + 2.0 * rows as f64);
        }
        for rows in [1, 5, 32] {
            let got = estimate.of(rows).expect("it has learned");
            assert!((got - (3.0 + 2.0 * rows as f64)).abs() < 1e-6, "{rows}: {got}");
        }
    }

    #[test]
    fn one_size_alone_is_taken_as_proportional() {
        let mut estimate = Estimate::default();
        (0..5).for_each(|_| estimate.learn(4, 8.0));
        assert_eq!(estimate.of(8), Some(16.0));
    }

    #[test]
    fn what_is_no_time_is_not_learned() {
        let mut estimate = Estimate::default();
        estimate.learn(1, f64::NAN);
        estimate.learn(1, -1.0);
        assert_eq!(estimate.of(1), None);
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut estimate = Estimate::default();
        (0..50).for_each(|_| estimate.learn(1, 100.0));
        (0..200).for_each(|_| estimate.learn(1, 10.0));
        assert!(estimate.of(1).expect("it has learned") < 11.0);
    }
}
