//! When the parts of one request were.

use std::time::Instant;

use crate::Marks;

/// When the parts of a request were, in milliseconds after the pool accepted it, all by the host's monotonic clock.
///
/// The times never run backwards: each is at least the one before, and the last is at most
/// [`total_ms`](crate::RunReport::total_ms). Those of the page are converted from the page's own clock, and together moved
/// by as little as puts them between `sent_ms` and `received_ms`, if they are not there. So they can be off by half of the
/// shortest round trip that was seen lately at most, give or take what the browser rounds its clock to. That concerns how
/// the time on the way is divided into there and back; what lies between two times of the page stays as it measured it.
///
/// Only the attempt that gave the result counts: those that failed before it lie between acceptance and `dispatched_ms`,
/// with the wait for a load.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// The worker's slot was taken for the attempt that gave the result; before it lies the queue.
    pub dispatched_ms: f64,
    /// The call began to be written to the worker's socket.
    pub sent_ms: f64,
    /// The page had read the call. A page that computes reads nothing meanwhile, so a call that was sent while another
    /// ran arrives when that is done.
    pub arrived_ms: f64,
    /// The page began to run the session, after its turn had come.
    pub started_ms: f64,
    /// The session's run ended.
    pub ended_ms: f64,
    /// The page had the outputs where it can read them, and began to write its answer to its socket.
    pub answered_ms: f64,
    /// The host had read the whole answer.
    pub received_ms: f64,
}

impl Timeline {
    /// The marks of the run that answered a request at `now`, counted from its acceptance. Whatever a link tells, the
    /// order holds.
    pub(crate) fn new(accepted: Instant, dispatched: Instant, marks: &Marks, now: Instant) -> Self {
        let Marks { sent, arrived, started, ended, answered, received } = marks;
        let after = |at: Instant| at.saturating_duration_since(accepted).as_secs_f64() * 1e3;
        // Not `clamp`, which panics where its bounds are the wrong way round.
        let within = |at: f64, from: f64, to: f64| at.min(to).max(from);
        let total_ms = after(now);
        let dispatched_ms = within(after(dispatched), 0.0, total_ms);
        let sent_ms = within(after(sent.into_std()), dispatched_ms, total_ms);
        let received_ms = within(after(received.into_std()), sent_ms, total_ms);
        let arrived_ms = within(after(arrived.into_std()), sent_ms, received_ms);
        let started_ms = within(after(started.into_std()), arrived_ms, received_ms);
        let ended_ms = within(after(ended.into_std()), started_ms, received_ms);
        let answered_ms = within(after(answered.into_std()), ended_ms, received_ms);
        Self { dispatched_ms, sent_ms, arrived_ms, started_ms, ended_ms, answered_ms, received_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn epoch() -> Instant {
        tokio::time::Instant::now().into_std() + Duration::from_secs(1)
    }

    /// The timeline of a request that was accepted at 0, where all times are milliseconds.
    fn timeline(dispatched: u64, marks: [u64; 6], now: u64) -> [f64; 7] {
        let accepted = epoch();
        let at = |ms: u64| accepted + Duration::from_millis(ms);
        let [sent, arrived, started, ended, answered, received] = marks.map(|ms| at(ms).into());
        let marks = Marks { sent, arrived, started, ended, answered, received };
        let Timeline { dispatched_ms, sent_ms, arrived_ms, started_ms, ended_ms, answered_ms, received_ms } =
            Timeline::new(accepted, at(dispatched), &marks, at(now));
        [dispatched_ms, sent_ms, arrived_ms, started_ms, ended_ms, answered_ms, received_ms]
    }

    #[track_caller]
    fn check(dispatched: u64, marks: [u64; 6], now: u64, wanted: [u32; 7]) {
        assert_eq!(timeline(dispatched, marks, now), wanted.map(f64::from));
    }

    #[test]
    fn times_count_from_acceptance() {
        check(300, [301, 302, 304, 344, 345, 347], 348, [300, 301, 302, 304, 344, 345, 347]);
    }

    #[test]
    fn what_the_page_tells_lies_between_sending_and_receiving() {
        check(10, [20, 5, 18, 25, 70, 60], 61, [10, 20, 20, 20, 25, 60, 60]);
    }

    #[test]
    fn the_whole_lies_between_dispatch_and_the_end() {
        check(10, [5, 6, 7, 8, 9, 90], 30, [10, 10, 10, 10, 10, 10, 30]);
        check(50, [0; 6], 30, [30; 7]);
    }

    #[test]
    fn what_was_before_acceptance_counts_as_acceptance() {
        let (accepted, before) = (epoch(), (epoch() - Duration::from_secs(1)).into());
        let marks = Marks {
            sent: before,
            arrived: before,
            started: before,
            ended: before,
            answered: before,
            received: before,
        };
        let timeline = Timeline::new(accepted, accepted, &marks, accepted + Duration::from_secs(1));
        assert_eq!((timeline.sent_ms, timeline.received_ms), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn no_marks_make_time_run_backwards(dispatched in 0..50_u64, marks in prop::array::uniform6(0..50_u64), now in 0..50_u64) {
            let times = timeline(dispatched, marks, now);
            prop_assert!(times.is_sorted(), "{times:?}");
            prop_assert!(times[0] >= 0.0 && times[6] <= now as f64, "{times:?}");
        }
    }
}
