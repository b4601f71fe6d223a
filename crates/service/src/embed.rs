//! Texts as vectors: tokens in, and what a model says about them pooled into one vector.

use std::sync::Arc;

use tensor::{DType, NamedTensor, Tensor, TensorSpec};
use tokenizers::Tokenizer;

use crate::error::ServiceError;
use crate::repository::{Hub, Pooling, Served};

/// Turns tokens into a model's inputs, and its outputs into one vector.
#[derive(Debug)]
pub(crate) struct Embedder {
    served: Arc<Served>,
    output: TensorSpec,
}

impl Embedder {
    /// How this model embeds.
    ///
    /// # Errors
    /// It does not: the error says what it lacks.
    pub(crate) fn of(served: &Arc<Served>) -> Result<Self, ServiceError> {
        let unsuited = |why: &str| unsuited(served, why);
        if !served.hub.has_tokenizer() {
            return Err(unsuited("there is no tokenizer.json beside it"));
        }
        let signature = &served.model.signature;
        let known = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];
        if let Some(other) =
            signature.inputs.iter().find(|input| !known.contains(&&*input.name) && !input.optional)
        {
            return Err(unsuited(&format!("its input {:?} is not known for a text", other.name)));
        }
        if signature.input("input_ids").is_none() {
            return Err(unsuited("it takes no input_ids"));
        }
        let rank = |spec: &&TensorSpec| spec.dims.as_ref().map_or(0, Vec::len);
        let floats = || signature.outputs.iter().filter(|spec| spec.dtype == DType::F32);
        let named = |name: &'static str| floats().find(|spec| &*spec.name == name);
        let output = named("sentence_embedding")
            .or_else(|| named("text_embeds"))
            .or_else(|| named("last_hidden_state"))
            .or_else(|| floats().find(|spec| rank(spec) == 2))
            .or_else(|| floats().find(|spec| rank(spec) == 3));
        match output {
            Some(output) if matches!(rank(&output), 2 | 3) => {
                Ok(Self { served: Arc::clone(served), output: output.clone() })
            }
            _ => Err(unsuited("it has no output of FP32 with one vector for a text or for each token")),
        }
    }

    /// Elements of a vector, where the model says.
    pub(crate) fn dimensions(&self) -> Option<u64> {
        match self.output.dims.as_ref().and_then(|dims| dims.last()) {
            Some(tensor::Dim::Fixed(size)) => Some(*size),
            _ => None,
        }
    }

    /// The output that is asked for.
    pub(crate) fn outputs(&self) -> Arc<[Arc<str>]> {
        [Arc::clone(&self.output.name)].into()
    }

    /// Whether all texts can be taken.
    pub(crate) fn check(&self, texts: &[Vec<u32>]) -> Result<(), ServiceError> {
        let refused = |why: String| Err(ServiceError::BadParameter { name: "input", why });
        if texts.iter().any(Vec::is_empty) {
            return refused("holds a text without tokens".to_owned());
        }
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        match self.served.hub.max_length {
            Some(most) if longest > most => refused(format!(
                "holds a text of {longest} tokens, and {most} are the most that the model takes"
            )),
            _ => Ok(()),
        }
    }

    /// Whether the model has all of these tokens, where a caller made them himself.
    pub(crate) fn known(&self, texts: &[Vec<u32>]) -> Result<(), ServiceError> {
        let tokenizer = self.served.hub.tokenizer().map_err(|why| unsuited(&self.served, &why))?;
        texts.iter().try_for_each(|tokens| known(&tokenizer, tokens, "input"))
    }

    /// The inputs for one text.
    pub(crate) fn inputs(&self, tokens: &[u32]) -> Result<Vec<NamedTensor>, ServiceError> {
        let mut inputs = Vec::new();
        for spec in &self.served.model.signature.inputs {
            let values: Vec<i64> = match &*spec.name {
                "input_ids" => tokens.iter().map(|&token| i64::from(token)).collect(),
                "attention_mask" => vec![1; tokens.len()],
                "token_type_ids" => vec![0; tokens.len()],
                // A text's length is far below what the type holds.
                "position_ids" => (0..tokens.len() as i64).collect(),
                _ => continue,
            };
            inputs.push(row(spec, &values)?);
        }
        Ok(inputs)
    }

    /// The vector of one text.
    pub(crate) fn vector(&self, outputs: &[NamedTensor], tokens: usize) -> Result<Vec<f32>, ServiceError> {
        let wrong = |why: String| ServiceError::Internal(why);
        let found = outputs.iter().find(|output| output.name == self.output.name);
        let tensor = &found.ok_or_else(|| wrong(format!("there is no {}", self.output.name)))?.tensor;
        let values = tensor.to_vec::<f32>().map_err(|error| wrong(error.to_string()))?;
        let mut vector = match *tensor.shape().dims() {
            [1, _] => values,
            [1, length, width] if length as usize >= tokens && width > 0 => {
                pooled(&self.served.hub, &values, tokens, width as usize)
            }
            _ => return Err(wrong(format!("{} has shape {}", self.output.name, tensor.shape()))),
        };
        if self.served.hub.normalize {
            let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if length > 0.0 {
                vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
            }
        }
        Ok(vector)
    }
}

