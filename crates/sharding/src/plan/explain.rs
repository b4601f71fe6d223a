//! The plan as text for people.

use std::fmt;

use super::{Plan, Verdict};
use crate::cut::total;

/// Bytes in a unit that people read.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, strategy, shards, stages, flows, weight_bytes, hops, transfer_bytes, .. } = self;
        writeln!(
            f,
            "{model}: {strategy}, {shards} shards, {} stages, {} of weights",
            stages.len(),
            size(*weight_bytes)
        )?;
        writeln!(f, "longest way: {hops} changes of shard; {} cross in one run\n", size(*transfer_bytes))?;
        writeln!(
            f,
            "{:>5} {:>5}  {:<28} {:>6} {:>10} {:>9}  {:<12} takes → gives",
            "stage", "shard", "what", "nodes", "weights", "GFLOP", "after"
        )?;
        for stage in stages {
            let after: Vec<String> = stage.depends_on.iter().map(usize::to_string).collect();
            let after = if after.is_empty() { "—".to_owned() } else { after.join(",") };
            writeln!(
                f,
                "{:>5} {:>5}  {:<28} {:>6} {:>10} {:>9.3}  {:<12} {} → {}",
                stage.index,
                stage.shard,
                stage.label,
                stage.nodes,
                size(stage.weight_bytes),
                stage.work as f64 / 1e9,
                after,
                stage.inputs.len(),
                stage.outputs.len()
            )?;
        }
        if !flows.is_empty() {
            writeln!(f, "\ncrossing:")?;
        }
        for flow in flows {
            let to: Vec<String> = flow.to.iter().map(usize::to_string).collect();
            let bytes = flow.bytes.map_or_else(|| "of unknown size".to_owned(), size);
            writeln!(f, "  {} → {:<8} {} ({bytes})", flow.from, to.join(","), flow.spec)?;
        }
        self.explain_rest(f)
    }
}

impl Plan {
    fn explain_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stage in 0..self.stages.len() {
            let caches = self.states_of(stage).count();
            if caches > 0 {
                writeln!(f, "stage {stage} keeps {caches} cache tensors from step to step")?;
            }
        }
        if !self.shared.is_empty() {
            let copies = |stages: usize| (stages as u64).saturating_sub(1);
            let extra = total(
                self.shared.iter().map(|shared| shared.bytes.saturating_mul(copies(shared.stages.len()))),
            );
            writeln!(
                f,
                "{} weights are in several stages, {} more than once",
                self.shared.len(),
                size(extra)
            )?;
        }
        if let Some(estimate) = &self.estimate {
            let ms = |seconds: f64| seconds * 1e3;
            writeln!(
                f,
                "estimated: {:.1} ms a request, {:.1} requests a second with {} on their way",
                ms(estimate.latency_s),
                estimate.rate_per_s,
                estimate.in_flight
            )?;
            match estimate.verdict {
                Verdict::Necessary => writeln!(f, "no worker can hold the whole model")?,
                Verdict::Pays { times_faster } => {
                    writeln!(f, "sharding is {times_faster:.2} times as fast as copies of the whole")?;
                }
                Verdict::DoNotShard { times_slower } => writeln!(
                    f,
                    "do not shard: copies of the whole model would be {times_slower:.2} times as fast"
                )?,
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}
