//! The events and the causes that they carry.

use std::sync::Arc;

use serde::Serialize;
use vocab::{
    Backend, BrowserName, FailureKind, Fault, ModelHash, PressureLevel, RequestId, Rung, SessionId, WorkerId,
};

use crate::recovery::{
    BreakerCause, BreakerState, Guarded, PressureSource, RecoveryEnd, RecycleCause, Relief, RepairKind,
    RungOutcome,
};

/// Declares an enum of causes: fieldless, each with one name, usable as a counter's label.
macro_rules! causes {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every cause, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name used in JSON and as a counter's label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use causes;

causes! {
    /// Why a worker left the pool.
    LeaveCause {
        /// Its owner took it away in an orderly fashion.
        Retired = "retired",
        /// Its connection closed.
        Disconnected = "disconnected",
        /// Its browser or its page crashed.
        Crashed = "crashed",
        /// It did not confirm a cancellation, a load or an unload in time.
        Unresponsive = "unresponsive",
        /// A call to it found nobody there.
        Vanished = "vanished",
        /// Its owner dropped the membership without a word.
        Dropped = "dropped",
        /// Its answers were wrong.
        Quarantined = "quarantined",
        /// It works, and another one has taken its place.
        Recycled = "recycled",
        /// It works, and starts anew to give its memory back.
        Relieved = "relieved",
        /// The pool shut down.
        Shutdown = "shutdown",
    }
}

causes! {
    /// What a check of a worker's numbers showed.
    CheckOutcome {
        /// They are what they should be.
        Right = "right",
        /// They are wrong: a run whose answer is known gave another one.
        WrongByCanary = "wrong_by_canary",
        /// They are wrong: another worker answered the same request differently, and was found to be right.
        WrongBySpotCheck = "wrong_by_spot_check",
        /// They are wrong: a model that was just loaded does not give the known answer. Nobody was served by it.
        WrongOnLoad = "wrong_on_load",
        /// Two workers disagree, and nothing tells who is right.
        Undecided = "undecided",
    }
}

causes! {
    /// Why a loaded model was dropped from a worker that stayed.
    EvictCause {
        /// Its memory was needed for another model; it was the least recently used one.
        Memory = "memory",
        /// The worker held as many sessions as it may.
        SessionLimit = "session_limit",
        /// The device that it was on was lost, or an allocation in it failed.
        Broken = "broken",
        /// The page said that it no longer has it.
        Missing = "missing",
        /// Somebody asked for it.
        Requested = "requested",
        /// Memory was scarce, and it was the least valuable one that nobody used.
        Pressure = "pressure",
    }
}

causes! {
    /// Why a request was not accepted.
    RejectReason {
        /// The queue was at its capacity.
        QueueFull = "queue_full",
        /// The inputs do not fit the model's signature.
        InvalidInput = "invalid_input",
        /// No worker could ever serve it.
        NoWorker = "no_worker",
        /// The model needs more memory than any matching worker has.
        ModelTooLarge = "model_too_large",
        /// The pool is closing.
        ShuttingDown = "shutting_down",
    }
}

causes! {
    /// Why an accepted request was put back into the queue.
    RetryCause {
        /// Its worker left.
        WorkerLost = "worker_lost",
        /// The worker ran out of memory.
        OutOfMemory = "out_of_memory",
        /// The worker's device was lost.
        DeviceLost = "device_lost",
        /// The page no longer had the session.
        NoSuchSession = "no_such_session",
        /// The backend could not take the model, and the caller allowed another one.
        Fallback = "fallback",
        /// The call ended as cancelled although nobody had cancelled it.
        Interrupted = "interrupted",
        /// It had been sent where little was known, to learn something, and that went wrong.
        Exploration = "exploration",
        /// A guest had failed it, or had left with it: one of the owner's workers does it.
        Guest = "guest",
    }
}

causes! {
    /// How an accepted request ended.
    Outcome {
        /// With its result.
        Completed = "completed",
        /// Its caller went away.
        Cancelled = "cancelled",
        /// Its deadline passed.
        DeadlineExceeded = "deadline_exceeded",
        /// The model could not be loaded.
        LoadFailed = "load_failed",
        /// The page reported that the run failed.
        InferenceFailed = "inference_failed",
        /// Its workers left, as often as it may be tried.
        WorkersLost = "workers_lost",
        /// No worker was left that could serve it.
        NoWorker = "no_worker",
        /// The pool shut down.
        ShuttingDown = "shutting_down",
    }
}

causes! {
    /// Why somebody who wanted to join as a guest, or a guest, was refused.
    GuestRefusal {
        /// No invitation has this code.
        WrongCode = "wrong_code",
        /// The code has let somebody in already.
        UsedCode = "used_code",
        /// The code was not used in time.
        ExpiredCode = "expired_code",
        /// There were too many attempts lately.
        TooManyAttempts = "too_many_attempts",
        /// There are as many guests as there may be.
        Full = "full",
        /// The request came from a page of another origin.
        ForeignOrigin = "foreign_origin",
        /// The token has let a page in already, or its guest is gone.
        ReplayedToken = "replayed_token",
        /// A guest asked for a model that guests do not get.
        ModelNotAllowed = "model_not_allowed",
        /// Its backends do not compute what they should.
        NotProved = "not_proved",
    }
}

causes! {
    /// Why a guest is gone.
    GuestEnd {
        /// It said goodbye.
        Left = "left",
        /// It went away without a word, and did not come back in time.
        Lost = "lost",
        /// What it computed was wrong, or it did not keep to the protocol: it may not come back.
        PutOut = "put_out",
        /// The pool shut down.
        Shutdown = "shutdown",
    }
}

causes! {
    /// Why observations could not be written to the history.
    StallCause {
        /// There is no room on the disk.
        Full = "full",
        /// The server could not be reached.
        Unreachable = "unreachable",
        /// The database is damaged, or of another version.
        Unusable = "unusable",
        /// The database failed in another way.
        Failed = "failed",
    }
}

/// Where something was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "it is the key of the latency histograms, whole by design")]
pub struct Place {
    /// The worker.
    pub worker: WorkerId,
    /// Its browser.
    pub browser: BrowserName,
    /// The backend within it.
    pub backend: Backend,
}

/// One thing that happened. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A worker joined.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// Its browser.
        browser: BrowserName,
        /// The browser's version, as it says itself.
        browser_version: Arc<str>,
        /// How many requests it takes at once.
        slots: u32,
    },
    /// A worker left.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
        /// Why.
        cause: LeaveCause,
    },
    /// A model began to load.
    SessionLoading {
        /// The new session.
        session: SessionId,
        /// The model.
        model: ModelHash,
        /// Where.
        place: Place,
    },
    /// A model finished loading.
    SessionLoaded {
        /// The session.
        session: SessionId,
        /// The model.
        model: ModelHash,
        /// Where.
        place: Place,
        /// How long it took, as the page measured it.
        load_ms: f64,
    },
    /// A model could not be loaded.
    SessionLoadFailed {
        /// The session that did not come to be.
        session: SessionId,
        /// The model.
        model: ModelHash,
        /// Where.
        place: Place,
        /// What the page reported; `None` where the page did not answer.
        kind: Option<FailureKind>,
    },
    /// A loaded model was dropped.
    SessionEvicted {
        /// The session.
        session: SessionId,
        /// Where it was.
        worker: WorkerId,
        /// Why.
        cause: EvictCause,
    },
    /// A request was accepted into the queue.
    RequestAccepted {
        /// The request.
        request: RequestId,
        /// Its model.
        model: ModelHash,
        /// How many requests were queued before it.
        queued: u64,
    },
    /// A request was not accepted.
    RequestRejected {
        /// Why.
        reason: RejectReason,
    },
    /// A request was sent to a worker.
    RequestDispatched {
        /// The request.
        request: RequestId,
        /// Where to.
        place: Place,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// A request went back into the queue.
    RequestRetried {
        /// The request.
        request: RequestId,
        /// The worker that did not answer it.
        worker: WorkerId,
        /// Why.
        cause: RetryCause,
    },
    /// A request ended.
    RequestFinished {
        /// The request.
        request: RequestId,
        /// Its model.
        model: ModelHash,
        /// How it ended.
        outcome: Outcome,
        /// Where it was last sent; `None` where it never was.
        place: Option<Place>,
        /// From acceptance to the last dispatch, or to the end where it was never dispatched.
        queue_ms: f64,
        /// What the page spent computing; `None` without a result.
        in_page_ms: Option<f64>,
        /// From acceptance to the end.
        total_ms: f64,
    },
    /// Something failed that no caller waits for.
    Orphan {
        /// Which operation failed, for example `unload`.
        operation: &'static str,
        /// The worker concerned, if any.
        worker: Option<WorkerId>,
        /// The error's own text, cut to a few hundred bytes by whoever emits it.
        detail: Arc<str>,
    },
    /// Observations can no longer be written to the history. They are kept, as many as there is room for, and tried
    /// again; nothing more is said until that works.
    HistoryStalled {
        /// Why.
        cause: StallCause,
        /// The error's own text, cut to a few hundred bytes by whoever emits it.
        detail: Arc<str>,
        /// How many observations wait to be written.
        waiting: u64,
    },
    /// Observations are written to the history again.
    HistoryResumed {
        /// How long they were not.
        stalled_ms: f64,
        /// How many observations were lost meanwhile, because too many waited already.
        lost: u64,
    },
    /// Something is in trouble, and its recovery began.
    RecoveryStarted {
        /// The worker.
        worker: WorkerId,
        /// Its browser; `None` where it is something else.
        browser: Option<BrowserName>,
        /// What is wrong.
        fault: Fault,
    },
    /// One rung of a recovery was tried.
    RungTried {
        /// The worker.
        worker: WorkerId,
        /// What was wrong.
        fault: Fault,
        /// What was tried.
        rung: Rung,
        /// How that ended.
        outcome: RungOutcome,
        /// How long it took, with its proof.
        took_ms: f64,
    },
    /// A recovery ended.
    RecoveryEnded {
        /// The worker.
        worker: WorkerId,
        /// What was wrong at last.
        fault: Fault,
        /// How it ended.
        end: RecoveryEnd,
        /// The rung that was tried last; `None` where none was.
        rung: Option<Rung>,
        /// From its beginning to its end.
        took_ms: f64,
    },
    /// A worker's numbers were checked.
    Checked {
        /// The worker.
        worker: WorkerId,
        /// The model.
        model: ModelHash,
        /// What it showed.
        outcome: CheckOutcome,
        /// How far off the numbers are, where they are: the largest absolute difference.
        off: Option<f64>,
    },
    /// A circuit breaker moved.
    BreakerMoved {
        /// What it guards.
        guarded: Guarded,
        /// What it was.
        from: BreakerState,
        /// What it is.
        to: BreakerState,
        /// Why.
        cause: BreakerCause,
    },
    /// Memory became scarcer, or less scarce.
    PressureChanged {
        /// How scarce it was.
        from: PressureLevel,
        /// How scarce it is.
        to: PressureLevel,
        /// The reading that decided.
        source: PressureSource,
    },
    /// Something was done because memory is scarce, or because it is not any more.
    MemoryRelieved {
        /// The worker that it was done to.
        worker: WorkerId,
        /// What.
        relief: Relief,
        /// How scarce memory was for this worker.
        level: PressureLevel,
        /// The reading that decided.
        source: PressureSource,
    },
    /// A browser was replaced by another one, which had its models before it was asked for anything.
    WorkerReplaced {
        /// The worker that leaves.
        worker: WorkerId,
        /// The one that has taken over.
        by: WorkerId,
        /// Why.
        cause: RecycleCause,
        /// From the launch of the other one until it took over.
        took_ms: f64,
    },
    /// A browser that works is to be replaced.
    RecycleDue {
        /// The worker.
        worker: WorkerId,
        /// Why.
        cause: RecycleCause,
    },
    /// Processes, workers and connections did not fit together, and were made to.
    Repaired {
        /// What was repaired.
        kind: RepairKind,
        /// The worker concerned, if it is known.
        worker: Option<WorkerId>,
    },
    /// Somebody who wanted to join as a guest, or a guest, was refused something.
    GuestRefused {
        /// Why.
        cause: GuestRefusal,
    },
    /// A guest has joined, or is back.
    GuestCame {
        /// Its name.
        guest: Arc<str>,
        /// The worker that it is now.
        worker: WorkerId,
    },
    /// A guest is gone.
    GuestWent {
        /// Its name.
        guest: Arc<str>,
        /// Why.
        cause: GuestEnd,
    },
}
