//! What all recoveries share, and memory.

use std::time::{Duration, Instant};

use recovery::{
    BudgetConfig, DiagnosisConfig, GateConfig, Means, MemoryAction, MemoryReading, Pressure, PressureConfig,
    RecoveryConfig, RecycleConfig, RetryBudget, RungRecord, StormGate, Use, relief,
};

use super::patient::Condition;
use super::{Event, Place, Plan, World};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ladder: RecoveryConfig,
    pub(super) gate_config: GateConfig,
    pub(super) budget_config: BudgetConfig,
    pub(super) diagnosis: DiagnosisConfig,
    pub(super) record: RungRecord,
    pub(super) gate: StormGate,
    pub(super) budget: RetryBudget,
    /// How many repetitions were paid for, and how many requests paid.
    pub(super) repeated: u64,
    pub(super) paid: u64,
    pub(super) pressure: Pressure,
    pub(super) tickets: u64,
    used: u64,
}

pub(super) fn recycling() -> RecycleConfig {
    let mut config = RecycleConfig::default();
    config.tasks = Some(40);
    config.age = Some(Duration::from_secs(60));
    config
}

impl Shared {
    pub(super) fn new(plan: &Plan, now: Instant) -> Self {
        let mut ladder = RecoveryConfig::default();
        ladder.deadline = Duration::from_secs(60);
        ladder.limits.refresh = Duration::from_secs(15);
        ladder.limits.restart = Duration::from_secs(25);
        ladder.limits.switch = Duration::from_secs(25);
        ladder.seed = plan.seed;
        let mut diagnosis = DiagnosisConfig::default();
        diagnosis.data_silence = Duration::from_secs(20);
        let (gate_config, budget_config) = (GateConfig::default(), BudgetConfig::default());
        Self {
            ladder,
            gate_config,
            budget_config,
            diagnosis,
            record: RungRecord::new(),
            gate: StormGate::new(gate_config).expect("the settings work"),
            budget: RetryBudget::new(budget_config, now).expect("the settings work"),
            repeated: 0,
            paid: 0,
            pressure: Pressure::new(PressureConfig::default()).expect("the settings work"),
            tickets: 0,
            used: 50,
        }
    }
}

impl World {
    /// Memory comes and goes; where it is scarce, a browser is replaced.
    pub(super) fn read_memory(&mut self) {
        let wait = self.between(2.0, 6.0);
        self.later(wait, Event::Memory);
        let used = if self.calm { 50.0 } else { self.between(0.0, 20.0) + self.shared.used as f64 - 9.5 };
        self.shared.used = used.clamp(40.0, 99.0) as u64;
        let mut reading = MemoryReading::default();
        reading.system = Some(Use { used: self.shared.used, limit: 100 });
        if let Some(moved) = self.shared.pressure.observe(self.now, &reading) {
            self.say(|| format!("memory: {} → {}", moved.from, moved.to));
        }
        let well: Vec<Place> = (0..self.patients.len())
            .filter(|&place| matches!(self.patients[place].condition, Condition::Well))
            .collect();
        let means = Means { evictable: 0, pages: 0, browsers: well.len(), least_browsers: 1 };
        let acts = relief(self.shared.pressure.level(), &means);
        if acts.contains(&MemoryAction::RecycleBrowser) && self.chance(0.3) {
            let place = self.pick(&well);
            self.patients[place].recycler.request(self.now);
        }
    }
}
