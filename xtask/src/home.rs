//! Where set-up keeps what it installs: the same rule as the `provision` crate, which this crate may not use.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// The variable that moves the home, and that every command which we start receives.
pub(crate) const HOME_VARIABLE: &str = "WEBNN_POOL_HOME";

/// The home as an absolute path; it need not exist yet.
pub(crate) fn home() -> Result<PathBuf> {
    let home = choose(|name| std::env::var_os(name))
        .with_context(|| format!("no folder for the pool's own files: set {HOME_VARIABLE} to one"))?;
    if home.is_relative() {
        bail!("{HOME_VARIABLE} must be an absolute path, not {}", home.display());
    }
    Ok(home)
}

/// An empty variable counts as one that is not set, and so does a relative one that is not our own.
fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    set(HOME_VARIABLE).or_else(|| {
        let data = if cfg!(target_os = "macos") {
            absolute("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
        };
        Some(data?.join("webnn-pool"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: Option<&str>) {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        assert_eq!(choose(find), expected.map(PathBuf::from));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_nearest_variable_wins() {
        check(&[("WEBNN_POOL_HOME", "/a"), ("XDG_DATA_HOME", "/b"), ("HOME", "/c")], Some("/a"));
        check(&[("XDG_DATA_HOME", "/b"), ("HOME", "/c")], Some("/b/webnn-pool"));
        check(&[("HOME", "/c")], Some("/c/.local/share/webnn-pool"));
        check(
            &[("WEBNN_POOL_HOME", ""), ("XDG_DATA_HOME", ""), ("HOME", "/c")],
            Some("/c/.local/share/webnn-pool"),
        );
        check(&[("XDG_DATA_HOME", "b"), ("HOME", "/c")], Some("/c/.local/share/webnn-pool"));
        check(&[], None);
    }
}
