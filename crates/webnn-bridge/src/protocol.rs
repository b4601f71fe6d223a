//! The words of the wire protocol, version 1, as types. `docs/protocol.md` tells what they mean; `page/protocol.js` is
//! the page's side of the same table. Change all three together.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use vocab::{Backend, CachesAt, DeviceKind, FailureKind, SequenceId, SessionId, Step};

use crate::guest::{PauseCause, Standing};

/// The protocol's version. A page that speaks another one is refused at its hello.
pub const PROTOCOL_VERSION: u32 = 1;

/// The name of the WebSocket subprotocol that both connections select.
pub(crate) const SUBPROTOCOL: &str = "webnn-pool.1";

/// The subprotocol entry by which a page proves itself begins with this; the launch token follows.
pub(crate) const TOKEN_PREFIX: &str = "token.";

/// Close codes of our own. From 4000 on the page does not try to connect again.
pub(crate) mod close_code {
    /// The page should connect again, as a new worker.
    pub(crate) const START_AGAIN: u16 = 1012;
    /// The host is done with this page.
    pub(crate) const GOODBYE: u16 = 4000;
    /// From the page: it has heard nothing for too long, and tries another connection.
    pub(crate) const TRY_ANOTHER: u16 = 4408;
    /// The page speaks another version of the protocol, or does not keep to it.
    pub(crate) const PROTOCOL: u16 = 4400;
    /// The token of a guest is over.
    pub(crate) const OVER: u16 = 4401;
    /// A guest is put out.
    pub(crate) const PUT_OUT: u16 = 4403;
    /// Another page of the same guest is connected.
    pub(crate) const ANOTHER: u16 = 4409;
}

/// Kinds of frames on a data connection.
pub(crate) mod kind {
    pub(crate) const LOAD: u16 = 1;
    pub(crate) const RUN: u16 = 2;
    pub(crate) const UNLOAD: u16 = 3;
    pub(crate) const CANCEL: u16 = 4;
    pub(crate) const ECHO: u16 = 5;
    pub(crate) const RELEASE: u16 = 6;
    pub(crate) const LOADED: u16 = 0x81;
    pub(crate) const RESULT: u16 = 0x82;
    pub(crate) const UNLOADED: u16 = 0x83;
    pub(crate) const ECHOED: u16 = 0x85;
    pub(crate) const RELEASED: u16 = 0x86;
    pub(crate) const ERROR: u16 = 0xff;
}

/// What the page says of itself before anything is tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol version that the page speaks.
    pub protocol: u32,
    /// The name that the host gave the page when it was here before, where it has lost its connection and still has all
    /// that it had.
    #[serde(default)]
    pub resume: Option<String>,
    /// The browser's own description.
    pub user_agent: String,
    /// Whether the page may share memory between threads.
    pub cross_origin_isolated: bool,
    /// Whether the page may use WebGPU, WebNN and the cache.
    pub secure_context: bool,
    /// Logical processors that the browser admits to.
    pub hardware_concurrency: Option<u32>,
    /// Memory class of the device in GiB, where the browser tells.
    pub device_memory_gib: Option<f64>,
}

/// Whether a backend may serve on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// The golden model ran and its numbers were right.
    Admitted,
    /// The numbers were right, but something is missing: the reason tells what.
    Degraded,
    /// The backend is absent, failed, or computed wrong numbers: the reason tells which.
    Rejected,
}

/// What the page found when it executed the golden model on a backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the backend may serve.
    pub verdict: Admission,
    /// Why it is degraded or rejected.
    pub reason: Option<String>,
    /// The device that was asked for.
    pub device_requested: DeviceKind,
    /// The device that it ran on, as far as the browser lets the page know; nothing where it did not run.
    pub device_effective: Option<DeviceKind>,
    /// The adapter's own description.
    pub adapter: Option<String>,
    /// Whether the adapter is software.
    pub software: bool,
    /// Threads that the runtime uses.
    pub threads: u32,
    /// Largest absolute error of the golden model's output.
    pub max_abs_error: Option<f64>,
    /// Time that the probe took, in milliseconds, the runtime's start included.
    pub probe_ms: f64,
}

/// Control messages from the page.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum FromPage {
    Hello(Hello),
    Pong {
        n: u64,
    },
    Engine {
        backend: Backend,
        #[serde(flatten)]
        verdict: Verdict,
    },
    Ready,
    /// How much memory the page takes, told whenever that has changed.
    Memory {
        /// The WebAssembly heap of each engine, in bytes.
        #[serde(default)]
        heaps: BTreeMap<Backend, u64>,
        /// The page's own memory in bytes, where the browser tells.
        #[serde(default)]
        page_bytes: Option<u64>,
    },
    EngineReset {
        backend: Backend,
        reason: String,
    },
    EngineLost {
        backend: Backend,
        reason: String,
    },
    Fault {
        message: String,
    },
    /// A guest wants no new work for a while.
    Pause {
        cause: PauseCause,
    },
    /// A guest goes on.
    Work,
    /// A guest wants to go.
    Leave,
    /// A message of a newer page; it is logged and passed over.
    #[serde(other)]
    Unknown,
}

