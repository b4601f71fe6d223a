//! WebKitGTK's MiniBrowser: it lies in a library folder, and it tells its version only where there is a display.

use std::path::{Path, PathBuf};

use crate::host::{Host, is_program};
use crate::probe::{self, ProbeError};

/// The folders of the libraries that come with a MiniBrowser, best first.
const LIBRARIES: &[&str] = &["webkit2gtk-4.1", "webkitgtk-6.0", "webkit2gtk-4.0"];

/// Every MiniBrowser below the usual library folders.
///
/// The 4.1 one comes before the 6.0 one: it is the one whose automation is tried and tested with the system's driver.
pub(crate) fn mini_browsers(host: &Host) -> Vec<PathBuf> {
    let mut folders = vec![host.place("/usr/libexec"), host.place("/usr/lib"), host.place("/usr/lib64")];
    if let Ok(entries) = std::fs::read_dir(host.place("/usr/lib")) {
        // Debian keeps libraries in one folder for each architecture, called x86_64-linux-gnu and the like.
        let mut per_architecture: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().contains("-linux-gnu"))
            .map(|entry| entry.path())
            .collect();
        per_architecture.sort();
        folders.extend(per_architecture);
    }
    LIBRARIES
        .iter()
        .flat_map(|library| folders.iter().map(move |folder| folder.join(library).join("MiniBrowser")))
        .filter(|path| is_program(path))
        .collect()
}

/// The version of the package that a file came with, or what the program says itself where no package manager knows.
pub(crate) fn version(host: &Host, program: &Path) -> Result<String, ProbeError> {
    match packaged_version(host, program) {
        Some(version) => Ok(version),
        None => probe::version(host, program),
    }
}

/// The version of the package that the file belongs to, without the distribution's own suffix.
pub(crate) fn packaged_version(host: &Host, file: &Path) -> Option<String> {
    let file = file.to_str()?;
    let text = if let Some(query) = host.program("dpkg-query") {
        let owner = probe::ask(host, &query, &["-S", file]).ok()?;
        let package = owner.lines().find_map(|line| line.strip_suffix(file)?.trim_end().strip_suffix(':'))?;
        probe::ask(host, &query, &["-W", "-f=${Version}", package]).ok()?
    } else if let Some(rpm) = host.program("rpm") {
        probe::ask(host, &rpm, &["-q", "--qf", "%{VERSION}\n", "-f", file]).ok()?
    } else {
        let pacman = host.program("pacman")?;
        probe::ask(host, &pacman, &["-Qo", file]).ok()?
    };
    let word = probe::find_version(&text)?;
    // Debian writes 2.50.6-1~deb12u2: what comes after the hyphen counts the package, not the program.
    Some(word.split(['-', '+', '~']).next().unwrap_or(word).to_owned())
}
