//! From a strategy's proposal to a plan and its parts.

use std::collections::{BTreeMap, BTreeSet};

use tensor::TensorSpec;

use super::check::VERSION;
use super::estimate::estimate;
use super::{Flow, Output, Plan, PlanError, Request, Shared, Stage, State};
use crate::cut::{Draft, Part, Quotient, Study, extract, quotient, total};
use crate::graph::{Graph, Origin, Role, ValueId};
use crate::read::ModelFile;
use crate::strategies::{Misfit, Proposal, Strategy, propose};
use crate::types::ValueType;

/// A plan together with its parts, ready to be written.
#[derive(Debug, Clone)]
pub struct Sharding<'m> {
    pub(crate) file: &'m ModelFile,
    pub(crate) plan: Plan,
    pub(crate) parts: Vec<Part>,
}

impl Sharding<'_> {
    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Plans how to cut a model. Reads no weights; takes memory for the model's structure a few times over.
///
/// # Errors
/// A strategy that does not fit, with the reason and the strategies that do.
pub fn plan<'m>(file: &'m ModelFile, request: &Request) -> Result<Sharding<'m>, PlanError> {
    if request.shards == 0 {
        return Err(PlanError::NoShards);
    }
    let study = Study::of(file, request.assumptions.clone());
    attempt(&study, request, request.strategy).map_err(|why| {
        let others = Strategy::ALL.into_iter().filter(|&strategy| strategy != request.strategy);
        let fitting = others.filter(|&strategy| attempt(&study, request, strategy).is_ok()).collect();
        PlanError::Misfit { strategy: request.strategy, shards: request.shards, why, fitting }
    })
}

/// Plans a cut that the caller chose: the nodes of each stage, by their place in the file's graph. Nodes that no output
/// depends on, or that depend on weights only, need not be named; the latter are copied to wherever they are used. Each
/// stage is a shard of its own, whatever the request says.
///
/// # Errors
/// Stages that wait for each other, tear a cache apart, would send what cannot be sent, or leave a node out.
pub fn plan_given<'m>(
    file: &'m ModelFile,
    request: &Request,
    stages: &[Vec<usize>],
) -> Result<Sharding<'m>, PlanError> {
    let request = &Request { shards: stages.len().max(1), ..request.clone() };
    let study = Study::of(file, request.assumptions.clone());
    let given = || {
        let mut times = vec![0; study.graph.nodes.len()];
        let known =
            stages.iter().flatten().filter(|&&node| node < times.len()).copied().collect::<Vec<usize>>();
        known.into_iter().for_each(|node| times[node] += 1);
        if let Some(&node) = study.order.nodes.iter().find(|&&node| times[node] != 1) {
            return Err(Misfit::NotOnce { node, stages: times[node] });
        }
        let live = |nodes: &Vec<usize>| {
            let mut nodes = nodes.clone();
            nodes.retain(|&node| study.order.position.get(node).is_some_and(|&at| at != usize::MAX));
            nodes.sort_by_key(|&node| study.order.position[node]);
            nodes
        };
        let drafts = stages.iter().enumerate().map(|(shard, nodes)| Draft {
            label: format!("part {}", shard + 1),
            shard,
            nodes: live(nodes),
        });
        let mut drafts: Vec<Draft> = drafts.filter(|draft| !draft.nodes.is_empty()).collect();
        if drafts.is_empty() {
            // Outputs that are the same in every run still need somebody to give them.
            drafts.push(Draft { label: "constants".to_owned(), shard: 0, nodes: Vec::new() });
        }
        let proposal = Proposal::new(drafts);
        let quotient = quotient(&study.graph, &proposal.drafts).ok_or(Misfit::Cyclic)?;
        assemble(&study, request, Strategy::Given, proposal, &quotient)
    };
    given().map_err(|why| {
        let (strategy, shards) = (Strategy::Given, stages.len());
        PlanError::Misfit { strategy, shards, why, fitting: Vec::new() }
    })
}

fn attempt<'m>(study: &Study<'m>, request: &Request, strategy: Strategy) -> Result<Sharding<'m>, Misfit> {
    let proposal = propose(study, request, strategy)?;
    let quotient = quotient(&study.graph, &proposal.drafts).ok_or(Misfit::Cyclic)?;
    assemble(study, request, strategy, proposal, &quotient)
}

