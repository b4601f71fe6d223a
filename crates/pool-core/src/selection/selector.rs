//! Experience and a policy put together.

use std::collections::HashMap;
use std::sync::Arc;

use perf_history::stats::{Change, Estimate};
use perf_history::{Arm, Experience, Observation, ShapeBucket, Source, Standing, UnixMillis, Verdict};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use vocab::{ModelHash, ModelType, PolicyName};

use super::weighted::is_less_reliable;
use super::{
    Choice, Context, Fixed, Policy, RoundRobin, SelectionConfig, SelectionError, Thompson, Ucb, View,
    Weighted, Why,
};

/// What decisions are made about separately.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "it is a key, whole by design")]
pub struct ContextKey {
    /// The model.
    pub model: ModelHash,
    /// The size of its inputs.
    pub shape: ShapeBucket,
}

/// How many models and shape buckets are remembered; the experience itself has a bound of its own.
const MOST_CONTEXTS: usize = 4_096;
/// A run that took this share of the leader's latency or less is news, where the arm was not known to be that fast.
const NEWS: f64 = 0.95;
/// How many times what the next ones take a session's first run may take.
const COLD_RATIO: f64 = 10.0;
/// How often an arm that surprised is tried again at once.
const AGAIN: u32 = 4;

/// Chooses arms, and learns from how that went.
#[derive(Debug)]
pub struct Selector {
    config: SelectionConfig,
    experience: Experience,
    policy: Box<dyn Policy>,
    contexts: HashMap<ContextKey, Context>,
    random: SmallRng,
}

