//! When to write, when to drop what is old, and when to end: decided from what is there and what time it is.

use std::time::{Duration, Instant};

use super::RecorderSettings;

/// How many batches are written before something is dropped, while there is always more to write. A portion of what is
/// dropped is larger than so many batches of the usual size, so the store does not grow without end.
const BATCHES_PER_PORTION: u32 = 8;

/// The time so much later; a year later where that is beyond all time.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(365 * 86_400))
}

/// What the writer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes the batch that failed, or else the next one.
    Write,
    /// Drops a portion of what is not kept any more.
    Compact,
    /// Waits for something to happen, until this time at the latest.
    Wait(Option<Instant>),
    /// Ends.
    End,
}

/// What there is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Whether there is a batch that could not be written.
    pub(super) kept: bool,
    /// How many others wait.
    pub(super) queued: usize,
    /// Whether somebody waits for a flush.
    pub(super) flush: bool,
    /// Until when to go on trying, where the recorder is to end.
    pub(super) ending: Option<Instant>,
}

/// What the decisions remember.
#[derive(Debug)]
pub(super) struct Pace {
    batch: usize,
    gather: Duration,
    retry_first: Duration,
    retry_most: Duration,
    compact_every: Duration,
    /// Until when to gather a batch.
    gather_until: Option<Instant>,
    /// When to try again.
    retry_at: Option<Instant>,
    /// How long to wait after the next failure.
    delay: Duration,
    /// Whether there was a try since the recorder is to end.
    tried: bool,
    /// When to drop what is old; never where nothing is.
    compact_at: Option<Instant>,
    batches: u32,
}

impl Pace {
    pub(super) fn new(settings: &RecorderSettings, now: Instant) -> Self {
        Self {
            batch: settings.batch,
            gather: settings.gather,
            retry_first: settings.retry_first,
            retry_most: settings.retry_most,
            compact_every: settings.compact_every,
            gather_until: None,
            retry_at: None,
            delay: settings.retry_first,
            tried: false,
            compact_at: settings.retention.is_some().then_some(now),
            batches: 0,
        }
    }

    pub(super) fn next(&mut self, work: Work, now: Instant) -> Step {
        if let Some(end) = work.ending
            && ((!work.kept && work.queued == 0) || (self.tried && now >= end))
        {
            return Step::End;
        }
        let write_at = self.write_at(work, now);
        let compact_at = self.compact_at.filter(|_| work.ending.is_none());
        let compact = compact_at.is_some_and(|at| now >= at);
        let write = write_at.is_some_and(|at| now >= at);
        match (write, compact) {
            (true, true) if self.batches >= BATCHES_PER_PORTION => Step::Compact,
            (true, _) => Step::Write,
            (false, true) => Step::Compact,
            (false, false) => Step::Wait([write_at, compact_at, work.ending].into_iter().flatten().min()),
        }
    }

    /// When to write what there is.
    fn write_at(&mut self, work: Work, now: Instant) -> Option<Instant> {
        let ending = work.ending.is_some();
        if work.kept {
            // Somebody who waits, and the end, are worth a try at once.
            let hurry = work.flush || (ending && !self.tried);
            return if hurry { Some(now) } else { self.retry_at.or(Some(now)) };
        }
        if work.queued == 0 {
            self.gather_until = None;
            return None;
        }
        let until = *self.gather_until.get_or_insert_with(|| after(now, self.gather));
        Some(if work.queued >= self.batch || work.flush || ending { now } else { until })
    }

    pub(super) fn wrote(&mut self, ending: bool) {
        self.tried = ending;
        self.gather_until = None;
        self.retry_at = None;
        self.delay = self.retry_first;
        self.batches = self.batches.saturating_add(1);
    }

    pub(super) fn failed(&mut self, ending: bool, now: Instant) {
        if ending && !self.tried {
            self.tried = true;
            self.delay = self.retry_first;
        }
        self.retry_at = Some(after(now, self.delay));
        self.delay = self.delay.saturating_mul(2).min(self.retry_most);
    }

