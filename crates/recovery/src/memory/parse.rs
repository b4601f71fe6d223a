//! Reads what Linux tells about memory, from text alone.

use std::str::FromStr;

/// A text that is not what the kernel writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A line or field that must be there is not.
    #[error("{what} is missing")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// A field is not a number in its range.
    #[error("{what} is not a number: {got:?}")]
    Number {
        /// Which field.
        what: &'static str,
        /// The beginning of what stands there.
        got: String,
    },
}

fn number<T: FromStr>(what: &'static str, text: &str) -> Result<T, ParseError> {
    text.parse().map_err(|_| ParseError::Number { what, got: text.chars().take(40).collect() })
}

/// The shares of the last ten seconds in which tasks waited, in per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "the kernel tells these two")]
pub struct Stall {
    /// Some task waited.
    pub some: f64,
    /// All tasks waited at once; `None` where the kernel does not tell.
    pub full: Option<f64>,
}

/// Reads `/proc/pressure/memory`, or a control group's `memory.pressure`.
///
/// # Errors
/// [`ParseError`] if the line `some` or a figure is missing, or is not a share in per cent.
pub fn parse_stall(text: &str) -> Result<Stall, ParseError> {
    let line = |kind: &str, what: &'static str| -> Result<Option<f64>, ParseError> {
        let mut lines = text.lines().map(str::split_ascii_whitespace);
        let Some(mut fields) = lines.find_map(|mut fields| (fields.next() == Some(kind)).then_some(fields))
        else {
            return Ok(None);
        };
        let value = fields.find_map(|field| field.strip_prefix("avg10="));
        let share: f64 = number(what, value.ok_or(ParseError::Missing { what })?)?;
        if (0.0..=100.0).contains(&share) {
            Ok(Some(share))
        } else {
            Err(ParseError::Number { what, got: share.to_string() })
        }
    };
    let some = line("some", "avg10 of some")?.ok_or(ParseError::Missing { what: "the line some" })?;
    Ok(Stall { some, full: line("full", "avg10 of full")? })
}

/// Reads a file that holds one number of bytes, such as `memory.current`, `memory.max` or `memory.usage_in_bytes`;
/// `None` for `max`, which means that there is no limit. A limit of the first version's that is beyond any machine's
/// memory is none either.
///
/// # Errors
/// [`ParseError`] for anything else.
pub fn parse_bytes(text: &str) -> Result<Option<u64>, ParseError> {
    /// The first version writes the largest multiple of a page below 2^63 where there is no limit.
    const NO_LIMIT: u64 = 1 << 62;
    match text.trim() {
        "max" => Ok(None),
        text => Ok(Some(number("a number of bytes", text)?).filter(|bytes| *bytes < NO_LIMIT)),
    }
}

/// Reads one field in kB, as `/proc/meminfo` and `/proc/<pid>/status` write them, and gives it in bytes; `None` where
/// there is no such line. `field` is without its colon: `MemAvailable`, `VmRSS`.
///
/// # Errors
/// [`ParseError`] if the line is there and has no number, or one too large.
pub fn parse_kilobytes(text: &str, field: &'static str) -> Result<Option<u64>, ParseError> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.trim_start().strip_prefix(':'));
    let Some(value) = value else { return Ok(None) };
    let value = value.trim();
    let kilobytes: u64 = number(field, value.strip_suffix("kB").unwrap_or(value).trim())?;
    let bytes = kilobytes.checked_mul(1_024);
    bytes.map(Some).ok_or_else(|| ParseError::Number { what: field, got: value.chars().take(40).collect() })
}

/// Reads one counter of `memory.stat`: a name and a number on one line; `None` where there is no such line.
pub(super) fn parse_counter(text: &str, name: &'static str) -> Result<Option<u64>, ParseError> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name).map(|(_, value)| number(name, value.trim())).transpose()
}

/// Reads `/proc/<pid>/cgroup`: the path of the control group for memory below its root, and whether it is of the second
/// version; `None` where the process is in none.
#[must_use]
pub fn parse_cgroup_path(text: &str) -> Option<(&str, bool)> {
    let lines = || {
        text.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
    };
    let first = lines().find(|(_, kinds, _)| kinds.split(',').any(|kind| kind == "memory"));
    let second = || lines().find(|(number, kinds, _)| *number == "0" && kinds.is_empty());
    first.map(|(.., path)| (path, false)).or_else(|| second().map(|(.., path)| (path, true)))
}
