//! The queue: strict priorities, fair shares between the models of one priority, first come first served in a model.
//!
//! Requests that need the same wait in one *lane*, and only the lanes' heads are ever looked at, so that a decision
//! costs the same whether ten requests wait or ten thousand. Request ids grow with every submission, so their order is
//! the order of arrival, also for a request that comes back to be tried again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tensor::Bindings;
use vocab::{ModelHash, RequestId};

use super::needs::Needs;

/// How many models without requests are remembered for having been served ahead of their turn.
const MOST_AHEAD: usize = 1_024;

/// Which lane a request waits in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneKey {
    pub(crate) priority: u8,
    pub(crate) model: ModelHash,
    pub(crate) needs: Needs,
    pub(crate) dims: Arc<Bindings>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    levels: BTreeMap<Reverse<u8>, Level>,
    len: usize,
    /// How many of them are preloads, which need no slot.
    preloads: usize,
}

/// The requests of one priority.
#[derive(Debug, Default)]
pub(crate) struct Level {
    flows: HashMap<ModelHash, Flow>,
    /// Who is next: the flow that has had the least time, by its share.
    order: BTreeSet<(u64, ModelHash)>,
    /// The virtual time of this level: the start tag of the flow that was served last.
    clock: u64,
    /// Where flows were that are ahead of the clock and have no requests now: a model that comes back does not get
    /// once more what it has already had.
    ahead: BTreeMap<ModelHash, u64>,
}

/// The requests of one model within a priority.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    start: u64,
    groups: BTreeMap<Needs, Group>,
}

/// The requests with the same needs within a flow.
#[derive(Debug, Default)]
pub(crate) struct Group {
    lanes: BTreeMap<Arc<Bindings>, BTreeSet<RequestId>>,
    /// The first request of each lane, oldest first.
    heads: BTreeMap<RequestId, Arc<Bindings>>,
}

impl Group {
    /// The oldest request of any shape.
    pub(crate) fn oldest(&self) -> Option<RequestId> {
        self.heads.first_key_value().map(|(&request, _)| request)
    }

    /// The oldest request with these shapes.
    pub(crate) fn oldest_with(&self, dims: &Arc<Bindings>) -> Option<RequestId> {
        self.lanes.get(dims)?.first().copied()
    }

    /// The lanes' heads, oldest first.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (RequestId, &Arc<Bindings>)> {
        self.heads.iter().map(|(&request, dims)| (request, dims))
    }

    /// Every request with these shapes; for failures alone, which concern them all.
    pub(crate) fn lane(&self, dims: &Arc<Bindings>) -> impl Iterator<Item = RequestId> {
        self.lanes.get(dims).into_iter().flatten().copied()
    }

    /// Every request; for failures alone, which concern them all.
    pub(crate) fn all(&self) -> impl Iterator<Item = RequestId> {
        self.lanes.values().flatten().copied()
    }

    fn insert(&mut self, dims: &Arc<Bindings>, request: RequestId) {
        let lane = self.lanes.entry(Arc::clone(dims)).or_default();
        let head = lane.first().copied();
        lane.insert(request);
        if head.is_none_or(|head| request < head) {
            head.map(|head| self.heads.remove(&head));
            self.heads.insert(request, Arc::clone(dims));
        }
    }

    fn remove(&mut self, dims: &Arc<Bindings>, request: RequestId) -> bool {
        let Some(lane) = self.lanes.get_mut(dims) else { return false };
        let was_there = lane.remove(&request);
        if self.heads.remove(&request).is_some()
            && let Some(&next) = lane.first()
        {
            self.heads.insert(next, Arc::clone(dims));
        }
        if lane.is_empty() {
            self.lanes.remove(dims);
        }
        was_there
    }
}

impl Flow {
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Needs, &Group)> {
        self.groups.iter()
    }

    pub(crate) fn group(&self, needs: &Needs) -> Option<&Group> {
        self.groups.get(needs)
    }
}

