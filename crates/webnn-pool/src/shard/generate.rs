//! Token by token, over shards whose caches stay in the pages.

use std::sync::Arc;

use futures_util::Stream;
use sharding::{Plan, Sequence};
use tensor::{DType, NamedTensor, Tensor, TensorSpec};

use super::error::ShardingError;
use super::host::PageHost;
use super::manager::{Deployment, ModelShardingManager};
use super::metrics::ShardedMetrics;
use super::sample::{Sampler, Sampling};

/// What is generated, and when that is over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// Tokens to generate at most. Default 128.
    pub max_new_tokens: usize,
    /// Tokens that end the text (`eos_token_id` elsewhere). They are given like others, as the last one. Default: none.
    pub eos: Vec<i64>,
    /// How tokens are drawn. Default: greedy.
    pub sampling: Sampling,
    /// How often each component is repeated at most, in each step. Default 5.
    pub max_retries: u32,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_new_tokens: 128, eos: Vec::new(), sampling: Sampling::Greedy, max_retries: 5 }
    }
}

/// A text on its way. The caches of its attention stay in the pages; one token goes in and one row of scores comes out for
/// each step, and what flows between shards. Several of them on their way keep all shards busy.
///
/// After an error of a run the text is where it was, and may go on; where nothing can be drawn from the scores it is over.
/// Times and repetitions are bounded for each step. Dropping it frees its caches with the next call that its
/// manager makes.
#[derive(Debug)]
pub struct Generation<'m> {
    manager: &'m ModelShardingManager,
    // Before what it runs on.
    sequence: Sequence<PageHost>,
    deployment: Arc<Deployment>,
    inputs: Inputs,
    sampler: Sampler,
    eos: Vec<i64>,
    /// Tokens that are still to be computed: the prompt, and then the latest one.
    waiting: Vec<i64>,
    /// How many were.
    past: usize,
    left: usize,
    metrics: Option<ShardedMetrics>,
}

/// What a model that generates takes and gives, beside its caches.
#[derive(Debug)]
struct Inputs {
    tokens: TensorSpec,
    mask: Option<TensorSpec>,
    positions: Option<TensorSpec>,
    scores: Arc<str>,
}

impl Inputs {
    fn of(plan: &Plan) -> Result<Self, ShardingError> {
        let refused = |why: String| ShardingError::NotGenerative { why };
        if plan.states.is_empty() {
            return Err(refused("it has no caches".to_owned()));
        }
        let mut own = plan.inputs.iter().filter(|spec| plan.state_of(&spec.name).is_none());
        let (mut tokens, mut mask, mut positions) = (None, None, None);
        if let Some(unknown) = own.find(|spec| {
            let place = match &*spec.name {
                "input_ids" => &mut tokens,
                "attention_mask" => &mut mask,
                "position_ids" => &mut positions,
                _ => return !spec.optional,
            };
            *place = Some((*spec).clone());
            !matches!(spec.dtype, DType::I64 | DType::I32)
        }) {
            let known = "input_ids, attention_mask and position_ids, of whole numbers, are understood";
            return Err(refused(format!("it takes {} of {}; {known}", unknown.name, unknown.dtype)));
        }
        let tokens = tokens.ok_or_else(|| refused("it takes no input_ids".to_owned()))?;
        let cache = |name: &str| plan.states.iter().any(|state| &*state.present == name);
        let given: Vec<&TensorSpec> =
            plan.outputs.iter().map(|output| &output.spec).filter(|spec| !cache(&spec.name)).collect();
        let scores = given.iter().find(|spec| &*spec.name == "logits").or(match given.as_slice() {
            [only] => Some(only),
            _ => None,
        });
        let scores = scores.ok_or_else(|| refused("it gives no logits".to_owned()))?;
        if scores.dtype != DType::F32 {
            return Err(refused(format!(
                "its {} are {}, and only FP32 is understood",
                scores.name, scores.dtype
            )));
        }
        let scores = Arc::clone(&scores.name);
        Ok(Self { tokens, mask, positions, scores })
    }

    /// What a step takes that computes `tokens` behind `past` others.
    fn step(&self, tokens: &[i64], past: usize) -> Result<Vec<NamedTensor>, ShardingError> {
        let total = past + tokens.len();
        // Numbers of tokens are far below what either type holds.
        let positions: Vec<i64> = (past..total).map(|position| position as i64).collect();
        let mask = vec![1; total];
        let all = [
            (Some(&self.tokens), tokens),
            (self.mask.as_ref(), &mask),
            (self.positions.as_ref(), &positions),
        ];
        let given = all.into_iter().filter_map(|(spec, values)| spec.map(|spec| row(spec, values)));
        given.collect()
    }
}

