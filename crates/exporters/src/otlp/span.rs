//! One timed piece of work within a trace.

use std::borrow::Cow;

use super::TraceContext;

/// How many attributes a span may have; further ones are dropped, and the span says how many.
const ATTRIBUTES: usize = 32;
/// How many bytes a text in a span may have; longer ones are cut.
const TEXT: usize = 1_024;

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanKind {
    /// It answers a call from elsewhere.
    Server,
    /// It is a step within a program.
    Internal,
    /// It calls elsewhere.
    Client,
}

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A text; more than 1 024 bytes are cut off when the span is handed over.
    Text(Cow<'static, str>),
    /// A whole number.
    Whole(i64),
    /// A number.
    Real(f64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Whole(value)
    }
}

/// Numbers that do not fit are written as the largest that does.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

/// One timed piece of work.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// Its trace and its own id.
    pub context: TraceContext,
    /// The span that it is part of; `None` for a trace's first one.
    pub parent: Option<[u8; 8]>,
    /// What is done, in a few words that do not depend on the request.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended, in nanoseconds since 1970.
    pub end: u64,
    /// What else is known, each name once. At most 32 are exported.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    /// Why it failed; `None` where it did not.
    pub error: Option<String>,
}

impl Span {
    /// A span without parent, attributes and error.
    #[must_use]
    pub fn new(
        context: TraceContext,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        start: u64,
        end: u64,
    ) -> Self {
        let (name, attributes) = (name.into(), Vec::new());
        Self { context, parent: None, name, kind, start, end, attributes, error: None }
    }

    /// The same span as part of another one.
    #[must_use]
    pub const fn of(mut self, parent: [u8; 8]) -> Self {
        self.parent = Some(parent);
        self
    }

    /// The same span with one more attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The same span, but failed.
    #[must_use]
    pub fn failed(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Cuts off what would make its memory unbounded; says how many attributes were dropped.
    pub(super) fn cut(&mut self) -> u32 {
        let dropped = self.attributes.len().saturating_sub(ATTRIBUTES);
        self.attributes.truncate(ATTRIBUTES);
        self.attributes.shrink_to_fit();
        cut(&mut self.name);
        for (name, value) in &mut self.attributes {
            cut(name);
            if let Value::Text(text) = value {
                cut(text);
            }
        }
        if let Some(error) = &mut self.error {
            error.truncate(error.floor_char_boundary(TEXT));
            error.shrink_to_fit();
        }
        u32::try_from(dropped).unwrap_or(u32::MAX)
    }
}

fn cut(text: &mut Cow<'static, str>) {
    if text.len() > TEXT {
        let end = text.floor_char_boundary(TEXT);
        *text = Cow::Owned(text[..end].to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_takes_bounded_memory() {
        let context = TraceContext::root(true, || 7);
        let mut span =
            Span::new(context, "x".repeat(9_000), SpanKind::Internal, 1, 2).failed("ä".repeat(5_000));
        for at in 0..200_u64 {
            span = span.with(format!("a{at}"), "y".repeat(5_000));
        }
        assert_eq!(span.cut(), 168);
        assert_eq!((span.name.len(), span.attributes.len()), (TEXT, ATTRIBUTES));
        assert_eq!(span.error.as_ref().map(String::len), Some(TEXT));
        assert!(
            span.attributes.iter().all(|(_, value)| matches!(value, Value::Text(text) if text.len() == TEXT))
        );
    }
}
