//! The pool's seam, over a page.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{LinkError, LoadCall, LoadReport, RunCall, RunReply, WorkerLink};
use tensor::frame::{self, Frame};
use tensor::{Bindings, Dim, NamedTensor, Signature};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Backend, DeviceKind, FailureKind, SequenceId, SessionId};

use super::call::{CallTerms, protocol_error};
use super::engine::Answer;
use super::page::Page;
use crate::protocol::{
    FileMeta, LoadMeta, LoadedMeta, ReleaseMeta, ResultMeta, RunMeta, Told, UnloadMeta, kind,
};

/// How long a page may take to drop a session.
const UNLOAD: Duration = Duration::from_secs(300);

impl WorkerLink for Page {
    async fn load(&self, call: LoadCall) -> Result<LoadReport, LinkError> {
        let LoadCall { session, model, backend, device, dims, deadline, cancel } = call;
        let engine = self.state.engine(backend, deadline).await?;
        let verdict = self.state.verdict(backend);
        // The device is a property of the engine: it was probed with it. Another one would need another engine.
        if let (Some(wanted), Some(verdict)) = (&device, &verdict)
            && *wanted != verdict.device_requested
        {
            return Err(LinkError::Reported {
                kind: FailureKind::BackendUnavailable,
                message: format!(
                    "{} has {backend} on {}, not on {wanted}",
                    self.label(),
                    verdict.device_requested
                ),
            });
        }
        if backend == Backend::WebNn {
            assert_static(&model.signature, &dims)?;
        }
        // The files stay in the store for as long as this load runs, and no longer.
        let _offered = self.state.store().offer(&model.files);
        let meta = LoadMeta {
            session,
            files: model
                .files
                .iter()
                .map(|file| FileMeta { path: &file.path, hash: file.hash, bytes: file.bytes })
                .collect(),
            dims: dims.iter().map(|(name, size)| (name.as_ref(), *size)).collect(),
            caches: &model.caches,
        };
        let id = self.state.next_call();
        let frame = self.encode(kind::LOAD, id, &meta, &[])?;
        let terms = CallTerms {
            answer: kind::LOADED,
            phase: "loading the model",
            usual: None,
            deadline,
            cancel: &cancel,
        };
        let answer = self.state.call(&engine, id, frame, terms).await?;
        let loaded: LoadedMeta = read_meta(&answer.frame)?;
        self.state.sessions.insert(session, self.state.loaded(backend, model.hash));
        let LoadedMeta {
            load_ms,
            fetch_ms,
            create_ms,
            source,
            placement,
            operators,
            heap_bytes,
            heap_growth_bytes,
        } = loaded;
        // Earlier here than over the control connection, and whoever loads next counts on it.
        self.state.memory().heap(backend, heap_bytes);
        let mut detail = serde_json::Map::new();
        detail.insert("fetch_ms".to_owned(), fetch_ms.into());
        detail.insert("create_ms".to_owned(), create_ms.into());
        detail.insert("model_source".to_owned(), source.into());
        detail.insert("heap_bytes".to_owned(), heap_bytes.into());
        if !operators.is_empty() {
            detail.insert("operators".to_owned(), serde_json::json!(operators));
        }
        Ok(LoadReport {
            load_ms,
            memory_bytes: Some(heap_growth_bytes),
            placement: placement.into_iter().collect(),
            device_requested: verdict.as_ref().map(|verdict| verdict.device_requested.clone()),
            device_effective: verdict.and_then(|verdict| verdict.device_effective).unwrap_or(DeviceKind::Cpu),
            detail,
        })
    }

    async fn run(&self, call: RunCall) -> Result<RunReply, LinkError> {
        let RunCall { request: _, session, inputs, outputs, step, deadline, cancel } = call;
        let engine = self.engine_of(session, deadline).await?;
        let id = self.state.next_call();
        let frame = self.encode(
            kind::RUN,
            id,
            &RunMeta { session, queued: engine.waiting() > 0, outputs: outputs.as_deref(), step },
            &inputs,
        )?;
        // The caller's tensors are in the frame now, which is kept until it is answered, in case it has to be sent again.
        drop(inputs);
        let bytes = frame.len() as u64;
        let loaded = self.state.sessions.get(&session).map(|loaded| loaded.clone());
        let usual = loaded.as_ref().and_then(|loaded| loaded.usual(bytes));
        let terms =
            CallTerms { answer: kind::RESULT, phase: "running the model", usual, deadline, cancel: &cancel };
        let Answer { frame: answer, sent, received } = self.state.call(&engine, id, frame, terms).await?;
        let ResultMeta { in_page_ms, caches, marks } = read_meta(&answer)?;
        // What the page computed, not what it had before, or how long it was away.
        if let (Some(loaded), Ok(took)) = (loaded, Duration::try_from_secs_f64(in_page_ms / 1e3)) {
            loaded.took(took, bytes);
        }
        let marks = match (sent, marks) {
            (Some(sent), Some(Told::Known(told))) => engine.align(sent, received, &told),
            _ => None,
        };
        Ok(RunReply { outputs: answer.tensors, in_page_ms, caches, marks })
    }

