//! The code in a Markdown text: spans, and the lines of blocks.

/// A piece of code and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code<'a> {
    /// First line is 1.
    pub(super) line: usize,
    /// The language of the block that it is a line of; empty where the block names none; nothing for a span.
    pub(super) block: Option<&'a str>,
    pub(super) text: &'a str,
}

/// Every span, and every line of a fenced or an indented block, in order.
pub(super) fn code(text: &str) -> impl Iterator<Item = Code<'_>> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().flat_map(move |(at, line)| {
        let line_number = at + 1;
        let mark = line.trim_start().strip_prefix("```");
        let block = match (fence, mark) {
            (Some(_), Some(_)) => {
                fence = None;
                return Vec::new();
            }
            (None, Some(language)) => {
                fence = Some(language.trim());
                return Vec::new();
            }
            (Some(language), None) => Some(language),
            // An indented block; a list's continuation is not indented as far here.
            (None, None) => line.starts_with("    ").then_some(""),
        };
        match block {
            Some(_) => vec![Code { line: line_number, block, text: line.trim() }],
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                spans.map(|text| Code { line: line_number, block: None, text }).collect()
            }
        }
    })
}

/// The words of a command up to a comment, a pipe, a redirection or the next command, without their quotes.
pub(super) fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | '&' | ';' | '<' | '>') => break,
            (None, '#') if word.is_none() => break,
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_lines_of_blocks_are_found_with_their_place() {
        let text = "a `b` and `c d`\n```sh\n# e\nf `g`\n```\n\n    h i\nj `k`\n";
        let found: Vec<_> = code(text).map(|code| (code.line, code.block, code.text)).collect();
        let expected = [
            (1, None, "b"),
            (1, None, "c d"),
            (3, Some("sh"), "# e"),
            (4, Some("sh"), "f `g`"),
            (7, Some(""), "h i"),
            (8, None, "k"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn words_end_where_the_command_does() {
        assert_eq!(
            words("cargo xtask e2e --only 'a or b' # why"),
            ["cargo", "xtask", "e2e", "--only", "a or b"]
        );
        assert_eq!(words("a b | c"), ["a", "b"]);
        assert_eq!(words("a #b"), ["a"]);
        assert_eq!(words("a '#' \"\" b#c"), ["a", "#", "", "b#c"]);
    }
}
