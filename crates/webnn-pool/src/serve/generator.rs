//! Texts, written over shards.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use service::{EngineError, Generator, TextRequest};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::task::TaskTracker;
use vocab::{Backend, ModelHash};
use webnn_bridge::{Admission, Verdict};

use super::TextShard;
use super::engine::chain;
use crate::Accelerator;
use crate::shard::{GenerateOptions, ModelShardingManager, Sampling, ShardingError, ShardingOptions};

/// Tokens that may wait for whoever reads a text.
const AHEAD: usize = 16;

type Deployed = Arc<OnceCell<Arc<ModelShardingManager>>>;

/// Writes texts with models that are deployed when they are first asked for.
pub struct TextShards {
    accelerator: Weak<Accelerator>,
    how: BTreeMap<String, TextShard>,
    deployed: Mutex<BTreeMap<String, (ModelHash, Deployed)>>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for TextShards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextShards").field("how", &self.how).finish_non_exhaustive()
    }
}

impl TextShards {
    pub(super) fn new(accelerator: &Arc<Accelerator>, how: BTreeMap<String, TextShard>) -> Self {
        let accelerator = Arc::downgrade(accelerator);
        Self { accelerator, how, deployed: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// The models that are deployed, by name.
    pub(super) fn deployed(&self) -> Vec<(String, Arc<ModelShardingManager>)> {
        let deployed = self.deployed.lock();
        let ready = |(name, (_, cell)): (&String, &(ModelHash, Deployed))| {
            Some((name.clone(), Arc::clone(cell.get()?)))
        };
        deployed.iter().filter_map(ready).collect()
    }

    /// The model's shards, deployed. Those of another content that had the name end with the last text that uses them.
    async fn manager(&self, text: &TextRequest) -> Result<Arc<ModelShardingManager>, EngineError> {
        let (name, hash) = (&text.model.name, text.model.hash);
        let cell = {
            let mut deployed = self.deployed.lock();
            match deployed.get(name) {
                Some((known, cell)) if *known == hash => Arc::clone(cell),
                _ => {
                    let cell = Deployed::default();
                    deployed.insert(name.clone(), (hash, Arc::clone(&cell)));
                    cell
                }
            }
        };
        let deploy = || async {
            let accelerator = self.accelerator.upgrade().ok_or(pool_core::RunError::ShuttingDown)?;
            let TextShard { shards, strategy } = self.how.get(name).copied().unwrap_or_default();
            let mut options = ShardingOptions::new(shards, strategy);
            if !has_gpu(&accelerator) {
                // A software adapter takes a hundred times as long for a token, and nobody asked for it.
                options.backends = vec![Backend::Wasm, Backend::WebGpu];
            }
            let manager = ModelShardingManager::new(&accelerator, &text.path, options);
            // Not held while parts are loaded, which takes its time.
            drop(accelerator);
            manager.initialize_sharding().await.map_err(failed)?;
            Ok::<_, EngineError>(Arc::new(manager))
        };
        // Where it fails, the next text tries again.
        cell.get_or_try_init(deploy).await.cloned()
    }
}

#[async_trait]
impl Generator for TextShards {
    async fn generate(
        &self,
        text: TextRequest,
    ) -> Result<BoxStream<'static, Result<i64, EngineError>>, EngineError> {
        let manager = self.manager(&text).await?;
        let TextRequest { prompt, max_new_tokens, eos, sampling, .. } = text;
        let sampling = match sampling {
            None => Sampling::Greedy,
            Some(service::Sampling { temperature, top_p, seed }) => {
                Sampling::Random { temperature, top_k: 0, top_p, seed }
            }
        };
        let options = GenerateOptions { max_new_tokens, eos, sampling, ..GenerateOptions::default() };
        // What is wrong with the request is told before the first token.
        drop(manager.generate(&prompt, options.clone()).map_err(failed)?);
        let (tokens, read) = mpsc::channel(AHEAD);
        self.tasks.spawn(async move {
            let mut writing = match manager.generate(&prompt, options) {
                Ok(writing) => writing,
                Err(error) => return drop(tokens.send(Err(failed(error))).await),
            };
            loop {
                let next = tokio::select! {
                    next = writing.next() => next,
                    // Nobody reads it any more.
                    () = tokens.closed() => return,
                };
                let over = !matches!(next, Ok(Some(_)));
                let Some(next) = next.map_err(failed).transpose() else { return };
                if tokens.send(next).await.is_err() || over {
                    return;
                }
            }
        });
        let read =
            stream::unfold(read, |mut read| async move { read.recv().await.map(|token| (token, read)) });
        Ok(read.boxed())
    }

    fn forget(&self, model: &str) {
        let gone = self.deployed.lock().remove(model);
        // Its parts are given up with the last text that uses them.
        drop(gone);
    }
}

/// Whether any page computes on a real adapter.
fn has_gpu(accelerator: &Accelerator) -> bool {
    let real = |(backend, verdict): &(Backend, Verdict)| {
        *backend == Backend::WebGpu && !verdict.software && verdict.verdict != Admission::Rejected
    };
    accelerator.pages().iter().any(|page| page.verdicts().iter().any(real))
}

fn failed(error: ShardingError) -> EngineError {
    match &error {
        ShardingError::Generation { .. } => EngineError::Caller(chain(&error)),
        ShardingError::Model(_) | ShardingError::Read(_) | ShardingError::Plan(_) => {
            EngineError::Model(chain(&error))
        }
        _ => EngineError::Failed(chain(&error)),
    }
}
