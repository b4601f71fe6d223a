//! The size of a model's inputs, coarse enough that runs of about the same size are compared with each other.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tensor::Bindings;

/// The sizes of a model's symbolic dimensions, each rounded up to a power of two: `batch=1,sequence=128`.
///
/// Empty for a model whose shapes are fixed.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ShapeBucket(pub Arc<str>);

impl ShapeBucket {
    /// The bucket that these sizes fall into.
    #[must_use]
    pub fn of(bindings: &Bindings) -> Self {
        let mut text = String::new();
        for (symbol, &size) in bindings {
            let comma = if text.is_empty() { "" } else { "," };
            let rounded = size.checked_next_power_of_two().unwrap_or(u64::MAX);
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{symbol}={}", if size == 0 { 0 } else { rounded });
        }
        Self(text.into())
    }

    /// The text, as in the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ShapeBucket {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ShapeBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.0.is_empty() { "fixed" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sizes: &[(&str, u64)], expected: &str) {
        let bindings = sizes.iter().map(|&(symbol, size)| (symbol.into(), size)).collect();
        assert_eq!(ShapeBucket::of(&bindings).as_str(), expected);
    }

    #[test]
    fn sizes_are_rounded_up_to_powers_of_two() {
        check(&[], "");
        check(&[("batch", 1), ("sequence", 128)], "batch=1,sequence=128");
        check(&[("sequence", 100)], "sequence=128");
        check(&[("sequence", 129)], "sequence=256");
        check(&[("past", 0)], "past=0");
        check(&[("huge", u64::MAX)], "huge=18446744073709551615");
    }
}
