//! Which requests form a batch, and when it goes: decisions that take the time as an argument.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::estimate::Estimate;
use super::settings::Batching;

/// One request that waits for company.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// Rows along the batch dimension, at least one.
    pub(super) rows: u64,
    /// When it came.
    pub(super) since: Instant,
    /// When its caller gives up.
    pub(super) deadline: Instant,
    /// What it is.
    pub(super) item: T,
}

/// Requests that go together.
#[derive(Debug)]
pub(super) struct Batch<K, T> {
    /// What they have in common.
    pub(super) key: K,
    /// The requests, oldest first. At least one.
    pub(super) members: Vec<Waiting<T>>,
    /// Their rows.
    pub(super) rows: u64,
}

/// Requests of one model that wait, in groups that could be computed together.
#[derive(Debug)]
pub(super) struct Forming<K, T> {
    settings: Batching,
    groups: HashMap<K, VecDeque<Waiting<T>>>,
    waiting: usize,
    /// Batches on their way.
    going: usize,
    estimate: Estimate,
}

impl<K: Clone + Eq + std::hash::Hash, T> Forming<K, T> {
    pub(super) fn new(settings: Batching) -> Self {
        Self { settings, groups: HashMap::new(), waiting: 0, going: 0, estimate: Estimate::default() }
    }

    /// Requests that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a request in.
    pub(super) fn add(&mut self, key: K, waiting: Waiting<T>) {
        self.groups.entry(key).or_default().push_back(waiting);
        self.waiting += 1;
    }

    /// A batch has ended, after so long where it gave results.
    pub(super) fn ended(&mut self, rows: u64, took_ms: Option<f64>) {
        self.going = self.going.saturating_sub(1);
        if let Some(took_ms) = took_ms {
            self.estimate.learn(self.settings.filled(rows), took_ms);
        }
    }

    /// Takes out what nobody waits for any more, by `gone` or by its deadline.
    pub(super) fn expired(&mut self, now: Instant, gone: impl Fn(&T) -> bool) -> Vec<Waiting<T>> {
        let mut out = Vec::new();
        for group in self.groups.values_mut() {
            if group.iter().any(|waiting| waiting.deadline <= now || gone(&waiting.item)) {
                let (over, stay): (VecDeque<_>, VecDeque<_>) =
                    group.drain(..).partition(|waiting| waiting.deadline <= now || gone(&waiting.item));
                *group = stay;
                out.extend(over);
            }
        }
        self.waiting -= out.len();
        self.groups.retain(|_, group| !group.is_empty());
        out
    }

    /// The batches that go now, where `room` batches may be on their way at the same time.
    pub(super) fn due(&mut self, now: Instant, room: usize) -> Vec<Batch<K, T>> {
        let mut out = Vec::new();
        while let Some(key) = self.next_due(now, room) {
            let Some(batch) = self.take(now, key) else { break };
            self.going += 1;
            out.push(batch);
        }
        out
    }

    /// Takes everything that waits.
    pub(super) fn clear(&mut self) -> Vec<Waiting<T>> {
        self.waiting = 0;
        self.groups.drain().flat_map(|(_, group)| group).collect()
    }

    /// When to look again, where nothing happens before.
    pub(super) fn wake(&self, room: usize) -> Option<Instant> {
        let busy = self.going >= room.max(1);
        let each = self.groups.values().flat_map(|group| {
            let deadline = group.iter().map(|waiting| waiting.deadline).min();
            let urgent = group.front().and_then(|first| self.latest_start(first));
            let full = group.front().map(|first| first.since + self.settings.max_delay).filter(|_| !busy);
            [deadline, urgent, full].into_iter().flatten()
        });
        each.min()
    }

    /// The group that is due first.
    fn next_due(&self, now: Instant, room: usize) -> Option<K> {
        let busy = self.going >= room.max(1);
        let due = self.groups.iter().filter(|(_, group)| {
            let Some(first) = group.front() else { return false };
            if busy {
                // Waiting longer would break it; whoever has a place for it is the pool's business.
                return self.latest_start(first).is_some_and(|latest| latest <= now);
            }
            let rows: u64 = group.iter().map(|waiting| waiting.rows).sum();
            let smallest = self.settings.preferred.iter().copied().min();
            rows >= u64::from(self.settings.max_batch)
                || smallest.is_some_and(|preferred| rows >= u64::from(preferred))
                || first.since + self.settings.max_delay <= now
                || self.latest_start(first).is_some_and(|latest| latest <= now)
        });
        let oldest = due.min_by_key(|(_, group)| group.front().map(|first| first.since));
        oldest.map(|(key, _)| key.clone())
    }

