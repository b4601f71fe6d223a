//! Waiting for trouble.

use std::time::Duration;

use pool_core::LeaveCause;
use recovery::{Fault, diagnose};
use tokio::time::{Instant, MissedTickBehavior};

use super::patient::Patient;

/// How often is asked whether the driver has ended: one call to the kernel, and nothing else tells.
const DRIVER_LOOK: Duration = Duration::from_millis(100);

impl Patient {
    /// Waits until something is wrong, and says what.
    pub(super) async fn trouble(&self) -> Fault {
        let page = self.page();
        let put_out = async {
            let closed = {
                let state = self.state.lock();
                state.membership.as_ref().map(pool_core::Membership::out)
            };
            let why = match closed {
                Some(closed) => closed.await,
                None => LeaveCause::Vanished,
            };
            if why == LeaveCause::Shutdown {
                // No trouble: all is about to stop.
                self.shared.stop.cancelled().await;
            }
            why
        };
        tokio::select! {
            end = page.ended() => {
                tracing::warn!(page = page.label(), %end, "a page ended");
            }
            () = page.disconnected(), if self.shared.options.enabled => {}
            why = put_out => {
                tracing::warn!(page = page.label(), ?why, "the pool put a worker out");
                if why == LeaveCause::Quarantined {
                    return Fault::WrongNumbers;
                }
                // Where the page is there all the same, it is the thread that computes that does not answer.
                if page.end_cause().is_none() && why == LeaveCause::Unresponsive {
                    return Fault::WorkerHung;
                }
            }
            () = self.driver_ended() => {}
            fault = self.heartbeat() => return fault,
        }
        let signs = self.look(self.shared.options.answer).await;
        diagnose(&signs, &self.shared.options.settings.diagnosis).unwrap_or(Fault::SocketLost)
    }

    /// Waits until the driver has ended.
    async fn driver_ended(&self) {
        let mut looks = tokio::time::interval(DRIVER_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.browser().is_some_and(|browser| !browser.driver_ended()) {
            looks.tick().await;
        }
    }

    /// Looks at the browser again and again.
    async fn heartbeat(&self) -> Fault {
        let beat = self.shared.options.heartbeat;
        let mut beats = tokio::time::interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut away = Away::new(beat);
        let mut overdue = false;
        loop {
            beats.tick().await;
            // Twice in a row: after a pause of ours its answer may only not have been read yet.
            let was = std::mem::replace(&mut overdue, self.page().is_overdue(self.shared.options.overdue));
            if was && overdue {
                tracing::warn!(
                    page = self.page().label(),
                    "a run takes many times longer than any before it"
                );
                return Fault::WorkerHung;
            }
            let mut signs = self.glance();
            signs.observer_away = away.at(Instant::now(), signs.control_silence.unwrap_or_default());
            if let Some(fault) = diagnose(&signs, &self.shared.options.settings.diagnosis) {
                return fault;
            }
        }
    }
}

/// For how long the one who looks was not running himself: a stopped process, a suspended machine. What nobody listened
/// for proves nothing.
#[derive(Debug)]
struct Away {
    beat: Duration,
    last: Option<Instant>,
    total: Duration,
}

impl Away {
    fn new(beat: Duration) -> Self {
        Self { beat, last: None, total: Duration::ZERO }
    }

    /// How much of a silence of this length was our own.
    fn at(&mut self, now: Instant, silence: Duration) -> Duration {
        let gap = self.last.map_or(self.beat, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        if silence < gap {
            // Something was heard since the last look, and before we stood still, if we did.
            let stood = if gap > self.beat * 2 { gap - self.beat } else { Duration::ZERO };
            self.total = stood.min(silence);
        } else if gap > self.beat * 2 {
            self.total += gap - self.beat;
        }
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(1);

    /// Looks that come so many seconds after each other, at a page that was last heard at the first one.
    #[track_caller]
    fn check(gaps: &[u64], expected: u64) {
        #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
        let start = Instant::now();
        let mut away = Away::new(BEAT);
        let mut at = Duration::ZERO;
        let mut last = away.at(start, at);
        for &gap in gaps {
            at += Duration::from_secs(gap);
            last = away.at(start + at, at);
        }
        assert_eq!(last, Duration::from_secs(expected));
    }

    #[test]
    fn looks_in_time_are_listening() {
        check(&[1, 1, 1, 1, 1, 1], 0);
    }

    #[test]
    fn a_pause_of_ours_is_not_the_page_s_silence() {
        check(&[1, 1, 31, 1], 30);
        check(&[10, 10], 18);
    }

    #[test]
    fn a_pause_after_something_was_heard_is_ours_too() {
        #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
        let start = Instant::now();
        let mut away = Away::new(BEAT);
        away.at(start, Duration::ZERO);
        // Heard half a second after that look; then we stood still for nine.
        let silence = BEAT * 9 + BEAT / 2;
        assert_eq!(away.at(start + BEAT * 10, silence), BEAT * 9);
    }

    #[test]
    fn what_was_heard_ends_the_count() {
        #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
        let start = Instant::now();
        let mut away = Away::new(BEAT);
        away.at(start, Duration::ZERO);
        away.at(start + BEAT * 20, BEAT * 20);
        assert_eq!(away.at(start + BEAT * 21, BEAT / 2), Duration::ZERO);
    }
}
