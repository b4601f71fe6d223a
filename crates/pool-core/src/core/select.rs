//! Choosing the arm of a request, and letting go of that choice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perf_history::{Arm, Source, Standing, UnixMillis};
use vocab::{PolicyName, RequestId, SessionId};

use super::demand::{Capable, counts, fits};
use super::guard::ShutOut;
use super::queue::LaneKey;
use super::requests::Entry;
use super::timers::TimerKey;
use super::{Action, Core, retry};
use crate::selection::{Candidate, Choice, Decision, Selector, Why};
use crate::{LinkError, Observation, RunError};

/// A run may be risked to learn something where this many of them fit into the time that the request has left.
const RISK: f64 = 4.0;

impl Core {
    /// What was learnt, and how arms are chosen.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The same, to teach it what was observed earlier, or to give it a policy of one's own.
    pub fn selector_mut(&mut self) -> &mut Selector {
        &mut self.selector
    }

    /// Tells what the time is that observations carry. Without it they count from zero.
    pub fn set_clock(&mut self, now: Instant, unix: UnixMillis) {
        self.clocks = Some((now, unix));
    }

    pub(super) fn unix(&self, now: Instant) -> UnixMillis {
        let Some((then, unix)) = self.clocks else { return UnixMillis::default() };
        let since = i64::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(i64::MAX);
        UnixMillis(unix.0.saturating_add(since))
    }

    pub(super) fn observe(&mut self, observation: Observation) {
        self.selector.observe(&observation);
        self.actions.push(Action::Observe(Box::new(observation)));
    }

    /// The arms that could compute a request, whatever was chosen for it, in the order of their workers; without those
    /// that circuit breakers shut out.
    pub(super) fn arms_for(&self, entry: &Entry, shut: &ShutOut) -> Vec<Arc<Arm>> {
        let unpinned;
        let needs = if entry.is_pinned() {
            unpinned = entry.needs().unpinned();
            &unpinned
        } else {
            entry.needs()
        };
        let usable = self.usable(needs, entry.bytes());
        let mut arms: Vec<Arc<Arm>> = Vec::new();
        for worker in self.workers.values().filter(|worker| counts(needs, worker, entry.bytes())) {
            let backends = worker.info.backends.iter().map(|info| info.backend);
            let backends = backends.filter(|&backend| usable.has(backend) && !shut.has(worker, backend));
            for arm in backends.filter_map(|backend| worker.arm(backend, needs.device.as_ref())) {
                if !arms.contains(&arm) {
                    arms.push(arm);
                }
            }
        }
        arms
    }

    /// The table of the arms that could compute a request, best first.
    pub(super) fn standings(&self, now: Instant, entry: &Entry, shut: &ShutOut) -> Vec<Standing> {
        let arms = self.arms_for(entry, shut);
        self.selector.standings(&entry.context(), entry.model.model_type, &arms, self.unix(now))
    }

    /// Makes the decision for a request that is not queued yet. Answers its lane.
    pub(super) fn choose_arm(&mut self, now: Instant, id: RequestId) -> Option<LaneKey> {
        let entry = self.requests.get(&id)?;
        if let Some(state) = self.models.get_mut(&entry.model.hash) {
            state.see(&entry.lane.dims);
        }
        if entry.lane.needs.preload {
            return None;
        }
        let left_ms = entry.deadline.saturating_duration_since(now).as_secs_f64() * 1e3;
        let arms = self.arms_to_choose(now, entry);
        let (key, model_type, unix) = (entry.context(), entry.model.model_type, self.unix(now));
        let (chosen, mut choice) = self.selector.choose(&key, model_type, &arms, unix, left_ms / RISK)?;
        let entry = self.requests.get(&id)?;
        let leads = choice == Choice::LEADER && chosen.source == Source::History;
        if leads && !self.selector.is_exploring(&key) && self.is_elsewhere(entry, &chosen.arm) {
            choice = Choice::pinned(choice.row, Why::Move);
            self.selector.hold(&key);
        }
        let explores = choice.why.is_exploration() || choice.why == Why::Move;
        if explores && !self.may_load(entry, &chosen.arm, left_ms) {
            self.selector.release(&key);
            choice = Choice::LEADER;
        }
        let entry = self.requests.get_mut(&id)?;
        entry.why = choice.why;
        if choice.pinned {
            entry.exploring = explores;
            entry.lane.needs.arm = Some(chosen.arm);
        }
        if entry.is_trial() {
            let load_ms = self.models.get(&entry.model.hash).and_then(|model| model.load_ms);
            let (longest_ms, patience_ms) = (left_ms / RISK, self.config.patience.as_secs_f64() * 1e3);
            let wait_ms = load_ms.map_or(longest_ms, |ms| (ms * RISK).max(patience_ms).min(longest_ms));
            let until = now + Duration::from_secs_f64(wait_ms / 1e3);
            entry.trial_until = Some(until);
            self.timers.set(until, TimerKey::Trial(id));
        }
        Some(entry.lane.clone())
    }

