//! The clock of an engine, seen from the host's.
//!
//! Every run is an exchange of four times: sent and received by the host's clock, arrived and answered by the page's. As
//! in NTP, they bound how far the clocks are apart: the call arrived after it was sent, and the answer was received after
//! it was given. The middle between the bounds is off by half of the round trip at most, where the round trip is what of
//! the exchange was spent on the two ways. So of the latest exchanges the one with the shortest round trip is believed,
//! for as long as drift does not make it worse than a later one, and as far as the exchange in question allows it.

use std::collections::VecDeque;
use std::time::Duration;

use pool_core::Marks;
use tokio::time::Instant;

use crate::protocol::PageMarks;

/// How many exchanges are looked at.
const WINDOW: usize = 16;

/// How far two clocks drift apart in a unit of time at most: twice what a poor crystal strays. Host and page mostly count
/// by one crystal; but a page may be on another machine.
const DRIFT: f64 = 1e-4;

/// How much the page's times may miss by being rounded, in milliseconds; browsers round to one at most, unless they are
/// told to resist fingerprinting.
const ROUNDING_MS: f64 = 2.0;

/// The latest time that a page's clock may show, in milliseconds: three centuries. Beyond that a double is too coarse.
const LATEST_MS: f64 = 1e13;

/// How a page's clock is related to the host's, as far as the latest exchanges tell.
#[derive(Debug, Default)]
pub(super) struct PageClock {
    /// What host times are counted from: the beginning of the first exchange.
    epoch: Option<Instant>,
    recent: VecDeque<Exchange>,
}

/// What one exchange tells.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    /// When it began, in milliseconds of the host.
    began: f64,
    /// What has to be added to a page's time to get the host's.
    offset: f64,
    /// What the two ways took.
    round_trip: f64,
}

impl Exchange {
    /// How far its offset can be off for a time up to `now`, with drift within and since the exchange.
    fn uncertainty(&self, now: f64) -> f64 {
        self.round_trip / 2.0 + DRIFT * (now - self.began).max(0.0)
    }
}

/// From one point in time to another, which may be before it.
fn ms(from: Instant, to: Instant) -> f64 {
    let forward = to.saturating_duration_since(from).as_secs_f64();
    (forward - from.saturating_duration_since(to).as_secs_f64()) * 1e3
}

impl PageClock {
    /// Learns from a run that was sent and whose answer was received, and converts what the page told of it. The result
    /// is in order, from sent to received. `None` where what the page told cannot be: times that run backwards, are no
    /// numbers or absurdly large, or take longer than the whole exchange.
    pub(super) fn align(&mut self, sent: Instant, received: Instant, told: &PageMarks) -> Option<Marks> {
        let &PageMarks { arrived_ms, started_ms, ended_ms, answered_ms } = told;
        let told = [0.0, arrived_ms, started_ms, ended_ms, answered_ms, LATEST_MS];
        // Comparisons with NaN are false.
        if !told.is_sorted() {
            return None;
        }
        let epoch = *self.epoch.get_or_insert(sent);
        let (began, now) = (ms(epoch, sent), ms(epoch, received));
        let round_trip = (now - began) - (answered_ms - arrived_ms);
        if round_trip < -ROUNDING_MS - DRIFT * (now - began) {
            return None;
        }
        let offset = f64::midpoint(began - arrived_ms, now - answered_ms);
        let exchange = Exchange { began, offset, round_trip: round_trip.max(0.0) };
        // What this exchange bounds holds for it in any case. Rounding and drift can put the bounds the wrong way round.
        let offset = self.learn(exchange, now).offset.max(began - arrived_ms).min(now - answered_ms);
        let took = received.saturating_duration_since(sent);
        let at = |page_ms: f64| {
            let after_sent = (page_ms + offset - began).max(0.0) / 1e3;
            sent + Duration::try_from_secs_f64(after_sent).map_or(took, |after| after.min(took))
        };
        Some(Marks {
            sent,
            arrived: at(arrived_ms),
            started: at(started_ms),
            ended: at(ended_ms),
            answered: at(answered_ms),
            received: sent + took,
        })
    }

