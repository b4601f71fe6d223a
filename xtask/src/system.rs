//! Programs that come from the system: installed where we may, named clearly where we may not.

use anyhow::{Result, bail};

use crate::sh::Cmd;

/// Makes sure that `probe` succeeds; what it needs are these packages on Debian and Ubuntu.
///
/// `what` says in words what is missing, for the message.
pub(crate) fn ensure(what: &str, probe: &Cmd, packages: &[&str]) -> Result<()> {
    if probe.succeeds() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !Cmd::new("apt-get").arg("--version").succeeds() {
        bail!("{what}: install it with your system's package manager (on Debian the packages are {list})");
    }
    if !is_root() {
        bail!("{what}: run `sudo apt-get install {list}`");
    }
    println!("{what}: installing {list} from the system's packages.");
    let apt = |verb: &str| Cmd::new("apt-get").arg(verb).env("DEBIAN_FRONTEND", "noninteractive");
    apt("update").arg("-q").run()?;
    apt("install").args(["-y", "-q", "--no-install-recommends"]).args(packages).run()?;
    if !probe.succeeds() {
        bail!("{what}, although {list} are installed: `{probe}` still fails");
    }
    Ok(())
}

fn is_root() -> bool {
    Cmd::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_left_alone() {
        ensure("nothing is missing", &Cmd::new("true"), &["no-such-package"]).expect("the probe succeeds");
    }
}
