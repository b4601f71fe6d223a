//! What a contiguous stage would hold, exactly: weights that several nodes use count once in each stage that uses them.

use std::collections::{BTreeMap, BTreeSet};

use crate::cut::Study;
use crate::graph::{Origin, ValueId};

/// Bytes of weights between any two of some places.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// By stretch of the first and stretch of the last, both included.
    pub(super) bytes: Vec<Vec<u64>>,
}

impl Held {
    /// `ends` are the places at which stretches end, in rising order, the last one at the end of the order.
    pub(super) fn of(study: &Study<'_>, ends: &[usize]) -> Self {
        let mut users: BTreeMap<ValueId, BTreeSet<usize>> = BTreeMap::new();
        let mut stretch = 0;
        for (place, &node) in study.order.nodes.iter().enumerate() {
            while ends[stretch] <= place {
                stretch += 1;
            }
            for &value in &study.graph.nodes[node].inputs {
                if study.graph.is_constant(value) {
                    let (mut nodes, mut weights) = (BTreeSet::new(), BTreeSet::new());
                    study.graph.cone(value, &mut nodes, &mut weights);
                    weights
                        .into_iter()
                        .for_each(|weight| _ = users.entry(weight).or_default().insert(stretch));
                }
            }
        }
        let mut bytes = vec![vec![0_u64; ends.len()]; ends.len()];
        for (weight, stretches) in users {
            let Origin::Weight(size) = study.graph.values[weight].origin else { continue };
            // A stage holds the weight if it contains any user. Counting it at the first user within the stage, each such
            // stage begins behind the user before that one and ends at this one or later.
            let mut begin = 0;
            for user in stretches {
                for row in &mut bytes[begin..=user] {
                    row[user] = row[user].saturating_add(size);
                }
                begin = user + 1;
            }
        }
        for row in &mut bytes {
            let mut sum = 0;
            for cell in row.iter_mut() {
                sum = cell.saturating_add(sum);
                *cell = sum;
            }
        }
        Self { bytes }
    }

    pub(super) fn between(&self, first: usize, last: usize) -> u64 {
        self.bytes[first][last]
    }
}
