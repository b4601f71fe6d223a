//! What an accelerator tells about itself, as the protocols give it on.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde_json::Value;
use service::{Report, Sections};

use super::engine::chain;
use crate::Accelerator;
use crate::export::TelemetryOptions;

pub(super) struct WholeReport(Weak<Accelerator>);

impl WholeReport {
    pub(super) fn new(accelerator: &Arc<Accelerator>) -> Self {
        Self(Arc::downgrade(accelerator))
    }
}

#[async_trait]
impl Report for WholeReport {
    async fn telemetry(&self, sections: Sections) -> Result<Value, String> {
        let accelerator = self.0.upgrade().ok_or_else(|| "the pool is shutting down".to_owned())?;
        let Sections { connections, models, performance } = sections;
        let options = TelemetryOptions { connections, models, performance };
        let export = accelerator.export_telemetry(options).await.map_err(|error| chain(&error))?;
        serde_json::to_value(export).map_err(|error| error.to_string())
    }
}