fn assemble<'m>(
    study: &Study<'m>,
    request: &Request,
    strategy: Strategy,
    proposal: Proposal,
    quotient: &Quotient,
) -> Result<Sharding<'m>, Misfit> {
    let graph = &study.graph;
    let mut place = vec![0; proposal.drafts.len()];
    for (at, &draft) in quotient.order.iter().enumerate() {
        place[draft] = at;
    }
    let drafts: Vec<&Draft> = quotient.order.iter().map(|&draft| &proposal.drafts[draft]).collect();
    let wanted = wanted(graph, &drafts, quotient, &place);
    let parts: Vec<Part> = drafts
        .iter()
        .zip(&wanted)
        .enumerate()
        .map(|(at, (draft, wanted))| extract(study, &draft.nodes, wanted, &format!("stage-{at:02}")))
        .collect();
    let spec = |value: ValueId| spec(graph, value);
    let mut flows = Vec::new();
    let mut depends: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); drafts.len()];
    for (&value, (from, to)) in &quotient.flows {
        if !graph.is_sendable(value) {
            return Err(Misfit::Unsendable { name: graph.values[value].name.to_string() });
        }
        let bytes = graph.values[value].ty.as_ref().and_then(|ty| study.assumed.bytes(ty));
        let to: BTreeSet<usize> = to.iter().map(|&taker| place[taker]).collect();
        to.iter().for_each(|&taker| _ = depends[taker].insert(place[*from]));
        flows.push(Flow { spec: spec(value)?, from: place[*from], to: to.into_iter().collect(), bytes });
    }
    let mut stages = Vec::with_capacity(parts.len());
    for (index, (draft, part)) in drafts.iter().zip(&parts).enumerate() {
        let work = total(draft.nodes.iter().map(|&node| study.costs.work[study.order.position[node]]));
        let worker = proposal.workers.as_ref().and_then(|workers| request.workers.get(workers[draft.shard]));
        stages.push(Stage {
            index,
            label: draft.label.clone(),
            shard: draft.shard,
            worker: worker.map(|worker| worker.name.clone()),
            file: format!("stage-{index:02}.onnx"),
            sha256: None,
            data: Vec::new(),
            nodes: part.model.graph.as_ref().map_or(0, |graph| graph.node.len()),
            weight_bytes: total(part.weights.iter().map(|&weight| bytes(graph, weight))),
            work,
            inputs: part.inputs.iter().map(|&value| spec(value)).collect::<Result<_, _>>()?,
            outputs: part.outputs.iter().map(|&value| spec(value)).collect::<Result<_, _>>()?,
            depends_on: depends[index].iter().copied().collect(),
        });
    }
    let (shared, weight_bytes) = shared(graph, &parts);
    let all = total(graph.values.iter().filter_map(|value| weight(value.origin)));
    let mut plan = Plan {
        version: VERSION,
        model: study.file.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        strategy,
        shards: request.shards,
        inputs: graph.inputs.iter().map(|&value| spec(value)).collect::<Result<_, _>>()?,
        outputs: outputs(graph, &parts)?,
        states: states(study, &parts)?,
        stages,
        flows,
        shared,
        weight_bytes,
        unused_weight_bytes: all.saturating_sub(weight_bytes),
        hops: 0,
        transfer_bytes: 0,
        assumptions: request.assumptions.clone(),
        estimate: proposal.estimate,
        notes: proposal.notes,
    };
    (plan.hops, plan.transfer_bytes) = crossings(&plan);
    if plan.estimate.is_none() {
        plan.estimate = estimate(&plan, request);
    }
    dead(graph, &mut plan);
    Ok(Sharding { file: study.file, plan, parts })
}

