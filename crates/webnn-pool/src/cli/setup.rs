//! `webnn-pool setup`

use provision::{Home, Part, detect, install};
use vocab::BrowserName;

use super::{Failure, out};

/// The browsers that set-up looks after where none is named: those that it can install, or that may be there.
const DEFAULT: &[BrowserName] = &[
    BrowserName::Chromium,
    BrowserName::ChromiumHeadlessShell,
    BrowserName::Firefox,
    BrowserName::WebKitGtk,
];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The browsers to install, comma separated.
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_values_t = DEFAULT.iter().copied())]
    browsers: Vec<BrowserName>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::locate()?;
    out::note(&format!("webnn-pool keeps its own files in {}", home.root().display()));
    let installed = tokio::task::spawn_blocking(move || {
        let report = install(&home, &args.browsers, Part::ALL, &mut |event| out::note(&event.to_string()))?;
        let failed: Vec<String> = report.failures().map(|(item, _)| item.to_string()).collect();
        let usable = args.browsers.iter().filter(|&&name| detect(&home, name).found().is_some()).count();
        Ok::<_, provision::InstallError>((failed, usable, args.browsers.len()))
    });
    let (failed, usable, wanted) = installed.await??;
    if failed.is_empty() {
        out::note(&format!("ready: {usable} of {wanted} browsers can be launched"));
        return Ok(());
    }
    Err(format!("set-up is not complete, the reasons are above: {}", failed.join(", ")).into())
}
