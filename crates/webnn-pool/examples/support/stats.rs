//! What the benchmarks have in common: order statistics, and a table that is also JSON.

use std::io::Write as _;
use std::path::PathBuf;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The value below which a share `q` of the values lies.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len().saturating_sub(1)) as f64 * q).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The median with the quarter points around it.
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) fn spread(values: &[f64]) -> [f64; 3] {
    [quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)]
}

/// Prints a line for people on standard error, so that standard output stays JSON alone.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The value of `--NAME VALUE` on the command line.
pub(crate) fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

/// Writes the result to the file of `--json`, or to standard output.
pub(crate) fn write_json(json: &serde_json::Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(json)?;
    match flag("--json").map(PathBuf::from) {
        Some(path) => std::fs::write(path, text)?,
        None => writeln!(std::io::stdout(), "{text}")?,
    }
    Ok(())
}
