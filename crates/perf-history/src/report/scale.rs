//! From values to places on an axis, with marks at round values.

/// An axis from `low` to `high`, linear or by logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

/// From what ratio on an axis is by logarithms.
const WIDE: f64 = 8.0;

impl Scale {
    /// An axis of latencies, drawn from `from` to `to`; by logarithms where they differ much, otherwise from zero.
    #[must_use]
    pub fn of_latencies(least: f64, most: f64, from: f64, to: f64) -> Self {
        let (least, most) = (least.max(1e-6), most.max(2e-6));
        if most / least > WIDE {
            Self { low: (least / 1.15).ln(), high: (most * 1.15).ln(), log: true, from, to }
        } else {
            Self { low: 0.0, high: most * 1.08, log: false, from, to }
        }
    }

    /// An axis of anything from zero.
    #[must_use]
    pub fn from_zero(most: f64, from: f64, to: f64) -> Self {
        Self { low: 0.0, high: most.max(1e-9) * 1.08, log: false, from, to }
    }

    /// An axis of ratios around 1, by logarithms.
    #[must_use]
    pub fn of_ratios(least: f64, most: f64, from: f64, to: f64) -> Self {
        let (least, most) = (least.clamp(1e-6, 1.0), most.max(1.0));
        Self { low: (least / 1.1).ln(), high: (most * 1.1).ln(), log: true, from, to }
    }

    /// An axis of times.
    #[must_use]
    pub fn of_times(first: f64, last: f64, from: f64, to: f64) -> Self {
        let last = if last > first { last } else { first + 1.0 };
        Self { low: first, high: last, log: false, from, to }
    }

    /// Whether it is by logarithms.
    #[must_use]
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// Where a value is drawn.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).ln() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// Some round values within the axis.
    #[must_use]
    pub fn marks(&self) -> Vec<f64> {
        if self.log {
            return self.log_marks();
        }
        let step = round_up((self.high - self.low) / 5.0);
        let first = (self.low / step).ceil();
        (0..12).map(|i| (first + f64::from(i)) * step).take_while(|&mark| mark <= self.high).collect()
    }

    fn log_marks(&self) -> Vec<f64> {
        let decades = (self.low / std::f64::consts::LN_10).floor() as i32
            ..=(self.high / std::f64::consts::LN_10).ceil() as i32;
        let many = self.high - self.low > 4.0 * std::f64::consts::LN_10;
        let within: &[f64] = if many { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = decades.flat_map(|decade| within.iter().map(move |digit| digit * 10_f64.powi(decade)));
        all.filter(|mark| mark.ln() >= self.low && mark.ln() <= self.high).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, 50 …
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * decade)
        .find(|&step| step >= value)
        .unwrap_or(10.0 * decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_on_the_axis() {
        assert_eq!(Scale::of_latencies(20.0, 46.0, 0.0, 1.0).marks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let wide = Scale::of_latencies(5.0, 300.0, 0.0, 1.0);
        assert!(wide.is_log());
        assert_eq!(
            wide.marks().iter().map(|mark| mark.round()).collect::<Vec<_>>(),
            [5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
        );
    }

    #[test]
    fn places_stay_on_the_axis() {
        let scale = Scale::of_latencies(0.0, 0.0, 10.0, 20.0);
        for value in [0.0, 1.0, 1e300, f64::INFINITY, -5.0] {
            assert!((10.0..=20.0).contains(&scale.place(value)));
        }
    }
}