/// One row of tokens, in the element type that the model wants.
pub(crate) fn row(spec: &TensorSpec, values: &[i64]) -> Result<NamedTensor, ServiceError> {
    let shape = [1, values.len() as u64];
    let tensor = match spec.dtype {
        DType::I32 => {
            let narrow: Result<Vec<i32>, _> = values.iter().map(|&value| i32::try_from(value)).collect();
            let wide = |_| ServiceError::BadParameter {
                name: "input",
                why: "holds a token that is too large".to_owned(),
            };
            Tensor::from_vec(shape, narrow.map_err(wide)?)
        }
        _ => Tensor::from_slice(shape, values),
    };
    let tensor = tensor.map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(NamedTensor::new(Arc::clone(&spec.name), tensor))
}

fn pooled(hub: &Hub, values: &[f32], tokens: usize, width: usize) -> Vec<f32> {
    let mut rows = values.chunks_exact(width).take(tokens);
    match hub.pooling {
        Pooling::First => rows.next().map(<[f32]>::to_vec).unwrap_or_default(),
        Pooling::Last => rows.next_back().map(<[f32]>::to_vec).unwrap_or_default(),
        Pooling::Max => rows.fold(vec![f32::NEG_INFINITY; width], |mut most, row| {
            most.iter_mut().zip(row).for_each(|(most, value)| *most = most.max(*value));
            most
        }),
        Pooling::Mean => {
            let mut sums = vec![0.0_f64; width];
            rows.for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value)));
            sums.iter().map(|sum| (sum / tokens as f64) as f32).collect()
        }
    }
}

/// The tokens of texts. Long ones keep a core busy, so not on the runtime's threads.
pub(crate) async fn tokenize(
    served: Arc<Served>,
    texts: Vec<String>,
    special: bool,
) -> Result<Vec<Vec<u32>>, ServiceError> {
    let work = tokio::task::spawn_blocking(move || {
        let tokenizer = served.hub.tokenizer().map_err(|why| unsuited(&served, &why))?;
        let one = |text: String| {
            let encoded = tokenizer.encode_fast(text, special);
            let encoded = encoded
                .map_err(|error| ServiceError::BadRequest(format!("the text has no tokens: {error}")))?;
            Ok(encoded.get_ids().to_vec())
        };
        texts.into_iter().map(one).collect()
    });
    work.await.unwrap_or_else(|_| Err(ServiceError::Internal("the tokenizer was lost".to_owned())))
}

/// Whether the model's vocabulary has these tokens. What a browser computes for others is not defined: some fail, others
/// answer as if it were another one.
pub(crate) fn known(tokenizer: &Tokenizer, tokens: &[u32], name: &'static str) -> Result<(), ServiceError> {
    match tokens.iter().find(|&&token| tokenizer.id_to_token(token).is_none()) {
        None => Ok(()),
        Some(token) => {
            let why = format!("holds the token {token}, which is none of the model's");
            Err(ServiceError::BadParameter { name, why })
        }
    }
}

fn unsuited(served: &Served, why: &str) -> ServiceError {
    ServiceError::Unsuited { name: served.name.clone(), what: "embed texts", why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_are_none_are_refused() {
        let level = r#"{"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}"#;
        let json = format!(r#"{{"version": "1.0", "added_tokens": [], "model": {level}}}"#);
        let tokenizer = Tokenizer::from_bytes(json).expect("a tokenizer");
        assert!(known(&tokenizer, &[0, 1], "input").is_ok());
        let error = known(&tokenizer, &[1, u32::MAX], "input").expect_err("there is no such token");
        assert_eq!(error.to_string(), "input holds the token 4294967295, which is none of the model's");
    }

    fn hub(pooling: &str) -> Hub {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("1_Pooling")).expect("it is made");
        std::fs::write(folder.path().join("1_Pooling/config.json"), pooling).expect("it is written");
        Hub::of(folder.path())
    }

    #[test]
    fn tokens_vectors_become_one_without_the_padded_ones() {
        let values = [1.0, 2.0, 3.0, 6.0, 99.0, 99.0];
        assert_eq!(pooled(&hub("{}"), &values, 2, 2), [2.0, 4.0]);
        assert_eq!(pooled(&hub(r#"{"pooling_mode_cls_token": true}"#), &values, 2, 2), [1.0, 2.0]);
        assert_eq!(pooled(&hub(r#"{"pooling_mode_max_tokens": true}"#), &values, 2, 2), [3.0, 6.0]);
        assert_eq!(pooled(&hub(r#"{"pooling_mode_lasttoken": true}"#), &values, 2, 2), [3.0, 6.0]);
    }
}
