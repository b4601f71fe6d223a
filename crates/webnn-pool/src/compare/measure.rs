//! One launch of one arm: a fresh browser, a load, a first run, warm-up, timed runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{LinkError, LoadCall, LoadReport, Model, RunCall, RunReply, WorkerLink as _};
use provision::Installed;
use tensor::{Bindings, NamedTensor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Backend, DeviceKind, FailureKind, RequestId, SessionId};
use webnn_bridge::{Admission, Bridge, LaunchError, LaunchSpec, LaunchedBrowser, Page, Verdict};

use super::answers::Answers;
use super::judge::Tolerance;
use super::options::CompareOptions;
use super::report::{BlockReport, Device, MemoryReading};
use super::{kernel, memory};

/// Timed runs of a launch at the least, however long they take.
const LEAST_RUNS: u32 = 2;

/// What all launches have in common.
pub(super) struct Bench<'a> {
    pub(super) bridge: &'a Bridge,
    pub(super) options: &'a CompareOptions,
    pub(super) model: Arc<Model>,
    pub(super) inputs: Arc<[NamedTensor]>,
    pub(super) dims: Arc<Bindings>,
    pub(super) reference: Option<Arc<[NamedTensor]>>,
    pub(super) started: Instant,
}

/// What one launch showed of its arm besides times.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) version: Option<String>,
    pub(super) device: Option<Device>,
    pub(super) placement: BTreeMap<String, u32>,
    pub(super) operators: BTreeMap<String, BTreeMap<String, u32>>,
    pub(super) answers: Option<Answers>,
}