    /// Takes note of an exchange that ended at `now`, and answers which one to believe.
    fn learn(&mut self, exchange: Exchange, now: f64) -> Exchange {
        // A clock may stand still while its machine sleeps. What contradicts the latest exchange was before that.
        let reach = exchange.uncertainty(now) + ROUNDING_MS;
        self.recent
            .retain(|earlier| (earlier.offset - exchange.offset).abs() <= earlier.uncertainty(now) + reach);
        if self.recent.len() >= WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(exchange);
        let better = |a: &Exchange, b: &Exchange| a.uncertainty(now).total_cmp(&b.uncertainty(now));
        self.recent.iter().copied().min_by(better).unwrap_or(exchange)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page whose clock showed `offset` when the host's showed 0, and goes `drift` too fast.
    #[derive(Debug, Clone, Copy)]
    struct Page {
        offset: f64,
        drift: f64,
    }

    /// When things really happened, in milliseconds of the host.
    type Times = [f64; 6];

    impl Page {
        fn shows(self, at: f64) -> f64 {
            self.offset + at * (1.0 + self.drift)
        }

        fn tells(self, times: Times) -> PageMarks {
            let [_, arrived, started, ended, answered, _] = times;
            PageMarks {
                arrived_ms: self.shows(arrived),
                started_ms: self.shows(started),
                ended_ms: self.shows(ended),
                answered_ms: self.shows(answered),
            }
        }
    }

    fn host() -> Instant {
        Instant::now()
    }

    fn after(epoch: Instant, at: f64) -> Instant {
        epoch + Duration::from_secs_f64(at / 1e3)
    }

    fn list(epoch: Instant, marks: Marks) -> Times {
        let Marks { sent, arrived, started, ended, answered, received } = marks;
        [sent, arrived, started, ended, answered, received].map(|at| ms(epoch, at))
    }

    /// What the clock makes of an exchange.
    fn align(clock: &mut PageClock, epoch: Instant, page: Page, times: Times) -> Option<Times> {
        let (sent, received) = (after(epoch, times[0]), after(epoch, times[5]));
        clock.align(sent, received, &page.tells(times)).map(|marks| list(epoch, marks))
    }

    #[track_caller]
    fn check(clock: &mut PageClock, epoch: Instant, page: Page, times: Times, wanted: Times) {
        let got = align(clock, epoch, page, times).expect("the page makes sense");
        let near = got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-3);
        assert!(near, "{got:?}, not {wanted:?}");
    }

    const STEADY: Page = Page { offset: 5_000.0, drift: 0.0 };

    #[test]
    fn equal_ways_give_the_truth() {
        let times = [10.0, 11.0, 12.0, 40.0, 41.0, 42.0];
        check(&mut PageClock::default(), host(), STEADY, times, times);
    }

    #[test]
    fn the_shortest_round_trip_is_believed() {
        let (mut clock, epoch) = (PageClock::default(), host());
        // The answer took nine milliseconds longer than the call: each is taken for half.
        let slow_back = [0.0, 1.0, 1.0, 5.0, 5.0, 15.0];
        check(&mut clock, epoch, STEADY, slow_back, [0.0, 5.5, 5.5, 9.5, 9.5, 15.0]);
        let quick = [20.0, 20.5, 20.5, 25.0, 25.0, 25.5];
        check(&mut clock, epoch, STEADY, quick, quick);
        let slow_again = [30.0, 31.0, 31.0, 35.0, 35.0, 45.0];
        check(&mut clock, epoch, STEADY, slow_again, slow_again);
    }

    #[test]
    fn what_was_long_ago_counts_less_than_what_is_near() {
        let (mut clock, epoch) = (PageClock::default(), host());
        let page = Page { offset: 0.0, drift: DRIFT };
        let quick = [0.0, 0.5, 0.5, 5.0, 5.0, 5.5];
        check(&mut clock, epoch, page, quick, quick);
        // A minute later the page is 6 ms ahead, and an exchange that is known to 1 ms is better than that.
        let later = quick.map(|at| 60_000.0 + if at > 5.0 { at + 1.0 } else { at });
        let got = align(&mut clock, epoch, page, later).expect("the page makes sense");
        assert!((got[1] - later[1]).abs() < 1.0, "{got:?}");
    }

    #[test]
    fn a_clock_that_stood_still_is_noticed_at_once() {
        let (mut clock, epoch) = (PageClock::default(), host());
        let quick = [0.0, 0.5, 0.5, 5.0, 5.0, 5.5];
        check(&mut clock, epoch, STEADY, quick, quick);
        let slept = Page { offset: STEADY.offset - 1_000.0, drift: 0.0 };
        let later = [10.0, 12.0, 12.0, 15.0, 15.0, 17.0];
        check(&mut clock, epoch, slept, later, later);
        assert_eq!(clock.recent.len(), 1);
    }