    async fn unload(&self, session: SessionId) -> Result<(), LinkError> {
        let (frame, answer) = ((kind::UNLOAD, UnloadMeta { session }), (kind::UNLOADED, "unloading a model"));
        self.drop_on_page(session, frame, answer).await?;
        self.state.sessions.remove(&session);
        Ok(())
    }

    async fn release(&self, session: SessionId, sequence: SequenceId) -> Result<(), LinkError> {
        let frame = (kind::RELEASE, ReleaseMeta { session, sequence });
        self.drop_on_page(session, frame, (kind::RELEASED, "dropping caches")).await
    }
}

impl Page {
    /// Has the page drop something of a session.
    async fn drop_on_page<M: serde::Serialize>(
        &self,
        session: SessionId,
        (kind, meta): (u16, M),
        (answer, phase): (u16, &'static str),
    ) -> Result<(), LinkError> {
        let deadline = Instant::now() + UNLOAD;
        let engine = self.engine_of(session, deadline).await?;
        let id = self.state.next_call();
        let frame = self.encode(kind, id, &meta, &[])?;
        let cancel = CancellationToken::new();
        let terms = CallTerms { answer, phase, usual: None, deadline, cancel: &cancel };
        self.state.call(&engine, id, frame, terms).await?;
        Ok(())
    }

    /// Sends tensors to the page's `backend` engine and back, unread: the cost of the way, without any computing.
    ///
    /// # Errors
    /// As for a run.
    pub async fn echo(
        &self,
        backend: Backend,
        tensors: &[NamedTensor],
        timeout: Duration,
    ) -> Result<Vec<NamedTensor>, LinkError> {
        let deadline = Instant::now() + timeout;
        let engine = self.state.engine(backend, deadline).await?;
        let id = self.state.next_call();
        let frame = self.encode(kind::ECHO, id, &serde_json::json!({}), tensors)?;
        let cancel = CancellationToken::new();
        let terms = CallTerms {
            answer: kind::ECHOED,
            phase: "echoing tensors",
            usual: None,
            deadline,
            cancel: &cancel,
        };
        Ok(self.state.call(&engine, id, frame, terms).await?.frame.tensors)
    }

    /// Builds a frame, unless it would be longer than the page accepts: nothing of such a call is sent, and no memory is
    /// taken for it.
    fn encode<M: serde::Serialize>(
        &self,
        kind: u16,
        id: u64,
        meta: &M,
        tensors: &[NamedTensor],
    ) -> Result<bytes::Bytes, LinkError> {
        let refused = |message: String| LinkError::Reported { kind: FailureKind::InvalidInput, message };
        let meta = serde_json::to_vec(meta).map_err(|error| refused(error.to_string()))?;
        let limit = self.state.limits().frame.max_frame_bytes;
        let payload: u64 = tensors.iter().map(|tensor| tensor.tensor.data().len() as u64).sum();
        if payload + meta.len() as u64 > limit {
            return Err(refused(format!(
                "the inputs take {payload} bytes, and a frame takes {limit} at most"
            )));
        }
        frame::encode(kind, id, &meta, tensors).map_err(|error| refused(error.to_string()))
    }

    async fn engine_of(
        &self,
        session: SessionId,
        deadline: Instant,
    ) -> Result<Arc<super::engine::Engine>, LinkError> {
        // The entry is copied out at once: no lock of the map is held while we wait.
        let backend = self.state.sessions.get(&session).map(|loaded| loaded.backend);
        match backend {
            Some(backend) => self.state.engine(backend, deadline).await,
            None => Err(match self.state.vanished().await {
                Some(vanished) => vanished,
                None => LinkError::Reported {
                    kind: FailureKind::NoSuchSession,
                    message: format!("{} does not hold session {session}", self.label()),
                },
            }),
        }
    }
}

/// Refuses a model whose inputs have sizes that nothing fixes: WebNN builds its graph for one shape, and the runtime
/// would quietly compute what it cannot build on the CPU.
fn assert_static(signature: &Signature, dims: &Bindings) -> Result<(), LinkError> {
    let unbound = signature.inputs.iter().find_map(|input| {
        let Some(sizes) = &input.dims else { return Some((input, "its rank".to_owned())) };
        sizes.iter().find_map(|dim| match dim {
            Dim::Fixed(_) => None,
            Dim::Symbol(name) => (!dims.contains_key(name)).then(|| (input, format!("its dimension {name}"))),
            Dim::Unknown => Some((input, "a dimension without a name".to_owned())),
        })
    });
    let Some((input, what)) = unbound else { return Ok(()) };
    Err(LinkError::Reported {
        kind: FailureKind::UnsupportedByBackend,
        message: format!("webnn needs static shapes, and input {} leaves {what} open", input.name),
    })
}

fn read_meta<M: serde::de::DeserializeOwned>(frame: &Frame) -> Result<M, LinkError> {
    serde_json::from_slice(&frame.meta).map_err(|error| protocol_error(format!("unreadable answer: {error}")))
}
