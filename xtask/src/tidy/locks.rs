//! npm lock files pin by hash and name no registry.

use serde_json::Value;

use super::Violation;
use super::tree::Tree;

/// Every `package-lock.json`.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.ending("package-lock.json") {
        let mut complain = |key: &str, advice: String| {
            let line = tree.line_starting(path, &format!("\"{key}\""));
            found.push(Violation { file: path.to_owned(), line, rule: "lock", advice });
        };
        let lock: Value = match serde_json::from_str(text) {
            Ok(lock) => lock,
            Err(error) => {
                complain("", format!("not JSON ({error}): write it anew with npm"));
                continue;
            }
        };
        let Some(packages) = lock["packages"].as_object() else {
            complain("lockfileVersion", "no \"packages\": write it anew with npm 7 or newer".to_owned());
            continue;
        };
        // The entry without a name is the project itself, and a link leads to a folder of the tree.
        let fetched = packages.iter().filter(|(name, entry)| !name.is_empty() && entry["link"] != true);
        for (name, entry) in fetched {
            if !entry["integrity"].is_string() {
                complain(
                    name,
                    format!("`{name}` has no \"integrity\": a fetched package is pinned by its hash"),
                );
            }
            if entry.get("resolved").is_some() {
                complain(
                    name,
                    format!(
                        "`{name}` has \"resolved\": write with `npm install --omit-lockfile-registry-resolved`"
                    ),
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;

    #[track_caller]
    fn check_lock(entry: &str, expected: &[(&str, usize, &str)]) {
        let lock = format!("{{\n\"packages\": {{\n\"\": {{}},\n\"node_modules/a\": {{ {entry} }}\n}}\n}}");
        assert_rules(&check(&Tree::from([("x/package-lock.json", lock.as_str())])), expected);
    }

    #[test]
    fn pinned_packages_pass() {
        check_lock(r#""version": "1.0.0", "integrity": "sha512-AA==""#, &[]);
        check_lock(r#""link": true"#, &[]);
    }

    #[test]
    fn a_package_without_its_hash_is_refused() {
        check_lock(r#""version": "1.0.0""#, &[("x/package-lock.json", 4, "lock")]);
    }

    #[test]
    fn a_package_with_an_address_is_refused() {
        let entry = r#""integrity": "sha512-AA==", "resolved": "https://example.org/a.tgz""#;
        check_lock(entry, &[("x/package-lock.json", 4, "lock")]);
    }

    #[test]
    fn a_lock_that_cannot_be_read_is_refused() {
        assert_rules(&check(&Tree::from([("package-lock.json", "{")])), &[("package-lock.json", 1, "lock")]);
        assert_rules(&check(&Tree::from([("package-lock.json", "{}")])), &[("package-lock.json", 1, "lock")]);
    }
}
