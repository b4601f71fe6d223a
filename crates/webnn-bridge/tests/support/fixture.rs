//! Models with inputs and the outputs that a native runtime gave for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pool_core::{Model, ModelFile, ModelSource};
use provision::Home;
use sha2::{Digest as _, Sha256};
use tensor::oip::{InferRequest, InferResponse, Limits};
use tensor::{Dim, NamedTensor, Signature, TensorSpec};
use vocab::ModelHash;

/// One fixture's directory and model.
pub struct Fixture {
    directory: PathBuf,
    pub model: Arc<Model>,
}

/// The fixture of this name: of the repository, or, if it is a large one, of the pool's home.
#[track_caller]
pub fn fixture(name: &str) -> Fixture {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    let directory = if small.exists() {
        small
    } else {
        Home::locate().expect("a home").root().join("fixtures").join(name)
    };
    let path = directory.join("model.onnx");
    let contents = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask fixtures", path.display()));
    let hash = ModelHash(Sha256::digest(&contents).into());
    let file = ModelFile {
        path: "model.onnx".to_owned(),
        hash,
        bytes: contents.len() as u64,
        source: ModelSource::Path(path),
    };
    let model = Model {
        precision: String::new(),
        hash,
        name: name.to_owned(),
        version: String::new(),
        model_type: None,
        signature: Signature::default(),
        files: vec![file],
        memory_estimate_bytes: 0,
        caches: Arc::default(),
    };
    Fixture { directory, model: Arc::new(model) }
}

impl Fixture {
    /// The names of the cases.
    pub fn cases(&self) -> Vec<String> {
        let mut cases: Vec<String> = std::fs::read_dir(self.directory.join("cases"))
            .expect("cases")
            .map(|entry| entry.expect("a case").file_name().to_string_lossy().into_owned())
            .collect();
        cases.sort();
        cases
    }

    /// The inputs of a case.
    #[track_caller]
    pub fn inputs(&self, case: &str) -> Vec<NamedTensor> {
        let json = self.read(case, "request.json");
        InferRequest::from_json(&json, &Limits::default()).expect("a request").inputs
    }

    /// What the native runtime gave for a case.
    #[track_caller]
    pub fn outputs(&self, case: &str) -> Vec<NamedTensor> {
        let json = self.read(case, "response.json");
        InferResponse::from_json(&json, &Limits::default()).expect("a response").outputs
    }

    /// The model with a signature whose inputs are those of `case`, every dimension named after its place: `d0`, `d1`.
    pub fn with_symbols(&self, case: &str, names: &[&str]) -> Arc<Model> {
        let inputs = self
            .inputs(case)
            .iter()
            .map(|input| TensorSpec {
                name: Arc::clone(&input.name),
                dtype: input.tensor.dtype(),
                dims: Some(names.iter().map(|&name| Dim::Symbol(name.into())).collect()),
                optional: false,
            })
            .collect();
        let signature = Signature { inputs, outputs: Vec::new() };
        Arc::new(Model { signature, ..Model::clone(&self.model) })
    }

    #[track_caller]
    fn read(&self, case: &str, file: &str) -> Vec<u8> {
        let path = self.directory.join("cases").join(case).join(file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// The largest absolute difference between outputs and reference, as a share of what is allowed: 1e-4 of the scale of
/// the reference, or of 1 where that is smaller.
#[track_caller]
pub fn max_error(got: &[NamedTensor], want: &[NamedTensor]) -> f64 {
    assert_eq!(got.len(), want.len(), "number of outputs");
    let mut worst = 0.0_f64;
    for want in want {
        let got = got.iter().find(|tensor| tensor.name == want.name).expect("an output of this name");
        assert_eq!(got.tensor.shape(), want.tensor.shape(), "shape of {}", want.name);
        let (got, want) =
            (got.tensor.to_f64_vec().expect("numbers"), want.tensor.to_f64_vec().expect("numbers"));
        let scale = want.iter().fold(1.0_f64, |scale, value| scale.max(value.abs()));
        for (got, want) in got.iter().zip(&want) {
            let error = (got - want).abs() / (1e-4 * scale);
            assert!(!error.is_nan(), "a number that is none");
            worst = worst.max(error);
        }
    }
    worst
}
