//! The causes that events of recovery carry.

use serde::Serialize;
use vocab::{Backend, BrowserName, ModelHash, WorkerId};

use crate::event::causes;

causes! {
    /// How the attempt of one rung ended.
    RungOutcome {
        /// It was done, and the worker proved that it works.
        Worked = "worked",
        /// It could not be done.
        Failed = "failed",
        /// It was done, but the worker did not prove that it works.
        Unproved = "unproved",
        /// It was neither done nor given up within its time.
        TimedOut = "timed_out",
        /// This worker does not have such a rung at all.
        Unavailable = "unavailable",
        /// It was dropped, because a fresh diagnosis showed that it could not help.
        Overtaken = "overtaken",
    }
}

causes! {
    /// How a recovery ended.
    RecoveryEnd {
        /// The worker works again, or another one has taken over.
        Recovered = "recovered",
        /// The time for the whole recovery was over.
        Deadline = "deadline",
        /// Every rung that could help was tried as often as it may be.
        Exhausted = "exhausted",
        /// No rung that was offered could help.
        NothingHelps = "nothing_helps",
        /// Whoever wanted it went away.
        Abandoned = "abandoned",
        /// The recovery layer was closed.
        Closed = "closed",
    }
}

causes! {
    /// What a circuit breaker lets through.
    BreakerState {
        /// Everything.
        Closed = "closed",
        /// Nothing.
        Open = "open",
        /// A few calls that show whether it can close.
        HalfOpen = "half_open",
    }
}

causes! {
    /// Why a circuit breaker moved.
    BreakerCause {
        /// It opened: that many calls in a row failed.
        ConsecutiveFailures = "consecutive_failures",
        /// It opened: too large a share of the calls failed.
        FailureRate = "failure_rate",
        /// It opened: too large a share of the calls was slow.
        SlowCalls = "slow_calls",
        /// It opened again: a call that should show whether it can close failed, or was slow.
        TrialFailed = "trial_failed",
        /// It opened: somebody knows better than its figures, for example because an answer was wrong.
        Forced = "forced",
        /// It became half open: its time was over.
        TimeOver = "time_over",
        /// It closed: enough calls worked.
        TrialsWorked = "trials_worked",
        /// It closed: what it guards was replaced.
        Reset = "reset",
    }
}

causes! {
    /// Which reading decided about the level of memory pressure.
    PressureSource {
        /// The share of time in which some task waited for memory, as the kernel tells.
        StallSome = "stall_some",
        /// The share of time in which all tasks waited for memory, as the kernel tells.
        StallFull = "stall_full",
        /// The control group's use of its limit.
        Cgroup = "cgroup",
        /// What the machine has left.
        System = "system",
        /// The browser's processes, against what they may take.
        Processes = "processes",
        /// The page's heap, against its limit.
        PageHeap = "page_heap",
        /// The WebAssembly heap, against its limit.
        WasmHeap = "wasm_heap",
        /// Nothing is scarce any more.
        Relieved = "relieved",
        /// A model that is waited for would not fit below the nearest limit.
        NoRoom = "no_room",
    }
}

causes! {
    /// What was done about memory.
    Relief {
        /// The worker loads no further models.
        LoadsRefused = "loads_refused",
        /// It loads models again.
        LoadsAdmitted = "loads_admitted",
        /// Its least valuable idle model was dropped.
        SessionEvicted = "session_evicted",
        /// Its page was loaded anew.
        PageRefreshed = "page_refreshed",
        /// Its browser was ended and launched again.
        BrowserRecycled = "browser_recycled",
        /// Its browser was ended, and the pool goes on without it until memory is there again.
        PoolShrunk = "pool_shrunk",
        /// A browser that had been ended for want of memory is there again.
        PoolGrown = "pool_grown",
    }
}

causes! {
    /// Why a browser is to be replaced although it works.
    RecycleCause {
        /// It has done as many tasks as it may.
        Tasks = "tasks",
        /// It is as old as it may get.
        Age = "age",
        /// Its memory grows, and that is no accident.
        Growth = "growth",
        /// Somebody asked for it.
        Requested = "requested",
    }
}

causes! {
    /// What did not fit together and was repaired.
    RepairKind {
        /// A process that no worker has was killed.
        OrphanProcess = "orphan_process",
        /// A worker without a process was removed.
        DeadWorker = "dead_worker",
        /// A worker without a connection was removed.
        UnreachableWorker = "unreachable_worker",
        /// A connection that no worker has was closed.
        StraySocket = "stray_socket",
    }
}

/// What a circuit breaker guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Guarded {
    /// One worker, whatever it runs.
    Worker {
        /// The worker.
        worker: WorkerId,
    },
    /// One model on one backend of one browser, whichever worker runs it.
    Arm {
        /// The model.
        model: ModelHash,
        /// The browser.
        browser: BrowserName,
        /// The backend.
        backend: Backend,
    },
}