/// Control messages to the page.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToPage {
    Welcome {
        worker: String,
        /// By what the page is known when it comes back.
        page: String,
        /// Whether the page is the one that was here before, so that its engines go on. Otherwise it starts afresh.
        resumed: bool,
        backends: Vec<Backend>,
        devices: BTreeMap<Backend, DeviceKind>,
        threads: u32,
        /// Whether the host knows that every graphics adapter of that machine is software.
        software_graphics: bool,
        /// The longest frame that may be sent.
        max_frame_bytes: u64,
        /// What the WebAssembly heap of an engine may grow to, in bytes.
        wasm_heap_bytes: u64,
        /// After how long without a word either side may take the other for gone.
        silence_ms: u64,
        runtime: String,
        /// What opens a guest's next control connection.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// What a guest's data connections and downloads prove themselves by.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// How a guest does.
    Standing(Standing),
    /// Load the page anew.
    Reload,
    Ping {
        n: u64,
    },
    ResetEngine {
        backend: Backend,
    },
}

/// Metadata of a `LOAD` frame.
#[derive(Debug, Serialize)]
pub(crate) struct LoadMeta<'a> {
    pub(crate) session: SessionId,
    /// The model file first, then its external data.
    pub(crate) files: Vec<FileMeta<'a>>,
    /// Static sizes for symbolic dimensions.
    pub(crate) dims: BTreeMap<&'a str, u64>,
    /// What the session keeps from step to step.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) caches: &'a [pool_core::Cache],
}

/// One file of a model.
#[derive(Debug, Serialize)]
pub(crate) struct FileMeta<'a> {
    pub(crate) path: &'a str,
    pub(crate) hash: vocab::ModelHash,
    pub(crate) bytes: u64,
}

/// Metadata of a `LOADED` frame.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadedMeta {
    pub(crate) load_ms: f64,
    pub(crate) fetch_ms: f64,
    pub(crate) create_ms: f64,
    pub(crate) source: String,
    pub(crate) placement: BTreeMap<String, u32>,
    /// The number of nodes by provider and type of operator, where several providers have a part of the model.
    #[serde(default)]
    pub(crate) operators: BTreeMap<String, BTreeMap<String, u32>>,
    pub(crate) heap_bytes: u64,
    pub(crate) heap_growth_bytes: u64,
}

/// Metadata of a `RUN` frame.
#[derive(Debug, Serialize)]
pub(crate) struct RunMeta<'a> {
    pub(crate) session: SessionId,
    /// Whether other calls were on their way when this one was sent. The page then looks for a cancellation first.
    pub(crate) queued: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outputs: Option<&'a [std::sync::Arc<str>]>,
    /// The step of a sequence that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<Step>,
}

/// Metadata of a `RELEASE` frame.
#[derive(Debug, Serialize)]
pub(crate) struct ReleaseMeta {
    pub(crate) session: SessionId,
    pub(crate) sequence: SequenceId,
}

/// Metadata of an `UNLOAD` frame.
#[derive(Debug, Serialize)]
pub(crate) struct UnloadMeta {
    pub(crate) session: SessionId,
}

/// Metadata of a `RESULT` frame.
#[derive(Debug, Deserialize)]
pub(crate) struct ResultMeta {
    pub(crate) in_page_ms: f64,
    /// What the session's caches hold now, where the run was a step.
    #[serde(default)]
    pub(crate) caches: Option<CachesAt>,
    /// When the parts of the run were. A result is one without them too.
    #[serde(default)]
    pub(crate) marks: Option<Told<PageMarks>>,
}

/// Something that the page may tell and that is passed over where it makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Told<T> {
    /// It has the form that it should have.
    Known(T),
    /// It has another one.
    Unknown(IgnoredAny),
}

/// When the parts of a run were, in milliseconds of the engine's own clock, whose zero is the engine's own affair.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct PageMarks {
    /// The engine had read the call.
    pub(crate) arrived_ms: f64,
    /// The session's run began.
    pub(crate) started_ms: f64,
    /// The session's run ended.
    pub(crate) ended_ms: f64,
    /// The engine began to send the answer.
    pub(crate) answered_ms: f64,
}

/// Metadata of an `ERROR` frame.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorMeta {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result with these marks is a result; whether its marks have the form that they should have.
    #[track_caller]
    fn check(marks: &str, known: bool) {
        let meta = format!(r#"{{"in_page_ms":1.5,"marks":{marks}}}"#);
        let ResultMeta { in_page_ms, caches, marks } = serde_json::from_str(&meta).expect("it is a result");
        assert_eq!((in_page_ms, caches), (1.5, None));
        assert_eq!(matches!(marks, Some(Told::Known(_))), known, "{marks:?}");
    }

    #[test]
    fn marks_without_sense_do_not_cost_the_result() {
        check(r#"{"arrived_ms":1,"started_ms":2.5,"ended_ms":3,"answered_ms":4}"#, true);
        check(r#"{"arrived_ms":1,"started_ms":2.5,"ended_ms":3,"answered_ms":4,"later":5}"#, true);
        // What `JSON.stringify` makes of NaN.
        check(r#"{"arrived_ms":null,"started_ms":2.5,"ended_ms":3,"answered_ms":4}"#, false);
        check(r#"{"arrived_ms":1}"#, false);
        check("null", false);
        check("\"soon\"", false);
        check("[[],{}]", false);
        let bare: ResultMeta = serde_json::from_str(r#"{"in_page_ms":1.5}"#).expect("it is a result");
        assert_eq!(bare.marks, None);
    }
}
