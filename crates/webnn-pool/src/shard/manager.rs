//! The manager: a plan, its parts on disk, and the executor that has them on pages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::Pool;
use sharding::{Executor, ExecutorConfig, ModelFile, Plan, Request, RunError, WorkerSpec, WriteOptions};
use tempfile::TempDir;
use tensor::NamedTensor;
use webnn_bridge::Page;

use super::error::{HostFailure, ShardingError};
use super::holds::Holds;
use super::host::PageHost;
use super::metrics::{RecoveryAttempts, ShardedMetrics, ShardedOutcome, ShardingTotals};
use super::options::ShardingOptions;
use super::speed::Speeds;
use crate::Accelerator;
use crate::model::Located;

/// A plan that is deployed. Its parts are given up and their files removed when the last run that uses it has ended.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) executor: Arc<Executor<PageHost>>,
    folder: Option<TempDir>,
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.executor.host().abandon();
        if let Some(folder) = self.folder.take() {
            // It may hold gigabytes, and whoever drops this may have other things to do.
            std::thread::spawn(move || drop(folder));
        }
    }
}

/// Shards one model over the pages of an accelerator.
///
/// [`initialize_sharding`](Self::initialize_sharding) cuts the model and loads its parts, each on the page that suits it
/// best; [`run_inference_sharded`](Self::run_inference_sharded) computes with them. A component that fails runs again where
/// it was, then on another page; no other component runs again, and no part of an answer is ever returned. The weights of
/// the whole model are in no page's memory, and in ours one part's at a time, while it is read.
///
/// Dropping the manager gives its parts up.
#[derive(Debug)]
pub struct ModelShardingManager {
    pool: Pool<Page>,
    model: PathBuf,
    options: ShardingOptions,
    memory_budget_bytes: u64,
    /// Where the parts are written.
    scratch: PathBuf,
    holds: Holds,
    deployed: Mutex<Option<Arc<Deployment>>>,
    speeds: Speeds,
    recovered: Mutex<RecoveryAttempts>,
    last: Mutex<Option<ShardedMetrics>>,
}

impl ModelShardingManager {
    /// A manager for the model in a file or directory. Reads nothing yet. The parts will be written into the folder of the
    /// accelerator's run, below [`BridgeConfig::temp_dir`](crate::BridgeConfig::temp_dir), which needs room for the whole
    /// model.
    #[must_use]
    pub fn new(accelerator: &Accelerator, model: impl Into<PathBuf>, options: ShardingOptions) -> Self {
        Self {
            pool: accelerator.pool().clone(),
            model: model.into(),
            options,
            memory_budget_bytes: accelerator.memory_budget_bytes(),
            scratch: accelerator.scratch().map_or_else(std::env::temp_dir, Into::into),
            holds: accelerator.holds().clone(),
            deployed: Mutex::new(None),
            speeds: Speeds::default(),
            recovered: Mutex::new(RecoveryAttempts::default()),
            last: Mutex::new(None),
        }
    }

    /// Cuts the model and loads every part. Called again it plans anew, with the speeds that were measured meanwhile;
    /// runs that are on their way end as they began.
    ///
    /// # Errors
    /// A model that cannot be found or read, a strategy that does not fit it (the error says why, and which ones do), a
    /// setting that makes no sense, a folder that cannot be written, or a part that no page could load. What was deployed
    /// before stays.
    pub async fn initialize_sharding(&self) -> Result<Plan, ShardingError> {
        if self.options.max_connections == 0 {
            return Err(ShardingError::NoConnections);
        }
        let place = Located::find(&self.model)?;
        let workers = self.speeds.workers(&self.pool, &place, &self.options, self.memory_budget_bytes).await;
        let folder = tempfile::Builder::new().prefix("parts-").tempdir_in(&self.scratch);
        let folder = folder.map_err(ShardingError::Folder)?;
        let (request, onnx) = (self.request(), place.onnx);
        // Reading and writing gigabytes keeps a core busy. The folder goes along: where nobody waits any more, it is removed
        // when the cut is done.
        let cut = tokio::task::spawn_blocking(move || {
            let plan = cut(&onnx, request, workers, folder.path())?;
            Ok::<_, ShardingError>((plan, folder))
        });
        let (plan, folder) = cut.await.map_err(|_| ShardingError::TaskLost)??;
        let (budget, holds) = (self.memory_budget_bytes, self.holds.clone());
        let host = PageHost::new(self.pool.clone(), place.name, &plan, &self.options, budget, holds);
        let executor = Executor::new(plan.clone(), folder.path(), host, self.executor_config())?;
        let deployment = Arc::new(Deployment { executor: Arc::new(executor), folder: Some(folder) });
        deployment.executor.deploy().await.map_err(|error| failed(&plan, error))?;
        // What was there before ends with the last run that uses it, and not under the lock.
        let before = self.deployed.lock().replace(deployment);
        drop(before);
        Ok(plan)
    }

