//! The pool as an engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use pool_core::{Completed, Model, Pool, Request, RunError};
use service::{Engine, EngineError, Library, ModelFiles, Status};
use vocab::ModelHash;
use webnn_bridge::{Bridge, Page};

use crate::Accelerator;
use crate::join::FrontDesk;
use crate::model::{ModelSpec, ResolvedModel};

/// A pool of pages that computes, and reads models.
pub(crate) struct PoolEngine {
    pool: Pool<Page>,
    memory_budget_bytes: u64,
    /// Models that are sharded may be as large as so many pages.
    shards: BTreeMap<String, usize>,
    /// Where guests get models.
    desk: Option<(Arc<FrontDesk>, Weak<Bridge>)>,
}

impl PoolEngine {
    pub(crate) fn new(accelerator: &Accelerator, shards: BTreeMap<String, usize>) -> Self {
        let memory_budget_bytes = accelerator.memory_budget_bytes();
        let desk = accelerator.front_desk();
        Self { pool: accelerator.pool().clone(), memory_budget_bytes, shards, desk }
    }
}

#[async_trait]
impl Engine for PoolEngine {
    async fn run(&self, request: Request) -> Result<Completed, RunError> {
        self.pool.run(request).await
    }

    fn workers(&self) -> usize {
        // Guests alone answer nothing.
        if self.pool.is_staffed() { self.pool.workers() } else { 0 }
    }

    fn status(&self) -> Status {
        Status::new(self.pool.stats(), self.pool.telemetry().snapshot(), self.pool.breakers())
    }
}

#[async_trait]
impl Library for PoolEngine {
    async fn read(&self, files: ModelFiles) -> Result<Arc<Model>, EngineError> {
        let ModelFiles { path, name, version, .. } = files;
        let shards = self.shards.get(&name).copied().unwrap_or(1).max(1) as u64;
        let spec = ModelSpec::path(path).name(name).version(version);
        let read = ResolvedModel::read(spec, self.memory_budget_bytes.saturating_mul(shards)).await;
        let model = read.map(|resolved| resolved.model).map_err(|error| EngineError::Model(chain(&error)))?;
        if let Some((desk, bridge)) = &self.desk {
            desk.serves(&self.pool, bridge.upgrade().as_deref(), &model);
        }
        Ok(model)
    }

    fn retire(&self, model: ModelHash) {
        if let Some((desk, bridge)) = &self.desk {
            desk.gives_up(&self.pool, bridge.upgrade().as_deref(), model);
        }
        for worker in self.pool.stats().core.workers {
            self.pool.unload(worker.worker, model);
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
