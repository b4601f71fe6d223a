//! What the benchmarks have in common: flags, times, and a table that is also JSON.

use std::io::Write as _;
use std::time::Instant;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The value of `--NAME VALUE` on the command line.
pub(crate) fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

/// A number on the command line; underscores are left out.
pub(crate) fn number(name: &str, default: usize) -> Result<usize, Failure> {
    flag(name).map_or(Ok(default), |text| Ok(text.replace('_', "").parse()?))
}

/// What the work gives, and how many milliseconds it took.
#[expect(clippy::disallowed_methods, reason = "measuring wall time is what a benchmark is for")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64() * 1e3)
}

/// The value below which a share `q` of the values lies.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * q).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Figures with what they are of. Each is shown as soon as it is known.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, f64, &'static str)>,
}

impl Table {
    pub(crate) fn row(&mut self, what: &str, figure: f64, unit: &'static str) {
        let _ = writeln!(std::io::stdout(), "{what:<60} {figure:>12.1} {unit}");
        self.rows.push((what.to_owned(), figure, unit));
    }

    /// Writes the figures to the file of `--json`, if there is one.
    pub(crate) fn finish(self, bench: &str) -> Result<(), Failure> {
        let Some(path) = flag("--json") else { return Ok(()) };
        let row = |(what, figure, unit): (String, f64, &str)| serde_json::json!({ "what": what.trim(), "figure": figure, "unit": unit });
        let rows: Vec<_> = self.rows.into_iter().map(row).collect();
        std::fs::write(
            path,
            serde_json::to_string_pretty(&serde_json::json!({ "bench": bench, "rows": rows }))?,
        )?;
        Ok(())
    }
}
