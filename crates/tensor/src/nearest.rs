//! Which known names are most like one that is not known.

use std::sync::Arc;

/// How many names are proposed.
const PROPOSALS: usize = 3;

/// Names longer than this are not compared, because the comparison's time grows with the product of both lengths and
/// the given name comes from outside.
const LONGEST_COMPARED: usize = 128;

/// The known names most like the given one, most alike first.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a Arc<str>>) -> Vec<Arc<str>> {
    let mut ranked: Vec<(usize, &Arc<str>)> = known.map(|known| (distance(name, known), known)).collect();
    ranked.sort_by_key(|&(distance, _)| distance);
    // One that is almost the same needs no company.
    let keep = if ranked.first().is_some_and(|&(distance, _)| distance <= 2) { 1 } else { PROPOSALS };
    ranked.into_iter().take(keep).map(|(_, known)| Arc::clone(known)).collect()
}

/// How many bytes must be inserted, removed or replaced to make one name of the other, letter case aside.
fn distance(from: &str, to: &str) -> usize {
    if from.len() > LONGEST_COMPARED || to.len() > LONGEST_COMPARED {
        return usize::MAX;
    }
    let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, right) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