/// What each stage has to give: to other stages, and to the caller. Outputs that are constants come from the first stage.
fn wanted(graph: &Graph, drafts: &[&Draft], quotient: &Quotient, place: &[usize]) -> Vec<BTreeSet<ValueId>> {
    let mut wanted: Vec<BTreeSet<ValueId>> = vec![BTreeSet::new(); drafts.len()];
    for (&value, (from, _)) in &quotient.flows {
        wanted[place[*from]].insert(value);
    }
    for &output in &graph.outputs {
        let giver = graph.live_producer(output);
        let stage = giver.and_then(|node| drafts.iter().position(|draft| draft.nodes.contains(&node)));
        match stage {
            Some(stage) => _ = wanted[stage].insert(output),
            None if graph.is_constant(output) && !wanted.is_empty() => _ = wanted[0].insert(output),
            None => {}
        }
    }
    wanted
}

fn spec(graph: &Graph, value: ValueId) -> Result<TensorSpec, Misfit> {
    let of = &graph.values[value];
    let Some(ValueType { dtype, dims }) = of.ty.clone() else {
        return Err(Misfit::Unsendable { name: of.name.to_string() });
    };
    Ok(TensorSpec { name: of.name.clone(), dtype, dims, optional: false })
}

fn outputs(graph: &Graph, parts: &[Part]) -> Result<Vec<Output>, Misfit> {
    let of = |&value: &ValueId| {
        let stage = parts.iter().position(|part| part.outputs.contains(&value));
        Ok(Output { spec: spec(graph, value)?, stage })
    };
    graph.outputs.iter().map(of).collect()
}

/// The caches, each of which one stage must take and give.
fn states(study: &Study<'_>, parts: &[Part]) -> Result<Vec<State>, Misfit> {
    let mut found = Vec::new();
    for state in &study.states {
        let takers: Vec<usize> =
            (0..parts.len()).filter(|&at| parts[at].inputs.contains(&state.past)).collect();
        let giver = parts.iter().position(|part| part.outputs.contains(&state.present));
        let (past, present) = (&study.graph.values[state.past], &study.graph.values[state.present]);
        let (&[taker], true) = (&takers[..], takers.first().copied() == giver) else {
            return Err(Misfit::TornCache { name: past.name.to_string() });
        };
        found.push(State {
            past: past.name.clone(),
            present: present.name.clone(),
            axis: state.axis,
            stage: taker,
        });
    }
    Ok(found)
}

const fn weight(origin: Origin) -> Option<u64> {
    match origin {
        Origin::Weight(bytes) => Some(bytes),
        Origin::Input | Origin::Node(_) => None,
    }
}

fn bytes(graph: &Graph, value: ValueId) -> u64 {
    weight(graph.values[value].origin).unwrap_or(0)
}

/// The weights that several stages hold, and the bytes of all weights, each counted once.
fn shared(graph: &Graph, parts: &[Part]) -> (Vec<Shared>, u64) {
    let mut holders: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        part.weights.iter().for_each(|&weight| holders.entry(weight).or_default().push(at));
    }
    let held = total(holders.keys().map(|&weight| bytes(graph, weight)));
    let several = holders.into_iter().filter(|(_, stages)| stages.len() > 1);
    let shared = several.map(|(weight, stages)| Shared {
        name: graph.values[weight].name.clone(),
        bytes: bytes(graph, weight),
        stages,
    });
    (shared.collect(), held)
}

/// Changes of shard on the longest way, and bytes that change shards; each shard is sent a tensor once.
fn crossings(plan: &Plan) -> (usize, u64) {
    let mut longest = vec![0; plan.stages.len()];
    let shard = |stage: usize| plan.stages[stage].shard;
    for stage in &plan.stages {
        let before = stage
            .depends_on
            .iter()
            .map(|&before| longest[before] + usize::from(shard(before) != stage.shard));
        longest[stage.index] = before.max().unwrap_or(0);
    }
    let bytes = plan.flows.iter().map(|flow| {
        let others: BTreeSet<usize> =
            flow.to.iter().map(|&to| shard(to)).filter(|&to| to != shard(flow.from)).collect();
        flow.bytes.unwrap_or(0).saturating_mul(others.len() as u64)
    });
    (longest.into_iter().max().unwrap_or(0), total(bytes))
}

fn dead(graph: &Graph, plan: &mut Plan) {
    let dead = graph.nodes.iter().filter(|node| node.role == Role::Dead).count();
    if dead > 0 {
        plan.notes.push(format!("{dead} nodes are left out, because no output depends on them"));
    }
}
