//! The W3C trace context: which trace a request belongs to.

use std::fmt;

/// Where in which trace something happens, as the `traceparent` header tells.
///
/// The `tracestate` header, which carries what others want to know about a trace, is neither read nor written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TraceContext {
    /// The trace; never all zero.
    pub trace_id: [u8; 16],
    /// The span within it; never all zero.
    pub span_id: [u8; 8],
    /// Whether whoever began the trace records it. What is not sampled is passed on, and not exported.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` header, as W3C Trace Context (level 1, of 2021) has it.
    ///
    /// Answers `None` for everything that the recommendation calls invalid: wrong lengths, letters that are no lower-case
    /// hexadecimal digits, ids that are all zero, version `ff`. A later version is read by what it has in common with
    /// version 00, and may have more after another `-`.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let (head, rest) = bytes.split_at_checked(55)?;
        let dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
        let [version] = hex(&head[..2])?;
        let ends_right =
            if version == 0 { rest.is_empty() } else { matches!(rest.first(), None | Some(b'-')) };
        if version == 0xff || !dashes || !ends_right {
            return None;
        }
        let trace_id = hex(&head[3..35])?;
        let span_id = hex(&head[36..52])?;
        let [flags] = hex(&head[53..])?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The header for whoever is called next, in version 00.
    #[must_use]
    pub fn to_header(&self) -> String {
        self.to_string()
    }

    /// The beginning of a new trace. `random` gives 64 bits that nobody else has; the same bits give the same ids.
    #[must_use]
    pub fn root(sampled: bool, mut random: impl FnMut() -> u64) -> Self {
        let mut trace_id = [0; 16];
        let (high, low) = trace_id.split_at_mut(8);
        high.copy_from_slice(&random().to_be_bytes());
        // One half that is not zero is enough.
        low.copy_from_slice(&random().max(1).to_be_bytes());
        Self { trace_id, span_id: span_id(random), sampled }
    }

    /// A new span of the same trace, recorded as this one is. `random` is as in [`Self::root`].
    #[must_use]
    pub fn child(&self, random: impl FnMut() -> u64) -> Self {
        Self { span_id: span_id(random), ..*self }
    }
}

fn span_id(mut random: impl FnMut() -> u64) -> [u8; 8] {
    random().max(1).to_be_bytes()
}

/// The header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, sampled } = *self;
        let (trace, span) = (u128::from_be_bytes(trace_id), u64::from_be_bytes(span_id));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled))
    }
}

/// The header, because bytes in brackets are no use to whoever looks for a trace.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

/// Lower-case hexadecimal digits as bytes.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (digits.len() == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[track_caller]
    fn check(header: &str, sampled: Option<bool>) {
        let found = TraceContext::parse(header);
        assert_eq!(found.map(|context| context.sampled), sampled, "{header}");
        if let Some(found) = found {
            assert_eq!(found.to_header(), format!("00-{TRACE}-{SPAN}-0{}", u8::from(found.sampled)));
        }
    }

    #[test]
    fn headers_are_read_as_the_recommendation_says() {
        check(&format!("00-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-00"), Some(false));
        check(&format!("00-{TRACE}-{SPAN}-03"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-fe"), Some(false));
    }

    #[test]
    fn later_versions_may_have_more_at_the_end() {
        check(&format!("01-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01."), None);
        check(&format!("ff-{TRACE}-{SPAN}-01"), None);
    }

    #[test]
    fn what_is_invalid_is_refused() {
        check("", None);
        check(&format!("00-{TRACE}-{SPAN}-01-"), None);
        check(&format!("00-{TRACE}-{SPAN}-1"), None);
        check(&format!("0-{TRACE}-{SPAN}-01"), None);
        check(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None);
        check(&format!("00-{TRACE}-{SPAN}-0A"), None);
        check(&format!("0A-{TRACE}-{SPAN}-01"), None);
        check(&format!("00-{}-{SPAN}-01", "0".repeat(32)), None);
        check(&format!("00-{TRACE}-{}-01", "0".repeat(16)), None);
        check(&format!("00_{TRACE}-{SPAN}-01"), None);
        check(&format!(" 00-{TRACE}-{SPAN}-01"), None);
        check(&format!("00-{TRACE}-{SPAN}-0ä"), None);
    }

    #[test]
    fn ids_are_never_zero_whatever_the_source_of_randomness() {
        let root = TraceContext::root(true, || 0);
        assert_eq!(TraceContext::parse(&root.to_header()), Some(root));
        let child = root.child(|| 0);
        assert_eq!(child.trace_id, root.trace_id);
        assert_ne!(child.span_id, [0; 8]);
    }

    proptest! {
        #[test]
        fn any_context_reads_back(numbers in any::<[u64; 3]>(), sampled: bool) {
            let mut numbers = numbers.into_iter();
            let context = TraceContext::root(sampled, || numbers.next().unwrap_or_default());
            prop_assert_eq!(TraceContext::parse(&context.to_header()), Some(context));
        }

        #[test]
        fn no_header_panics(header in ".{0,60}|[0-9a-f-]{50,70}") {
            let _ = TraceContext::parse(&header);
        }
    }
}