    /// The latest moment at which a request can go alone and still be in time, as far as one can tell.
    fn latest_start(&self, waiting: &Waiting<T>) -> Option<Instant> {
        let alone = self.expected(waiting.rows)?;
        // Twice the estimate: it is a mean, and half of all batches take longer.
        waiting.deadline.checked_sub(alone.saturating_mul(2))
    }

    fn expected(&self, rows: u64) -> Option<Duration> {
        self.estimate.of(self.settings.filled(rows)).and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok())
    }

    /// Takes the batch that a group gives: as many as fit, and none that would make another one late.
    fn take(&mut self, now: Instant, key: K) -> Option<Batch<K, T>> {
        let group = self.groups.get(&key)?;
        let whole: u64 = group.iter().map(|waiting| waiting.rows).sum();
        let overdue = group.front().is_some_and(|first| first.since + self.settings.max_delay <= now);
        let most = self.settings.size_for(whole, overdue);
        let mut count = 0;
        let mut rows = 0_u64;
        let mut earliest: Option<Instant> = None;
        for waiting in group {
            let with = rows + waiting.rows;
            let deadline = earliest.map_or(waiting.deadline, |earliest| earliest.min(waiting.deadline));
            let late = self.expected(with).is_some_and(|expected| now + expected > deadline);
            // The first one goes in any case: alone it is as fast as it can be.
            if count > 0 && (with > most || late) {
                break;
            }
            (count, rows, earliest) = (count + 1, with, Some(deadline));
        }
        let group = self.groups.get_mut(&key)?;
        let members: Vec<_> = group.drain(..count).collect();
        if group.is_empty() {
            self.groups.remove(&key);
        }
        self.waiting -= members.len();
        Some(Batch { key, members, rows })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes in whatever order: nothing is lost, nothing goes twice, no batch is too large, none mixes what is
        /// not alike, and whoever came first of its kind goes first.
        #[test]
        fn every_request_goes_once_in_a_batch_of_its_kind(
            max_batch in 2_u32..10,
            room in 1_usize..4,
            steps in prop::collection::vec((0_u8..4, 0_u8..3, 1_u64..5, 0_u64..30), 1..120),
        ) {
            let settings = Batching { max_batch, max_delay: Duration::from_millis(10), ..Batching::default() };
            let mut forming: Forming<u8, usize> = Forming::new(settings);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let start = runtime.block_on(async { Instant::now() });
            let mut now = start;
            let (mut came, mut going, mut out) = (0, Vec::new(), Vec::new());
            let mut last_of_kind = [None; 3];
            for (what, kind, rows, ms) in steps {
                now += Duration::from_millis(ms);
                if what == 3 && !going.is_empty() {
                    let rows = going.remove(0);
                    forming.ended(rows, Some(rows as f64));
                } else {
                    let deadline = now + Duration::from_secs(3_600);
                    forming.add(kind, Waiting { rows, since: now, deadline, item: came });
                    came += 1;
                }
                for batch in forming.due(now, room) {
                    let rows: u64 = batch.members.iter().map(|member| member.rows).sum();
                    prop_assert_eq!(rows, batch.rows);
                    prop_assert!(rows <= u64::from(max_batch) || batch.members.len() == 1);
                    for member in batch.members {
                        let last = &mut last_of_kind[usize::from(batch.key)];
                        prop_assert!(*last < Some(member.item));
                        *last = Some(member.item);
                        out.push(member.item);
                    }
                    going.push(rows);
                }
                prop_assert!(going.len() <= room);
                // Whatever waits is looked at again, unless a batch has to end first.
                prop_assert!(forming.waiting() == 0 || forming.wake(room).is_some());
            }
            out.extend(forming.clear().into_iter().map(|waiting| waiting.item));
            out.sort_unstable();
            prop_assert_eq!(out, (0..came).collect::<Vec<_>>());
        }
    }
}
