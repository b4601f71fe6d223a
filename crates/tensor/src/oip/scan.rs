//! Splits JSON that is already known to be valid into its scalars, without building a tree.
//!
//! The document was checked by `serde_json` when the raw text of `data` was set apart, so this scanner only finds
//! where each token ends; the nesting is counted, not recursed into.

/// One token of an array of arrays of scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `[`
    Open,
    /// `]`
    Close,
    /// A number, `true`, `false` or `null`, or a string with its quotes.
    Scalar(&'a str),
    /// An object starts, which no tensor has.
    Object,
}

/// Walks over valid JSON.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b' ' | b'\n' | b'\r' | b'\t' | b',') {
            self.at += 1;
        }
        let start = self.at;
        self.at += 1;
        match bytes[start] {
            b'[' => return Some(Token::Open),
            b']' => return Some(Token::Close),
            b'{' => return Some(Token::Object),
            b'"' => loop {
                match bytes.get(self.at) {
                    Some(b'\\') => self.at += 2,
                    Some(b'"') => break self.at += 1,
                    Some(_) => self.at += 1,
                    None => break,
                }
            },
            _ => {
                let ends = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b']' | b'}');
                let rest = bytes.get(self.at..).unwrap_or_default();
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        // Every token starts and ends next to ASCII, so the slice cannot split a character.
        self.text.get(start..self.at).map(Token::Scalar)
    }
}
