//! What all protocols share: models, limits, tokens, counters, and the way down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use exporters::json_lines::JsonLines;
use exporters::otlp::Exporter;
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::batch::{Batching, BatchingError};
use crate::counters::Counters;
use crate::engine::{Engine, Generator, Library};
use crate::error::ServiceError;
use crate::guests::Guests;
use crate::limits::Limits;
use crate::live::{Hub, Insight, News};
use crate::repository::{Changes, ModelSettings, Repository};
use crate::security::{TokenError, TokenSpec, Tokens};

/// What a service is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct Parts {
    /// What computes.
    pub engine: Arc<dyn Engine>,
    /// What knows models on disk.
    pub library: Arc<dyn Library>,
    /// What writes texts; `None` where nothing does.
    pub generator: Option<Arc<dyn Generator>>,
    /// Where traces go; `None` for nowhere.
    pub exporter: Option<Arc<Exporter>>,
    /// The log of events, of which the metrics tell how much it wrote; `None` where there is none.
    pub log: Option<Arc<JsonLines>>,
    /// Adds what only the program around knows to the answer of `/v2/telemetry`; `None` for nothing.
    pub report: Option<Arc<dyn Report>>,
    /// What happened, for the live page: a listener of the pool's telemetry. Default: one that hears nothing.
    pub news: Arc<News>,
    /// What the live page shows beyond what the engine knows; `None` for nothing.
    pub insight: Option<Arc<dyn Insight>>,
    /// The folder of uPlot's files, with which the live page draws its plots; `None` where it does without.
    pub plots: Option<PathBuf>,
    /// Lets guests in; `None` where there are none.
    pub guests: Option<Arc<dyn Guests>>,
}

impl Parts {
    /// An engine and a library alone.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, library: Arc<dyn Library>) -> Self {
        Self {
            engine,
            library,
            generator: None,
            exporter: None,
            log: None,
            report: None,
            news: Arc::default(),
            insight: None,
            plots: None,
            guests: None,
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("generator", &self.generator.is_some())
            .field("exporter", &self.exporter.is_some())
            .finish_non_exhaustive()
    }
}

/// What the program around a service tells about itself.
#[async_trait::async_trait]
pub trait Report: Send + Sync + 'static {
    /// The whole, as JSON.
    ///
    /// # Errors
    /// What kept it from being put together, in its own words.
    async fn telemetry(&self, sections: Sections) -> Result<Value, String>;
}

/// The sections of a report that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the contract names these three")]
pub struct Sections {
    /// The browsers.
    pub connections: bool,
    /// Workers, sessions, requests.
    pub models: bool,
    /// What follows from the history.
    pub performance: bool,
}

/// Settings of a service.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// Folders of models.
    pub models: Vec<PathBuf>,
    /// What is taken at most.
    pub limits: Limits,
    /// How requests form batches, of models that say nothing else.
    pub batching: Batching,
    /// Settings of single models, by name.
    pub model_settings: BTreeMap<String, ModelSettings>,
    /// The tokens that are let in; `None`: no token is needed.
    pub tokens: Option<Vec<TokenSpec>>,
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceConfigError {
    /// A limit.
    #[error(transparent)]
    Limits(#[from] crate::limits::LimitsError),
    /// A setting of batching.
    #[error("batching{}: {source}", .model.as_ref().map(|name| format!(" of model {name:?}")).unwrap_or_default())]
    Batching {
        /// The model; `None` for the setting of all.
        model: Option<String>,
        /// What is wrong.
        source: BatchingError,
    },
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The protocols in front of a pool. Cloning shares it.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    limits: Limits,
    repository: Repository,
    tokens: Tokens,
    counters: Counters,
    /// Kibibytes of bodies that may be held at the same time.
    room: Arc<Semaphore>,
    going: AtomicUsize,
    draining: AtomicBool,
    ended: Notify,
    live: Hub,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("repository", &self.shared.repository).finish_non_exhaustive()
    }
}

