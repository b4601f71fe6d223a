//! A strict parser of the Prometheus text format 0.0.4, written from its specification and not from the renderer.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) families: BTreeMap<String, Found>,
    /// Lines that are for people only.
    pub(crate) comments: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Line>,
}

type Labels = Vec<(String, String)>;

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

fn is_name(name: &str, colon: bool) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':'))
}

fn unescape(text: &str, quoted: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('\\') => plain.push('\\'),
            Some('n') => plain.push('\n'),
            Some('"') if quoted => plain.push('"'),
            other => return Err(format!("escape {other:?} in {text:?}")),
        }
    }
    Ok(plain)
}

/// The labels between braces, and what comes after them.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name, false) {
            return Err(format!("label name {name:?}"));
        }
        let mut escaped = false;
        let end = after.find(|c: char| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let end = end.ok_or("a value without an end")?;
        labels.push((name.to_owned(), unescape(&after[..end], true)?));
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else {
            return Ok((labels, rest.strip_prefix('}').ok_or("no end of labels")?));
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        // Rust reads a few words as numbers that Prometheus does not.
        _ if text.contains(|c: char| c.is_ascii_alphabetic() && c != 'e') => Err(format!("number {text:?}")),
        _ => text.parse().map_err(|_| format!("number {text:?}")),
    }
}

pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("help without text")?;
            current = name.to_owned();
            let found = Found { help: unescape(help, false)?, ..Found::default() };
            if !is_name(name, true) || parsed.families.insert(current.clone(), found).is_some() {
                return Err(format!("second help, or no name: {line:?}"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("type without a word")?;
            let family = parsed.families.get_mut(name).ok_or("type before help")?;
            let known = ["counter", "gauge", "summary"].contains(&kind);
            if name != current || !known || !family.kind.is_empty() || !family.samples.is_empty() {
                return Err(format!("type out of place: {line:?}"));
            }
            family.kind = kind.to_owned();
        } else if line.starts_with('#') {
            parsed.comments.push(line.to_owned());
        } else {
            let end = line.find(['{', ' ']).ok_or("no value")?;
            let (name, rest) = line.split_at(end);
            let (labels, rest) = match rest.strip_prefix('{') {
                Some(rest) => read_labels(rest)?,
                None => (Vec::new(), rest),
            };
            let value = number(rest.strip_prefix(' ').ok_or("no space before the value")?)?;
            let family = parsed.families.get_mut(&current).ok_or("a value before its family")?;
            let ending = name.strip_prefix(&current).ok_or_else(|| format!("{line:?} stands elsewhere"))?;
            let quantile = labels.iter().any(|(name, _)| name == "quantile");
            let fits = match family.kind.as_str() {
                "summary" => {
                    (ending.is_empty() && quantile) || (!quantile && matches!(ending, "_sum" | "_count"))
                }
                _ => ending.is_empty() && !family.kind.is_empty(),
            };
            let mut key = labels.clone();
            key.retain(|(_, value)| !value.is_empty());
            key.sort();
            if !fits || !seen.insert((name.to_owned(), key)) {
                return Err(format!("a value that does not fit, or a second one: {line:?}"));
            }
            family.samples.push(Line { labels, value });
        }
    }
    Ok(parsed)
}
