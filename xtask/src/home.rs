//! Where set-up keeps what it installs: the same rule as the `provision` crate, which this crate may not use.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The variable that moves the home, and that every command which we start receives.
pub(crate) const HOME_VARIABLE: &str = "WEBNN_POOL_HOME";

/// The home as an absolute path; it need not exist yet.
pub(crate) fn home() -> Result<PathBuf> {
    let home = choose(|name| std::env::var_os(name)).with_context(|| {
        format!("neither {HOME_VARIABLE} nor XDG_DATA_HOME nor HOME is set: set one of them")
    })?;
    std::path::absolute(&home).with_context(|| format!("{} is no usable path", home.display()))
}

/// An empty variable counts as one that is not set.
fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(HOME_VARIABLE)
        .or_else(|| Some(set("XDG_DATA_HOME")?.join("webnn-pool")))
        .or_else(|| Some(set("HOME")?.join(".local/share/webnn-pool")))
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

    #[test]
    fn the_nearest_variable_wins() {
        check(&[("WEBNN_POOL_HOME", "/a"), ("XDG_DATA_HOME", "/b"), ("HOME", "/c")], Some("/a"));
        check(&[("XDG_DATA_HOME", "/b"), ("HOME", "/c")], Some("/b/webnn-pool"));
        check(&[("HOME", "/c")], Some("/c/.local/share/webnn-pool"));
        check(
            &[("WEBNN_POOL_HOME", ""), ("XDG_DATA_HOME", ""), ("HOME", "/c")],
            Some("/c/.local/share/webnn-pool"),
        );
        check(&[], None);
    }
}