impl Service {
    /// A service that serves nothing yet: [`refresh`](Self::refresh) finds the models.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn new(parts: Parts, config: ServiceConfig) -> Result<Self, ServiceConfigError> {
        let ServiceConfig { models, limits, batching, model_settings, tokens } = config;
        limits.validate()?;
        batching.validate().map_err(|source| ServiceConfigError::Batching { model: None, source })?;
        for (name, settings) in &model_settings {
            if let Some(batching) = &settings.batching {
                let model = Some(name.clone());
                batching.validate().map_err(|source| ServiceConfigError::Batching { model, source })?;
            }
        }
        let known = Tokens::default();
        known.replace(tokens)?;
        let tasks = TaskTracker::new();
        let seams = (Arc::clone(&parts.engine), Arc::clone(&parts.library));
        let repository = Repository::new(models, seams, tasks.clone(), batching, model_settings);
        let room = Arc::new(Semaphore::new(kibibytes(limits.max_buffered_bytes) as usize));
        let shared = Shared {
            parts,
            limits,
            repository,
            tokens: known,
            counters: Counters::default(),
            room,
            going: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            ended: Notify::new(),
            live: Hub::default(),
            tasks,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.shared.parts.engine
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.shared.repository
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    pub(crate) fn live(&self) -> &Hub {
        &self.shared.live
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Looks at the folders of models and serves what is there now. What is being computed ends with what it began with.
    /// What changed, and what cannot be used, goes to the log.
    ///
    /// # Errors
    /// A folder that cannot be read; everything stays as it was.
    pub async fn refresh(&self) -> Result<(), ServiceError> {
        let Changes { served, gone, refused } = self.repository().refresh().await?;
        served.iter().for_each(|model| tracing::info!(target: LOG, model, "model is served"));
        gone.iter().for_each(|model| tracing::info!(target: LOG, model, "model is no longer there"));
        for (model, reason) in &refused {
            self.counters().refused("model_refused");
            tracing::warn!(target: LOG, model, reason, "model cannot be used");
        }
        Ok(())
    }

    /// Takes no more requests for a model, and gives its memory up when those that it has are over.
    pub(crate) async fn unload(&self, model: &str) -> Result<(), ServiceError> {
        self.repository().unload(model).await?;
        if let Some(generator) = &self.parts().generator {
            generator.forget(model);
        }
        Ok(())
    }

    /// These tokens are valid from now on, and no other.
    ///
    /// # Errors
    /// One that makes no sense; those that were valid stay so.
    pub fn replace_tokens(&self, tokens: Option<Vec<TokenSpec>>) -> Result<(), TokenError> {
        self.tokens().replace(tokens)
    }

    /// The names of the models that can be used.
    #[must_use]
    pub fn model_names(&self) -> Vec<String> {
        self.repository().served().iter().map(|served| served.name.clone()).collect()
    }

    /// Whether requests are answered: there is a worker, and the server is not going down.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.engine().workers() > 0
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Takes a request in, until the answer of the guard is dropped.
    ///
    /// # Errors
    /// The server is going down, or works on as many requests as it may.
    pub(crate) fn enter(&self) -> Result<Going, ServiceError> {
        // Counted before it is looked at, so that a drain that begins meanwhile sees it.
        let before = self.shared.going.fetch_add(1, Ordering::AcqRel);
        let going = Going { shared: Arc::clone(&self.shared) };
        if self.is_draining() {
            return Err(ServiceError::Draining);
        }
        let limit = self.limits().max_requests;
        if before >= limit {
            return Err(ServiceError::Busy { limit });
        }
        Ok(going)
    }

    /// Room for a body of so many bytes, kept until the answer is dropped.
    ///
    /// # Errors
    /// There is none now.
    pub(crate) fn hold(&self, bytes: u64) -> Result<OwnedSemaphorePermit, ServiceError> {
        let room = Arc::clone(&self.shared.room);
        let limit = self.limits().max_buffered_bytes;
        room.try_acquire_many_owned(kibibytes(bytes)).map_err(|_| ServiceError::NoRoom { limit })
    }

    /// Takes no new requests from now on: they are told to come again later. Those that were taken go on; the streams of the
    /// live page end at once.
    pub fn close(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.live.close();
    }

    /// Closes, and waits until every request that was taken has its answer, at most for `limit`. Answers how many have not.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.close();
        let empty = async {
            loop {
                let ended = self.shared.ended.notified();
                if self.shared.going.load(Ordering::Acquire) == 0 {
                    return;
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(limit, empty).await;
        self.shared.going.load(Ordering::Acquire)
    }

    /// Lets go of every model, and waits until no task is left, at most for `limit`. After [`drain`](Self::drain) there is
    /// nothing to wait for.
    pub async fn shutdown(&self, limit: Duration) {
        self.close();
        self.repository().clear();
        self.shared.tasks.close();
        // A batch that still runs belongs to a caller that has gone; the pool ends it.
        let _ = tokio::time::timeout(limit, self.shared.tasks.wait()).await;
    }

    /// Requests that are being worked on.
    #[must_use]
    pub fn going(&self) -> usize {
        self.shared.going.load(Ordering::Acquire)
    }

    /// What happened and what is there: the report of the program around, or, without one, of the engine alone; and what
    /// was asked of each model.
    ///
    /// # Errors
    /// The report could not be put together.
    pub(crate) async fn telemetry(&self, sections: Sections) -> Result<Value, ServiceError> {
        let mut whole = match &self.parts().report {
            Some(report) => report.telemetry(sections).await.map_err(ServiceError::Internal)?,
            None => {
                let status = self.engine().status();
                json!({ "telemetry": status.telemetry, "models": status.pool, "breakers": status.breakers })
            }
        };
        if let Value::Object(whole) = &mut whole {
            let requests = json!({
                "going": self.going(),
                "answered": self.counters().requests(),
                "refused": self.counters().refusals(),
                "model_stats": self.repository().statistics(None, None),
            });
            whole.insert("service".to_owned(), requests);
        }
        Ok(whole)
    }
}

/// What the service's log lines are called.
pub(crate) const LOG: &str = "webnn_pool::service";

/// A request that is being worked on.
pub(crate) struct Going {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Going {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Going").finish_non_exhaustive()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if self.shared.going.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.ended.notify_waiters();
        }
    }
}

/// Rounded up, and never more than a semaphore counts.
fn kibibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX >> 3).min(u32::MAX >> 3)
}
