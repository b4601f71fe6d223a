//! The one place that prints.

use std::io::Write;

use super::Failure;

/// Prints a line on standard error: progress, notes, errors.
pub(super) fn note(line: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints the result on standard output.
pub(super) fn result(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => "nobody reads standard output any more".into(),
        _ => Failure::from(error),
    })
}
