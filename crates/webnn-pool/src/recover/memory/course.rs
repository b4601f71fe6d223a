//! What to do next for one browser that is short of memory. Decisions alone: they take what was seen, and do nothing.

use recovery::{Means, MemoryAction, PressureLevel, relief};
use telemetry::PressureSource;

/// A page that is loaded anew has to give back at least this share of the heap's limit.
const WORTH: f64 = 0.1;

/// What was seen of one browser.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// How scarce memory is for it.
    pub(super) level: PressureLevel,
    /// What that is owed to.
    pub(super) source: Option<PressureSource>,
    /// By how many bytes it would have to grow for a model that is waited for and was refused; `None` where there is none.
    pub(super) short: Option<u64>,
    /// Its tightest heap.
    pub(super) heap: Option<HeapLook>,
    /// Sessions that nobody uses.
    pub(super) idle: usize,
    /// Whether a page may be loaded anew, or a browser ended, by now: the effect of the last time has been seen.
    pub(super) settled: bool,
    /// Whether its page was loaded anew already since memory became scarce.
    pub(super) refreshed: bool,
    /// The same for its browser.
    pub(super) relaunched: bool,
    /// How many browsers there are.
    pub(super) browsers: usize,
    /// How many there must be.
    pub(super) least_browsers: usize,
}

/// A heap, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeapLook {
    pub(super) used: u64,
    /// What a page that is loaded anew begins with.
    pub(super) fresh: u64,
    /// What the models take that would be loaded again.
    pub(super) kept: u64,
    pub(super) limit: u64,
    /// Below this share of the limit nothing is scarce.
    pub(super) calm: f64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Drop the least valuable idle session.
    Evict,
    /// Load the page anew.
    Refresh,
    /// End the browser and launch it again.
    Relaunch,
    /// End the browser, and do without it.
    Shrink,
}

impl HeapLook {
    /// What the heap would be right after the page was loaded anew.
    fn after(&self) -> u64 {
        self.fresh.saturating_add(self.kept)
    }

    /// Whether it would then be calm, with so much more.
    fn would_be_calm(&self, more: u64) -> bool {
        self.after().saturating_add(more) as f64 <= self.calm * self.limit as f64
    }

    /// Whether loading the page anew gives something back.
    fn is_worth_it(&self) -> bool {
        self.used.saturating_sub(self.after()) as f64 >= WORTH * self.limit as f64
    }
}

impl Look {
    /// What happens next is one act, and then a fresh look.
    ///
    /// A heap keeps what was freed in it, so dropping a session only helps a heap's pressure together with loading the
    /// page anew: sessions go until what is left would be calm in a fresh page, and then comes that page. Where something
    /// else is scarce, the memory of a session may really come back, so all that is idle goes first.
    pub(super) fn next(&self) -> Option<Act> {
        let level = if self.short.is_some() { self.level.max(PressureLevel::High) } else { self.level };
        let means = Means {
            evictable: self.idle,
            pages: 1,
            browsers: self.browsers,
            least_browsers: self.least_browsers,
        };
        relief(level, &means).into_iter().find_map(|action| self.act(action))
    }

    /// Whether the heap is what is scarce.
    fn is_heap(&self) -> bool {
        match self.source {
            Some(source) => matches!(source, PressureSource::WasmHeap),
            None => self.heap.is_some(),
        }
    }

