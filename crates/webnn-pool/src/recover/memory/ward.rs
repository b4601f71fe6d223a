//! What is known of one browser's memory and age over time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pool_core::core::{SessionPhase, WorkerStats};
use recovery::{MemoryReading, Plan, Pressure, PressureLevel, Recycler, Spare};
use telemetry::{Event, PressureSource, RecycleCause, Relief};
use tokio::time::Instant;
use vocab::WorkerId;

use super::acts::emit;
use super::course::{HeapLook, Look};
use super::order::Why;
use super::reading::{BrowserMemory, Pictures, of_browser, tightest};
use crate::recover::Shared;
use crate::recover::config::RecoveryOptions;
use crate::recover::patient::Patient;

/// One browser, as the watch over memory knows it.
#[derive(Debug)]
pub(super) struct Ward {
    pub(super) patient: Arc<Patient>,
    label: String,
    pub(super) worker: WorkerId,
    pressure: Pressure,
    recycler: Recycler,
    /// When memory was noted for the recycler last.
    noted: Option<Instant>,
    /// How many runs of the present worker are counted.
    counted: u64,
    /// Whether it has been told that it is to be replaced.
    due: bool,
    refusing: bool,
    /// When its page was loaded anew, or its browser, since memory became scarce for it.
    pub(super) refreshed: Option<Instant>,
    pub(super) relaunched: Option<Instant>,
    pub(super) level: PressureLevel,
    pub(super) source: Option<PressureSource>,
    pub(super) resident: u64,
    look: Option<HeapLook>,
    idle: usize,
    busy: usize,
}

/// The machine at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    pub(super) reading: MemoryReading,
    pub(super) level: PressureLevel,
    pub(super) source: Option<PressureSource>,
}

impl Ward {
    /// Takes a browser under watch; `None` where its settings cannot work, which the builder has refused.
    pub(super) fn new(patient: Arc<Patient>, options: &RecoveryOptions, now: Instant) -> Option<Self> {
        let (label, worker) = {
            let state = patient.state.lock();
            (state.page.label().to_owned(), state.worker)
        };
        Some(Self {
            patient,
            label,
            worker,
            pressure: Pressure::new(options.memory.pressure).ok()?,
            recycler: Recycler::new(options.recycle.config, now.into_std()).ok()?,
            noted: None,
            counted: 0,
            due: false,
            refusing: false,
            refreshed: None,
            relaunched: None,
            level: PressureLevel::Normal,
            source: None,
            resident: 0,
            look: None,
            idle: 0,
            busy: 0,
        })
    }

    /// Looks at it, and puts what was read into `told`. Answers whether it is there to be acted upon.
    pub(super) fn read(
        &mut self,
        shared: &Arc<Shared>,
        now: Instant,
        machine: &Machine,
        pictures: &Pictures,
        stats: &[WorkerStats],
        told: &mut Vec<BrowserMemory>,
    ) -> bool {
        let options = &shared.options;
        let (page, worker, label, name) = {
            let state = self.patient.state.lock();
            (state.page.clone(), state.worker, state.page.label().to_owned(), state.spec.name)
        };
        let Some(own) = stats.iter().find(|known| known.worker == worker) else { return false };
        if label != self.label {
            // Another browser: it is young, and has done nothing yet.
            if let Ok(recycler) = Recycler::new(options.recycle.config, now.into_std()) {
                self.recycler = recycler;
            }
            (self.due, self.noted, self.label) = (false, None, label);
        }
        if worker != self.worker {
            // Another page: its heap is a fresh one, whatever the one before was like.
            if let Ok(pressure) = Pressure::new(options.memory.pressure) {
                self.pressure = pressure;
            }
            (self.worker, self.counted, self.refusing) = (worker, 0, false);
        }
        self.recycler.tasks_done(own.served.saturating_sub(self.counted));
        self.counted = own.served;
        let resident = pictures.resident.get(&self.label).copied();
        self.resident = resident.unwrap_or(0);
        self.note(now, resident, options);
        self.busy = own.leases;

        if !options.memory.enabled {
            return true;
        }
        let reading = of_browser(&page, resident, &options.memory);
        let _ = self.pressure.observe(now.into_std(), &reading);
        (self.level, self.source) = if self.pressure.level() >= machine.level {
            (self.pressure.level(), self.pressure.source())
        } else {
            (machine.level, machine.source)
        };
        let mut whole = machine.reading;
        (whole.wasm_heap, whole.page_heap, whole.processes) =
            (reading.wasm_heap, reading.page_heap, reading.processes);
        shared.pool.memory(worker, self.level, whole);
        self.tell_refusing(shared);
        if self.level < PressureLevel::High {
            // What was done has helped; the next time begins with the cheapest again.
            let old = |at: Option<Instant>| at.filter(|&at| now.duration_since(at) < options.memory.settle);
            (self.refreshed, self.relaunched) = (old(self.refreshed), old(self.relaunched));
        }
        let heap = tightest(&page);
        let stays = |phase: SessionPhase| {
            matches!(phase, SessionPhase::Ready | SessionPhase::Loading | SessionPhase::Pending)
        };
        self.look = heap.map(|heap| HeapLook {
            used: heap.used,
            fresh: heap.fresh,
            kept: own
                .sessions
                .iter()
                .filter(|session| session.backend == heap.backend && stays(session.phase))
                .map(|session| session.memory_bytes)
                .sum(),
            limit: heap.limit,
            calm: options.memory.pressure.shares.elevated * (1.0 - options.memory.pressure.margin),
        });
        self.idle = own
            .sessions
            .iter()
            .filter(|session| session.phase == SessionPhase::Ready && session.leases == 0)
            .count();
        told.push(BrowserMemory {
            worker,
            browser: name,
            level: self.level,
            resident_bytes: self.resident,
            heap_bytes: heap.map(|heap| heap.used),
            heap_limit_bytes: heap.map(|heap| heap.limit),
            page_bytes: page.memory().page_bytes,
        });
        true
    }

