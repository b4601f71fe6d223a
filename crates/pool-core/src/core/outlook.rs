//! Whether an arm that does not come first may take a request all the same.

use std::sync::Arc;
use std::time::Instant;

use perf_history::{Arm, prior_latency_ratio};
use vocab::ModelHash;

use super::Core;
use super::demand::fits;
use super::guard::ShutOut;
use super::requests::Entry;
use super::sessions::SessionPhase;
use super::workers::Worker;

/// Scores that are closer than this are the same.
const SAME: f64 = 1e-9;

/// How the arms compare for one request at one moment.
#[derive(Debug)]
pub(super) struct Outlook {
    rows: Vec<Row>,
    best: Option<Best>,
    queued: usize,
}

#[derive(Debug)]
struct Row {
    arm: Arc<Arm>,
    /// How many different scores are better.
    tier: usize,
    /// The latency that is expected, in milliseconds, or in whatever unit where nothing is known.
    ms: f64,
}

/// The best arms that have the model loaded.
#[derive(Debug, Clone, Copy)]
struct Best {
    tier: usize,
    ms: f64,
    /// The least time that the runs of one of their workers take, as `ms` counts it.
    pending_ms: f64,
    workers: usize,
}

impl Outlook {
    /// How many arms there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// An arm's place: 0 for the best.
    pub(super) fn tier(&self, arm: &Arc<Arm>) -> usize {
        self.row(arm).map_or(self.rows.len(), |row| row.tier)
    }

    fn row(&self, arm: &Arc<Arm>) -> Option<&Row> {
        self.rows.iter().find(|row| row.arm == *arm)
    }

    /// Whether an arm may take the request: it is the best that has the model, or it would be done with it before the
    /// best one is done with all that waits for it (the threshold policy for servers of different speed, after Larsen
    /// and Agrawala, "Control of a heterogeneous two-server exponential queueing system", 1983).
    pub(super) fn allows(&self, arm: &Arc<Arm>) -> bool {
        let (Some(best), Some(row)) = (self.best, self.row(arm)) else { return true };
        if row.tier <= best.tier {
            return true;
        }
        let queued = self.queued.saturating_sub(1) as f64 / best.workers.max(1) as f64;
        row.ms < best.ms * (1.0 + queued) + best.pending_ms
    }
}

impl Core {
    /// How the arms compare for a request; `None` where there is nothing to choose.
    pub(super) fn outlook(&self, now: Instant, entry: &Entry, shut: &ShutOut) -> Option<Outlook> {
        if entry.is_pinned() || (self.distinct_arms < 2 && entry.needs().device.is_none()) {
            return None;
        }
        let standings = self.standings(now, entry, shut);
        if standings.len() < 2 {
            return None;
        }
        let known = standings.iter().any(|row| row.expected_ms.is_some());
        let mut rows: Vec<Row> = Vec::with_capacity(standings.len());
        let mut score = f64::INFINITY;
        let mut tier = 0;
        for (index, standing) in standings.into_iter().enumerate() {
            // The leader may have a lower score than those that it leads, and is alone in its tier.
            let next = index == 1 || (index > 1 && standing.score < score - SAME);
            let tied_with_leader =
                index == 1 && standing.score >= score - SAME && standing.score <= score + SAME;
            if next && !tied_with_leader {
                tier += 1;
            }
            score = standing.score;
            let ms = match standing.expected_ms.filter(|_| known) {
                Some(ms) => ms,
                None if known => f64::INFINITY,
                None => prior_latency_ratio(entry.model.model_type, &standing.arm),
            };
            rows.push(Row { arm: standing.arm, tier, ms });
        }
        let queued = self.models.get(&entry.model.hash).map_or(0, |model| model.queued);
        let mut outlook = Outlook { rows, best: None, queued };
        outlook.best = self.best_loaded(entry, &outlook, known, shut);
        Some(outlook)
    }

    /// What the runs that a worker has will take: those of other models what these are known to take, and every other
    /// one `own_ms`.
    fn pending_ms(&self, worker: &Worker, model: ModelHash, own_ms: f64, known: bool) -> f64 {
        let leases = worker.leases.iter().filter_map(|lease| self.leases.get(lease));
        let runs = leases.map(|lease| {
            let other = self.sessions.get(&lease.session).map(|session| session.model.hash);
            let other =
                other.filter(|&other| known && other != model).and_then(|other| self.models.get(&other));
            other.and_then(|other| other.run_ms).unwrap_or(own_ms)
        });
        runs.sum()
    }

    /// `known` tells whether the outlook's times are milliseconds.
    fn best_loaded(&self, entry: &Entry, outlook: &Outlook, known: bool, shut: &ShutOut) -> Option<Best> {
        let usable = self.usable(entry.needs(), entry.bytes());
        let mut best: Option<Best> = None;
        for id in &self.models.get(&entry.model.hash)?.sessions {
            let Some(session) = self.sessions.get(id) else { continue };
            let serves = session.phase == SessionPhase::Ready
                && session.serves(entry.needs(), usable, &entry.lane.dims);
            let (true, Some(worker), Some(row)) =
                (serves, self.workers.get(&session.worker), outlook.row(&session.arm))
            else {
                continue;
            };
            if !fits(entry.needs(), worker, entry.bytes()) || shut.has(worker, session.backend) {
                continue;
            }
            let pending_ms = self.pending_ms(worker, entry.model.hash, row.ms, known);
            match &mut best {
                Some(best) if row.tier > best.tier => {}
                Some(best) if row.tier == best.tier => {
                    best.pending_ms = best.pending_ms.min(pending_ms);
                    best.workers += 1;
                }
                _ => best = Some(Best { tier: row.tier, ms: row.ms, pending_ms, workers: 1 }),
            }
        }
        best
    }
}