fn row(spec: &TensorSpec, values: &[i64]) -> Result<NamedTensor, ShardingError> {
    let refused = |why: String| ShardingError::Generation { why };
    let shape = [1, values.len() as u64];
    let tensor = if spec.dtype == DType::I32 {
        let narrow = values.iter().map(|&value| i32::try_from(value)).collect::<Result<Vec<i32>, _>>();
        let narrow =
            narrow.map_err(|_| refused(format!("a token is no number that {} could hold", spec.name)))?;
        Tensor::from_vec(shape, narrow)
    } else {
        Tensor::from_slice(shape, values)
    };
    let tensor = tensor.map_err(|error| refused(error.to_string()))?;
    Ok(NamedTensor::new(Arc::clone(&spec.name), tensor))
}

impl ModelShardingManager {
    /// Begins a text behind a prompt. Nothing is computed before its first token is asked for.
    ///
    /// # Errors
    /// Nothing is deployed, a model that cannot generate, an empty prompt, or settings that make no sense.
    pub fn generate(
        &self,
        prompt: &[i64],
        options: GenerateOptions,
    ) -> Result<Generation<'_>, ShardingError> {
        let deployment = self.deployment()?;
        let inputs = Inputs::of(deployment.executor.plan())?;
        if prompt.is_empty() {
            return Err(ShardingError::Generation { why: "the prompt has no token".to_owned() });
        }
        let GenerateOptions { max_new_tokens, eos, sampling, max_retries } = options;
        let sequence = deployment.executor.sequence();
        let sequence = sequence.map_err(|error| super::manager::failed(deployment.executor.plan(), error))?;
        Ok(Generation {
            manager: self,
            sequence: sequence.with_tries(max_retries.saturating_add(1)),
            inputs,
            sampler: Sampler::new(sampling)?,
            eos,
            waiting: prompt.to_vec(),
            past: 0,
            left: max_new_tokens,
            deployment,
            metrics: None,
        })
    }
}

impl<'m> Generation<'m> {
    /// The next token; `None` once the text is over.
    ///
    /// Cancellation safety: a token that was not given out is computed again by the next call.
    ///
    /// # Errors
    /// As [`ModelShardingManager::run_inference_sharded`].
    pub async fn next(&mut self) -> Result<Option<i64>, ShardingError> {
        if self.left == 0 {
            return Ok(None);
        }
        let inputs = self.inputs.step(&self.waiting, self.past)?;
        let answer = self.manager.in_time(&self.deployment, self.sequence.step(inputs)).await?;
        self.metrics = Some(self.manager.took(&self.deployment, &answer.metrics));
        self.past += self.waiting.len();
        let left = std::mem::take(&mut self.left);
        let scores = answer.outputs.iter().find(|output| output.name == self.inputs.scores);
        let token =
            scores.and_then(|scores| self.draw(&scores.tensor)).ok_or_else(|| ShardingError::Generation {
                why: format!("{} holds no scores for a next token", self.inputs.scores),
            })?;
        self.waiting = vec![token];
        self.left = if self.eos.contains(&token) { 0 } else { left - 1 };
        Ok(Some(token))
    }

    /// Draws by the scores of the last position: those of all positions, or of the last one alone.
    fn draw(&mut self, scores: &Tensor) -> Option<i64> {
        let vocabulary = usize::try_from(*scores.shape().dims().last()?).ok()?;
        let scores = scores.to_vec::<f32>().ok()?;
        let last = scores.len().checked_sub(vocabulary)?;
        let token = self.sampler.draw(&scores[last..])?;
        i64::try_from(token).ok()
    }

    /// All tokens until the text is over.
    ///
    /// # Errors
    /// As [`next`](Self::next); the tokens that came before are lost.
    pub async fn all(mut self) -> Result<Vec<i64>, ShardingError> {
        let mut tokens = Vec::with_capacity(self.left.min(1 << 16));
        while let Some(token) = self.next().await? {
            tokens.push(token);
        }
        Ok(tokens)
    }

    /// The tokens as they come. Ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<i64, ShardingError>> + use<'m> {
        futures_util::stream::unfold(Some(self), |state| async move {
            let mut generation = state?;
            match generation.next().await {
                Ok(Some(token)) => Some((Ok(token), Some(generation))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// What the latest step took; `None` before the first.
    #[must_use]
    pub const fn metrics(&self) -> Option<&ShardedMetrics> {
        self.metrics.as_ref()
    }
}
