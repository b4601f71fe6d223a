//! Why there is no plan.

use crate::strategies::{Misfit, Strategy};

/// A model that cannot be cut as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No shards were asked for.
    #[error("at least one shard is needed")]
    NoShards,
    /// The strategy does not fit the model.
    #[error("{strategy} with {shards} shards does not fit this model; {}", advice(fitting))]
    Misfit {
        /// The strategy.
        strategy: Strategy,
        /// The shards that were asked for.
        shards: usize,
        /// Why it does not fit.
        #[source]
        why: Misfit,
        /// Which strategies fit this model with as many shards.
        fitting: Vec<Strategy>,
    },
}

fn advice(fitting: &[Strategy]) -> String {
    let names: Vec<&str> = fitting.iter().map(|strategy| strategy.as_str()).collect();
    match names.as_slice() {
        [] => "with as many shards, none does".to_owned(),
        [only] => format!("{only} does"),
        names => format!("{} do", names.join(", ")),
    }
}
