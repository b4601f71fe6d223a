//! What is there against what we think is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use telemetry::{Event, RepairKind};
use vocab::WorkerId;

/// One process, for good: the system gives a process id to another process later, but not with the same start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a key, whole by design")]
pub struct ProcessKey {
    /// Its id.
    pub pid: u32,
    /// When it started, as the system tells it; in whatever unit, as long as it is always the same.
    pub started: u64,
}

/// One connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a newtype id")]
pub struct SocketId(pub u64);

/// A worker, as the pool knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever takes the picture builds it in full")]
pub struct WorkerRow {
    /// The process that leads its group; `None` where it runs elsewhere, and its process is not ours to see.
    pub process: Option<ProcessKey>,
    /// Since when it is in the pool.
    pub since: Instant,
}

/// A connection, as the server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever takes the picture builds it in full")]
pub struct SocketRow {
    /// Whose it is; `None` where that was never said.
    pub worker: Option<WorkerId>,
    /// Since when it is open.
    pub since: Instant,
}

/// The processes that carry our mark and lead a group, with the time since when each was seen.
pub type ProcessTable = BTreeMap<ProcessKey, Instant>;
/// The workers of the pool.
pub type PoolMap = BTreeMap<WorkerId, WorkerRow>;
/// The connections of the server.
pub type Sockets = BTreeMap<SocketId, SocketRow>;

/// Something to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Repair {
    /// Take a worker out of the pool.
    RemoveWorker {
        /// Which one.
        worker: WorkerId,
        /// [`RepairKind::DeadWorker`] or [`RepairKind::UnreachableWorker`].
        kind: RepairKind,
    },
    /// Close a connection.
    CloseSocket {
        /// Which one.
        socket: SocketId,
        /// Whose it was, if that was ever said.
        worker: Option<WorkerId>,
    },
    /// Kill a process and its group.
    KillProcess {
        /// Which one. Compare its start time again before killing.
        process: ProcessKey,
    },
}

impl Repair {
    /// As telemetry tells it.
    #[must_use]
    pub const fn event(&self) -> Event {
        let (kind, worker) = match *self {
            Self::RemoveWorker { worker, kind } => (kind, Some(worker)),
            Self::CloseSocket { socket: _, worker } => (RepairKind::StraySocket, worker),
            Self::KillProcess { process: _ } => (RepairKind::OrphanProcess, None),
        };
        Event::Repaired { kind, worker }
    }
}

/// Compares the three pictures, and says what to repair: workers first, then connections, then processes, so that no
/// request goes to what is about to be closed.
///
/// - A worker whose process is not there, or that has no connection, is removed: a ghost must hold no slot.
/// - A connection of nobody, or of a worker that is not there or is being removed, is closed.
/// - A process of no worker, or of one that is being removed, is killed with its group.
///
/// Nothing is done about what is younger than `grace`, because the pictures are not taken at one moment: a browser that
/// is being launched has a process before it has a worker, and a page that reconnects has a worker before it has its
/// new connection. After the repairs, the same comparison finds nothing more.
#[must_use]
pub fn reconcile(
    now: Instant,
    processes: &ProcessTable,
    pool: &PoolMap,
    sockets: &Sockets,
    grace: Duration,
) -> Vec<Repair> {
    let old = |since: Instant| now.saturating_duration_since(since) >= grace;
    let connected: BTreeSet<WorkerId> = sockets.values().filter_map(|socket| socket.worker).collect();
    let wrong = |(&worker, row): (&WorkerId, &WorkerRow)| {
        if !old(row.since) {
            None
        } else if row.process.is_some_and(|process| !processes.contains_key(&process)) {
            Some((worker, RepairKind::DeadWorker))
        } else if !connected.contains(&worker) {
            Some((worker, RepairKind::UnreachableWorker))
        } else {
            None
        }
    };
    let ghosts: BTreeMap<WorkerId, RepairKind> = pool.iter().filter_map(wrong).collect();
    let stays = |worker: &WorkerId| pool.contains_key(worker) && !ghosts.contains_key(worker);

    let mut repairs: Vec<Repair> =
        ghosts.iter().map(|(&worker, &kind)| Repair::RemoveWorker { worker, kind }).collect();
    repairs.extend(sockets.iter().filter_map(|(&socket, &SocketRow { worker, since })| {
        let known = worker.as_ref().is_some_and(stays);
        // What belonged to a ghost goes with it, however young it is.
        let haunted = worker.is_some_and(|worker| ghosts.contains_key(&worker));
        (haunted || (!known && old(since))).then_some(Repair::CloseSocket { socket, worker })
    }));
    let owned: BTreeSet<ProcessKey> =
        pool.iter().filter(|(worker, _)| stays(worker)).filter_map(|(_, row)| row.process).collect();
    let haunted: BTreeSet<ProcessKey> = ghosts.keys().filter_map(|ghost| pool.get(ghost)?.process).collect();
    repairs.extend(processes.iter().filter_map(|(&process, &since)| {
        let goes = !owned.contains(&process) && (haunted.contains(&process) || old(since));
        goes.then_some(Repair::KillProcess { process })
    }));
    repairs
}