    fn request(&self) -> Request {
        let mut request = Request::new(self.options.shard_type, self.options.num_shards);
        request.assumptions.sizes.extend(self.options.sizes.iter().cloned());
        request.in_flight = self.options.in_flight.max(1);
        request
    }

    fn executor_config(&self) -> ExecutorConfig {
        let mut config = ExecutorConfig::default();
        // The pool's own deadlines are the ones that fire: they say where the time went.
        let margin = Duration::from_secs(5);
        config.run_timeout = self.options.run_timeout + margin;
        config.load_timeout = self.options.load_timeout + margin;
        config.standby = self.options.standby;
        config
    }

    /// What the model is called.
    ///
    /// # Errors
    /// There is no model.
    pub fn name(&self) -> Result<String, ShardingError> {
        Ok(Located::find(&self.model)?.name)
    }

    /// The plan that is deployed, if one is.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        self.deployment().ok().map(|deployment| deployment.executor.plan().clone())
    }

    /// Looks at the plan that is deployed, if one is.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Plan) -> T) -> Option<T> {
        self.deployment().ok().map(|deployment| at(deployment.executor.plan()))
    }

    pub(super) fn deployment(&self) -> Result<Arc<Deployment>, ShardingError> {
        self.deployed.lock().clone().ok_or(ShardingError::NotInitialized)
    }

    /// Computes the outputs of the whole model. Each component is repeated `max_retries` times at most.
    ///
    /// Cancellation safety: dropping the future ends everything that it was doing, on the pages too.
    ///
    /// # Errors
    /// Nothing is deployed, inputs that do not fit, a component that could not be brought to its end, or the deadline. Never a part of an
    /// answer.
    pub async fn run_inference_sharded(
        &self,
        inputs: Vec<NamedTensor>,
        max_retries: u32,
    ) -> Result<ShardedOutcome, ShardingError> {
        let deployment = self.deployment()?;
        let run = deployment.executor.run_with(inputs, max_retries.saturating_add(1));
        let answer = self.in_time(&deployment, run).await?;
        let metrics = self.took(&deployment, &answer.metrics);
        Ok(ShardedOutcome { outputs: answer.outputs, metrics })
    }

    /// Waits for something of a deployment as long as a run may take.
    pub(super) async fn in_time<T>(
        &self,
        deployment: &Deployment,
        run: impl Future<Output = Result<T, RunError<HostFailure>>>,
    ) -> Result<T, ShardingError> {
        let after = self.options.timeout;
        match tokio::time::timeout(after, run).await {
            Ok(done) => done.map_err(|error| failed(deployment.executor.plan(), error)),
            Err(_) => Err(ShardingError::DeadlineExceeded { after }),
        }
    }

    /// Takes note of what a run took.
    pub(super) fn took(&self, deployment: &Deployment, metrics: &sharding::RunMetrics) -> ShardedMetrics {
        let plan = deployment.executor.plan();
        self.speeds.observe(plan, metrics);
        let metrics = ShardedMetrics::of(metrics, plan, deployment.executor.host());
        {
            let mut recovered = self.recovered.lock();
            let RecoveryAttempts { retry, browser_change, cache_rebuild } = metrics.recovery_attempts;
            recovered.retry += retry;
            recovered.browser_change += browser_change;
            recovered.cache_rebuild += cache_rebuild;
        }
        *self.last.lock() = Some(metrics.clone());
        metrics
    }

    /// What was done so far: of the plan that is deployed, but for the recovery attempts of runs that gave an answer, which
    /// are those of all plans.
    #[must_use]
    pub fn metrics(&self) -> ShardingTotals {
        let deployment = self.deployment().ok();
        let stats = deployment.as_ref().map(|deployment| deployment.executor.stats()).unwrap_or_default();
        ShardingTotals {
            component_count: deployment.map_or(0, |deployment| deployment.executor.plan().stages.len()),
            answers: stats.answers,
            errors: stats.errors,
            loads: stats.loads,
            recovery_attempts: *self.recovered.lock(),
            last: self.last.lock().clone(),
        }
    }

    /// Gives the parts up: pages drop those that nobody else uses as soon as the runs that they have are over.
    pub async fn shutdown(&self) {
        let deployment = self.deployed.lock().take();
        if let Some(deployment) = deployment {
            deployment.executor.shutdown().await;
        }
    }
}

fn cut(
    onnx: &std::path::Path,
    mut request: Request,
    workers: Vec<WorkerSpec>,
    into: &std::path::Path,
) -> Result<Plan, ShardingError> {
    request.workers = workers;
    let file = ModelFile::open(onnx)?;
    let sharding = sharding::plan(&file, &request)?;
    Ok(sharding::write(&sharding, into, &WriteOptions::default())?)
}

pub(super) fn failed(plan: &Plan, error: RunError<HostFailure>) -> ShardingError {
    match &error {
        RunError::Stage { stage, .. } => ShardingError::Component {
            component: *stage,
            label: plan.stages.get(*stage).map(|stage| stage.label.clone()).unwrap_or_default(),
            source: Box::new(error),
        },
        _ => ShardingError::Run(Box::new(error)),
    }
}
