//! Reading the memory of the machine and of each browser.

use std::collections::BTreeMap;

use recovery::{LinuxMemory, MemoryReading, PressureLevel, ReadError, Use};
use serde::Serialize;
use vocab::{Backend, BrowserName, WorkerId};
use webnn_bridge::{HeapReading, MarkedProcess, Page, process_table};

use super::options::MemoryOptions;

/// What was read of one browser's memory last.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BrowserMemory {
    /// Its worker.
    pub worker: WorkerId,
    /// Which browser it is.
    pub browser: BrowserName,
    /// How scarce memory is for it, the machine's included.
    pub level: PressureLevel,
    /// The resident memory of its processes in bytes, its driver included; zero where they run elsewhere. What they share
    /// counts for each.
    pub resident_bytes: u64,
    /// The WebAssembly heap that is closest to its limit, in bytes.
    pub heap_bytes: Option<u64>,
    /// That limit.
    pub heap_limit_bytes: Option<u64>,
    /// The page's own memory in bytes, where the browser tells.
    pub page_bytes: Option<u64>,
}

/// What the system tells at one moment.
#[derive(Debug)]
pub(super) struct Pictures {
    /// The machine and our control group; empty where they could not be read.
    pub(super) machine: MemoryReading,
    pub(super) processes: Vec<MarkedProcess>,
    /// The resident memory of each browser, by its label.
    pub(super) resident: BTreeMap<String, u64>,
    pub(super) error: Option<ReadError>,
}

/// Reads the kernel's files. Blocks for some milliseconds.
pub(super) fn look(mark: &str) -> Pictures {
    let kernel = LinuxMemory::default();
    let processes = process_table(mark);
    let mut of_browser: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for process in &processes {
        if let Some(label) = &process.browser {
            of_browser.entry(label.clone()).or_default().push(process.pid);
        }
    }
    let mut error = None;
    let mut resident = BTreeMap::new();
    for (label, pids) in of_browser {
        match kernel.resident(&pids) {
            Ok(bytes) => _ = resident.insert(label, bytes),
            Err(failed) => error = Some(failed),
        }
    }
    let machine = kernel.read().unwrap_or_else(|failed| {
        error = Some(failed);
        MemoryReading::default()
    });
    Pictures { machine, processes, resident, error }
}

/// One heap, and what its page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heap {
    pub(super) backend: Backend,
    pub(super) used: u64,
    /// What a page that is loaded anew begins with.
    pub(super) fresh: u64,
    pub(super) limit: u64,
}

/// The heap that is closest to its limit.
pub(super) fn tightest(page: &Page) -> Option<Heap> {
    let share = |heap: &HeapReading| Use { used: heap.bytes, limit: heap.limit_bytes }.share();
    let heaps = page.memory().heaps;
    let heap = heaps.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    Some(Heap { backend: heap.backend, used: heap.bytes, fresh: heap.fresh_bytes, limit: heap.limit_bytes })
}

/// What is known of one browser's memory, without the machine's.
pub(super) fn of_browser(page: &Page, resident: Option<u64>, options: &MemoryOptions) -> MemoryReading {
    let mut reading = MemoryReading::default();
    reading.wasm_heap = tightest(page).map(|heap| Use { used: heap.used, limit: heap.limit });
    reading.page_heap =
        options.page_bytes.and_then(|limit| Some(Use { used: page.memory().page_bytes?, limit }));
    reading.processes = options.browser_bytes.and_then(|limit| Some(Use { used: resident?, limit }));
    reading
}