    /// A request need not wait for its arm any more.
    pub(super) fn end_trial(&mut self, request: RequestId) {
        let Some(entry) = self.requests.get_mut(&request) else { return };
        if let Some(until) = entry.trial_until.take() {
            self.timers.clear(until, TimerKey::Trial(request));
        }
    }

    /// A request has waited long enough for the arm on which it was to be tried: whoever is there serves it. Nobody else
    /// is sent to wait for a load that takes so long until it has ended.
    pub(super) fn trial_over(&mut self, now: Instant, request: RequestId) {
        let Some(entry) = self.requests.get(&request) else { return };
        let (hash, shape, arm) = (entry.model.hash, entry.shape.clone(), entry.needs().arm.clone());
        if let (true, Some(arm), Some(state)) = (self.is_loading_for(entry), arm, self.models.get_mut(&hash))
        {
            state.bar(&shape, &arm, Some(now + self.config.load_timeout));
        }
        if let Some(lane) = self.unpin(request) {
            self.place(now, &lane);
        }
    }

    /// Those of the arms that could compute a request on which it may be tried. The owner of the pool may fix any.
    fn arms_to_choose(&self, now: Instant, entry: &Entry) -> Vec<Arc<Arm>> {
        let arms = self.arms_for(entry, &self.shut_out_for(now, entry));
        let state = self.models.get(&entry.model.hash);
        let Some(state) = state.filter(|_| self.config.selection.policy != PolicyName::Fixed) else {
            return arms;
        };
        let (barred, free): (Vec<_>, Vec<_>) =
            arms.into_iter().partition(|arm| state.is_barred(now, &entry.shape, arm));
        if free.is_empty() { barred } else { free }
    }

    /// Takes note that the arm of a session refused its model, so that nobody else is sent there to find out.
    pub(super) fn bar_refusing(&mut self, session: SessionId, error: &LinkError) {
        if !retry::is_lasting(error) {
            return;
        }
        let Some(session) = self.sessions.get(&session) else { return };
        if self.is_stranger(session.worker) {
            return;
        }
        if let Some(state) = self.models.get_mut(&session.model.hash) {
            state.bar(&session.shape, &session.arm, None);
        }
    }

    /// Whether sessions serve a request, or soon will, and none of them on this arm.
    fn is_elsewhere(&self, entry: &Entry, arm: &Arc<Arm>) -> bool {
        let mut others = false;
        for on in self.live_arms(entry) {
            if on == arm {
                return false;
            }
            others = true;
        }
        others
    }

