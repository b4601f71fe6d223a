//! What a worker holds.

use std::sync::Arc;

use perf_history::Arm;
use tensor::Bindings;
use vocab::{Backend, DeviceKind};

use crate::Model;

/// A model that a worker has loaded and can run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Held {
    /// The model.
    pub model: Arc<Model>,
    /// On which backend.
    pub backend: Backend,
    /// The device that was asked for; `None` for what the backend takes by itself.
    pub device: Option<DeviceKind>,
    /// What it computed on.
    pub arm: Arc<Arm>,
    /// The only sizes that it runs, where the backend wants that.
    pub dims: Option<Arc<Bindings>>,
}
