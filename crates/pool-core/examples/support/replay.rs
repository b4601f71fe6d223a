//! One policy in one world, through the selector that the pool uses.

use std::sync::Arc;

use perf_history::{ModelId, Observation, Operation, Outcome, UnixMillis};
use pool_core::selection::{SelectionConfig, SelectionError, Selector};
use vocab::{PolicyName, WorkerId};

use super::world::World;

/// A run may be risked to learn something where it is not longer than this, in milliseconds: a quarter of half a
/// minute, as in the pool.
const LONGEST_MS: f64 = 7_500.0;
/// How many decisions show whether an arm leads, and how many of them it has to.
const WINDOW: usize = 50;
const LEADS: usize = 45;

/// How a policy did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Course {
    /// All that was paid, in milliseconds.
    pub(crate) total_ms: f64,
    /// Above the clairvoyant, as a share of what that paid.
    pub(crate) regret: f64,
    /// Above the best arm that one could have stayed with.
    pub(crate) over_fixed: f64,
    /// Requests until the best arm leads; `None` where it never does.
    pub(crate) until_lead: Option<f64>,
    /// Requests from the regression until the arm that became worse no longer leads.
    pub(crate) until_noticed: Option<f64>,
    /// The share of requests that were sent somewhere to learn something.
    pub(crate) exploring: f64,
}

/// Sends every request of a world to the arm that a policy chooses, one after the other.
pub(crate) fn replay(world: &World, policy: PolicyName, seed: u64) -> Result<Course, SelectionError> {
    let mut config = SelectionConfig::default();
    (config.policy, config.explore, config.seed) = (policy, true, seed);
    if policy == PolicyName::Fixed {
        let arm = &world.arms[world.best_fixed()];
        (config.fixed_browser, config.fixed_backend) = (Some(arm.browser), Some(arm.backend));
    }
    let mut selector = Selector::new(config)?;
    let model = Arc::new(ModelId {
        hash: world.key.model,
        name: "replay".into(),
        version: "".into(),
        model_type: world.model_type,
        precision: "".into(),
    });
    let index = |arm: &perf_history::Arm| world.arms.iter().position(|known| **known == *arm).unwrap_or(0);
    let mut warm = vec![false; world.arms.len()];
    let (mut total_ms, mut explored) = (0.0, 0_u32);
    let mut leaders = Vec::with_capacity(world.draws.len());
    for (request, draws) in world.draws.iter().enumerate() {
        let now = UnixMillis(total_ms as i64);
        let standings = selector.standings(&world.key, world.model_type, &world.arms, now);
        leaders.push(standings.first().map_or(0, |row| index(&row.arm)));
        let Some((chosen, choice)) =
            selector.choose(&world.key, world.model_type, &world.arms, now, LONGEST_MS)
        else {
            continue;
        };
        let arm = index(&chosen.arm);
        let settled = selector.note_run(&world.key, &chosen.arm, choice.why.is_exploration());
        let was_warm = std::mem::replace(&mut warm[arm], true);
        let ms = draws[arm].ms * if was_warm { 1.0 } else { world.cold[arm] };
        total_ms += world.cost(request, arm, ms);
        explored += u32::from(choice.why.is_exploration());
        selector.observe(&Observation {
            at: UnixMillis(total_ms as i64),
            model: Arc::clone(&model),
            shape: world.key.shape.clone(),
            arm: chosen.arm,
            worker: WorkerId(1),
            operation: Operation::Run,
            outcome: if draws[arm].fails { Outcome::WorkerVanished } else { Outcome::Ok },
            warm: was_warm && settled,
            load_ms: None,
            queue_ms: None,
            in_page_ms: Some(ms),
            service_ms: Some(ms),
            total_ms: Some(ms),
            bytes_in: None,
            bytes_out: None,
            memory_bytes: None,
        });
        selector.release(&world.key);
    }
    let fixed = world.best_fixed();
    let fixed_ms: f64 =
        (0..leaders.len()).map(|request| world.cost(request, fixed, world.draws[request][fixed].ms)).sum();
    Ok(Course {
        total_ms,
        regret: total_ms / world.oracle_ms() - 1.0,
        over_fixed: total_ms / fixed_ms - 1.0,
        until_lead: leads_from(world, &leaders).map(|request| request as f64),
        until_noticed: world.regression.and_then(|planted| {
            let lost = leaders.iter().skip(planted.at).position(|&leader| leader != planted.arm);
            lost.map(|requests| requests as f64)
        }),
        exploring: f64::from(explored) / leaders.len().max(1) as f64,
    })
}

/// The first decision from which a good arm leads nearly always.
fn leads_from(world: &World, leaders: &[usize]) -> Option<usize> {
    leaders.windows(WINDOW).enumerate().position(|(from, window)| {
        let good = |&(at, &leader): &(usize, &usize)| world.is_good(from + at, leader);
        good(&(0, &window[0])) && window.iter().enumerate().filter(good).count() >= LEADS
    })
}