    /// After a portion was dropped, or that failed.
    pub(super) fn compacted(&mut self, more: bool, now: Instant) {
        self.batches = 0;
        self.compact_at = Some(if more { now } else { after(now, self.compact_every) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Work = Work { kept: false, queued: 0, flush: false, ending: None };

    #[expect(clippy::disallowed_methods, reason = "a test needs one real instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A pace that has dropped what is old.
    fn pace(now: Instant) -> Pace {
        let mut pace = Pace::new(&RecorderSettings::default(), now);
        assert_eq!(pace.next(NOTHING, now), Step::Compact);
        pace.compacted(false, now);
        pace
    }

    #[test]
    fn a_batch_is_written_when_it_is_full_or_has_waited_or_somebody_waits() {
        let now = start();
        let mut pace = pace(now);
        let hour = now + Duration::from_secs(3_600);
        assert_eq!(pace.next(NOTHING, now), Step::Wait(Some(hour)));
        let some = Work { queued: 2_047, ..NOTHING };
        assert_eq!(pace.next(some, now), Step::Wait(Some(now + ms(200))));
        assert_eq!(pace.next(some, now + ms(150)), Step::Wait(Some(now + ms(200))));
        assert_eq!(pace.next(some, now + ms(200)), Step::Write);
        pace.wrote(false);
        let later = now + ms(300);
        assert_eq!(pace.next(some, later), Step::Wait(Some(later + ms(200))));
        assert_eq!(pace.next(Work { queued: 2_048, ..NOTHING }, later), Step::Write);
        assert_eq!(pace.next(Work { flush: true, ..some }, later), Step::Write);
        assert_eq!(pace.next(Work { ending: Some(hour), ..some }, later), Step::Write);
    }

    #[test]
    fn tries_become_rarer_and_a_flush_or_the_end_does_not_wait_for_them() {
        let now = start();
        let mut pace = pace(now);
        let kept = Work { kept: true, queued: 5_000, ..NOTHING };
        for delay in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            pace.failed(false, now);
            assert_eq!(pace.next(kept, now), Step::Wait(Some(now + ms(delay))));
        }
        assert_eq!(pace.next(Work { flush: true, ..kept }, now), Step::Write);
        assert_eq!(pace.next(kept, now + ms(5_000)), Step::Write);

        let end = now + ms(250);
        let ending = Work { ending: Some(end), ..kept };
        assert_eq!(pace.next(ending, now), Step::Write);
        pace.failed(true, now);
        assert_eq!(pace.next(ending, now), Step::Wait(Some(now + ms(100))));
        pace.failed(true, now + ms(100));
        assert_eq!(pace.next(ending, now + ms(100)), Step::Wait(Some(end)));
        assert_eq!(pace.next(ending, end), Step::End);

        let mut late = Pace::new(&RecorderSettings::default(), now);
        assert_eq!(late.next(ending, end), Step::Write, "there is one try in any case");
        late.wrote(true);
        assert_eq!(late.next(ending, end), Step::End);

        pace.wrote(false);
        pace.failed(false, now);
        assert_eq!(pace.next(kept, now), Step::Wait(Some(now + ms(100))), "it begins anew");
    }

    #[test]
    fn dropping_keeps_nobody_waiting_long_and_is_never_put_off_for_good() {
        let now = start();
        let mut pace = pace(now);
        let later = now + Duration::from_secs(3_600);
        let busy = Work { queued: 60_000, ..NOTHING };
        for _ in 0..3 {
            for _ in 0..8 {
                assert_eq!(pace.next(busy, later), Step::Write);
                pace.wrote(false);
            }
            assert_eq!(pace.next(busy, later), Step::Compact);
            pace.compacted(true, later);
        }
        assert_eq!(
            pace.next(Work { queued: 5, ..NOTHING }, later),
            Step::Compact,
            "a batch is being gathered"
        );
        pace.failed(false, later);
        let stalled = Work { kept: true, ..busy };
        assert_eq!(pace.next(stalled, later), Step::Compact, "it may be what makes room");
        let ending = Work { ending: Some(later + ms(5)), ..NOTHING };
        assert_eq!(pace.next(ending, later), Step::End, "nothing is dropped at the end");
    }

    #[test]
    fn without_retention_it_waits_for_work_alone() {
        let now = start();
        let settings = RecorderSettings { retention: None, ..RecorderSettings::default() };
        assert_eq!(Pace::new(&settings, now).next(NOTHING, now), Step::Wait(None));
    }
}
