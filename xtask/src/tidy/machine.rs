//! Nothing of one developer's machine and no registry's host name gets into the tree.

use super::Violation;
use super::table::{MACHINE_PATHS, REGISTRY_HOSTS, USER_PATHS};
use super::tree::Tree;

/// Every line of every text file.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let hosts: Vec<String> = REGISTRY_HOSTS.iter().map(|labels| labels.join(".")).collect();
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        let users: &[&[&str]] = if path.contains("/tests/") { &[] } else { USER_PATHS };
        let folders = || MACHINE_PATHS.iter().chain(users);
        for (at, line) in text.lines().enumerate() {
            let mut complain =
                |rule, advice| found.push(Violation { file: path.to_owned(), line: at + 1, rule, advice });
            for folder in folders().filter_map(|segments| machine_path(line, segments)) {
                complain(
                    "machine-path",
                    format!("`{folder}` exists on one machine only: use a relative path or a variable"),
                );
            }
            for host in hosts.iter().filter(|host| names_host(line, host)) {
                complain(
                    "registry-host",
                    format!("`{host}` must not be named: let the tool's own settings choose the registry"),
                );
            }
        }
    }
    found
}

/// The absolute path with these first segments in the line, if there is one.
fn machine_path<'a>(line: &'a str, segments: &[&str]) -> Option<&'a str> {
    line.match_indices('/').find_map(|(start, _)| {
        // A slash after a word, a dot or another slash continues a relative path or an address.
        let continues = |c: char| c.is_alphanumeric() || "._-/$})]>*".contains(c);
        if line[..start].ends_with(continues) {
            return None;
        }
        let mut end = start;
        for segment in segments {
            let rest = line[end..].strip_prefix('/')?;
            let name = rest.split(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).next()?;
            let fits = if *segment == "*" { !name.is_empty() } else { name == *segment };
            if !fits {
                return None;
            }
            end += 1 + name.len();
        }
        // Without a slash behind it, the last segment may be a word of something else: a URL's route, for example.
        line[end..].starts_with('/').then(|| &line[start..=end])
    })
}

/// Whether the line names this host or one below it.
fn names_host(line: &str, host: &str) -> bool {
    line.match_indices(host).any(|(at, _)| {
        let longer = |c: char| c.is_alphanumeric() || c == '-';
        !line[..at].ends_with(longer) && !line[at + host.len()..].starts_with(longer)
    })
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;

    #[track_caller]
    fn check_line(line: &str, expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(|&rule| ("a.md", 2, rule)).collect();
        assert_rules(&check(&Tree::from([("a.md", format!("first\n{line}\n").as_str())])), &expected);
    }

    /// Joins with slashes, so that this file does not hold what the rule forbids.
    fn path(segments: &[&str]) -> String {
        format!("/{}", segments.join("/"))
    }

    #[test]
    fn folders_of_one_machine_are_refused() {
        check_line(&path(&["root", "x"]), &["machine-path"]);
        check_line(&format!("see `{}`", path(&["home", "ann", "x"])), &["machine-path"]);
        check_line(&format!("cd {}", path(&["work", "main"])), &["machine-path"]);
        check_line(&format!("\"{}\"", path(&["tmp", "lab", ""])), &["machine-path"]);
    }

    #[test]
    fn tests_may_invent_users_but_no_other_folder() {
        let text = format!("{} {}", path(&["home", "ann", "x"]), path(&["root", "x"]));
        let found = check(&Tree::from([("crates/a/tests/a_b.rs", text.as_str())]));
        assert_rules(&found, &[("crates/a/tests/a_b.rs", 1, "machine-path")]);
    }

    #[test]
    fn other_folders_pass() {
        check_line("/usr/bin, ~/.local/share, /tmp/x, /proc/self", &[]);
        check_line("crates/root/x, $HOME/work/x, {dir}/home/a/b, ./work/x", &[]);
        check_line("https://example.org/work/x and https://work/x", &[]);
        check_line("the / work and /root alone", &[]);
    }

    #[test]
    fn registry_hosts_are_refused() {
        for labels in REGISTRY_HOSTS {
            check_line(&format!("https://{}/x", labels.join(".")), &["registry-host"]);
            check_line(&format!("https://mirror.{}", labels.join(".")), &["registry-host"]);
        }
    }

    #[test]
    fn names_of_registries_pass() {
        check_line("from PyPI, npm, Debian and crates.io", &[]);
        check_line("registry+https://github.com/rust-lang/crates.io-index", &[]);
        check_line(&format!("my{}", REGISTRY_HOSTS[4].join(".")), &[]);
    }
}
