//! Worlds from observations that were recorded.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use perf_history::store::open_read_only;
use perf_history::{Arm, Observation, Operation, Outcome, Query, Verdict};
use pool_core::selection::ContextKey;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Failure;
use super::report::say;
use super::world::{Draw, World};

/// Observations in JSON, one a line.
const FIXTURE: &str = "fixtures/observations.jsonl";
/// An arm takes part where it has this many warm runs.
const LEAST_RUNS: usize = 20;
/// How many models and shapes are replayed; those with the most runs.
const MOST_CONTEXTS: usize = 6;
/// How many runs that came after each other stay together.
const BLOCK: usize = 10;
/// Over how many requests the oracle looks.
const AROUND: usize = 100;
/// What is assumed where no first run was recorded.
const COLD: f64 = 3.0;

/// What was recorded of one arm, in the order in which it happened.
#[derive(Debug, Default)]
struct Track {
    runs: Vec<Draw>,
    cold_ms: Vec<f64>,
}

type Tracks = BTreeMap<Arc<Arm>, Track>;

/// The worlds of each model and shape bucket of a database, or of the fixture where there is no database.
pub(crate) fn worlds(
    history: Option<&str>,
    requests: usize,
    seeds: Range<u64>,
) -> Result<Vec<(String, Vec<World>)>, Failure> {
    let observations = match history {
        Some(location) => stored(location)?,
        None if Path::new(FIXTURE).exists() => lines(Path::new(FIXTURE))?,
        None => {
            say(&format!("\nrecorded: left out, there is neither --history nor {FIXTURE}"));
            return Ok(Vec::new());
        }
    };
    let mut contexts: BTreeMap<ContextKey, (Arc<perf_history::ModelId>, Tracks)> = BTreeMap::new();
    for observation in &observations {
        let key = ContextKey { model: observation.model.hash, shape: observation.shape.clone() };
        let (_, tracks) =
            contexts.entry(key).or_insert_with(|| (Arc::clone(&observation.model), Tracks::new()));
        add(tracks.entry(Arc::clone(&observation.arm)).or_default(), observation);
    }
    for (_, tracks) in contexts.values_mut() {
        tracks.retain(|_, track| track.runs.iter().filter(|run| !run.fails).count() >= LEAST_RUNS);
    }
    let mut contexts: Vec<_> = contexts.into_iter().filter(|(_, (_, tracks))| tracks.len() >= 2).collect();
    let runs = |tracks: &Tracks| tracks.values().map(|track| track.runs.len()).sum::<usize>();
    contexts.sort_by_key(|(_, (_, tracks))| std::cmp::Reverse(runs(tracks)));
    contexts.truncate(MOST_CONTEXTS);
    if contexts.is_empty() {
        say(&format!(
            "\nrecorded: left out, no model and shape has two arms with {LEAST_RUNS} warm runs each, in {} \
             observations",
            observations.len()
        ));
    }
    let world = |(key, (model, tracks)): (ContextKey, (Arc<perf_history::ModelId>, Tracks))| {
        let name = format!("{}, {} ({} arms, {} runs)", model.name, key.shape, tracks.len(), runs(&tracks));
        let worlds = seeds.clone().map(|seed| bootstrap(&key, &model, &tracks, requests, seed));
        (name, worlds.collect())
    };
    Ok(contexts.into_iter().map(world).collect())
}

fn stored(location: &str) -> Result<Vec<Observation>, Failure> {
    const PAGE: u32 = 10_000;
    let mut store = open_read_only(&location.parse()?)?;
    let (mut all, mut id) = (Vec::new(), 0);
    loop {
        let page = store.observations(&Query::After { id, limit: PAGE })?;
        let Some(last) = page.last() else { return Ok(all) };
        id = last.id;
        all.extend(page.into_iter().map(|stored| stored.observation));
    }
}

fn lines(path: &Path) -> Result<Vec<Observation>, Failure> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let read = |(number, line): (usize, std::io::Result<String>)| -> Result<Observation, Failure> {
        let line = line?;
        serde_json::from_str(&line)
            .map_err(|error| format!("{}:{}: {error}", path.display(), number + 1).into())
    };
    file.lines().enumerate().map(read).collect()
}

fn add(track: &mut Track, observation: &Observation) {
    if observation.operation != Operation::Run {
        return;
    }
    let took = observation.service_ms.or(observation.in_page_ms).or(observation.total_ms);
    match (observation.outcome.verdict(), observation.latency_ms()) {
        (Verdict::Success, Some(ms)) => track.runs.push(Draw { ms, fails: false }),
        (Verdict::Success, None) if observation.outcome == Outcome::Ok => track.cold_ms.extend(took),
        (Verdict::Failure, _) => track.runs.push(Draw { ms: took.unwrap_or(0.0), fails: true }),
        _ => {}
    }
}

/// Runs of each arm drawn again from what was recorded: in blocks of runs that came after each other, and from about
/// the same part of the record as the request's place among all requests, so that what changed on the way changes here.
fn bootstrap(
    key: &ContextKey,
    model: &perf_history::ModelId,
    tracks: &Tracks,
    requests: usize,
    seed: u64,
) -> World {
    let mut random = StdRng::seed_from_u64(seed);
    let mut draws: Vec<Vec<Draw>> = vec![Vec::with_capacity(tracks.len()); requests];
    for track in tracks.values() {
        let runs = &track.runs;
        for from in (0..requests).step_by(BLOCK) {
            let here = from * runs.len() / requests;
            let near = here.saturating_sub(BLOCK)..(here + BLOCK).min(runs.len());
            let start = random.random_range(near);
            for (at, request) in (from..(from + BLOCK).min(requests)).enumerate() {
                draws[request].push(runs[(start + at) % runs.len()]);
            }
        }
    }
    let cold = |track: &Track| {
        let warm: Vec<f64> = track.runs.iter().filter(|run| !run.fails).map(|run| run.ms).collect();
        let times = median(&track.cold_ms) / median(&warm);
        if times.is_finite() { times.max(1.0) } else { COLD }
    };
    World {
        key: key.clone(),
        model_type: model.model_type,
        arms: tracks.keys().cloned().collect(),
        cold: tracks.values().map(cold).collect(),
        expected: expected(&draws),
        draws,
        regression: None,
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What each arm costs on average around each request.
fn expected(draws: &[Vec<Draw>]) -> Vec<Vec<f64>> {
    let arms = draws.first().map_or(0, Vec::len);
    let windows: Vec<Vec<f64>> = draws
        .chunks(AROUND)
        .map(|chunk| {
            let mean = |arm: usize| {
                let n = chunk.len() as f64;
                let failed = chunk.iter().filter(|draws| draws[arm].fails).count() as f64 / n;
                (chunk.iter().map(|draws| draws[arm].ms).sum::<f64>() / n, failed)
            };
            let means: Vec<(f64, f64)> = (0..arms).map(mean).collect();
            let best = means.iter().map(|&(ms, _)| ms).fold(f64::INFINITY, f64::min);
            means.iter().map(|&(ms, failed)| ms + World::failure_ms(failed, best)).collect()
        })
        .collect();
    (0..draws.len()).map(|request| windows[request / AROUND].clone()).collect()
}
