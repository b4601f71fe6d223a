//! Installs what is missing of the browsers named on the command line, or of the four that can be installed.

#![allow(clippy::print_stdout, reason = "an example talks on the terminal")]

use std::process::ExitCode;

use provision::{Home, Part, install};
use vocab::BrowserName;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut wanted =
        std::env::args().skip(1).map(|name| name.parse()).collect::<Result<Vec<BrowserName>, _>>()?;
    if wanted.is_empty() {
        use BrowserName::{Chromium, ChromiumHeadlessShell, Firefox, WebKitGtk};
        wanted = vec![Chromium, ChromiumHeadlessShell, Firefox, WebKitGtk];
    }
    let home = Home::locate()?;
    let report = install(&home, &wanted, Part::ALL, &mut |event| println!("{event}"))?;
    Ok(if report.failures().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