/// Why a launch did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    /// The browser did not start, or its page did not become ready.
    #[error("it could not be launched")]
    Launch(#[source] LaunchError),
    /// The backend is not there.
    #[error("{reason}")]
    Missing { reason: String },
    /// The backend cannot take the model.
    #[error("it cannot take the model: {message}")]
    Refused { message: String },
    /// The model was not loaded.
    #[error("the model could not be loaded")]
    Load(#[source] LinkError),
    /// A run failed.
    #[error("run {run} failed")]
    Run {
        run: u32,
        #[source]
        source: LinkError,
    },
}

impl BlockError {
    /// The message with its causes.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

impl Bench<'_> {
    /// Launches an arm and measures it. What could be measured before an error is in the block all the same.
    ///
    /// Cancellation safety: dropping the future kills the browser.
    pub(super) async fn block(
        &self,
        installed: Installed,
        backend: Backend,
        round: u32,
        seen: &mut Seen,
    ) -> (BlockReport, Result<(), BlockError>) {
        let mut block = BlockReport { round, ..BlockReport::default() };
        let before = blocking(kernel::read).await.unwrap_or_default();
        block.at_ms = self.started.elapsed().as_secs_f64() * 1e3;
        let went = self.launched(installed, backend, &mut block, seen).await;
        let after = blocking(kernel::read).await.unwrap_or_default();
        block.kernel_ms = kernel::around(&before, &after);
        block.error = went.as_ref().err().map(BlockError::chain);
        (block, went)
    }

    async fn launched(
        &self,
        installed: Installed,
        backend: Backend,
        block: &mut BlockReport,
        seen: &mut Seen,
    ) -> Result<(), BlockError> {
        let mut spec = LaunchSpec::installed(installed);
        spec.backends = vec![backend];
        spec.devices.clone_from(&self.options.devices);
        spec.threads = self.options.threads;
        let started = Instant::now();
        let (browser, page) = self.bridge.launch(spec).await.map_err(BlockError::Launch)?;
        block.launch_ms = Some(ms(started.elapsed()));
        seen.version = Some(page.browser_version().to_owned());
        let went = self.on_page(&browser, &page, backend, block, seen).await;
        browser.end().await;
        went
    }

    async fn on_page(
        &self,
        browser: &LaunchedBrowser,
        page: &Page,
        backend: Backend,
        block: &mut BlockReport,
        seen: &mut Seen,
    ) -> Result<(), BlockError> {
        let verdict =
            page.verdicts().into_iter().find_map(|(known, verdict)| (known == backend).then_some(verdict));
        let verdict = match verdict {
            Some(verdict) if verdict.verdict != Admission::Rejected => verdict,
            other => {
                let reason = other.and_then(|verdict| verdict.reason);
                let reason = reason.unwrap_or_else(|| "the page did not offer the backend".to_owned());
                return Err(BlockError::Missing { reason });
            }
        };
        let device = device(verdict);
        let precision = &self.model.precision;
        let tolerance = self
            .options
            .tolerance
            .unwrap_or_else(|| Tolerance::fitting(precision, backend, &device.effective));
        seen.device = Some(device);
        block.idle = self.memory(browser).await;

        let session = SessionId(u64::from(block.round) + 1);
        let report = page.load(self.load_call(session, backend)).await.map_err(refused_or_failed)?;
        note_load(&report, block, seen);

        let answers = seen.answers.get_or_insert_with(|| Answers::new(self.reference.clone(), tolerance));
        let went = self.runs(page, session, block, answers).await;
        block.loaded = self.memory(browser).await;
        let told = page.memory();
        block.heap_bytes = told.heaps.iter().find(|heap| heap.backend == backend).map(|heap| heap.bytes);
        block.page_bytes = told.page_bytes;
        went
    }

    fn load_call(&self, session: SessionId, backend: Backend) -> LoadCall {
        let dims = if backend == Backend::WebNn { Arc::clone(&self.dims) } else { Arc::default() };
        LoadCall {
            session,
            model: Arc::clone(&self.model),
            backend,
            device: None,
            dims,
            deadline: Instant::now() + self.options.timeout,
            cancel: CancellationToken::new(),
        }
    }

    async fn runs(
        &self,
        page: &Page,
        session: SessionId,
        block: &mut BlockReport,
        answers: &mut Answers,
    ) -> Result<(), BlockError> {
        let mut count = 0;
        let mut run = async || {
            count += 1;
            let call = RunCall {
                request: RequestId(u64::from(count)),
                session,
                inputs: Arc::clone(&self.inputs),
                outputs: None,
                step: None,
                deadline: Instant::now() + self.options.timeout,
                cancel: CancellationToken::new(),
            };
            let started = Instant::now();
            let reply = page.run(call).await.map_err(|source| BlockError::Run { run: count, source })?;
            let total = ms(started.elapsed());
            let RunReply { outputs, in_page_ms, caches: _, marks: _ } = reply;
            answers.take(outputs);
            Ok::<_, BlockError>((in_page_ms, total))
        };
        let (in_page, total) = run().await?;
        (block.first_in_page_ms, block.first_total_ms) = (Some(in_page), Some(total));
        // Where one run takes as long as all may, a second one makes it no warmer.
        let mut left = self.options.budget.saturating_sub(Duration::from_secs_f64(total / 1e3));
        for _ in 0..self.options.warmup {
            if left.is_zero() {
                break;
            }
            let (_, total) = run().await?;
            left = left.saturating_sub(Duration::from_secs_f64(total / 1e3));
        }
        let mut left = self.options.budget;
        for done in 0..self.options.repeat {
            if left.is_zero() && done >= LEAST_RUNS {
                break;
            }
            let (in_page, total) = run().await?;
            block.in_page_ms.push(in_page);
            block.total_ms.push(total);
            left = left.saturating_sub(Duration::from_secs_f64(total / 1e3));
        }
        Ok(())
    }

    async fn memory(&self, browser: &LaunchedBrowser) -> Option<MemoryReading> {
        let (mark, label) = (self.bridge.mark().to_owned(), browser.label().to_owned());
        blocking(move || memory::of_browser(&mark, &label)).await.flatten()
    }
}

/// Does something that blocks where it keeps nobody waiting; `None` where it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn device(verdict: Verdict) -> Device {
    Device {
        requested: verdict.device_requested,
        effective: verdict.device_effective.unwrap_or(DeviceKind::Cpu),
        adapter: verdict.adapter,
        software: verdict.software,
        threads: verdict.threads,
    }
}

fn note_load(report: &LoadReport, block: &mut BlockReport, seen: &mut Seen) {
    let told = |key: &str| report.detail.get(key).and_then(serde_json::Value::as_f64);
    block.load_ms = Some(report.load_ms);
    (block.fetch_ms, block.create_ms) = (told("fetch_ms"), told("create_ms"));
    seen.placement = report.placement.iter().cloned().collect();
    let operators = report.detail.get("operators").cloned();
    seen.operators = operators.and_then(|told| serde_json::from_value(told).ok()).unwrap_or_default();
}

/// Whether the backend cannot take the model, which is its right, or failed.
fn refused_or_failed(error: LinkError) -> BlockError {
    match error {
        LinkError::Reported {
            kind:
                kind @ (FailureKind::UnsupportedByBackend
                | FailureKind::UnsupportedOperator
                | FailureKind::UnsupportedDtype
                | FailureKind::InvalidModel),
            message,
        } => BlockError::Refused { message: format!("{message} ({kind})") },
        other => BlockError::Load(other),
    }
}