impl Level {
    /// The flows with the one that is next in turn first.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = (ModelHash, &Flow)> {
        self.order.iter().filter_map(|&(_, model)| Some((model, self.flows.get(&model)?)))
    }

    /// Like [`in_turn`](Self::in_turn), among these models alone: costs by their number, not by that of the flows.
    pub(crate) fn in_turn_among(&self, models: impl Iterator<Item = ModelHash>) -> Vec<(ModelHash, &Flow)> {
        let mut flows: Vec<_> = models.filter_map(|model| Some((model, self.flows.get(&model)?))).collect();
        flows.sort_unstable_by_key(|&(model, flow)| (flow.start, model));
        flows
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn has_preloads(&self) -> bool {
        self.preloads > 0
    }

    /// The levels, most urgent first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (u8, &Level)> {
        self.levels.iter().map(|(&Reverse(priority), level)| (priority, level))
    }

    /// A model's flows, most urgent first.
    pub(crate) fn flows(&self, model: ModelHash) -> impl Iterator<Item = (u8, &Flow)> {
        self.levels().filter_map(move |(priority, level)| Some((priority, level.flows.get(&model)?)))
    }

    pub(crate) fn group(&self, lane: &LaneKey) -> Option<&Group> {
        self.levels.get(&Reverse(lane.priority))?.flows.get(&lane.model)?.group(&lane.needs)
    }

    /// Adds a request.
    pub(crate) fn push(&mut self, lane: &LaneKey, request: RequestId) {
        let Level { flows, order, clock, ahead } = self.levels.entry(Reverse(lane.priority)).or_default();
        let flow = flows.entry(lane.model).or_insert_with(|| {
            let start = ahead.remove(&lane.model).unwrap_or(0).max(*clock);
            order.insert((start, lane.model));
            Flow { start, groups: BTreeMap::new() }
        });
        if !flow.groups.contains_key(&lane.needs) {
            flow.groups.insert(lane.needs.clone(), Group::default());
        }
        if let Some(group) = flow.groups.get_mut(&lane.needs) {
            group.insert(&lane.dims, request);
            self.len += 1;
            self.preloads += usize::from(lane.needs.preload);
        }
    }

    /// Takes out a request that is being served, charging its model `cost`.
    pub(crate) fn serve(&mut self, lane: &LaneKey, request: RequestId, cost: u64) -> bool {
        let Some(level) = self.levels.get_mut(&Reverse(lane.priority)) else { return false };
        let Some(flow) = level.flows.get_mut(&lane.model) else { return false };
        level.order.remove(&(flow.start, lane.model));
        level.clock = level.clock.max(flow.start);
        flow.start = flow.start.saturating_add(cost);
        level.order.insert((flow.start, lane.model));
        self.remove(lane, request)
    }

    /// Takes out a request that will not be served. Answers whether it was there.
    pub(crate) fn remove(&mut self, lane: &LaneKey, request: RequestId) -> bool {
        let Some(level) = self.levels.get_mut(&Reverse(lane.priority)) else { return false };
        let Some(flow) = level.flows.get_mut(&lane.model) else { return false };
        let Some(group) = flow.groups.get_mut(&lane.needs) else { return false };
        if !group.remove(&lane.dims, request) {
            return false;
        }
        self.len -= 1;
        self.preloads -= usize::from(lane.needs.preload);
        if group.lanes.is_empty() {
            flow.groups.remove(&lane.needs);
        }
        if flow.groups.is_empty() {
            let start = flow.start;
            level.order.remove(&(start, lane.model));
            level.flows.remove(&lane.model);
            if start > level.clock {
                level.ahead.insert(lane.model, start);
                if level.ahead.len() > MOST_AHEAD {
                    let clock = level.clock;
                    level.ahead.retain(|_, &mut start| start > clock);
                    // Still too many: forgetting one lets that model begin anew, which is only generous.
                    while level.ahead.len() > MOST_AHEAD {
                        level.ahead.pop_first();
                    }
                }
            }
        }
        // An empty level is kept: its clock is what makes a returning model's share fair. There are at most 256.
        true
    }
}
