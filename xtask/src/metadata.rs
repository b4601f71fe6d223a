//! The parts of `cargo metadata` that the verbs need, read without a typed copy of cargo's whole format.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::sh::{self, Cmd};

/// The workspace as cargo sees it.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Our own crates, ordered by name.
    pub(crate) members: Vec<Member>,
    /// The target directory.
    pub(crate) target: String,
}

/// One of our own crates.
#[derive(Debug, Default, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Folder relative to the workspace root, for example `crates/vocab`.
    pub(crate) dir: String,
    pub(crate) version: String,
    /// Whether it may be published.
    pub(crate) publish: bool,
    /// What a registry asks of a manifest, and whether it is there.
    pub(crate) said: Vec<(&'static str, bool)>,
    /// Edges to our own crates.
    pub(crate) edges: Vec<Edge>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency on one of our own crates.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) to: String,
    pub(crate) dev: bool,
    /// Whether it names a version; without one it is by path alone.
    pub(crate) has_version: bool,
}

/// A target of one of our crates.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Cargo's kind: `lib`, `bin`, `test`, `example`, `bench`, …
    pub(crate) kind: String,
    pub(crate) required_features: Vec<String>,
}

impl Workspace {
    /// Our crate of this name.
    pub(crate) fn member(&self, name: &str) -> Result<&Member> {
        let found = self.members.iter().find(|member| member.name == name);
        found.with_context(|| format!("the workspace has no crate {name}"))
    }
}

/// Asks cargo about this workspace.
pub(crate) fn load() -> Result<Workspace> {
    let json = Cmd::cargo("metadata")
        .args(["--format-version", "1", "--no-deps"])
        .read()
        .context("cargo cannot read the workspace")?;
    parse(&serde_json::from_str(&json).context("`cargo metadata` wrote no JSON")?, sh::root())
}

fn parse(metadata: &Value, root: &Path) -> Result<Workspace> {
    let packages = list(metadata, "packages")?;
    let member_ids: Vec<&str> =
        list(metadata, "workspace_members")?.iter().filter_map(Value::as_str).collect();
    let is_member = |package: &Value| package["id"].as_str().is_some_and(|id| member_ids.contains(&id));
    let names: Vec<&str> = packages
        .iter()
        .filter(|package| is_member(package))
        .filter_map(|package| package["name"].as_str())
        .collect();

    let mut members = Vec::new();
    for package in packages.iter().filter(|package| is_member(package)) {
        let manifest = Path::new(text(package, "manifest_path")?);
        let dir = manifest.parent().and_then(|dir| dir.strip_prefix(root).ok()).unwrap_or(manifest);
        let mut edges = Vec::new();
        for dependency in list(package, "dependencies")? {
            let to = text(dependency, "name")?;
            if dependency["path"].is_string() && names.contains(&to) {
                edges.push(Edge {
                    to: to.to_owned(),
                    dev: dependency["kind"] == "dev",
                    has_version: dependency["req"] != "*",
                });
            }
        }
        let mut targets = Vec::new();
        for target in list(package, "targets")? {
            targets.push(Target {
                name: text(target, "name")?.to_owned(),
                kind: target["kind"][0].as_str().unwrap_or_default().to_owned(),
                required_features: strings(&target["required-features"]),
            });
        }
        members.push(Member {
            name: text(package, "name")?.to_owned(),
            dir: dir.to_string_lossy().into_owned(),
            version: text(package, "version")?.to_owned(),
            // Nothing stands for every registry, an empty list for none.
            publish: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
            said: said(package),
            edges,
            targets,
        });
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Workspace { members, target: text(metadata, "target_directory")?.to_owned() })
}

fn said(package: &Value) -> Vec<(&'static str, bool)> {
    let text = |key: &'static str| (key, package[key].as_str().is_some_and(|text| !text.is_empty()));
    let some = |key: &'static str| (key, package[key].as_array().is_some_and(|list| !list.is_empty()));
    vec![text("description"), text("license"), text("rust_version"), some("keywords"), some("categories")]
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value]> {
    value[key].as_array().map(Vec::as_slice).with_context(|| format!("`cargo metadata` has no list `{key}`"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("`cargo metadata` has no text `{key}`"))
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_read_with_its_own_crates() {
        let workspace = load().expect("cargo reads this workspace");
        let xtask = workspace.members.iter().find(|member| member.name == "xtask").expect("we are a member");
        assert_eq!(xtask.dir, "xtask");
        assert!(xtask.targets.iter().any(|target| target.kind == "bin"));
        let pool = workspace.members.iter().find(|member| member.name == "pool-core").expect("a member");
        assert!(pool.edges.iter().any(|edge| edge.to == "tensor" && !edge.dev));
        assert!(pool.edges.iter().any(|edge| edge.to == "pool-core-testing" && edge.dev));
    }
}
