//! Crates that must stay usable alone, against everything that a user of each of them gets.

use anyhow::{Context as _, Result};

use super::Violation;
use super::table::FORBIDDEN_IN_TREE;
use super::tree::Tree;
use crate::metadata::{Member, Workspace};
use crate::sh::Cmd;

/// Every such crate of this workspace.
pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    for (crates, forbidden) in FORBIDDEN_IN_TREE {
        for member in workspace.members.iter().filter(|member| crates.contains(&member.name.as_str())) {
            found.extend(forbidden_in(member, &listing(&member.name)?, forbidden, tree));
        }
    }
    Ok(found)
}

/// What this crate pulls in with its default features, when nobody else asks for more: each line is a depth and a
/// package. In the workspace as a whole, other crates turn features on that its user does not get.
fn listing(name: &str) -> Result<String> {
    Cmd::cargo("tree")
        .args(["--package", name, "--edges", "normal,build", "--prefix", "depth", "--format", " {p}"])
        .read()
        .with_context(|| format!("cargo cannot tell what `{name}` pulls in"))
}

fn forbidden_in(member: &Member, listing: &str, forbidden: &[&str], tree: &Tree) -> Vec<Violation> {
    let file = format!("{}/Cargo.toml", member.dir);
    let violation = |chain: Vec<&str>| {
        let last = chain.last().copied().unwrap_or_default();
        let advice = format!("it must stay usable without `{last}`: cut {}", chain.join(" → "));
        let line = tree.line_starting(&file, chain.get(1).unwrap_or(&"name"));
        Violation { file: file.clone(), line, rule: "tree", advice }
    };
    chains(listing, forbidden).into_iter().map(violation).collect()
}

/// For each forbidden package that is listed: the chain of names to it where it comes first.
fn chains<'a>(listing: &'a str, forbidden: &[&str]) -> Vec<Vec<&'a str>> {
    let mut chain = Vec::new();
    let mut found: Vec<Vec<&str>> = Vec::new();
    for line in listing.lines() {
        let mut words = line.split_whitespace();
        let (Some(Ok(depth)), Some(name)) = (words.next().map(str::parse::<usize>), words.next()) else {
            continue;
        };
        chain.truncate(depth);
        chain.push(name);
        let is_new = found.iter().all(|chain| chain.last() != Some(&name));
        if depth > 0 && forbidden.contains(&name) && is_new {
            found.push(chain.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate with what cargo lists for it.
    #[track_caller]
    fn check_listing(listing: &str, chains: &[&str]) {
        let member =
            Member { name: "pool-core".to_owned(), dir: "crates/pool-core".to_owned(), ..Member::default() };
        let (_, forbidden) = FORBIDDEN_IN_TREE
            .iter()
            .find(|(crates, _)| crates.contains(&"pool-core"))
            .expect("it must stay usable alone");
        let found = forbidden_in(&member, listing, forbidden, &Tree::default());
        let advice: Vec<_> = found.iter().filter_map(|found| found.advice.split("cut ").nth(1)).collect();
        assert_eq!(advice, chains);
    }

    #[test]
    fn a_forbidden_package_is_found_through_others_and_the_chain_is_shown() {
        check_listing(
            "0 pool-core v0.1.0 (/pool-core)\n1 serde v1.0.0\n1 a v1.0.0\n2 b v1.0.0 (proc-macro)\n3 hyper v1.0.0\n\
             1 c v2.0.0\n2 hyper v1.0.0 (*)\n1 rusqlite v0.43.0\n",
            &["pool-core → a → b → hyper", "pool-core → rusqlite"],
        );
        check_listing(
            "0 pool-core v0.1.0\n1 perf-history v0.1.0\n2 postgres v0.19.0\n3 tokio-postgres v0.7.0\n",
            &["pool-core → perf-history → postgres", "pool-core → perf-history → postgres → tokio-postgres"],
        );
    }

    #[test]
    fn other_packages_pass() {
        check_listing("0 pool-core v0.1.0\n1 perf-history v0.1.0\n2 serde v1.0.0\n1 bytes v1.0.0\n", &[]);
        check_listing("", &[]);
    }

    #[test]
    fn cargo_lists_what_a_crate_gets_alone() {
        let listing = listing("perf-history").expect("cargo lists it");
        assert_eq!(chains(&listing, &["rusqlite"]), [["perf-history", "rusqlite"]], "its default store");
        assert!(chains(&listing, &["postgres", "criterion"]).is_empty(), "neither optional nor for tests");
    }
}
