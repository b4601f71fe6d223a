//! A model in the pool.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Canary, Completed, Constraints, Model, Pool, Preload, Request, RunError, RunReport};
use tensor::{Bindings, NamedTensor, Signature};
use vocab::{Backend, BrowserName, ModelHash, ModelType};
use webnn_bridge::Page;

/// What one run may be told beyond its inputs. Everything that is left out is as the model was set up.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// The outputs that are wanted. Default: all.
    pub outputs: Option<Vec<Arc<str>>>,
    /// How urgent it is: higher goes first. Default: 0.
    pub priority: u8,
    /// How long it may take, queue and load included. Default: the pool's.
    pub timeout: Option<Duration>,
    /// Whether the report tells how browser and backend were chosen, in [`RunReport::decision`]. Default: no.
    pub explain: bool,
}

/// A model that the pool can run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AcceleratedModel {
    pool: Pool<Page>,
    model: Arc<Model>,
    constraints: Constraints,
}

impl AcceleratedModel {
    pub(crate) fn new(pool: Pool<Page>, model: Arc<Model>) -> Self {
        Self { pool, model, constraints: Constraints::default() }
    }

    /// Only on these backends: the first of them that a worker offers. Another of them is used only with
    /// [`with_fallback`](Self::with_fallback). Default: each worker's own order.
    #[must_use]
    pub fn on_backends(mut self, backends: impl IntoIterator<Item = Backend>) -> Self {
        self.constraints.backends = backends.into_iter().collect();
        self
    }

    /// Only in these browsers. Default: any.
    #[must_use]
    pub fn in_browsers(mut self, browsers: impl IntoIterator<Item = BrowserName>) -> Self {
        self.constraints.browsers = browsers.into_iter().collect();
        self
    }

    /// Whether the next backend of the list may be used when one turns out unable to run the model. The report names the
    /// backend that did it. Default: no.
    #[must_use]
    pub fn with_fallback(mut self, fallback: bool) -> Self {
        self.constraints.fallback = fallback;
        self
    }

    /// The inputs and outputs.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.model.signature
    }

    /// The name in responses and reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// The version in responses and reports; empty where there is none.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.model.version
    }

    /// What the model is for, where it is known.
    #[must_use]
    pub fn model_type(&self) -> Option<ModelType> {
        self.model.model_type
    }

    /// The identity of the model's contents.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        self.model.hash
    }

    /// Says what the model gives for some inputs. From now on that is tried after each load, before anybody is served, and
    /// now and then while the model is used; a browser that computes something else is taken out and revived. Without it
    /// the pool finds such a case by itself, where browsers agree on the answer to a request.
    ///
    /// # Errors
    /// [`RunError::InvalidInput`] or [`RunError::UnknownOutput`] where it does not fit the model.
    pub fn set_canary(&self, canary: Canary) -> Result<(), RunError> {
        self.pool.set_canary(&self.model, canary)
    }

    /// Computes the outputs for `inputs`.
    ///
    /// Cancellation safety: dropping the future cancels the request, on the page too.
    ///
    /// # Errors
    /// One [`RunError`], which names the phase; the pool and the other requests are not affected.
    pub async fn run(&self, inputs: impl Into<Arc<[NamedTensor]>>) -> Result<Completed, RunError> {
        self.run_with(inputs, RunOptions::default()).await
    }

    /// Computes the outputs for `inputs`, as `options` say.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(
        &self,
        inputs: impl Into<Arc<[NamedTensor]>>,
        options: RunOptions,
    ) -> Result<Completed, RunError> {
        let RunOptions { outputs, priority, timeout, explain } = options;
        let mut request = Request::new(Arc::clone(&self.model), inputs);
        request.outputs = outputs.map(Into::into);
        request.constraints = Constraints { priority, timeout, explain, ..self.constraints.clone() };
        self.pool.run(request).await
    }

    /// Loads the model on a worker before the first run needs it. `dims` are the sizes of its symbolic dimensions, which
    /// a backend with static shapes (WebNN) must know.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn preload(&self, dims: Bindings) -> Result<RunReport, RunError> {
        let mut preload = Preload::new(Arc::clone(&self.model));
        preload.dims = Arc::new(dims);
        preload.constraints = self.constraints.clone();
        self.pool.preload(preload).await
    }
}
