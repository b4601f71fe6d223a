//! How often somebody may try.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Wrong attempts that one address has at once, and how long it takes until it has another.
const EACH: (f64, f64) = (8.0, 10.0);
/// The same for all addresses together.
const ALL: (f64, f64) = (40.0, 1.0);
/// How many addresses are remembered. Those that have all of their attempts again are forgotten first.
const MOST: usize = 1_024;

/// A bucket of attempts that fills up again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    /// What is in it now.
    fn level(&self, now: Instant, (most, seconds): (f64, f64)) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.level + since / seconds).min(most)
    }
}

/// The wrong attempts of all addresses. What was right costs nothing.
#[derive(Debug)]
pub(crate) struct Attempts {
    all: Bucket,
    each: HashMap<IpAddr, Bucket>,
}

impl Attempts {
    pub(crate) fn new(now: Instant) -> Self {
        Self { all: Bucket { level: ALL.0, at: now }, each: HashMap::new() }
    }

    /// Whether an address may try now.
    ///
    /// # Errors
    /// How long until it may.
    pub(crate) fn may(&self, now: Instant, from: IpAddr) -> Result<(), Duration> {
        let own = self.each.get(&from).map_or(EACH.0, |bucket| bucket.level(now, EACH));
        let wait = |level: f64, seconds: f64| ((1.0 - level) * seconds).max(0.0);
        let seconds = wait(own, EACH.1).max(wait(self.all.level(now, ALL), ALL.1));
        if seconds == 0.0 { Ok(()) } else { Err(Duration::from_secs_f64(seconds)) }
    }

    /// An address has tried, and was wrong.
    pub(crate) fn wrong(&mut self, now: Instant, from: IpAddr) {
        self.all = Bucket { level: (self.all.level(now, ALL) - 1.0).max(0.0), at: now };
        if self.each.len() >= MOST && !self.each.contains_key(&from) {
            self.each.retain(|_, bucket| bucket.level(now, EACH) < EACH.0);
            if self.each.len() >= MOST {
                // So many at once that the limit of all together is what holds.
                return;
            }
        }
        let bucket = self.each.entry(from).or_insert(Bucket { level: EACH.0, at: now });
        *bucket = Bucket { level: (bucket.level(now, EACH) - 1.0).max(0.0), at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    /// How many wrong attempts an address has until it is refused.
    fn has(attempts: &mut Attempts, now: Instant, from: IpAddr) -> usize {
        (0..1_000).take_while(|_| attempts.may(now, from).map(|()| attempts.wrong(now, from)).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_so_many_attempts_and_then_one_every_ten_seconds() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        assert_eq!(has(&mut attempts, now, address(1)), 8);
        assert_eq!(attempts.may(now, address(1)), Err(Duration::from_secs(10)));
        assert_eq!(attempts.may(now, address(2)), Ok(()), "others are not to blame");
        let later = now + Duration::from_secs(20);
        assert_eq!(has(&mut attempts, later, address(1)), 2);
        assert_eq!(has(&mut attempts, later + Duration::from_secs(3_600), address(1)), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_have_a_limit_and_memory_has_a_bound() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let tried: usize = (0..100_000).map(|n| has(&mut attempts, now, address(n))).sum();
        assert_eq!(tried, 40);
        for n in 0..10_000 {
            attempts.wrong(now, address(n));
        }
        assert!(attempts.each.len() <= MOST);
    }
}
