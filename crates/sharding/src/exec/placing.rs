//! Where stages are, and where they go next. Synchronous: it is told the time and what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use vocab::{SessionId, WorkerId};

use super::host::{Unload, WorkerHealth};
use crate::cut::total;
use crate::plan::Plan;

/// How often a ban can double.
const DOUBLINGS: u32 = 4;

/// A part that is loaded on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionId,
}

#[derive(Debug, Clone, Copy)]
struct Ban {
    until: Instant,
    count: u32,
}

/// Seats of all stages, and what is known of workers.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    seats: BTreeMap<usize, Seat>,
    standbys: BTreeMap<usize, Seat>,
    bans: BTreeMap<WorkerId, Ban>,
    /// Loads that are on their way: they count as seats when others are placed.
    coming: Vec<(usize, Seat)>,
    /// What is loaded and belongs to nobody any more.
    orphans: Vec<Unload>,
    next_session: u64,
}

impl Placing {
    pub(crate) fn seat(&self, stage: usize) -> Option<Seat> {
        self.seats.get(&stage).copied()
    }

    pub(crate) fn standby(&self, stage: usize) -> Option<Seat> {
        self.standbys.get(&stage).copied()
    }

    pub(crate) const fn new_session(&mut self) -> SessionId {
        self.next_session += 1;
        SessionId(self.next_session)
    }

    /// Takes note of a load that begins.
    pub(crate) fn expect(&mut self, stage: usize, seat: Seat) {
        self.coming.push((stage, seat));
    }

    /// Takes note of a load that ended, however it did.
    pub(crate) fn arrived(&mut self, seat: Seat) {
        self.coming.retain(|(_, coming)| *coming != seat);
    }

    pub(crate) fn sit(&mut self, stage: usize, seat: Seat) {
        if let Some(old) = self.seats.insert(stage, seat) {
            self.orphan(old);
        }
    }

    pub(crate) fn stand_by(&mut self, stage: usize, seat: Seat) {
        if let Some(old) = self.standbys.insert(stage, seat) {
            self.orphan(old);
        }
    }

    /// Gives up a seat, unless the stage has moved on already, and says whether it was held. The standby takes over if
    /// there is one.
    pub(crate) fn leave(&mut self, stage: usize, seat: Seat) -> bool {
        if self.standbys.get(&stage) == Some(&seat) {
            self.standbys.remove(&stage);
            self.orphan(seat);
            return true;
        }
        if self.seats.get(&stage) != Some(&seat) {
            return false;
        }
        self.seats.remove(&stage);
        self.orphan(seat);
        if let Some(standby) = self.standbys.remove(&stage) {
            self.seats.insert(stage, standby);
        }
        true
    }

    pub(crate) fn orphan(&mut self, seat: Seat) {
        self.orphans.push(Unload { session: seat.session, worker: seat.worker, sequence: None });
    }

    /// Takes in caches that belong to nobody any more, or something that was to be dropped and was not.
    pub(crate) fn orphan_unload(&mut self, unload: Unload) {
        self.orphans.push(unload);
    }

    pub(crate) fn take_orphans(&mut self) -> Vec<Unload> {
        std::mem::take(&mut self.orphans)
    }

    /// Gives up every seat.
    pub(crate) fn clear(&mut self) {
        let seats = std::mem::take(&mut self.seats).into_values();
        let seats: Vec<Seat> = seats.chain(std::mem::take(&mut self.standbys).into_values()).collect();
        seats.into_iter().for_each(|seat| self.orphan(seat));
    }

    /// Passes a worker over for a while: twice as long as the last time.
    pub(crate) fn ban(&mut self, worker: WorkerId, now: Instant, base: Duration) {
        let count = self.bans.get(&worker).map_or(0, |ban| ban.count + 1);
        let until = now + base * 2_u32.pow(count.min(DOUBLINGS));
        self.bans.insert(worker, Ban { until, count });
    }

    /// A worker that gave an answer is trusted again.
    pub(crate) fn praise(&mut self, worker: WorkerId) {
        self.bans.remove(&worker);
    }

    /// The worker that a stage should go to: one that is there and has room, not banned if possible, that hosts the
    /// stage's shard already or else as few other shards as possible, and that suits it best among those. `without` are passed over as long as others are
    /// there.
    pub(crate) fn choose(
        &self,
        plan: &Plan,
        stage: usize,
        health: &[WorkerHealth],
        without: &BTreeSet<WorkerId>,
        now: Instant,
    ) -> Option<WorkerId> {
        let of = &plan.stages[stage];
        // What is on its way is not yet in what the worker says of itself.
        let coming = |worker: WorkerId| {
            let here = self.coming.iter().filter(move |(_, seat)| seat.worker == worker);
            here.map(|&(other, _)| other)
        };
        let room = |worker: &&WorkerHealth| {
            let taken = total(coming(worker.worker).map(|other| plan.stages[other].weight_bytes));
            worker.alive && worker.free_bytes.is_none_or(|free| free >= of.weight_bytes.saturating_add(taken))
        };
        let shards = |worker: WorkerId| {
            let seats = self.seats.iter().filter(|(_, seat)| seat.worker == worker).map(|(&other, _)| other);
            seats.chain(coming(worker)).map(|other| plan.stages[other].shard).collect::<BTreeSet<usize>>()
        };
        let rank = |candidate: &&WorkerHealth| {
            let worker = candidate.worker;
            let banned = self.bans.get(&worker).filter(|ban| ban.until > now).map(|ban| ban.until);
            let shards = shards(worker);
            let away = !shards.contains(&of.shard);
            (
                without.contains(&worker),
                banned,
                away,
                shards.len(),
                candidate.rank,
                std::cmp::Reverse(candidate.free_bytes),
                worker,
            )
        };
        health.iter().filter(room).min_by_key(rank).map(|worker| worker.worker)
    }
}
