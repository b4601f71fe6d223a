//! Many circuit breakers, which together never shut everything out.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::{Admission, Breaker, BreakerConfig, CallOutcome, CallPermit, Transition};
use crate::config::{ConfigError, at_least_one, within};

/// The settings of a set of circuit breakers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SetConfig {
    /// The settings of each of them.
    pub breaker: BreakerConfig,
    /// How many there may be. One more makes the set forget the closed one that was not used for the longest time, or
    /// any where none is closed. Default 4 096.
    pub most: usize,
    /// The share of the candidates that may be shut out. Default 0.5. Whatever it is, one stays.
    pub ejected: f64,
}

impl Default for SetConfig {
    fn default() -> Self {
        Self { breaker: BreakerConfig::default(), most: 4_096, ejected: 0.5 }
    }
}

impl SetConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.breaker.validate()?;
        at_least_one(&[("most", self.most)])?;
        within("ejected", self.ejected, 0.0, 1.0)
    }
}

/// Who among the candidates may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdicts<K> {
    /// Those whose breakers let a call through, in the order in which they were given.
    pub admitted: Vec<K>,
    /// Those whose breakers do not, but who may be used all the same, because too many would be shut out otherwise; the
    /// best first.
    pub in_spite: Vec<K>,
    /// Those who are shut out.
    pub ejected: Vec<K>,
}

#[derive(Debug, Clone)]
struct Slot {
    breaker: Breaker,
    used: Instant,
}

/// Circuit breakers by key: one for each worker, or one for each model on each browser and backend.
///
/// A fault that all share (a model that nobody can run, a machine that is out of memory) would open all breakers and
/// leave nobody to find out when it is over. So only a share of the candidates is ever shut out, the worst first, and
/// at least one stays. Envoy does the same in two ways: it ejects at most a share of the hosts, and below a share of
/// healthy ones it panics and disregards health; here both are one rule, applied to the candidates that exist now.
#[derive(Debug, Clone)]
pub struct BreakerSet<K> {
    config: SetConfig,
    slots: HashMap<K, Slot>,
    made: u64,
}

impl<K: Clone + Eq + Hash + Ord> BreakerSet<K> {
    /// A set without keys.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: SetConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, slots: HashMap::new(), made: 0 })
    }

    /// Who among these candidates may be used now. Changes nothing.
    ///
    /// At most ⌊share · n⌋ of n candidates are shut out, and never all of them.
    #[must_use]
    pub fn verdicts(&self, now: Instant, candidates: &[K]) -> Verdicts<K> {
        let allows = |key: &K| self.slots.get(key).is_none_or(|slot| slot.breaker.would_allow(now));
        let (admitted, mut bad): (Vec<K>, Vec<K>) = candidates.iter().cloned().partition(|key| allows(key));
        // The best first: half open before open, and those that are soon half open before those that are not.
        bad.sort_by_key(|key| (self.slots.get(key).and_then(|slot| slot.breaker.opens_again()), key.clone()));
        let share = (self.config.ejected * candidates.len() as f64).floor() as usize;
        let most = share.min(candidates.len().saturating_sub(1));
        let ejected = bad.split_off(bad.len().saturating_sub(most));
        Verdicts { admitted, in_spite: bad, ejected }
    }

    /// Asks to make a call. Of one who is used in spite of his breaker, it answers as his breaker does; the call may be
    /// made all the same, and its end counts nothing.
    pub fn ask(&mut self, now: Instant, key: &K) -> (Admission, Option<Transition>) {
        self.slot(now, key).breaker.ask(now)
    }

    /// Says how a call ended.
    pub fn record(
        &mut self,
        now: Instant,
        key: &K,
        permit: CallPermit,
        outcome: CallOutcome,
    ) -> Option<Transition> {
        // A key that was forgotten meanwhile gets no new breaker for the sake of an old call.
        self.slots.get_mut(key)?.breaker.record(now, permit, outcome)
    }

    /// Opens a breaker, whatever its figures say.
    pub fn trip(&mut self, now: Instant, key: &K) -> Option<Transition> {
        self.slot(now, key).breaker.trip(now)
    }

    /// Closes a breaker, because what it guards was replaced.
    pub fn reset(&mut self, now: Instant, key: &K) -> Option<Transition> {
        self.slots.get_mut(key)?.breaker.reset(now)
    }

    /// Forgets a key, because what it stands for is gone.
    pub fn forget(&mut self, key: &K) {
        self.slots.remove(key);
    }

    /// The breaker of a key; `None` where nothing was asked of it yet.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Breaker> {
        self.slots.get(key).map(|slot| &slot.breaker)
    }

    /// How well a key is, from 0 to 1, as [`Breaker::health`] says; 1 where nothing is known.
    #[must_use]
    pub fn health(&self, key: &K) -> f64 {
        self.get(key).map_or(1.0, Breaker::health)
    }

    /// Every breaker with its key, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Breaker)> {
        self.slots.iter().map(|(key, slot)| (key, &slot.breaker))
    }

    /// How many breakers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn slot(&mut self, now: Instant, key: &K) -> &mut Slot {
        if !self.slots.contains_key(key) && self.slots.len() >= self.config.most {
            let oldest = self.slots.iter().min_by_key(|(key, slot)| {
                (slot.breaker.state() != telemetry::BreakerState::Closed, slot.used, (*key).clone())
            });
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.slots.remove(&oldest);
            }
        }
        let (config, made) = (self.config.breaker, &mut self.made);
        let slot = self.slots.entry(key.clone()).or_insert_with(|| {
            *made += 1;
            // Breakers that open together must not become half open together.
            let seed = config.seed ^ made.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            Slot { breaker: Breaker::checked(config, seed), used: now }
        });
        slot.used = slot.used.max(now);
        slot
    }
}
