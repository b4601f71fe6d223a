//! Models with inputs and the outputs that a native runtime gave for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision::Home;
use serde::Deserialize;
use tensor::NamedTensor;
use tensor::oip::{InferRequest, InferResponse, Limits};

/// The repository's root.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}

/// One fixture's directory and manifest.
#[derive(Debug)]
pub struct Fixture {
    pub name: String,
    pub directory: PathBuf,
    pub cases: Vec<Case>,
}

/// One case as the manifest has it.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub name: String,
    request: String,
    #[serde(default)]
    response: String,
    #[serde(default)]
    output_scales: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

/// The fixture of this name: of the repository, or, if it is a large one, of the pool's home.
#[track_caller]
pub fn fixture(name: &str) -> Fixture {
    let small = repository().join("fixtures").join(name);
    let home = || Home::locate().expect("a home").root().join("fixtures").join(name);
    let directory = if small.exists() { small } else { home() };
    let path = directory.join("manifest.json");
    let json = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask fixtures", path.display()));
    let manifest: Manifest = serde_json::from_slice(&json).expect("a manifest");
    Fixture { name: name.to_owned(), directory, cases: manifest.cases }
}

impl Fixture {
    /// The case of this name.
    #[track_caller]
    pub fn case(&self, name: &str) -> &Case {
        let found = self.cases.iter().find(|case| case.name == name);
        found.unwrap_or_else(|| panic!("{} has no case {name}", self.name))
    }

    /// The file with a case's request.
    pub fn request_path(&self, case: &Case) -> PathBuf {
        self.directory.join(&case.request)
    }

    /// The inputs of a case.
    #[track_caller]
    pub fn inputs(&self, case: &str) -> Vec<NamedTensor> {
        let json = std::fs::read(self.request_path(self.case(case))).expect("a request");
        InferRequest::from_json(&json, &Limits::default()).expect("a request").inputs
    }

    /// What the native runtime gave for a case.
    #[track_caller]
    pub fn outputs(&self, case: &Case) -> Vec<NamedTensor> {
        let json = std::fs::read(self.directory.join(&case.response)).expect("a response");
        InferResponse::from_json(&json, &Limits::default()).expect("a response").outputs
    }

    /// The largest absolute difference between outputs and reference, or what is wrong with the outputs. What is allowed
    /// is 1e-4 of the scale of each output, or 1e-4 where that is smaller.
    pub fn compare(&self, case: &Case, got: &[NamedTensor]) -> Result<f64, String> {
        self.compare_with(case, self.outputs(case), got)
    }

    /// The same with outputs that were read before.
    pub fn compare_with(
        &self,
        case: &Case,
        mut want: Vec<NamedTensor>,
        got: &[NamedTensor],
    ) -> Result<f64, String> {
        want.sort_by(|a, b| a.name.cmp(&b.name));
        let mut got = got.to_vec();
        got.sort_by(|a, b| a.name.cmp(&b.name));
        let names = |all: &[NamedTensor]| all.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        if names(&got) != names(&want) {
            return Err(format!("outputs {:?} instead of {:?}", names(&got), names(&want)));
        }
        let mut worst = 0.0_f64;
        for (got, want) in got.iter().zip(&want) {
            let delta = max_delta(got, want)?;
            let scale = self.scale(case, &want.name)?;
            if delta.is_nan() || delta > 1e-4 * scale.max(1.0) {
                return Err(format!("output {}: max |Δ| {delta:.2e} at scale {scale}", want.name));
            }
            worst = worst.max(delta);
        }
        Ok(worst)
    }

    fn scale(&self, case: &Case, output: &str) -> Result<f64, String> {
        let scale = case.output_scales.get(output).copied();
        scale.ok_or_else(|| format!("the manifest of {} has no scale for {output}", self.name))
    }
}

/// The largest absolute difference of two tensors of the same type and shape; NaN if a number is none.
pub fn max_delta(got: &NamedTensor, want: &NamedTensor) -> Result<f64, String> {
    let same = got.tensor.dtype() == want.tensor.dtype() && got.tensor.shape() == want.tensor.shape();
    if !same {
        return Err(format!("output {}: {:?} instead of {:?}", want.name, got.tensor, want.tensor));
    }
    let numbers = |one: &NamedTensor| one.tensor.to_f64_vec().map_err(|error| error.to_string());
    let mut worst = 0.0_f64;
    for (got, want) in numbers(got)?.iter().zip(numbers(want)?) {
        let delta = (got - want).abs();
        // `max` would pass over a NaN.
        worst = if delta.is_nan() { delta } else { worst.max(delta) };
        if worst.is_nan() {
            break;
        }
    }
    Ok(worst)
}
