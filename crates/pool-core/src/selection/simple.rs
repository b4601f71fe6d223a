//! Policies that do not look at history.

use vocab::{Backend, BrowserName};

use super::{Choice, Policy, View, Why};

/// Each arm in turn: the one that has waited longest for a request of this model and shape bucket.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin;

impl Policy for RoundRobin {
    fn choose(&mut self, view: View<'_>) -> Choice {
        let rows = view.rows.iter().enumerate();
        // Equal ones go in the order of the arms themselves, so that the order does not depend on the scores.
        let next = rows.min_by(|(_, a), (_, b)| {
            let last = |row: &perf_history::Standing| view.context.tried(&row.arm).last;
            last(a).cmp(&last(b)).then_with(|| a.arm.cmp(&b.arm))
        });
        Choice::pinned(next.map_or(0, |(row, _)| row), Why::Drawn)
    }
}

/// Always the same browser and backend, where a worker has them; otherwise what comes first.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "these two are all that can be fixed")]
pub struct Fixed {
    /// The browser; `None` for any.
    pub browser: Option<BrowserName>,
    /// The backend; `None` for any.
    pub backend: Option<Backend>,
}

impl Policy for Fixed {
    fn choose(&mut self, view: View<'_>) -> Choice {
        let fits = |row: &perf_history::Standing| {
            self.browser.is_none_or(|browser| row.arm.browser == browser)
                && self.backend.is_none_or(|backend| row.arm.backend == backend)
        };
        view.rows.iter().position(fits).map_or(Choice::LEADER, |row| Choice::pinned(row, Why::Fixed))
    }
}
