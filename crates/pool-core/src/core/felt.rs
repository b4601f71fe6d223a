//! How fast a worker feels at the moment.

use std::time::Instant;

/// Over how many seconds a peak fades.
const FADE: f64 = 10.0;

/// A moving average of latencies that follows a rise at once and a fall slowly, so that a worker that has become slow is
/// avoided from its first slow run on (peak EWMA, as in Finagle and Tower).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PeakEwma {
    ms: Option<f64>,
    at: Option<Instant>,
}

impl PeakEwma {
    pub(crate) fn add(&mut self, now: Instant, ms: f64) {
        if !(ms.is_finite() && ms >= 0.0) {
            return;
        }
        let since = self.at.map_or(f64::INFINITY, |at| now.saturating_duration_since(at).as_secs_f64());
        let kept = (-since / FADE).exp();
        self.ms = Some(match self.ms {
            Some(old) if ms < old => old * kept + ms * (1.0 - kept),
            _ => ms,
        });
        self.at = Some(now);
    }

    /// In milliseconds; `None` before the first run. Without runs it fades too, so that a worker is not avoided for ever.
    pub(crate) fn ms(&self, now: Instant) -> Option<f64> {
        let since = now.saturating_duration_since(self.at?).as_secs_f64();
        Some(self.ms? * (-since / FADE).exp())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "one real instant to count from")]
    fn a_rise_is_felt_at_once_and_a_fall_slowly() {
        let now = Instant::now();
        let mut felt = PeakEwma::default();
        assert_eq!(felt.ms(now), None);
        felt.add(now, 10.0);
        felt.add(now, 100.0);
        assert_eq!(felt.ms(now), Some(100.0));
        let later = now + Duration::from_secs(1);
        felt.add(later, 10.0);
        assert!(felt.ms(later).is_some_and(|ms| (90.0..100.0).contains(&ms)));
        let later = now + Duration::from_secs(60);
        felt.add(later, 10.0);
        assert!(felt.ms(later).is_some_and(|ms| (10.0..11.0).contains(&ms)));
        felt.add(later, f64::NAN);
        assert!(felt.ms(later).is_some_and(|ms| (10.0..11.0).contains(&ms)));
        assert!(felt.ms(later + Duration::from_secs(60)).is_some_and(|ms| ms < 0.1));
    }
}
