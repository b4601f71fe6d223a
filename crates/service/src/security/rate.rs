//! A bucket of permits that fills up again at a rate.

use std::time::Duration;

use tokio::time::Instant;

/// Permits: as many as `burst` at once, and `per_second` again each second (token bucket, RFC 2697's committed rate).
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    burst: f64,
    level: f64,
    at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second, burst, level: burst, at: None }
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let since = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.level = (self.level + since * self.per_second).min(self.burst);
        self.at = Some(now);
        if self.level >= 1.0 {
            self.level -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.level) / self.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_and_then_the_rate() {
        let mut bucket = Bucket::new(2.0, 3);
        let now = Instant::now();
        assert!((0..3).all(|_| bucket.take(now).is_ok()));
        assert_eq!(bucket.take(now), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(now + Duration::from_millis(500)), Ok(()));
        assert!(bucket.take(now + Duration::from_millis(501)).is_err());
        // However long nobody comes, no more than a burst is there.
        let later = now + Duration::from_secs(3_600);
        assert!((0..3).all(|_| bucket.take(later).is_ok()));
        assert!(bucket.take(later).is_err());
    }
}