impl Selector {
    /// A selector without experience, with the policy that the settings name.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: SelectionConfig) -> Result<Self, SelectionError> {
        config.validate()?;
        let policy: Box<dyn Policy> = match config.policy {
            PolicyName::Weighted => Box::new(Weighted),
            PolicyName::Ucb => Box::new(Ucb),
            PolicyName::Thompson => Box::new(Thompson),
            PolicyName::RoundRobin => Box::new(RoundRobin),
            PolicyName::Fixed => {
                Box::new(Fixed { browser: config.fixed_browser, backend: config.fixed_backend })
            }
        };
        Ok(Self {
            experience: Experience::new(config.experience),
            policy,
            contexts: HashMap::new(),
            random: SmallRng::seed_from_u64(config.seed),
            config,
        })
    }

    /// Takes a policy of the caller's own.
    pub fn set_policy(&mut self, policy: Box<dyn Policy>) {
        self.policy = policy;
    }

    /// What is known.
    #[must_use]
    pub fn experience(&self) -> &Experience {
        &self.experience
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &SelectionConfig {
        &self.config
    }

    /// Takes note of what was observed, in the order in which it happened. Answers whether the arm's latency has changed
    /// lastingly.
    pub fn observe(&mut self, observation: &Observation) -> Option<Change> {
        let news = self.is_news(observation);
        let change = self.experience.observe(observation);
        let key = ContextKey { model: observation.model.hash, shape: observation.shape.clone() };
        let context = context(&mut self.contexts, &key);
        context.observe(observation);
        let surprised = context.surprise.as_ref().is_some_and(|(arm, _)| *arm == observation.arm);
        if surprised && observation.outcome.verdict() == Verdict::Failure {
            context.surprise = None;
        } else if news && context.surprise.is_none() {
            context.surprise = Some((Arc::clone(&observation.arm), AGAIN));
        }
        change
    }

    /// Whether an observation shows an arm that does not lead as better than the leader, and better than it was known
    /// to be: faster, or working where it mostly failed.
    fn is_news(&self, observation: &Observation) -> bool {
        let Some(ms) = observation.latency_ms() else { return false };
        let key = ContextKey { model: observation.model.hash, shape: observation.shape.clone() };
        let leader = self.contexts.get(&key).and_then(|context| context.leader.as_ref());
        let Some(leader) = leader.filter(|leader| **leader != observation.arm) else { return false };
        let (Some(known), Some(leader)) =
            (self.known(observation, &observation.arm), self.known(observation, leader))
        else {
            return false;
        };
        let faster = known.latency_ms.is_some_and(|known| ms < known * NEWS * NEWS);
        let better = leader.latency_ms.is_some_and(|best| ms < best * NEWS);
        better && (faster || is_less_reliable(&known, &leader))
    }

    /// The latency that is known of an observation's arm, in milliseconds.
    pub(crate) fn expected_ms(&self, observation: &Observation) -> Option<f64> {
        self.known(observation, &observation.arm)?.latency_ms
    }

    fn known(&self, observation: &Observation, arm: &Arm) -> Option<Estimate> {
        let settings = &self.config.experience;
        let stats = self.experience.stats(observation.model.hash, &observation.shape, arm)?;
        Some(stats.estimate(observation.at, settings.weights.z(), &settings.memory))
    }

    /// The table for a decision: the arms, the leader first.
    #[must_use]
    pub fn standings(
        &self,
        key: &ContextKey,
        model_type: Option<ModelType>,
        arms: &[Arc<Arm>],
        now: UnixMillis,
    ) -> Vec<Standing> {
        let mut rows = self.experience.rank(key.model, &key.shape, model_type, arms, now);
        if let Some(context) = self.contexts.get(key) {
            for row in rows.iter_mut().filter(|row| row.estimate.is_some_and(|e| e.latency_ms.is_none())) {
                // All that is known is a first run, which is slow, and how slow the others are.
                let at_least = context.tried(&row.arm).cold_ms.map(|ms| ms / COLD_RATIO);
                row.expected_ms = row.expected_ms.zip(at_least).map(|(a, b)| a.max(b)).or(row.expected_ms);
            }
        }
        if let Some(leader) = self.contexts.get(key).and_then(|context| context.leader.as_ref())
            && let Some(place) = rows.iter().position(|row| row.arm == *leader)
            && rows[place].source == Source::History
            && rows[0].score - rows[place].score <= self.config.hysteresis
        {
            rows[..=place].rotate_right(1);
        }
        rows
    }

    /// Makes one decision between arms that could all compute a request whose runs may take `longest_ms` where something
    /// is to be learnt from them. `None` where there are no arms.
    ///
    /// After a choice whose reason [is exploration](Why::is_exploration), no other such choice is made for this model
    /// and shape bucket until [`release`](Self::release).
    pub fn choose(
        &mut self,
        key: &ContextKey,
        model_type: Option<ModelType>,
        arms: &[Arc<Arm>],
        now: UnixMillis,
        longest_ms: f64,
    ) -> Option<(Standing, Choice)> {
        let mut rows = self.standings(key, model_type, arms, now);
        if rows.is_empty() {
            return None;
        }
        let context = context(&mut self.contexts, key);
        context.decisions += 1;
        let now_first = &rows[0].arm;
        if context.leader.as_ref() != Some(now_first) {
            let decisions = context.decisions;
            // Another one that comes first because the leader is not among these arms has not taken the lead.
            let before = context.leader.take();
            let replaced = before.as_ref().is_none_or(|before| rows.iter().any(|row| row.arm == *before));
            if replaced {
                if let Some(before) = &before {
                    context.note(before, |tried| tried.demoted = Some(decisions));
                }
                context.leader = Some(Arc::clone(now_first));
            } else {
                context.leader = before;
            }
        }
        let choice = if rows.len() == 1 {
            Choice { row: 0, pinned: false, why: Why::Only }
        } else {
            let (random, config) = (&mut self.random, &self.config);
            let view = View { rows: &rows, now, context, random, config, longest_ms };
            let choice = self.policy.choose(view);
            Choice { row: choice.row.min(rows.len() - 1), ..choice }
        };
        let chosen = rows.swap_remove(choice.row);
        if let Some(context) = self.contexts.get_mut(key) {
            let decisions = context.decisions;
            context.note(&chosen.arm, |tried| tried.last = decisions);
            context.exploring |= choice.why.is_exploration();
        }
        Some((chosen, choice))
    }

    /// Takes note of where a run is sent, and whether that is to learn something. Answers whether its time will show what
    /// the arm takes when it is used all the time, as [`settle_ms`](SelectionConfig::settle_ms) has it.
    pub fn note_run(&mut self, key: &ContextKey, arm: &Arc<Arm>, explores: bool) -> bool {
        let settle_ms = self.config.settle_ms;
        context(&mut self.contexts, key).note_run(arm, explores, settle_ms)
    }

    /// Whether a request is under way that was sent somewhere to learn something.
    #[must_use]
    pub fn is_exploring(&self, key: &ContextKey) -> bool {
        self.contexts.get(key).is_some_and(Context::is_exploring)
    }

    /// For how many models and shape buckets that is so.
    #[must_use]
    pub fn exploring(&self) -> usize {
        self.contexts.values().filter(|context| context.is_exploring()).count()
    }

    /// Marks that a request is under way that was sent somewhere for another reason than its own good.
    pub(crate) fn hold(&mut self, key: &ContextKey) {
        if let Some(context) = self.contexts.get_mut(key) {
            context.exploring = true;
        }
    }

    /// The request that was sent somewhere to learn something has ended, or goes elsewhere.
    pub fn release(&mut self, key: &ContextKey) {
        if let Some(context) = self.contexts.get_mut(key) {
            context.exploring = false;
        }
    }
}

fn context<'a>(contexts: &'a mut HashMap<ContextKey, Context>, key: &ContextKey) -> &'a mut Context {
    if contexts.len() >= MOST_CONTEXTS && !contexts.contains_key(key) {
        contexts.retain(|_, context| context.exploring);
    }
    contexts.entry(key.clone()).or_default()
}
