//! Reports for tests: arms whose launches took what a test says.

use std::collections::BTreeMap;

use vocab::{Backend, BrowserName, DeviceKind};

use super::judge::{Numbers, Tolerance, judge};
use super::report::{
    ArmReport, BlockReport, CompareReport, Device, Environment, InputFacts, InputSource, MemoryFacts,
    MemoryReading, Method, ModelFacts, ReferenceFacts, ReferenceKind, SCHEMA, Spread, Status,
};

const MIB: u64 = 1 << 20;

fn numbers(status: Status) -> Option<Numbers> {
    let one = |value: f32| {
        let tensor = tensor::Tensor::from_slice([1], &[value]).expect("a tensor");
        [tensor::NamedTensor::new("y", tensor)]
    };
    let got = match status {
        Status::Right => 1.0,
        Status::Wrong => 2.0,
        _ => return None,
    };
    Some(judge(&one(1.0), &one(got), Tolerance { abs: 1e-4, rel: 1e-4 }))
}

/// An arm with one launch for each of `launches`, each with these milliseconds for a run and twenty times as much to load.
pub(super) fn arm(browser: BrowserName, status: Status, launches: &[f64]) -> ArmReport {
    let reading = |mib: u64| MemoryReading { pss_bytes: mib * MIB, rss_bytes: 2 * mib * MIB, processes: 5 };
    let block = |(round, ms): (usize, &f64)| BlockReport {
        round: u32::try_from(round).expect("few"),
        at_ms: 1_000.0 * round as f64,
        kernel_ms: Some(20.0),
        launch_ms: Some(500.0),
        load_ms: Some(20.0 * ms),
        fetch_ms: Some(5.0 * ms),
        create_ms: Some(15.0 * ms),
        first_in_page_ms: Some(2.0 * ms),
        first_total_ms: Some(2.5 * ms),
        in_page_ms: vec![*ms, 1.1 * ms, 1.2 * ms],
        total_ms: vec![1.3 * ms; 3],
        idle: Some(reading(100)),
        loaded: Some(reading(200)),
        heap_bytes: Some(50 * MIB),
        page_bytes: None,
        error: None,
    };
    let blocks: Vec<BlockReport> = launches.iter().enumerate().map(block).collect();
    let each = |of: fn(&BlockReport) -> f64| Spread::of(&blocks.iter().map(of).collect::<Vec<_>>());
    ArmReport {
        browser,
        backend: Backend::Wasm,
        status,
        reason: (status != Status::Right).then(|| format!("<{}> & why", status.as_str())),
        version: "1.0".to_owned(),
        device: Some(Device {
            requested: DeviceKind::Cpu,
            effective: DeviceKind::Cpu,
            adapter: None,
            software: false,
            threads: 2,
        }),
        placement: [("CPUExecutionProvider".to_owned(), 7)].into(),
        operators: BTreeMap::new(),
        fallback_nodes: 0,
        numbers: numbers(status),
        load_ms: each(|block| block.load_ms.unwrap_or(0.0)),
        first_run_ms: each(|block| block.first_in_page_ms.unwrap_or(0.0)),
        in_page_ms: each(|block| block.in_page_ms[0]),
        total_ms: each(|block| block.total_ms[0]),
        memory: (!blocks.is_empty()).then(|| MemoryFacts {
            idle: reading(100),
            loaded: reading(200),
            heap_bytes: Some(50 * MIB),
            page_bytes: None,
        }),
        blocks,
    }
}

/// A report with these arms.
pub(super) fn report(arms: Vec<ArmReport>) -> CompareReport {
    CompareReport {
        schema: SCHEMA.to_owned(),
        webnn_pool: "0.1.0".to_owned(),
        started_unix_ms: 1_796_000_000_000,
        took_ms: 12_345.0,
        model: ModelFacts {
            name: "a<b>&'c'".to_owned(),
            hash: "00".to_owned(),
            model_type: None,
            precision: "FP32".to_owned(),
            bytes: 1_000,
            inputs: vec!["x: float32[1]".to_owned()],
            outputs: vec!["y: float32[1]".to_owned()],
        },
        input: InputFacts {
            source: InputSource::Generated,
            seed: Some(1),
            tensors: vec!["x: FP32[1]".to_owned()],
            dims: BTreeMap::new(),
            assumed: BTreeMap::new(),
        },
        reference: ReferenceFacts {
            kind: ReferenceKind::Native,
            description: "native".to_owned(),
            agreeing: Vec::new(),
        },
        method: Method {
            rounds: 3,
            repeat: 3,
            warmup: 1,
            budget_ms: 1_000.0,
            timeout_ms: 1_000.0,
            threads: 0,
            kernel: "work".to_owned(),
        },
        environment: Environment { cpu: "fast".to_owned(), cores: 2, ..Environment::default() },
        arms,
        not_found: Vec::new(),
        baseline: None,
        checks: Vec::new(),
    }
}
