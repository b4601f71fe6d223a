//! The proof that a guest gives before it joins: it computes the golden model, and the numbers are compared here. What its
//! page says about its own probe is not used.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pool_core::{LoadCall, Model, ModelFile, ModelSource, RunCall, WorkerLink as _};
use sha2::{Digest as _, Sha256};
use tensor::NamedTensor;
use tensor::oip::{InferRequest, InferResponse, Limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Backend, ModelHash, RequestId, SessionId};
use webnn_bridge::{Admission, Page, golden_files};

/// How long each call of it may take.
const CALL: Duration = Duration::from_secs(60);
/// How far its numbers may be off: single precision with a wide margin for reordering.
const TOLERANCE: f64 = 1e-3;
/// The number of its session. The pool's begin at one.
const SESSION: SessionId = SessionId(0);

/// What is computed, and what it gives.
#[derive(Debug)]
pub(super) struct Golden {
    model: Arc<Model>,
    inputs: Arc<[NamedTensor]>,
    outputs: Vec<NamedTensor>,
}

impl Golden {
    /// The one that is part of the page.
    ///
    /// # Errors
    /// It cannot be read, which a build with a damaged page would show.
    pub(super) fn read() -> Result<Self, String> {
        let [model, request, response] = golden_files();
        let inputs =
            InferRequest::from_json(request, &Limits::default()).map_err(|error| error.to_string())?;
        let outputs =
            InferResponse::from_json(response, &Limits::default()).map_err(|error| error.to_string())?;
        let hash = ModelHash(Sha256::digest(model).into());
        let file = ModelFile {
            path: "golden.onnx".to_owned(),
            hash,
            bytes: model.len() as u64,
            source: ModelSource::Memory(Bytes::from_static(model)),
        };
        let model = Model {
            hash,
            name: "golden".to_owned(),
            version: String::new(),
            model_type: None,
            precision: String::new(),
            // The page has the inputs by name; nobody else asks for it.
            signature: tensor::Signature::default(),
            files: vec![file],
            memory_estimate_bytes: 0,
            caches: Arc::default(),
        };
        Ok(Self { model: Arc::new(model), inputs: inputs.inputs.into(), outputs: outputs.outputs })
    }

    /// The file that a guest fetches for it.
    pub(super) fn hash(&self) -> ModelHash {
        self.model.hash
    }

    /// The backends of a page that compute it, of those that it says it has; and why the others do not.
    pub(super) async fn prove(&self, page: &Page) -> (Vec<Backend>, Vec<String>) {
        let (mut proved, mut why) = (Vec::new(), Vec::new());
        for (backend, verdict) in page.verdicts() {
            if verdict.verdict == Admission::Rejected {
                let reason = verdict.reason.unwrap_or_else(|| "no reason given".to_owned());
                why.push(format!("{backend}: {reason}"));
                continue;
            }
            match self.compute(page, backend).await {
                Ok(()) => proved.push(backend),
                Err(reason) => why.push(format!("{backend}: {reason}")),
            }
        }
        (proved, why)
    }

    async fn compute(&self, page: &Page, backend: Backend) -> Result<(), String> {
        let deadline = Instant::now() + CALL;
        let cancel = CancellationToken::new();
        let load = LoadCall {
            session: SESSION,
            model: Arc::clone(&self.model),
            backend,
            device: None,
            dims: Arc::default(),
            deadline,
            cancel: cancel.clone(),
        };
        page.load(load).await.map_err(|error| error.to_string())?;
        let run = RunCall {
            request: RequestId(0),
            session: SESSION,
            inputs: Arc::clone(&self.inputs),
            outputs: None,
            step: None,
            deadline,
            cancel,
        };
        let answer = page.run(run).await.map_err(|error| error.to_string())?;
        page.unload(SESSION).await.map_err(|error| error.to_string())?;
        compare(&self.outputs, &answer.outputs)
    }
}

fn compare(wanted: &[NamedTensor], got: &[NamedTensor]) -> Result<(), String> {
    if got.len() != wanted.len() {
        return Err(format!("it gave {} outputs of the golden model, not {}", got.len(), wanted.len()));
    }
    for want in wanted {
        let found = got.iter().find(|output| output.name == want.name);
        let found = found.filter(|found| found.tensor.shape() == want.tensor.shape());
        let numbers = found.and_then(|found| found.tensor.to_f64_vec().ok());
        let (Some(got), Ok(want)) = (numbers, want.tensor.to_f64_vec()) else {
            return Err("an output of the golden model is missing or has another form".to_owned());
        };
        let off = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
        // A number that is none is as far off as can be.
        let worst = off.fold(0.0_f64, |worst, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) });
        if worst > TOLERANCE {
            return Err(format!("its numbers of the golden model are off by {worst:.3e}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tensor::Tensor;

    use super::*;

    fn one(name: &str, values: &[f32]) -> NamedTensor {
        let shape: &[u64] = &[values.len() as u64];
        NamedTensor::new(name, Tensor::from_slice(shape, values).expect("a tensor"))
    }

    #[track_caller]
    fn check(got: &[NamedTensor], right: bool) {
        assert_eq!(compare(&[one("y", &[1.0, 2.0])], got).is_ok(), right, "{got:?}");
    }

    #[test]
    fn only_the_right_numbers_prove_anything() {
        check(&[one("y", &[1.0, 2.0005])], true);
        check(&[one("y", &[1.0, 2.1])], false);
        check(&[one("y", &[1.0, f32::NAN])], false);
        check(&[one("y", &[f32::INFINITY, 2.0])], false);
        check(&[one("z", &[1.0, 2.0])], false);
        check(&[one("y", &[1.0])], false);
        check(&[one("y", &[1.0, 2.0]), one("z", &[])], false);
        check(&[], false);
    }

    #[test]
    fn the_golden_model_is_part_of_the_page() {
        let golden = Golden::read().expect("it can be read");
        assert!(!golden.inputs.is_empty() && !golden.outputs.is_empty());
        assert_eq!(compare(&golden.outputs, &golden.outputs), Ok(()));
    }
}
