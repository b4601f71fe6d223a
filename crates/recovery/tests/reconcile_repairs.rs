//! Random worlds in which something does not fit together: what is repaired is wrong, what is young is left alone, and
//! after the repairs everything fits.

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;
use recovery::{
    PoolMap, ProcessKey, ProcessTable, Repair, SocketId, SocketRow, Sockets, WorkerRow, reconcile,
};
use support::{secs, start};
use telemetry::RepairKind;
use vocab::WorkerId;

const fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, started: 1 }
}

#[derive(Debug, Clone, Default)]
struct World {
    processes: ProcessTable,
    pool: PoolMap,
    sockets: Sockets,
}

impl World {
    fn whole(workers: u64, since: Instant) -> Self {
        let mut world = Self::default();
        for n in 0..workers {
            let key = process(n as u32);
            world.processes.insert(key, since);
            world.pool.insert(WorkerId(n), WorkerRow { process: Some(key), since });
            world.sockets.insert(SocketId(n), SocketRow { worker: Some(WorkerId(n)), since });
        }
        world
    }

    fn repairs(&self, now: Instant) -> Vec<Repair> {
        reconcile(now, &self.processes, &self.pool, &self.sockets, secs(30))
    }

    fn apply(&mut self, repair: Repair) {
        match repair {
            Repair::RemoveWorker { worker, .. } => _ = self.pool.remove(&worker),
            Repair::CloseSocket { socket, .. } => _ = self.sockets.remove(&socket),
            Repair::KillProcess { process } => _ = self.processes.remove(&process),
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut World, Instant), expected: &[Repair]) {
    let since = start();
    let now = since + secs(60);
    let mut world = World::whole(2, since);
    change(&mut world, now);
    assert_eq!(world.repairs(now), expected);
}

#[test]
fn a_world_that_fits_is_left_alone() {
    check(|_, _| {}, &[]);
}

#[test]
fn an_orphan_process_is_killed_unless_it_is_young() {
    check(
        |w, now| {
            w.processes.insert(process(9), now - secs(30));
        },
        &[Repair::KillProcess { process: process(9) }],
    );
    check(
        |w, now| {
            w.processes.insert(process(9), now - secs(29));
        },
        &[],
    );
}

#[test]
fn a_dead_worker_goes_with_its_socket() {
    let worker = WorkerId(1);
    let kind = RepairKind::DeadWorker;
    let expected = [
        Repair::RemoveWorker { worker, kind },
        Repair::CloseSocket { socket: SocketId(1), worker: Some(worker) },
    ];
    check(
        |w, _| {
            w.processes.remove(&process(1));
        },
        &expected,
    );
    // The same process id, but another process.
    let other = ProcessKey { pid: 1, started: 2 };
    let mut all = expected.to_vec();
    all.push(Repair::KillProcess { process: other });
    check(
        |w, now| {
            w.processes.remove(&process(1));
            w.processes.insert(other, now - secs(40));
        },
        &all,
    );
}

#[test]
fn a_worker_without_a_socket_goes_with_its_process() {
    let kind = RepairKind::UnreachableWorker;
    let expected =
        [Repair::RemoveWorker { worker: WorkerId(0), kind }, Repair::KillProcess { process: process(0) }];
    check(
        |w, _| {
            w.sockets.remove(&SocketId(0));
        },
        &expected,
    );
}

#[test]
fn what_belongs_to_a_ghost_goes_with_it_however_young_it_is() {
    let kind = RepairKind::UnreachableWorker;
    let expected =
        [Repair::RemoveWorker { worker: WorkerId(0), kind }, Repair::KillProcess { process: process(0) }];
    check(
        |w, now| {
            w.sockets.remove(&SocketId(0));
            w.processes.insert(process(0), now);
        },
        &expected,
    );
}

#[test]
fn a_socket_that_nobody_knows_is_closed() {
    let stray = |worker, since| SocketRow { worker, since };
    let closed = |worker| [Repair::CloseSocket { socket: SocketId(7), worker }];
    check(
        |w, now| {
            w.sockets.insert(SocketId(7), stray(None, now - secs(31)));
        },
        &closed(None),
    );
    let gone = Some(WorkerId(99));
    check(
        |w, now| {
            w.sockets.insert(SocketId(7), stray(gone, now - secs(31)));
        },
        &closed(gone),
    );
    check(
        |w, now| {
            w.sockets.insert(SocketId(7), stray(None, now));
        },
        &[],
    );
}

#[test]
fn a_worker_that_runs_elsewhere_needs_no_process_of_ours() {
    check(
        |w, _| {
            w.processes.remove(&process(1));
            if let Some(row) = w.pool.get_mut(&WorkerId(1)) {
                row.process = None;
            }
        },
        &[],
    );
}

fn world(now: Instant) -> impl Strategy<Value = World> {
    let age = || 0..60_u64;
    let processes = prop::collection::btree_map(0..8_u32, age(), 0..8);
    let pool = prop::collection::btree_map(0..8_u64, (prop::option::of(0..8_u32), age()), 0..8);
    let sockets = prop::collection::btree_map(0..10_u64, (prop::option::of(0..8_u64), age()), 0..10);
    (processes, pool, sockets).prop_map(move |(processes, pool, sockets)| World {
        processes: processes.into_iter().map(|(pid, age)| (process(pid), now - secs(age))).collect(),
        pool: pool
            .into_iter()
            .map(|(id, (pid, age))| {
                (WorkerId(id), WorkerRow { process: pid.map(process), since: now - secs(age) })
            })
            .collect(),
        sockets: sockets
            .into_iter()
            .map(|(id, (worker, age))| {
                (SocketId(id), SocketRow { worker: worker.map(WorkerId), since: now - secs(age) })
            })
            .collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn repairs_are_right_and_enough(world in world(start() + secs(1_000)), later in 0..100_u64) {
        let now = start() + secs(1_000 + later);
        let mut after = world.clone();
        let repairs = world.repairs(now);
        let unique: BTreeSet<_> = repairs.iter().copied().collect();
        prop_assert_eq!(unique.len(), repairs.len(), "each once");
        for &repair in &repairs {
            if let Repair::RemoveWorker { worker, kind } = repair {
                let row = world.pool[&worker];
                let dead = row.process.is_some_and(|process| !world.processes.contains_key(&process));
                let cut = world.sockets.values().all(|socket| socket.worker != Some(worker));
                let shown = if kind == RepairKind::DeadWorker { dead } else { cut };
                prop_assert!(shown);
                prop_assert!(now - row.since >= secs(30), "it is too young to judge");
            }
            after.apply(repair);
        }
        prop_assert_eq!(after.repairs(now), []);
        // Everybody who is left has what he needs, or is young.
        for (worker, row) in &after.pool {
            let fits = row.process.is_none_or(|process| after.processes.contains_key(&process))
                && after.sockets.values().any(|socket| socket.worker == Some(*worker));
            prop_assert!(fits || now - row.since < secs(30));
        }
    }
}
