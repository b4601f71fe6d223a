//! Whether the crates could be published, and in which order.

use anyhow::{Result, bail};

use crate::metadata::{self, Member, Workspace};
use crate::sh::Cmd;

/// Names the order, and has cargo pack every crate as for a registry; nothing is uploaded.
///
/// Cargo lets crates that are packed together stand for what a registry would have. With `verify` each is compiled from
/// what was packed, which compiles everything once more.
pub(super) fn dry_run(verify: bool) -> Result<()> {
    let workspace = metadata::load()?;
    let order = order(&workspace)?;
    let wanting = wanting(&workspace);
    if !wanting.is_empty() {
        bail!("not as a registry takes it:\n  {}", wanting.join("\n  "));
    }
    println!("In this order, those of one line at the same time:");
    for (at, level) in order.iter().enumerate() {
        println!("{:>3}. {}", at + 1, level.join(", "));
    }
    let mut package = Cmd::cargo("package").args(["--workspace", "--locked"]);
    for member in workspace.members.iter().filter(|member| !member.publish) {
        package = package.args(["--exclude", &member.name]);
    }
    if !verify {
        package = package.arg("--no-verify");
    }
    package.run()
}

/// The crates that are published, in levels: each needs only what stands before its own level.
fn order(workspace: &Workspace) -> Result<Vec<Vec<&str>>> {
    let mut left: Vec<&Member> = workspace.members.iter().filter(|member| member.publish).collect();
    let mut levels: Vec<Vec<&str>> = Vec::new();
    while !left.is_empty() {
        let done = |name: &str| levels.iter().flatten().any(|done| *done == name);
        let ready = |member: &&&Member| needs(member).all(done);
        let level: Vec<&str> = left.iter().filter(ready).map(|member| member.name.as_str()).collect();
        if level.is_empty() {
            let names: Vec<&str> = left.iter().map(|member| member.name.as_str()).collect();
            bail!("{} need a crate that is not published, or each other", names.join(", "));
        }
        left.retain(|member| !level.contains(&member.name.as_str()));
        levels.push(level);
    }
    Ok(levels)
}

/// Our own crates that must be there before this one. Test-support crates are named without a version, so that cargo
/// leaves them out of what it publishes.
fn needs(member: &Member) -> impl Iterator<Item = &str> {
    member.edges.iter().filter(|edge| !edge.dev).map(|edge| edge.to.as_str())
}

/// What a manifest must say before a registry takes the crate: what it is, and from which version on its needs do.
fn wanting(workspace: &Workspace) -> Vec<String> {
    let published = |name: &str| workspace.member(name).is_ok_and(|member| member.publish);
    let mut found = Vec::new();
    for member in workspace.members.iter().filter(|member| member.publish) {
        let name = &member.name;
        let missing = member.said.iter().filter(|(_, given)| !given);
        found.extend(missing.map(|(what, _)| format!("{name} has no {what}")));
        for edge in &member.edges {
            if !edge.dev && !edge.has_version {
                found.push(format!("{name} needs {} without a version", edge.to));
            }
            if edge.dev && edge.has_version && !published(&edge.to) {
                found.push(format!("{name} names a version of {}, which is not published", edge.to));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Edge;

    fn member(name: &str, publish: bool, edges: &[(&str, bool)]) -> Member {
        let edges =
            edges.iter().map(|&(to, dev)| Edge { to: to.to_owned(), dev, has_version: !dev }).collect();
        Member { name: name.to_owned(), publish, edges, ..Member::default() }
    }

    #[test]
    fn what_is_needed_comes_first_and_what_is_not_published_does_not_come() {
        let members = vec![
            member("front", true, &[("core", false), ("testing", true)]),
            member("core", true, &[("words", false)]),
            member("testing", false, &[("core", false)]),
            member("words", true, &[]),
            member("other", true, &[("words", false)]),
        ];
        let workspace = Workspace { members, ..Workspace::default() };
        let order = order(&workspace).expect("there is one");
        assert_eq!(order, [vec!["words"], vec!["core", "other"], vec!["front"]]);
    }

    #[test]
    fn a_need_that_is_not_published_is_named() {
        let members = vec![member("front", true, &[("own", false)]), member("own", false, &[])];
        let error = order(&Workspace { members, ..Workspace::default() }).expect_err("no order");
        assert!(error.to_string().starts_with("front need"), "{error}");
    }

    #[test]
    fn what_a_registry_would_refuse_is_named() {
        let mut front = member("front", true, &[("core", false), ("testing", true)]);
        front.said = vec![("description", false), ("license", true)];
        front.edges.iter_mut().for_each(|edge| edge.has_version = edge.dev);
        let members = vec![front, member("core", true, &[]), member("testing", false, &[])];
        let wanting = wanting(&Workspace { members, ..Workspace::default() });
        let expected = [
            "front has no description",
            "front needs core without a version",
            "front names a version of testing, which is not published",
        ];
        assert_eq!(wanting, expected);
    }

    #[test]
    fn our_own_crates_have_an_order_and_what_a_registry_asks_for() {
        let workspace = metadata::load().expect("cargo reads this workspace");
        let order = order(&workspace).expect("there is one");
        assert_eq!(order.last().map(Vec::as_slice), Some(&["webnn-pool"][..]));
        assert_eq!(wanting(&workspace), Vec::<String>::new());
    }
}
