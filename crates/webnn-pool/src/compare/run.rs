//! The whole comparison: rounds over all arms, and what comes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pool_core::Model;
use provision::{Detection, Home, Installed, detect, find_runtime};
use tensor::NamedTensor;
use tokio::time::Instant;
use vocab::{Backend, BrowserName};
use webnn_bridge::{Bridge, BridgeConfig};

use super::answers::Answers;
use super::arm::ArmName;
use super::environment;
use super::error::CompareError;
use super::input::{Generated, generate};
use super::kernel;
use super::measure::{Bench, BlockError, Seen};
use super::options::CompareOptions;
use super::reference::{by_majority, known};
use super::report::{
    ArmReport, BlockReport, CompareReport, InputFacts, InputSource, MemoryFacts, MemoryReading, Method,
    ModelFacts, NotFound, SCHEMA, Spread, Status,
};
use super::stats::median;
use crate::history::unix_now;
use crate::model::{ModelSpec, ResolvedModel};

/// What a comparison is doing, for whoever waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Progress {
    /// Sizes of dimensions and inputs were assumed, because nobody gave them.
    Generated {
        /// Each input as `input_ids: INT64[1,16]`.
        inputs: Vec<String>,
        /// The sizes.
        assumed: BTreeMap<String, u64>,
    },
    /// What the numbers are held against.
    Reference {
        /// In words.
        description: String,
    },
    /// So many launches follow.
    Planned {
        /// The number of arms.
        arms: usize,
        /// How often each is launched.
        rounds: u32,
    },
    /// A launch begins.
    Launching {
        /// In which round, from 0.
        round: u32,
        /// Of which arm.
        arm: ArmName,
    },
    /// A launch is over, or will not take place.
    Launched {
        /// Of which arm.
        arm: ArmName,
        /// Why it ended early.
        error: Option<String>,
    },
}

/// An arm on its way.
struct Arm {
    name: ArmName,
    /// The browser; `None` where it is not here.
    installed: Option<Installed>,
    seen: Seen,
    blocks: Vec<BlockReport>,
    /// Why it is not launched again.
    over: Option<(Status, String)>,
    failures: u32,
}

/// How often in a row an arm may fail before it is not launched again.
const MOST_FAILURES: u32 = 2;