    fn act(&self, action: MemoryAction) -> Option<Act> {
        let more = self.short.unwrap_or(0);
        match (action, self.heap.filter(|_| self.is_heap())) {
            // What was freed in the heap has room for the model that is waited for, where only room is missing.
            (MemoryAction::EvictLeastValuable, Some(heap)) => {
                let enough = heap.would_be_calm(more) && self.level > PressureLevel::Normal;
                (!(enough && heap.is_worth_it())).then_some(Act::Evict)
            }
            (MemoryAction::EvictLeastValuable, None) => Some(Act::Evict),
            (MemoryAction::RefreshPage, Some(heap)) => {
                (self.settled && heap.is_worth_it()).then_some(Act::Refresh)
            }
            (MemoryAction::RefreshPage, None) => (self.settled && !self.refreshed).then_some(Act::Refresh),
            // A fresh page has a fresh heap; a fresh browser has no better one.
            (_, Some(_)) => None,
            (MemoryAction::RecycleBrowser, None) => {
                (self.settled && !self.relaunched).then_some(Act::Relaunch)
            }
            // One browser fewer helps the machine, and not the browser that takes more than it may.
            (MemoryAction::ShrinkPool, None) => {
                let machine =
                    !matches!(self.source, None | Some(PressureSource::Processes | PressureSource::PageHeap));
                (self.settled && machine).then_some(Act::Shrink)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn heap(used: u64, kept: u64) -> Option<HeapLook> {
        Some(HeapLook {
            used: used * MIB,
            fresh: 20 * MIB,
            kept: kept * MIB,
            limit: 1_000 * MIB,
            calm: 0.675,
        })
    }

    fn look(level: PressureLevel, source: PressureSource) -> Look {
        Look {
            level,
            source: Some(source),
            short: None,
            heap: heap(900, 400),
            idle: 0,
            settled: true,
            refreshed: false,
            relaunched: false,
            browsers: 2,
            least_browsers: 1,
        }
    }

    #[track_caller]
    fn check(look: Look, expected: Option<Act>) {
        assert_eq!(look.next(), expected, "{look:?}");
    }

    use PressureLevel::{Critical, Elevated, High, Normal};
    use PressureSource::{Processes, System, WasmHeap};

    #[test]
    fn nothing_is_done_before_it_is_needed() {
        for level in [Normal, Elevated] {
            for source in [WasmHeap, System] {
                check(Look { idle: 3, ..look(level, source) }, None);
            }
        }
    }

    #[test]
    fn a_full_heap_gives_up_sessions_until_a_fresh_page_has_room_for_the_rest() {
        check(Look { idle: 3, heap: heap(900, 800), ..look(High, WasmHeap) }, Some(Act::Evict));
        check(Look { idle: 3, ..look(High, WasmHeap) }, Some(Act::Refresh));
        check(Look { heap: heap(900, 700), ..look(High, WasmHeap) }, Some(Act::Refresh));
        check(Look { heap: heap(900, 850), ..look(High, WasmHeap) }, None);
        check(Look { heap: heap(900, 850), ..look(Critical, WasmHeap) }, None);
    }

    #[test]
    fn a_page_is_not_loaded_anew_before_the_last_time_has_had_its_effect() {
        check(Look { settled: false, ..look(Critical, WasmHeap) }, None);
        check(
            Look { settled: false, idle: 1, heap: heap(900, 800), ..look(High, WasmHeap) },
            Some(Act::Evict),
        );
    }

    #[test]
    fn room_for_a_model_that_is_waited_for_is_made_in_the_heap_first() {
        let short = Look { source: None, short: Some(300 * MIB), ..look(Normal, WasmHeap) };
        check(Look { idle: 1, ..short }, Some(Act::Evict));
        check(short, Some(Act::Refresh));
        // The heap is elevated as well, so what would be freed in it could not be used.
        let elevated = Look { source: Some(WasmHeap), level: Elevated, ..short };
        check(Look { idle: 1, heap: heap(800, 300), ..elevated }, Some(Act::Refresh));
        check(Look { idle: 1, heap: heap(800, 500), ..elevated }, Some(Act::Evict));
    }

    #[test]
    fn a_machine_that_is_full_gets_sessions_then_a_page_then_a_browser_then_capacity() {
        let all = look(Critical, System);
        check(Look { idle: 2, ..all }, Some(Act::Evict));
        check(all, Some(Act::Refresh));
        check(Look { refreshed: true, ..all }, Some(Act::Relaunch));
        check(Look { refreshed: true, relaunched: true, ..all }, Some(Act::Shrink));
        check(Look { refreshed: true, ..look(High, System) }, None);
    }

    #[test]
    fn the_last_browser_stays_and_none_goes_for_its_own_sake() {
        let done = Look { refreshed: true, relaunched: true, ..look(Critical, System) };
        check(Look { browsers: 1, ..done }, None);
        check(Look { least_browsers: 2, ..done }, None);
        check(Look { source: Some(Processes), ..done }, None);
    }
}