    /// Notes memory for the recycler, at times that spread its readings over twice the span that it asks for.
    fn note(&mut self, now: Instant, resident: Option<u64>, options: &RecoveryOptions) {
        let config = &options.recycle.config;
        let readings = u32::try_from(config.least_readings).unwrap_or(u32::MAX).max(1);
        let gap = (config.least_span / readings).min(Duration::from_secs(60)) / 2;
        if let Some(resident) = resident
            && self.noted.is_none_or(|last| now.duration_since(last) >= gap)
        {
            self.noted = Some(now);
            self.recycler.memory(now.into_std(), resident);
        }
    }

    fn tell_refusing(&mut self, shared: &Arc<Shared>) {
        let refuses = self.level >= PressureLevel::Elevated;
        if refuses == self.refusing {
            return;
        }
        self.refusing = refuses;
        let relief = if refuses { Relief::LoadsRefused } else { Relief::LoadsAdmitted };
        let source = self.source.unwrap_or(PressureSource::Relieved);
        emit(shared, Event::MemoryRelieved { worker: self.worker, relief, level: self.level, source });
    }

    /// Why something is done about it.
    pub(super) fn why(&self) -> Why {
        Why { level: self.level, source: self.source.unwrap_or(PressureSource::NoRoom) }
    }

    /// What there is to decide by, but for the others.
    pub(super) fn look(&self, short: Option<u64>, browsers: usize, options: &RecoveryOptions) -> Look {
        Look {
            level: self.level,
            source: self.source,
            short,
            heap: self.look,
            idle: self.idle,
            settled: true,
            refreshed: self.refreshed.is_some(),
            relaunched: self.relaunched.is_some(),
            browsers,
            least_browsers: options.memory.least_browsers,
        }
    }

    /// Whether its own heap is what is scarce, and not something that it shares with others.
    pub(super) fn is_heap_bound(&self) -> bool {
        self.source.is_none_or(|source| source == PressureSource::WasmHeap)
    }

    /// Whether it is to be replaced, and how.
    pub(super) fn plan(&mut self, shared: &Arc<Shared>, now: Instant, machine: PressureLevel) -> Plan {
        if self.patient.succeeded.load(Ordering::Acquire) {
            return Plan::Keep;
        }
        let spare = if machine == PressureLevel::Critical { Spare::NoRoom } else { Spare::None };
        let plan = self.recycler.plan(now.into_std(), spare, self.busy);
        if let Some(cause) = cause(plan)
            && !std::mem::replace(&mut self.due, true)
        {
            emit(shared, Event::RecycleDue { worker: self.worker, cause });
        }
        plan
    }
}

fn cause(plan: Plan) -> Option<RecycleCause> {
    match plan {
        Plan::StartSpareFirst { why } | Plan::Drain { why, .. } | Plan::Recycle { why } => Some(why),
        _ => None,
    }
}
