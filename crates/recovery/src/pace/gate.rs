//! How many restarts may go on at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vocab::PressureLevel;

use crate::config::{ConfigError, at_least_one, positive};

/// How many may pass, and how long nobody may be in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateConfig {
    /// How many restarts may go on at once. Default 2.
    pub at_once: usize,
    /// From which level of memory pressure on only one restart may go on at once: a starting browser takes its memory
    /// before the one that it replaces has given all of its own back. Default [`PressureLevel::High`].
    pub alone_from: PressureLevel,
    /// For how long somebody who waits keeps his place without asking again. Default 2 s.
    pub place: Duration,
    /// The longest time for which a permit is given. Default 120 s.
    pub hold: Duration,
    /// How many may wait. Default 1 024.
    pub waiting: usize,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            at_once: 2,
            alone_from: PressureLevel::High,
            place: Duration::from_secs(2),
            hold: Duration::from_secs(120),
            waiting: 1_024,
        }
    }
}

impl GateConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least_one(&[("at_once", self.at_once), ("waiting", self.waiting)])?;
        positive(&[("place", self.place), ("hold", self.hold)])
    }
}

/// Who asks. Whoever drives the gate gives each of those who ask one that nobody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a newtype id")]
pub struct Ticket(pub u64);

/// A permit, to be given back by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PermitId(u64);

/// What the gate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// Go, and give the permit back before it ends by itself.
    Admitted {
        /// The permit.
        permit: PermitId,
        /// When it ends by itself.
        until: Instant,
    },
    /// Wait, and ask again at this time at the latest: whoever does not loses his place.
    Waiting {
        /// How many are before.
        ahead: usize,
        /// When to ask again.
        ask_again: Instant,
    },
    /// So many wait already that not even a place can be had.
    Refused,
}

/// Lets a few restarts through at once, in the order in which they were asked for.
///
/// Every permit and every place in the line ends by itself, so that one who is lost never stands in the way of the
/// others for good.
#[derive(Debug, Clone)]
pub struct StormGate {
    config: GateConfig,
    inside: Vec<(PermitId, Instant)>,
    line: VecDeque<(Ticket, Instant)>,
    next: u64,
}

impl StormGate {
    /// An empty gate.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: GateConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, inside: Vec::new(), line: VecDeque::new(), next: 0 })
    }

    /// Whether `who` would be let in now. Changes nothing.
    #[must_use]
    pub fn would_admit(&self, now: Instant, who: Ticket, level: PressureLevel) -> bool {
        let inside = self.inside.iter().filter(|(_, until)| *until > now).count();
        let ahead = self.ahead(now, who);
        inside + ahead < self.limit(level)
    }

    /// Asks to go in, for as long as `hold` at most. Takes or keeps a place in the line where that is not possible yet.
    pub fn enter(&mut self, now: Instant, who: Ticket, level: PressureLevel, hold: Duration) -> Entry {
        self.expire(now);
        if self.would_admit(now, who, level) {
            self.line.retain(|(other, _)| *other != who);
            let permit = PermitId(self.next);
            self.next += 1;
            let until = now + hold.min(self.config.hold);
            self.inside.push((permit, until));
            return Entry::Admitted { permit, until };
        }
        let until = now + self.config.place;
        let full = self.line.len() >= self.config.waiting;
        match self.line.iter_mut().find(|(other, _)| *other == who) {
            Some((_, place)) => *place = until,
            None if full => return Entry::Refused,
            None => self.line.push_back((who, until)),
        }
        // Half of the time, so that the place is not lost by being a moment late.
        let ask_again = now + self.config.place / 2;
        let sooner = self.inside.iter().map(|(_, until)| *until).filter(|until| *until > now).min();
        Entry::Waiting {
            ahead: self.ahead(now, who),
            ask_again: sooner.map_or(ask_again, |sooner| sooner.min(ask_again)),
        }
    }

    /// Gives a permit back. One that has ended already, or is not known, changes nothing.
    pub fn leave(&mut self, permit: PermitId) {
        self.inside.retain(|(other, _)| *other != permit);
    }

    /// Gives a place in the line up.
    pub fn give_up(&mut self, who: Ticket) {
        self.line.retain(|(other, _)| *other != who);
    }

    /// How many are inside and how many wait.
    #[must_use]
    pub fn count(&self, now: Instant) -> (usize, usize) {
        let valid = |until: &Instant| *until > now;
        (
            self.inside.iter().filter(|(_, until)| valid(until)).count(),
            self.line.iter().filter(|(_, until)| valid(until)).count(),
        )
    }

    fn limit(&self, level: PressureLevel) -> usize {
        if level >= self.config.alone_from { 1 } else { self.config.at_once }
    }

    fn ahead(&self, now: Instant, who: Ticket) -> usize {
        self.line.iter().filter(|(_, until)| *until > now).take_while(|(other, _)| *other != who).count()
    }

    fn expire(&mut self, now: Instant) {
        self.inside.retain(|(_, until)| *until > now);
        self.line.retain(|(_, until)| *until > now);
    }
}