    #[test]
    fn only_so_many_exchanges_are_kept() {
        let (mut clock, epoch) = (PageClock::default(), host());
        for turn in 0..100 {
            let times = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|at| at + 10.0 * f64::from(turn));
            check(&mut clock, epoch, STEADY, times, times);
        }
        assert_eq!(clock.recent.len(), WINDOW);
    }

    /// Whether an exchange of 10 ms, of which the page tells this, has marks; and whatever it is, the next one has.
    #[track_caller]
    fn check_sense(told: [f64; 4], sense: bool) {
        let (mut clock, epoch) = (PageClock::default(), host());
        let [arrived_ms, started_ms, ended_ms, answered_ms] = told;
        let told = PageMarks { arrived_ms, started_ms, ended_ms, answered_ms };
        let marks = clock.align(epoch, after(epoch, 10.0), &told);
        assert_eq!(marks.is_some(), sense, "{told:?}: {marks:?}");
        let times = [20.0, 21.0, 22.0, 23.0, 24.0, 25.0];
        check(&mut clock, epoch, STEADY, times, times);
    }

    #[test]
    fn times_that_cannot_be_are_no_marks() {
        check_sense([3.0, 4.0, 5.0, 6.0], true);
        // Rounded, the page can seem to have taken longer than the exchange.
        check_sense([3.0, 3.0, 14.0, 14.0], true);
        check_sense([3.0, 3.0, 16.0, 16.0], false);
        check_sense([4.0, 3.0, 5.0, 6.0], false);
        check_sense([3.0, 4.0, 6.0, 5.0], false);
        check_sense([-3.0, 4.0, 5.0, 6.0], false);
        check_sense([f64::NAN; 4], false);
        check_sense([3.0, f64::NAN, 5.0, 6.0], false);
        check_sense([f64::INFINITY; 4], false);
        check_sense([3.0, 4.0, 5.0, f64::INFINITY], false);
        check_sense([f64::MAX; 4], false);
    }

    #[test]
    fn an_answer_from_before_its_call_is_no_panic() {
        let (mut clock, epoch) = (PageClock::default(), host());
        let told = PageMarks { arrived_ms: 1.0, started_ms: 1.0, ended_ms: 1.0, answered_ms: 1.0 };
        let marks = clock.align(after(epoch, 1.0), epoch, &told).expect("it is within rounding");
        assert_eq!(marks.sent, marks.received);
    }

    /// The time since the exchange before, then that of each part: the way there, waiting, computing, reading, the way back.
    fn exchanges() -> impl Strategy<Value = Vec<(f64, [f64; 5])>> {
        let way = || prop_oneof![0.0..2.0, 0.0..500.0_f64];
        let run = prop_oneof![0.0..20.0, 0.0..2_000.0, 0.0..100_000.0_f64];
        let parts = (way(), 0.0..50.0_f64, run, 0.0..50.0_f64, way());
        let parts = parts.prop_map(|(there, wait, run, read, back)| [there, wait, run, read, back]);
        prop::collection::vec((prop_oneof![0.0..20.0, 0.0..100_000.0_f64], parts), 1..60)
    }

    proptest! {
        #[test]
        fn the_error_is_at_most_half_of_the_best_round_trip(
            offset in 0.0..1e9_f64,
            drift in -1.0..1.0_f64,
            exchanges in exchanges(),
        ) {
            let (mut clock, epoch) = (PageClock::default(), host());
            let page = Page { offset, drift: drift * DRIFT };
            let mut now = 0.0;
            let mut known: Vec<(f64, f64)> = Vec::new();
            for (gap, parts) in exchanges {
                let mut times = [now + gap; 6];
                for (part, took) in parts.into_iter().enumerate() {
                    times[part + 1] = times[part] + took;
                }
                now = times[5];
                let got = align(&mut clock, epoch, page, times).expect("the page tells the truth");
                prop_assert!(got.is_sorted(), "{got:?}");
                // Instants count nanoseconds, and so do the ends.
                prop_assert!((got[0] - times[0]).abs() < 1e-5 && (got[5] - times[5]).abs() < 1e-5);
                let round_trip = (times[5] - times[0]) - (page.shows(times[4]) - page.shows(times[1]));
                for part in 1..4 {
                    let told = page.shows(times[part + 1]) - page.shows(times[part]);
                    let lost = told - (got[part + 1] - got[part]);
                    prop_assert!(lost.abs() < 1e-4 - round_trip.min(0.0), "spans stay: {got:?}");
                }
                known.push((times[0], round_trip.max(0.0)));
                let bounds = known.iter().rev().take(WINDOW).map(|(began, round_trip)| {
                    round_trip / 2.0 + DRIFT * (now - began)
                });
                let bound = bounds.fold(f64::INFINITY, f64::min) + 1e-4;
                for (got, truth) in got.iter().zip(times) {
                    prop_assert!((got - truth).abs() <= bound, "{got} for {truth}, not within {bound}");
                }
            }
            prop_assert_eq!(clock.recent.len(), known.len().min(WINDOW), "the truth contradicts nothing");
        }

        #[test]
        fn whatever_a_page_tells_order_holds(
            told in prop::collection::vec((prop::array::uniform4(any::<f64>()), 0.0..1e4_f64, any::<bool>()), 1..20),
        ) {
            let (mut clock, epoch) = (PageClock::default(), host());
            for (mut times, took, sort) in told {
                if sort {
                    times = times.map(|at| at.abs() % 1e4);
                    times.sort_by(f64::total_cmp);
                }
                let [arrived_ms, started_ms, ended_ms, answered_ms] = times;
                let told = PageMarks { arrived_ms, started_ms, ended_ms, answered_ms };
                if let Some(marks) = clock.align(epoch, after(epoch, took), &told) {
                    let got = list(epoch, marks);
                    prop_assert!(got.is_sorted(), "{got:?}");
                }
            }
        }
    }
}
