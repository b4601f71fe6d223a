//! Arrows point down only: who may use whom.

use super::Violation;
use super::table::{LAYERS, TESTING};
use super::tree::Tree;
use crate::metadata::{Edge, Member, Workspace};

/// Every edge between our crates against the table.
pub(super) fn edges(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in &workspace.members {
        if may_use(&member.name).is_none() {
            let advice =
                format!("`{}` is in no layer: give it a row in xtask/src/tidy/table.rs", member.name);
            found.push(at_manifest(member, tree, "name", advice));
            continue;
        }
        for edge in &member.edges {
            if let Some(why) = refuse(&member.name, edge) {
                found.push(at_manifest(member, tree, &edge.to, why));
            }
        }
    }
    found
}

/// Why this edge is not allowed, if it is not.
fn refuse(from: &str, edge: &Edge) -> Option<String> {
    let to = edge.to.as_str();
    let allowed = may_use(from)?;
    if let Some(tested) = to.strip_suffix(TESTING) {
        if !edge.dev {
            return Some(format!("`{to}` supports tests: move it to [dev-dependencies]"));
        }
        let near = from == tested || allowed.contains(&tested);
        return (!near)
            .then(|| format!("`{from}` may not use `{tested}`, so it may not test with `{to}` either"));
    }
    (!allowed.contains(&to)).then(|| {
        let below = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        format!("`{from}` may not use `{to}`: arrows point down only, and below it lie {below}")
    })
}

/// What a crate may use, or nothing when the table does not know it.
fn may_use(name: &str) -> Option<Vec<&str>> {
    let row = |name: &str| LAYERS.iter().find(|(layer, _)| *layer == name);
    if let Some(tested) = name.strip_suffix(TESTING) {
        let (tested, below) = row(tested)?;
        return Some(std::iter::once(*tested).chain(below.iter().copied()).collect());
    }
    row(name).map(|(_, below)| below.to_vec())
}

fn at_manifest(member: &Member, tree: &Tree, start: &str, advice: String) -> Violation {
    let file = format!("{}/Cargo.toml", member.dir);
    let line = tree.line_starting(&file, start);
    Violation { file, line, rule: "layers", advice }
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;

    fn member(name: &str, edges: &[(&str, bool)]) -> Member {
        let edges =
            edges.iter().map(|&(to, dev)| Edge { to: to.to_owned(), dev, has_version: !dev }).collect();
        Member { name: name.to_owned(), dir: format!("crates/{name}"), edges, ..Member::default() }
    }

    #[track_caller]
    fn check_edge(from: &str, to: &str, dev: bool, allowed: bool) {
        let workspace = Workspace { members: vec![member(from, &[(to, dev)])], ..Workspace::default() };
        let path = format!("crates/{from}/Cargo.toml");
        let manifest = format!("[package]\nname = \"{from}\"\n\n[dependencies]\n{to}.workspace = true\n");
        let found = edges(&workspace, &Tree::from([(path.as_str(), manifest.as_str())]));
        let expected = [(path.as_str(), 5, "layers")];
        assert_rules(&found, if allowed { &[] } else { &expected });
    }

    #[test]
    fn arrows_down_are_allowed() {
        check_edge("webnn-pool", "webnn-bridge", false, true);
        check_edge("pool-core", "sharding", false, true);
        check_edge("sharding", "recovery", false, true);
        check_edge("tensor", "vocab", false, true);
    }

    #[test]
    fn arrows_up_and_sideways_are_not() {
        check_edge("pool-core", "webnn-bridge", false, false);
        check_edge("pool-core", "onnx-graph", false, false);
        check_edge("recovery", "sharding", false, false);
        check_edge("perf-history", "recovery", false, false);
        check_edge("vocab", "tensor", true, false);
        check_edge("xtask", "vocab", false, false);
    }

    #[test]
    fn test_support_is_for_tests_of_its_own_neighbourhood() {
        check_edge("pool-core", "pool-core-testing", true, true);
        check_edge("webnn-bridge", "pool-core-testing", true, true);
        check_edge("pool-core-testing", "pool-core", false, true);
        check_edge("pool-core-testing", "tensor", false, true);
        check_edge("webnn-bridge", "pool-core-testing", false, false);
        check_edge("recovery", "pool-core-testing", true, false);
        check_edge("pool-core-testing", "webnn-bridge", false, false);
    }

    #[test]
    fn a_crate_without_a_layer_is_named() {
        let workspace = Workspace { members: vec![member("newcomer", &[])], ..Workspace::default() };
        let tree = Tree::from([("crates/newcomer/Cargo.toml", "[package]\nname = \"newcomer\"\n")]);
        assert_rules(&edges(&workspace, &tree), &[("crates/newcomer/Cargo.toml", 2, "layers")]);
    }

    #[test]
    fn the_table_has_no_cycle_and_names_only_crates_with_a_row() {
        for (at, (name, below)) in LAYERS.iter().enumerate() {
            for lower in *below {
                let row = LAYERS.iter().position(|(layer, _)| layer == lower);
                assert!(row.is_some_and(|row| row > at), "{name} → {lower} must point down the table");
            }
        }
    }
}