/// Runs a model on every browser and backend that is asked for, or on every one of this machine. `progress` hears what is
/// being done.
///
/// Cancellation safety: dropping the future kills the browsers and the native runtime.
///
/// # Errors
/// [`CompareError`] where there was nothing to compare. An arm that fails is a row of the report.
pub async fn compare(
    spec: ModelSpec,
    options: CompareOptions,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<CompareReport, CompareError> {
    options.validate()?;
    let home = match &options.home {
        Some(home) => home.clone(),
        None => Home::locate()?,
    };
    let config = match &options.bridge {
        Some(config) => config.clone(),
        None => BridgeConfig::new(find_runtime(&home)?),
    };
    let model = ResolvedModel::read(spec, config.memory_budget_bytes).await?.model;
    let (inputs, input) = inputs(&options, &model)?;
    if input.source == InputSource::Generated {
        progress(Progress::Generated { inputs: input.tensors.clone(), assumed: input.assumed.clone() });
    }
    let (mut arms, not_found) = arms(&options, &home).await?;
    let known = known(&options, &home, &model, &inputs).await?;
    progress(Progress::Reference { description: known.facts.description.clone() });

    let mut environment = environment::read(&config.runtime.version);
    let started_unix_ms = unix_now().0;
    let started = Instant::now();
    let bridge = Bridge::start(config).await?;
    let bench = Bench {
        bridge: &bridge,
        options: &options,
        inputs: inputs.into(),
        dims: Arc::new(input.dims.iter().map(|(name, size)| (name.as_str().into(), *size)).collect()),
        model: Arc::clone(&model),
        reference: known.outputs,
        started,
    };
    progress(Progress::Planned { arms: arms.len(), rounds: options.rounds });
    for round in 0..options.rounds {
        for at in order(arms.len(), round) {
            let arm = &mut arms[at];
            progress(Progress::Launching { round, arm: arm.name });
            let error = arm.launch(&bench, round).await;
            progress(Progress::Launched { arm: arm.name, error });
        }
    }
    let Bench { reference: given, .. } = bench;
    bridge.shutdown().await;

    let answered: Vec<(ArmName, &Answers)> =
        arms.iter().filter_map(|arm| Some((arm.name, arm.seen.answers.as_ref()?))).collect();
    let (found, reference) = match given {
        Some(_) => (None, known.facts),
        None => by_majority(&answered, &known.facts),
    };
    environment.load_after = environment::load();
    Ok(CompareReport {
        schema: SCHEMA.to_owned(),
        webnn_pool: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms,
        took_ms: started.elapsed().as_secs_f64() * 1e3,
        model: facts(&model),
        input,
        reference,
        method: method(&options),
        environment,
        arms: arms.into_iter().map(|arm| arm.report(found.as_deref())).collect(),
        not_found,
        baseline: None,
        checks: Vec::new(),
    })
}

/// In which order the arms have their turn: another one first in each round, and every other round backwards, so that no arm
/// always follows the same one.
fn order(arms: usize, round: u32) -> Vec<usize> {
    let arms = arms.max(1);
    let first = usize::try_from(round).unwrap_or(0) % arms;
    let forwards = round.is_multiple_of(2);
    let step = |at: usize| if forwards { at } else { arms - at };
    (0..arms).map(|at| (first + step(at)) % arms).collect()
}

impl Arm {
    /// Launches it once more, unless that makes no sense. Gives what went wrong.
    async fn launch(&mut self, bench: &Bench<'_>, round: u32) -> Option<String> {
        if let Some((_, why)) = &self.over {
            return Some(why.clone());
        }
        let installed = self.installed.clone()?;
        let (block, went) = bench.block(installed, self.name.backend, round, &mut self.seen).await;
        let error = block.error.clone();
        match went {
            Ok(()) => self.failures = 0,
            // A backend that was there before and is not any more has failed.
            Err(BlockError::Missing { reason }) if self.blocks.is_empty() => {
                self.over = Some((Status::Missing, reason));
                return error;
            }
            Err(BlockError::Refused { .. }) => {
                self.over = Some((Status::Refused, error.clone().unwrap_or_default()));
            }
            Err(_) => {
                self.failures += 1;
                if self.failures >= MOST_FAILURES {
                    self.over = Some((Status::Failed, error.clone().unwrap_or_default()));
                }
            }
        }
        self.blocks.push(block);
        error
    }

    fn report(self, reference: Option<&[NamedTensor]>) -> ArmReport {
        let Self { name, installed, seen, blocks, over, failures: _ } = self;
        let Seen { version, device, placement, operators, answers } = seen;
        let numbers = answers.and_then(|answers| answers.finish(reference));
        let errors: Vec<&str> = blocks.iter().filter_map(|block| block.error.as_deref()).collect();
        let (status, reason) = match (over, errors.as_slice(), &numbers) {
            (Some((status @ (Status::Missing | Status::Refused), why)), ..) => (status, Some(why)),
            (_, [.., last], _) => {
                let why = format!("{} of {} launches failed: {last}", errors.len(), blocks.len());
                (Status::Failed, Some(why))
            }
            (_, [], None) => (Status::Unverified, None),
            (_, [], Some(numbers)) if numbers.right => (Status::Right, None),
            (_, [], Some(numbers)) => (Status::Wrong, numbers.problem.clone()),
        };
        let each = |of: fn(&BlockReport) -> Option<f64>| {
            Spread::of(&blocks.iter().filter_map(of).collect::<Vec<_>>())
        };
        let all = |of: fn(&BlockReport) -> &[f64]| {
            Spread::of(&blocks.iter().flat_map(|block| of(block).iter().copied()).collect::<Vec<_>>())
        };
        ArmReport {
            browser: name.browser,
            backend: name.backend,
            status,
            reason,
            version: version.or_else(|| installed.map(|installed| installed.version)).unwrap_or_default(),
            fallback_nodes: fallback(name.backend, &placement),
            device,
            placement,
            operators,
            numbers,
            load_ms: each(|block| block.load_ms),
            first_run_ms: each(|block| block.first_in_page_ms),
            in_page_ms: all(|block| &block.in_page_ms),
            total_ms: all(|block| &block.total_ms),
            memory: memory(&blocks),
            blocks,
        }
    }
}

/// Nodes that a backend left to the CPU.
fn fallback(backend: Backend, placement: &BTreeMap<String, u32>) -> u32 {
    match backend {
        Backend::Wasm => 0,
        _ => placement.get("CPUExecutionProvider").copied().unwrap_or(0),
    }
}

fn memory(blocks: &[BlockReport]) -> Option<MemoryFacts> {
    let middle = |of: &dyn Fn(&BlockReport) -> Option<u64>| {
        let values: Vec<f64> = blocks.iter().filter_map(of).map(|value| value as f64).collect();
        median(&values).map(|value| value as u64)
    };
    let reading = |of: fn(&BlockReport) -> Option<MemoryReading>| {
        let part = |field: fn(MemoryReading) -> u64| middle(&|block| of(block).map(field));
        Some(MemoryReading {
            pss_bytes: part(|reading| reading.pss_bytes)?,
            rss_bytes: part(|reading| reading.rss_bytes)?,
            processes: part(|reading| u64::from(reading.processes))?.try_into().unwrap_or(u32::MAX),
        })
    };
    Some(MemoryFacts {
        idle: reading(|block| block.idle)?,
        loaded: reading(|block| block.loaded)?,
        heap_bytes: middle(&|block| block.heap_bytes),
        page_bytes: middle(&|block| block.page_bytes),
    })
}

fn facts(model: &Model) -> ModelFacts {
    ModelFacts {
        name: model.name.clone(),
        hash: model.hash.to_string(),
        model_type: model.model_type,
        precision: model.precision.clone(),
        bytes: model.files.iter().map(|file| file.bytes).sum(),
        inputs: model.signature.inputs.iter().map(ToString::to_string).collect(),
        outputs: model.signature.outputs.iter().map(ToString::to_string).collect(),
    }
}

fn method(options: &CompareOptions) -> Method {
    Method {
        rounds: options.rounds,
        repeat: options.repeat,
        warmup: options.warmup,
        budget_ms: options.budget.as_secs_f64() * 1e3,
        timeout_ms: options.timeout.as_secs_f64() * 1e3,
        threads: options.threads,
        kernel: kernel::name(),
    }
}

fn inputs(options: &CompareOptions, model: &Model) -> Result<(Vec<NamedTensor>, InputFacts), CompareError> {
    let (inputs, source, assumed) = match &options.inputs {
        Some(inputs) => (inputs.clone(), InputSource::File, BTreeMap::new()),
        None => {
            let Generated { inputs, assumed } = generate(&model.signature, &options.sizes, options.seed)?;
            (inputs, InputSource::Generated, assumed)
        }
    };
    let dims = model.signature.bind(&inputs)?;
    let form =
        |one: &NamedTensor| format!("{}: {}{}", one.name, one.tensor.dtype().oip_name(), one.tensor.shape());
    let facts = InputFacts {
        source,
        seed: (source == InputSource::Generated).then_some(options.seed),
        tensors: inputs.iter().map(form).collect(),
        dims: dims.into_iter().map(|(name, size)| (name.to_string(), size)).collect(),
        assumed,
    };
    Ok((inputs, facts))
}

/// The arms to launch, and the browsers that were looked for and are not here.
async fn arms(options: &CompareOptions, home: &Home) -> Result<(Vec<Arm>, Vec<NotFound>), CompareError> {
    let named = !options.browsers.is_empty();
    let mut browsers = if named { options.browsers.clone() } else { BrowserName::ALL.to_vec() };
    let mut backends =
        if options.backends.is_empty() { Backend::ALL.to_vec() } else { options.backends.clone() };
    unique(&mut browsers);
    unique(&mut backends);
    let mut arms = Vec::new();
    let mut not_found = Vec::new();
    for browser in browsers {
        let home = home.clone();
        let detection = tokio::task::spawn_blocking(move || detect(&home, browser)).await;
        let (installed, why) = match detection.map_err(|_| CompareError::TaskLost)? {
            Detection::Found(installed) => (Some(installed), None),
            Detection::Missing { reason, hint } => (None, Some((reason.to_string(), hint))),
            _ => (
                None,
                Some((
                    "its state is not known to this version".to_owned(),
                    "run webnn-pool browsers".to_owned(),
                )),
            ),
        };
        if let (Some((reason, hint)), false) = (&why, named) {
            not_found.push(NotFound { browser, reason: reason.clone(), hint: hint.clone() });
            continue;
        }
        let over = why.map(|(reason, hint)| (Status::Missing, format!("{reason}: {hint}")));
        arms.extend(backends.iter().map(|&backend| Arm {
            name: ArmName { browser, backend },
            installed: installed.clone(),
            seen: Seen::default(),
            blocks: Vec::new(),
            over: over.clone(),
            failures: 0,
        }));
    }
    if arms.is_empty() { Err(CompareError::NoBrowser) } else { Ok((arms, not_found)) }
}

/// Leaves the first of each.
fn unique<T: PartialEq + Copy>(all: &mut Vec<T>) {
    let mut seen = Vec::new();
    all.retain(|one| {
        let first = !seen.contains(one);
        seen.push(*one);
        first
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_every_arm_once_and_another_one_first() {
        for arms in 1..6 {
            let mut firsts = Vec::new();
            for round in 0..4 {
                let order = order(arms, round);
                firsts.extend(order.first().copied());
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..arms).collect::<Vec<_>>());
            }
            firsts.dedup();
            assert!(arms < 4 || firsts.len() == 4, "{firsts:?}");
        }
    }

    #[test]
    fn what_is_named_twice_is_launched_once() {
        let mut backends = vec![Backend::Wasm, Backend::WebNn, Backend::Wasm];
        unique(&mut backends);
        assert_eq!(backends, [Backend::Wasm, Backend::WebNn]);
    }

    #[test]
    fn only_what_is_not_the_cpu_falls_back_to_it() {
        let placement =
            [("CPUExecutionProvider".to_owned(), 3), ("WebNNExecutionProvider".to_owned(), 5)].into();
        assert_eq!(fallback(Backend::WebNn, &placement), 3);
        assert_eq!(fallback(Backend::Wasm, &placement), 0);
    }
}
