//! What the text format has no words for.

use std::collections::HashSet;

use crate::{Family, Kind, Reading, Sample};

/// A metric's name: a letter, `_` or `:`, and then digits too.
fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
}

/// A label's name: like a metric's without `:`, and not beginning with two underscores, which are Prometheus's own.
fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':') && !name.starts_with("__")
}

/// Why a family's name cannot be shown.
pub(super) fn family(family: &Family) -> Result<(), &'static str> {
    if is_metric_name(&family.name) { Ok(()) } else { Err("its name is not a metric's name") }
}

/// Why a series of a family of some kind cannot be shown; `seen` are the label sets that the family has had.
pub(super) fn sample<'a>(
    kind: Kind,
    sample: &'a Sample,
    seen: &mut HashSet<Vec<(&'a str, &'a str)>>,
) -> Result<(), &'static str> {
    let fits = match (&sample.value, kind) {
        (Reading::Whole(_) | Reading::Real(_), Kind::Counter | Kind::Gauge) => true,
        (Reading::Summary(_), Kind::Summary) => true,
        (Reading::Whole(_) | Reading::Real(_) | Reading::Summary(_), _) => false,
    };
    if !fits {
        return Err("its value does not fit the family's type");
    }
    let mut labels: Vec<_> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    labels.sort_unstable();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("it has a label twice");
    }
    if !labels.iter().all(|(name, _)| is_label_name(name)) {
        return Err("a label's name is not one");
    }
    if kind == Kind::Summary && labels.iter().any(|(name, _)| *name == "quantile") {
        return Err("a summary's own label is taken");
    }
    // To Prometheus, a label with an empty value is the same as none.
    labels.retain(|(_, value)| !value.is_empty());
    if seen.insert(labels) { Ok(()) } else { Err("another series has the same labels") }
}
