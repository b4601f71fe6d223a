//! Browser-backed tests are their own binaries, and plain `cargo test` leaves them out.

use std::collections::BTreeMap;

use super::Violation;
use super::tree::Tree;
use crate::e2e::{FEATURE, PREFIX};
use crate::metadata::Workspace;

/// Test targets `e2e_*` need the feature, other test targets do not, and each name is used once.
pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for member in &workspace.members {
        let file = format!("{}/Cargo.toml", member.dir);
        for target in member.targets.iter().filter(|target| target.kind == "test") {
            let name = &target.name;
            let gated = target.required_features.iter().any(|feature| feature == FEATURE);
            let browser = name.starts_with(PREFIX);
            let advice = if browser && !gated {
                format!("`{name}` needs a [[test]] entry with required-features = [\"{FEATURE}\"]")
            } else if gated && !browser {
                format!(
                    "`{name}` needs `{FEATURE}`, so its name must begin with `{PREFIX}` for `cargo xtask e2e` to find it"
                )
            } else if let Some(owner) = browser.then(|| owners.insert(name, &member.name)).flatten() {
                format!(
                    "`{owner}` has a test `{name}` too: give this one another name, so that each can be run alone"
                )
            } else {
                continue;
            };
            let line = tree.line_starting(&file, &format!("name = \"{name}\""));
            found.push(Violation { file: file.clone(), line, rule: "e2e", advice });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;
    use crate::metadata::{Member, Target};

    fn member(name: &str, tests: &[(&str, &[&str])]) -> Member {
        let targets = tests.iter().map(|&(name, features)| Target {
            name: name.to_owned(),
            kind: "test".to_owned(),
            required_features: features.iter().map(|&feature| feature.to_owned()).collect(),
        });
        Member {
            name: name.to_owned(),
            dir: name.to_owned(),
            targets: targets.collect(),
            ..Member::default()
        }
    }

    #[track_caller]
    fn check_members(members: Vec<Member>, expected: &[(&str, usize, &str)]) {
        let workspace = Workspace { members, ..Workspace::default() };
        assert_rules(&check(&workspace, &Tree::default()), expected);
    }

    #[test]
    fn gated_browser_tests_and_plain_tests_pass() {
        check_members(vec![member("a", &[("e2e_run", &["e2e"]), ("pool_queue", &[])])], &[]);
    }

    #[test]
    fn a_browser_test_that_plain_cargo_test_would_run_is_refused() {
        check_members(vec![member("a", &[("e2e_run", &[])])], &[("a/Cargo.toml", 1, "e2e")]);
    }

    #[test]
    fn a_gated_test_that_nobody_would_run_is_refused() {
        check_members(vec![member("a", &[("pool_queue", &["e2e"])])], &[("a/Cargo.toml", 1, "e2e")]);
    }

    #[test]
    fn two_browser_tests_of_one_name_are_refused() {
        let twice = vec![member("a", &[("e2e_run", &["e2e"])]), member("b", &[("e2e_run", &["e2e"])])];
        check_members(twice, &[("b/Cargo.toml", 1, "e2e")]);
    }
}