    fn live_arms<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Arc<Arm>> + 'a {
        let usable = self.usable(entry.needs(), entry.bytes());
        let state = self.models.get(&entry.model.hash);
        let sessions = state.into_iter().flat_map(|state| &state.sessions);
        sessions.filter_map(|id| self.sessions.get(id)).filter_map(move |session| {
            let serves = session.phase.is_live()
                && self.session_serves(session, entry.needs(), usable, &entry.lane.dims);
            serves.then_some(&session.arm)
        })
    }

    /// Whether a load on an arm, where one is needed, is worth it for a request that could do without.
    fn may_load(&self, entry: &Entry, arm: &Arc<Arm>, left_ms: f64) -> bool {
        if self.live_arms(entry).any(|on| on == arm) {
            return true;
        }
        let load_ms = self.models.get(&entry.model.hash).and_then(|model| model.load_ms);
        let fixed = self.workers.values().flat_map(|worker| &worker.info.backends);
        let fixed = fixed.filter(|info| info.backend == arm.backend).any(|info| info.static_shapes);
        load_ms.is_none_or(|ms| ms * RISK <= left_ms) && !(fixed && self.is_passing(entry))
    }

    /// Whether the sizes of a request are of those that come and go: a session for them alone would hardly be used.
    pub(super) fn is_passing(&self, entry: &Entry) -> bool {
        self.models.get(&entry.model.hash).is_some_and(|state| state.is_passing(&entry.lane.dims))
    }

    /// Gives up the choice that was made for a queued request, so that any arm may take it. Answers its new lane.
    pub(super) fn unpin(&mut self, request: RequestId) -> Option<LaneKey> {
        self.dequeue(request);
        self.end_trial(request);
        let entry = self.requests.get_mut(&request)?;
        let context = std::mem::take(&mut entry.exploring).then(|| entry.context());
        entry.lane.needs.arm = None;
        entry.why = Why::Leader;
        let lane = entry.lane.clone();
        if let Some(context) = context {
            self.selector.release(&context);
        }
        self.enqueue(request);
        Some(lane)
    }

    /// Lets go of the choice for those requests whose arm is not there any more.
    pub(super) fn unpin_stranded(&mut self, now: Instant) {
        let mut stranded = Vec::new();
        for (_, level) in self.queue.levels() {
            for (_, flow) in level.in_turn() {
                for (needs, group) in flow.groups().filter(|(needs, _)| needs.arm.is_some()) {
                    let bytes =
                        group.oldest().and_then(|head| self.requests.get(&head)).map_or(0, Entry::bytes);
                    if self.capable(needs, bytes) != Capable::Now {
                        stranded.extend(group.all());
                    }
                }
            }
        }
        let lanes: Vec<_> = stranded.into_iter().filter_map(|request| self.unpin(request)).collect();
        for lane in lanes {
            self.place(now, &lane);
        }
    }

    /// A request that the pool had sent to an arm by its own choice failed there: it may go anywhere, and the attempt
    /// was not the caller's. Answers its new lane, or why nobody can serve it.
    pub(super) fn forgive(&mut self, request: RequestId) -> Option<Result<LaneKey, RunError>> {
        let lane = self.unpin(request)?;
        let entry = self.requests.get_mut(&request)?;
        // A load that failed was counted just now, a run when it was sent.
        entry.attempts = entry.attempts.saturating_sub(1);
        let entry = &self.requests[&request];
        if self.capable(&lane.needs, entry.bytes()) == Capable::Nobody {
            return Some(Err(entry.gave_up(|| self.mismatch(entry.needs()))));
        }
        Some(Ok(lane))
    }

    /// The table for a request that is about to run on an arm.
    pub(super) fn explain(
        &self,
        now: Instant,
        entry: &Entry,
        arm: &Arc<Arm>,
        worker: vocab::WorkerId,
    ) -> Decision {
        let rows = self.standings(now, entry, &self.shut_out_for(now, entry));
        let why = match (entry.is_pinned(), rows.first()) {
            (true, _) => entry.why,
            (false, _) if rows.len() == 1 => Why::Only,
            (false, Some(first)) if first.arm != *arm => Why::Sooner,
            (false, _) => Why::Leader,
        };
        let needs = entry.needs().unpinned();
        let candidates = rows.iter().map(|row| {
            let mut candidate = Candidate::of(row, row.arm == *arm);
            for worker in self.workers.values().filter(|worker| fits(&needs, worker, entry.bytes())) {
                if worker.arm(row.arm.backend, needs.device.as_ref()).as_ref() != Some(&row.arm) {
                    continue;
                }
                candidate.workers += 1;
                candidate.pending += worker.leases.len();
                let sessions = worker.sessions_of(entry.model.hash).filter_map(|id| self.sessions.get(&id));
                let mut of_arm = sessions.filter(|session| session.arm == row.arm);
                candidate.loaded += usize::from(of_arm.any(|session| session.phase.is_live()));
            }
            candidate
        });
        Decision {
            policy: self.config.selection.policy,
            why,
            shape: entry.shape.to_string(),
            worker,
            candidates: candidates.collect(),
        }
    }
}
