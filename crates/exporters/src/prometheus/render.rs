//! Writing families as text.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::check;
use crate::{Family, Kind, Reading, Sample, Summary};

/// What an HTTP answer with such a text has as its `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Families of one name, written as one.
struct Group<'a> {
    first: &'a Family,
    parts: Vec<&'a Family>,
}

/// Writes families in the text exposition format 0.0.4, in their order.
///
/// Families of one name and type become one family, with the first one's help. What the format has no words for (names
/// that are none, a second series with the same labels, one name with two types, a name that another family's `_sum` or
/// `_count` has) is left out, and a comment line says so: a scrape with everything else is worth more than none.
#[must_use]
pub fn render(families: &[Family]) -> String {
    let mut text = String::with_capacity(16 * 1_024);
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut left_out = Vec::new();
    for family in families {
        if let Err(why) = check::family(family) {
            left_out.push((family, why));
        } else if let Some(group) = groups.iter_mut().find(|group| group.first.name == family.name) {
            if group.first.kind == family.kind {
                group.parts.push(family);
            } else {
                left_out.push((family, "another family of that name has another type"));
            }
        } else if groups.iter().any(|group| overlap(group.first, family)) {
            left_out.push((family, "another family has a series of that name"));
        } else {
            groups.push(Group { first: family, parts: vec![family] });
        }
    }
    for group in &groups {
        write_group(&mut text, group);
    }
    for (family, why) in left_out {
        write_left_out(&mut text, &family.name, why);
    }
    text
}

/// Whether one family is a summary whose series are called like the other one, or like the other one's.
fn overlap(a: &Family, b: &Family) -> bool {
    let names = |family: &Family| {
        let summary = family.kind == Kind::Summary;
        let own = [family.name.to_string(), format!("{}_sum", family.name), format!("{}_count", family.name)];
        own.into_iter().take(if summary { 3 } else { 1 }).collect::<Vec<_>>()
    };
    let taken = names(a);
    names(b).iter().any(|name| taken.contains(name))
}

fn write_group(text: &mut String, group: &Group<'_>) {
    let Family { name, help, kind, samples: _ } = group.first;
    text.push_str("# HELP ");
    text.push_str(name);
    text.push(' ');
    escape(text, help, false);
    let _ = write!(text, "\n# TYPE {name} {}\n", kind.as_str());
    let mut seen = HashSet::new();
    for sample in group.parts.iter().flat_map(|family| &family.samples) {
        match check::sample(*kind, sample, &mut seen) {
            Ok(()) => write_sample(text, name, sample),
            Err(why) => write_left_out(text, name, why),
        }
    }
}

fn write_left_out(text: &mut String, name: &str, why: &str) {
    // A name may be anything here, so line breaks are escaped. The words keep it from being read as HELP or TYPE.
    text.push_str("# left out of ");
    escape(text, name, false);
    text.push_str(": ");
    text.push_str(why);
    text.push('\n');
}

fn write_sample(text: &mut String, name: &str, sample: &Sample) {
    let Sample { labels, value } = sample;
    match value {
        Reading::Whole(value) => line(text, name, "", labels, None, |text| text.push_str(&value.to_string())),
        Reading::Real(value) => line(text, name, "", labels, None, |text| number(text, *value)),
        Reading::Summary(Summary { quantiles, sum, count }) => {
            for &(quantile, value) in quantiles {
                line(text, name, "", labels, Some(quantile), |text| number(text, value));
            }
            line(text, name, "_sum", labels, None, |text| number(text, *sum));
            line(text, name, "_count", labels, None, |text| text.push_str(&count.to_string()));
        }
    }
}

fn line(
    text: &mut String,
    name: &str,
    ending: &str,
    labels: &[(&'static str, String)],
    quantile: Option<f64>,
    value: impl FnOnce(&mut String),
) {
    text.push_str(name);
    text.push_str(ending);
    let mut before = '{';
    for (name, value) in labels {
        text.push(before);
        text.push_str(name);
        text.push_str("=\"");
        escape(text, value, true);
        text.push('"');
        before = ',';
    }
    if let Some(quantile) = quantile {
        text.push(before);
        text.push_str("quantile=\"");
        let _ = write!(text, "{quantile}");
        text.push('"');
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    text.push(' ');
    value(text);
    text.push('\n');
}

fn number(text: &mut String, value: f64) {
    let _ = if value.is_nan() {
        write!(text, "NaN")
    } else if value.is_infinite() {
        write!(text, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else {
        // Shortest form that reads back as the same number, with an exponent where that is shorter.
        write!(text, "{value:?}")
    };
}

/// In help, backslash and line feed are escaped; in a label's value the double quote too.
fn escape(text: &mut String, value: &str, quoted: bool) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quoted => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}
