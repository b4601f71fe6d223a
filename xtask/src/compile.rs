//! One set of features for everything that is compiled, so that nothing is compiled a second time.

use anyhow::Result;

use crate::metadata::{self, Member};
use crate::sh::Cmd;
use crate::{e2e, postgres};

/// The features that gate tests. Nothing else depends on them, but cargo compiles a crate anew for another set.
const GATES: [&str; 2] = [e2e::FEATURE, postgres::FEATURE];

/// A cargo command over the whole workspace, with the features that gate tests.
///
/// It is the whole workspace always: choosing a package with `-p` would resolve the features of everything below anew,
/// and compile it all a second time.
pub(crate) fn cargo(verb: &str) -> Result<Cmd> {
    let features = features(&metadata::load()?.members);
    Ok(Cmd::cargo(verb).args(["--workspace", "--features", &features.join(",")]))
}

/// The names of the test targets that no gate keeps from plain `cargo test`, each once.
pub(crate) fn plain_tests() -> Result<Vec<String>> {
    let members = metadata::load()?.members;
    let tests = members.iter().flat_map(|member| &member.targets).filter(|target| target.kind == "test");
    let mut names: Vec<String> = tests
        .filter(|target| !target.required_features.iter().any(|feature| GATES.contains(&feature.as_str())))
        .map(|target| target.name.clone())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The gates, each with its package.
fn features(members: &[Member]) -> Vec<String> {
    let mut found = Vec::new();
    for member in members {
        for gate in GATES {
            let needs = |feature: &String| feature == gate;
            if member.targets.iter().any(|target| target.required_features.iter().any(needs)) {
                found.push(format!("{}/{gate}", member.name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Target;

    fn target(name: &str, required_features: &[&str]) -> Target {
        Target {
            name: name.to_owned(),
            kind: "test".to_owned(),
            required_features: required_features.iter().map(|&feature| feature.to_owned()).collect(),
        }
    }

    #[test]
    fn each_gate_is_opened_for_each_package_that_has_it() {
        let member = |name: &str, targets: &[Target]| Member {
            name: name.to_owned(),
            targets: targets.to_vec(),
            ..Member::default()
        };
        let members = [
            member("a", &[target("e2e_x", &["e2e"]), target("e2e_y", &["e2e"]), target("plain", &[])]),
            member("b", &[target("files", &["sqlite"])]),
            member("c", &[target("e2e_z", &["e2e"]), target("server", &["postgres-tests"])]),
        ];
        assert_eq!(features(&members), ["a/e2e", "c/e2e", "c/postgres-tests"]);
    }

    #[test]
    fn plain_tests_are_all_but_the_gated_ones() {
        let plain = plain_tests().expect("cargo reads this workspace");
        let members = metadata::load().expect("cargo reads this workspace").members;
        for target in members.iter().flat_map(|member| &member.targets).filter(|target| target.kind == "test")
        {
            let gated = target.name.starts_with(e2e::PREFIX)
                || target.required_features.contains(&postgres::FEATURE.to_owned());
            assert_eq!(plain.contains(&target.name), !gated, "{}", target.name);
        }
    }
}
