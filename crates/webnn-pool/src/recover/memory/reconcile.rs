//! Comparing processes, workers and connections now and then, and mending what does not fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pool_core::LeaveCause;
use recovery::{
    PoolMap, ProcessKey, ProcessTable, Repair, SocketId, SocketRow, Sockets, WorkerRow, reconcile,
};
use tokio::time::Instant;
use webnn_bridge::{Bridge, MarkedProcess, kill_process};

use super::acts::emit;
use crate::recover::Shared;
use crate::recover::patient::Patient;

/// What was seen, and when it was seen first.
#[derive(Debug, Default)]
pub(super) struct Reconciler {
    last: Option<Instant>,
    processes: BTreeMap<ProcessKey, Instant>,
    workers: BTreeMap<vocab::WorkerId, Instant>,
}

impl Reconciler {
    /// Compares, where it is time to.
    pub(super) fn round(&mut self, shared: &Arc<Shared>, now: Instant, processes: &[MarkedProcess]) {
        let options = &shared.options.reconcile;
        if !options.enabled || self.last.is_some_and(|last| now.duration_since(last) < options.interval) {
            return;
        }
        // Where there is no process table, it proves nothing.
        let Some(bridge) = shared.bridge.upgrade().filter(|_| !processes.is_empty()) else { return };
        self.last = Some(now);
        let patients = shared.patients();
        let connections = bridge.connections();
        let table = self.table(now, processes, &patients, &connections);
        let pool = self.pool(now, &patients, processes);
        let (sockets, labels) = sockets(&patients, &connections);
        let repairs = reconcile(now.into_std(), &table, &pool, &sockets, options.grace);
        for repair in repairs {
            if self.mend(&repair, &bridge, &patients, processes, &labels) {
                tracing::warn!(?repair, "processes, workers and connections did not fit together");
                emit(shared, repair.event());
            }
        }
    }

    /// The processes that lead a group and belong to a browser. Of a browser that is known only its driver counts: what
    /// else it starts is its own business.
    fn table(
        &mut self,
        now: Instant,
        processes: &[MarkedProcess],
        patients: &[Arc<Patient>],
        connections: &[(String, Option<Instant>)],
    ) -> ProcessTable {
        let drivers: BTreeSet<u32> = patients.iter().filter_map(|patient| patient.driver_id()).collect();
        let known: BTreeSet<&str> = connections.iter().map(|(label, _)| label.as_str()).collect();
        let counts = |process: &&MarkedProcess| {
            let stranger = process.browser.as_deref().is_some_and(|label| !known.contains(label));
            drivers.contains(&process.pid) || (process.leads() && stranger)
        };
        let keys: BTreeSet<ProcessKey> = processes.iter().filter(counts).map(key).collect();
        self.processes.retain(|key, _| keys.contains(key));
        for key in keys {
            self.processes.entry(key).or_insert(now);
        }
        self.processes.iter().map(|(key, since)| (*key, since.into_std())).collect()
    }

    /// The workers, each with the driver that started its browser.
    fn pool(&mut self, now: Instant, patients: &[Arc<Patient>], processes: &[MarkedProcess]) -> PoolMap {
        let serving: Vec<_> =
            patients.iter().filter_map(|patient| Some((patient.serving()?, patient))).collect();
        self.workers.retain(|worker, _| serving.iter().any(|(known, _)| known == worker));
        let row = |worker, patient: &Arc<Patient>, since: Instant| {
            let process = patient.driver_id().map(|pid| {
                let found = processes.iter().find(|process| process.pid == pid);
                // One that is not in the table any more has no start either, and so is nobody's.
                found.map_or(ProcessKey { pid, started: u64::MAX }, key)
            });
            (worker, WorkerRow { process, since: since.into_std() })
        };
        serving
            .into_iter()
            .map(|(worker, patient)| row(worker, patient, *self.workers.entry(worker).or_insert(now)))
            .collect()
    }

    /// Mends one thing. Answers whether there was something to mend.
    fn mend(
        &self,
        repair: &Repair,
        bridge: &Bridge,
        patients: &[Arc<Patient>],
        processes: &[MarkedProcess],
        labels: &BTreeMap<SocketId, String>,
    ) -> bool {
        match repair {
            Repair::RemoveWorker { worker, .. } => {
                let owner = patients.iter().find(|patient| patient.serving() == Some(*worker));
                owner.is_some_and(|patient| patient.put_out(LeaveCause::Vanished))
            }
            Repair::CloseSocket { socket, .. } => labels.get(socket).is_some_and(|label| {
                bridge.disconnect(label);
                true
            }),
            Repair::KillProcess { process } => {
                processes.iter().find(|found| key(found) == *process).is_some_and(kill_process)
            }
            _ => false,
        }
    }
}

fn key(process: &MarkedProcess) -> ProcessKey {
    ProcessKey { pid: process.pid, started: process.started }
}

/// The connections, each with the worker that it belongs to, and the labels of their launches.
fn sockets(
    patients: &[Arc<Patient>],
    connections: &[(String, Option<Instant>)],
) -> (Sockets, BTreeMap<SocketId, String>) {
    let mut sockets = Sockets::new();
    let mut labels = BTreeMap::new();
    for (number, (label, since)) in (0_u64..).zip(connections) {
        let Some(since) = since else { continue };
        let owner = patients.iter().find(|patient| patient.page().label() == label);
        // A worker that is being revived has none for a while, and its connection is not a stray one all the same.
        if owner.is_some_and(|patient| patient.serving().is_none()) {
            continue;
        }
        let worker = owner.and_then(|patient| patient.serving());
        sockets.insert(SocketId(number), SocketRow { worker, since: since.into_std() });
        labels.insert(SocketId(number), label.clone());
    }
    (sockets, labels)
}
