//! Models whose numbers are known.

use std::sync::Arc;

use pool_core::{Model, ModelFile, ModelSource};
use sha2::{Digest as _, Sha256};
use tensor::NamedTensor;
use vocab::{Backend, BrowserName};
use webnn_pool::{AcceleratedModel, Accelerator, ModelSpec};

use super::fixture::{Fixture, fixture};

/// A model with a case whose numbers are known.
#[derive(Debug, Clone)]
pub struct Known {
    pub model: AcceleratedModel,
    pub inputs: Arc<[NamedTensor]>,
    fixture: Arc<Fixture>,
    case: &'static str,
    outputs: Arc<[NamedTensor]>,
}

impl Known {
    pub async fn open(accelerator: &Accelerator, name: &str, case: &'static str, backend: Backend) -> Self {
        let fixture = Arc::new(fixture(name));
        let model = accelerator.accelerate_model(ModelSpec::path(&fixture.directory)).await.expect("a model");
        let model = model.on_backends([backend]);
        let inputs = fixture.inputs(case).into();
        let outputs = fixture.outputs(fixture.case(case)).into();
        Self { model, inputs, fixture, case, outputs }
    }

    /// The same model with other inputs.
    pub fn with_case(&self, case: &'static str) -> Self {
        let inputs = self.fixture.inputs(case).into();
        let outputs = self.fixture.outputs(self.fixture.case(case)).into();
        Self { inputs, outputs, case, ..self.clone() }
    }

    /// The largest difference from the reference, or what is wrong.
    pub fn right(&self, outputs: &[NamedTensor]) -> Result<f64, String> {
        self.fixture.compare_with(self.fixture.case(self.case), self.outputs.to_vec(), outputs)
    }

    pub fn on(&self, browser: BrowserName) -> AcceleratedModel {
        self.model.clone().in_browsers([browser])
    }

    /// What a page needs to know to load it without a pool.
    pub fn plain(&self) -> Arc<Model> {
        let path = self.fixture.directory.join("model.onnx");
        let contents = std::fs::read(&path).expect("the model's file");
        let digest: String = Sha256::digest(&contents).iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = contents.len() as u64;
        let file = ModelFile {
            path: "model.onnx".to_owned(),
            hash: digest.parse().expect("a hash"),
            bytes,
            source: ModelSource::Path(path),
        };
        Arc::new(Model {
            hash: self.model.hash(),
            name: self.fixture.name.clone(),
            version: String::new(),
            model_type: None,
            precision: String::new(),
            signature: self.model.signature().clone(),
            files: vec![file],
            memory_estimate_bytes: 2 * bytes,
            caches: Arc::default(),
        })
    }
}
