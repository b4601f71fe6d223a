//! Observations to test with, made up but of every kind.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;

use perf_history::{
    Arm, ModelId, Observation, Operation, Outcome, Period, ShapeBucket, TimeoutPhase, UnixMillis,
};
use vocab::{Backend, BrowserName, DeviceKind, FailureKind, ModelHash, ModelType, WorkerId};

/// Midnight in UTC on a day in 2026.
pub(crate) const MIDNIGHT: i64 = 20_500 * Period::Day.ms();

pub(crate) const HOUR: i64 = Period::Hour.ms();
pub(crate) const DAY: i64 = Period::Day.ms();

pub(crate) fn model(number: u8) -> Arc<ModelId> {
    Arc::new(ModelId {
        hash: ModelHash([number; 32]),
        name: format!("model-{number}").into(),
        version: if number.is_multiple_of(2) { "".into() } else { "1.0".into() },
        model_type: ModelType::ALL.get(usize::from(number)).copied(),
        precision: "FP32".into(),
    })
}

pub(crate) fn arm(number: u32) -> Arc<Arm> {
    let at = number as usize;
    Arc::new(Arm {
        browser: BrowserName::ALL[at % BrowserName::ALL.len()],
        browser_version: format!("{}.0", 100 + number).into(),
        backend: Backend::ALL[at % Backend::ALL.len()],
        device_requested: number.is_multiple_of(2).then_some(DeviceKind::Gpu),
        device_effective: DeviceKind::Cpu,
        adapter: number.is_multiple_of(3).then(|| "llvmpipe".into()),
        threads: number,
    })
}

/// A warm run that succeeded in this many milliseconds, of model 1 on arm 1.
pub(crate) fn run(at: i64, ms: f64) -> Observation {
    Observation {
        at: UnixMillis(at),
        model: model(1),
        shape: ShapeBucket::from("batch=1"),
        arm: arm(1),
        worker: WorkerId(1),
        operation: Operation::Run,
        outcome: Outcome::Ok,
        warm: true,
        load_ms: None,
        queue_ms: Some(0.25),
        in_page_ms: Some(ms * 0.9),
        service_ms: Some(ms),
        total_ms: Some(ms + 0.25),
        bytes_in: Some(128),
        bytes_out: Some(64),
        memory_bytes: None,
    }
}

/// Every outcome that there is, with kinds that this version does not know among them.
pub(crate) fn outcomes() -> Vec<Outcome> {
    let kinds =
        ["out_of_memory", "device_lost", "cancelled", "invalid_input", "nothing we know", "ß 模型", ""];
    let mut all = vec![
        Outcome::Ok,
        Outcome::WrongNumbers,
        Outcome::WorkerVanished,
        Outcome::TimedOut(TimeoutPhase::Queued),
        Outcome::TimedOut(TimeoutPhase::Loading),
        Outcome::TimedOut(TimeoutPhase::Running),
        Outcome::CallersError,
    ];
    all.extend(kinds.into_iter().map(|kind| Outcome::Reported(FailureKind::from(kind))));
    all
}

/// As many observations as are asked for, of every operation and outcome, on some models and arms, one a minute.
pub(crate) fn mixed(count: usize, first: i64) -> Vec<Observation> {
    let outcomes = outcomes();
    let of = |at: usize| {
        let number = u32::try_from(at).expect("a small number");
        Observation {
            model: model((number % 3) as u8),
            arm: arm(number % 5),
            shape: ShapeBucket::from(if at.is_multiple_of(2) { "" } else { "batch=4" }),
            operation: Operation::ALL[at % 3],
            outcome: outcomes[(at / 3) % outcomes.len()].clone(),
            worker: WorkerId(u64::from(number)),
            warm: !at.is_multiple_of(4),
            load_ms: (at % 3 == 1).then(|| f64::from(number) + 0.5),
            ..run(first + i64::from(number) * 60_000, 1.0 + f64::from(number % 50))
        }
    };
    (0..count).map(of).collect()
}
