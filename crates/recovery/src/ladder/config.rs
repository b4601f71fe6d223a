//! The settings of the ladder.

use std::time::Duration;

use vocab::Rung;

use crate::config::{ConfigError, at_least_one, positive, within};
use crate::pace::BackoffConfig;

/// One value for each rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "one field for each rung is all that there is")]
pub struct PerRung<T> {
    /// For [`Rung::Ping`].
    pub ping: T,
    /// For [`Rung::Reconnect`].
    pub reconnect: T,
    /// For [`Rung::Refresh`].
    pub refresh: T,
    /// For [`Rung::Restart`].
    pub restart: T,
    /// For [`Rung::Switch`].
    pub switch: T,
}

impl<T> PerRung<T> {
    /// The value for a rung.
    pub const fn get(&self, rung: Rung) -> &T {
        match rung {
            Rung::Ping => &self.ping,
            Rung::Reconnect => &self.reconnect,
            Rung::Refresh => &self.refresh,
            Rung::Restart => &self.restart,
            Rung::Switch => &self.switch,
        }
    }

    pub(crate) const fn get_mut(&mut self, rung: Rung) -> &mut T {
        match rung {
            Rung::Ping => &mut self.ping,
            Rung::Reconnect => &mut self.reconnect,
            Rung::Refresh => &mut self.refresh,
            Rung::Restart => &mut self.restart,
            Rung::Switch => &mut self.switch,
        }
    }
}

/// The settings of one recovery. Set the fields, then hand it to [`Incident::new`](super::Incident::new), which checks it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecoveryConfig {
    /// How long a whole recovery may take, from the diagnosis to the proof. Default 120 s.
    pub deadline: Duration,
    /// How long one attempt of each rung may take, with its proof. Default 2 s, 5 s, 30 s, 60 s and 60 s.
    pub limits: PerRung<Duration>,
    /// How often each rung may be tried in one recovery; 0 leaves it out. Default 1, 3, 2, 2 and 2.
    pub tries: PerRung<u32>,
    /// What each attempt costs beyond its time, in time that one would give to avoid it: what the page had loaded, what
    /// other pages of the browser were doing, a worker fewer. Default 0 s, 0 s, 1 s, 5 s and 20 s; without it, the
    /// quick switch would always win, and the pool would shrink with each fault.
    pub disruption: PerRung<Duration>,
    /// By what the price of a switch is multiplied under critical memory pressure, because whoever takes over loads the
    /// models while the one that is given up still holds its own. Default 4.
    pub crowded_switch: f64,
    /// By what the chance of a rung is multiplied with each try that failed in this recovery. Default 0.5: a
    /// hypothesis.
    pub repeat_chance: f64,
    /// The waits before a rung is repeated.
    pub backoff: BackoffConfig,
    /// How long a restart waits for its turn, where switching would be possible too. Default 5 s.
    pub gate_patience: Duration,
    /// What waits are drawn from. The same seed and the same calls give the same decisions. Default 0.
    pub seed: u64,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            deadline: s(120),
            limits: PerRung { ping: s(2), reconnect: s(5), refresh: s(30), restart: s(60), switch: s(60) },
            tries: PerRung { ping: 1, reconnect: 3, refresh: 2, restart: 2, switch: 2 },
            disruption: PerRung { ping: s(0), reconnect: s(0), refresh: s(1), restart: s(5), switch: s(20) },
            crowded_switch: 4.0,
            repeat_chance: 0.5,
            backoff: BackoffConfig::default(),
            gate_patience: s(5),
            seed: 0,
        }
    }
}

impl RecoveryConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            deadline,
            limits,
            tries,
            disruption,
            crowded_switch,
            repeat_chance,
            backoff,
            gate_patience,
            seed: _,
        } = self;
        positive(&[
            ("deadline", *deadline),
            ("limits.ping", limits.ping),
            ("limits.reconnect", limits.reconnect),
            ("limits.refresh", limits.refresh),
            ("limits.restart", limits.restart),
            ("limits.switch", limits.switch),
            ("gate_patience", *gate_patience),
        ])?;
        let tries = Rung::ALL.iter().map(|&rung| *tries.get(rung) as usize).sum();
        at_least_one(&[("the sum of tries", tries)])?;
        for &rung in Rung::ALL {
            within("each disruption in seconds", disruption.get(rung).as_secs_f64(), 0.0, 86_400.0)?;
        }
        within("crowded_switch", *crowded_switch, 1.0, 1e3)?;
        within("repeat_chance", *repeat_chance, 0.0, 1.0)?;
        backoff.validate()
    }
}
