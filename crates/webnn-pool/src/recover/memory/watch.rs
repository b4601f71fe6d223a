//! The watch over memory: one task for all browsers.

use std::sync::Arc;

use recovery::{Plan, PressureLevel};
use telemetry::{Event, PressureSource, Relief};
use tokio::time::{Instant, MissedTickBehavior};

use super::acts::emit;
use super::course::Act;
use super::order::{Order, Why};
use super::reading::{Pictures, look};
use super::reconcile::Reconciler;
use super::spare::{begin_growing, begin_replacing, has_room};
use super::ward::{Machine, Ward};
use crate::recover::Shared;

/// Reads memory again and again until everything stops, and acts on it: one thing at a time, then a fresh look.
pub(crate) async fn watch_memory(shared: Arc<Shared>) {
    let options = &shared.options;
    if !(options.memory.enabled || options.recycle.enabled || options.reconcile.enabled) {
        return;
    }
    let stop = shared.stop.clone();
    let mut rounds = tokio::time::interval(options.memory.interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = rounds.tick() => {}
        }
        let Some(mark) = shared.bridge.upgrade().map(|bridge| bridge.mark().to_owned()) else { return };
        let Ok(pictures) = tokio::task::spawn_blocking(move || look(&mark)).await else { continue };
        if stop.is_cancelled() {
            return;
        }
        watch.round(&shared, Instant::now(), &pictures);
    }
}

#[derive(Debug, Default)]
struct Watch {
    wards: Vec<Ward>,
    reconciler: Reconciler,
    /// When something was done last whose effect on the machine takes a while to show.
    heavy: Option<Instant>,
    /// When a browser was ended for want of memory, or launched again.
    sized: Option<Instant>,
    /// Whether reading failed the last time.
    failing: bool,
}

impl Watch {
    fn round(&mut self, shared: &Arc<Shared>, now: Instant, pictures: &Pictures) {
        self.complain(shared, pictures);
        let patients = shared.patients();
        self.wards.retain(|ward| !ward.patient.is_over());
        for patient in patients.into_iter().filter(|patient| !patient.is_over()) {
            if !self.wards.iter().any(|ward| Arc::ptr_eq(&ward.patient, &patient)) {
                self.wards.extend(Ward::new(patient, &shared.options, now));
            }
        }
        let memory = shared.options.memory.enabled;
        if memory {
            shared.recovery.memory(&pictures.machine);
        }
        let (level, source) = shared.recovery.pressure();
        let machine = Machine { reading: pictures.machine, level, source };
        if memory {
            // A page that is loaded anew joins between two looks, and must not load what nobody else may.
            shared.pool.machine_memory(level, pictures.machine);
        }
        let stats = shared.pool.stats().core.workers;
        let (mut present, mut told) = (Vec::new(), Vec::new());
        for (index, ward) in self.wards.iter_mut().enumerate() {
            if ward.read(shared, now, &machine, pictures, &stats, &mut told) {
                present.push(index);
            }
        }
        *shared.memory.lock() = told;
        if shared.options.recycle.enabled {
            self.recycle(shared, now, level, &present);
        }
        if memory {
            self.relieve(shared, now, &present);
            self.grow(shared, now, level);
        }
        self.reconciler.round(shared, now, &pictures.processes);
    }

    /// A failure to read is told once, until reading works again.
    fn complain(&mut self, shared: &Arc<Shared>, pictures: &Pictures) {
        let failed = pictures.error.is_some();
        if let Some(error) = pictures.error.as_ref().filter(|_| !self.failing) {
            tracing::warn!(error = error as &dyn std::error::Error, "memory could not be read");
            let detail = error.to_string().chars().take(300).collect::<String>().into();
            emit(shared, Event::Orphan { operation: "read memory", worker: None, detail });
        }
        self.failing = failed;
    }

    fn recycle(&mut self, shared: &Arc<Shared>, now: Instant, level: PressureLevel, present: &[usize]) {
        for &index in present {
            let ward = &mut self.wards[index];
            match ward.plan(shared, now, level) {
                Plan::StartSpareFirst { why } if has_room(level) && !ward.patient.desk.is_taken() => {
                    begin_replacing(shared, &ward.patient, why);
                }
                // There is no room for two at once.
                Plan::Drain { covered: false, .. } | Plan::Recycle { .. } => {
                    ward.patient.desk.leave(Order::Relaunch(None));
                }
                _ => {}
            }
        }
    }

    /// Does one thing about the worst that is seen, if something is to be done.
    fn relieve(&mut self, shared: &Arc<Shared>, now: Instant, present: &[usize]) {
        if self.wards.iter().any(|ward| ward.patient.desk.is_taken()) {
            return;
        }
        let options = &shared.options;
        let short = shared.pool.short_of_memory();
        let browsers = present.len();
        let mut order = present.to_vec();
        order.sort_by_key(|&index| {
            let ward = &self.wards[index];
            std::cmp::Reverse((ward.level, ward.resident))
        });
        let settled =
            |last: Option<Instant>| last.is_none_or(|last| now.duration_since(last) >= options.memory.settle);
        for index in order {
            let ward = &self.wards[index];
            let needs = short.iter().find(|(worker, _)| *worker == ward.worker).map(|(_, needs)| *needs);
            let mut look = ward.look(needs, browsers, options);
            let last = if ward.is_heap_bound() { ward.refreshed } else { self.heavy };
            look.settled = settled(last);
            let Some(act) = look.next() else { continue };
            let ward = &mut self.wards[index];
            if ward.act(shared, now, act) {
                match act {
                    Act::Evict => {}
                    Act::Refresh | Act::Relaunch => self.heavy = Some(now),
                    Act::Shrink => (self.heavy, self.sized) = (Some(now), Some(now)),
                }
                return;
            }
        }
    }

    /// Launches again what was ended for want of memory, once there is memory, one browser after the other.
    fn grow(&mut self, shared: &Arc<Shared>, now: Instant, level: PressureLevel) {
        let calm = level == PressureLevel::Normal && shared.launching.has_shelved();
        let soon = self.sized.is_some_and(|at| now.duration_since(at) < shared.options.memory.settle);
        if calm && !soon {
            let why = Why { level, source: PressureSource::Relieved };
            if begin_growing(shared, why) {
                self.sized = Some(now);
            }
        }
    }
}

impl Ward {
    /// Does it, or has it done. Answers whether it could be.
    fn act(&mut self, shared: &Arc<Shared>, now: Instant, act: Act) -> bool {
        let why = self.why();
        let done = match act {
            Act::Evict => {
                let evicted = shared.pool.relieve(self.worker).is_some();
                if evicted {
                    self.patient.tell(self.worker, Relief::SessionEvicted, why);
                }
                evicted
            }
            Act::Refresh => self.patient.desk.leave(Order::Refresh(why)),
            Act::Relaunch => self.patient.desk.leave(Order::Relaunch(Some(why))),
            Act::Shrink => self.patient.desk.leave(Order::Shrink(why)),
        };
        if done {
            match act {
                Act::Refresh => self.refreshed = Some(now),
                Act::Relaunch => self.relaunched = Some(now),
                Act::Evict | Act::Shrink => {}
            }
            tracing::info!(worker = %self.worker, ?act, level = %why.level, source = %why.source, "memory is scarce");
        }
        done
    }
}
