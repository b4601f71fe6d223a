//! Just enough of a Rust lexer to tell code from comments and text in quotes, and tests from the rest.

/// The source with comments and the insides of text literals blanked out; lines stay where they are.
pub(super) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let Some(end) = literal_end(&chars, at) else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that begins here ends, if one begins here.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied();
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next == Some('/') => Some(find(chars, at, |c| c == '\n')),
        '/' if next == Some('*') => Some(block_comment_end(chars, at)),
        '"' => Some(quoted_end(chars, at + 1, '"')),
        'r' | 'b' | 'c' if !in_word => raw_end(chars, at),
        '\'' => char_end(chars, at),
        _ => None,
    }
}

/// Block comments nest.
fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

/// The end of `r"…"`, `r#"…"#`, `br"…"` and their like; a plain `b"…"` is left to the quote that follows.
fn raw_end(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    if matches!(chars[at], 'b' | 'c') && chars.get(at + 1) == Some(&'r') {
        at += 1;
    }
    if chars[at] != 'r' {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut close = open + 1;
    while close < chars.len() {
        let tail = &chars[close + 1..];
        if chars[close] == '"' && tail.len() >= hashes && tail[..hashes].iter().all(|&c| c == '#') {
            return Some(close + 1 + hashes);
        }
        close += 1;
    }
    Some(chars.len())
}

/// A character literal, or nothing when the quote begins a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => Some(quoted_end(chars, at + 1, '\'')),
        (Some(_), Some('\'')) => Some(at + 3),
        _ => None,
    }
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn find(chars: &[char], start: usize, stop: impl Fn(char) -> bool) -> usize {
    chars[start..].iter().position(|&c| stop(c)).map_or(chars.len(), |offset| start + offset)
}

/// Every text in quotes of a source as it is meant, comments left out.
pub(super) fn literals(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let Some(end) = literal_end(&chars, at) else {
            at += 1;
            continue;
        };
        found.extend(inside(&chars[at..end].iter().collect::<String>()));
        at = end;
    }
    found
}

/// What stands between the quotes, if the piece is a text.
fn inside(piece: &str) -> Option<String> {
    let text = piece.strip_suffix('#').map_or(piece, |_| piece.trim_end_matches('#')).strip_suffix('"')?;
    if let Some(raw) = text.strip_prefix('r') {
        return raw.trim_start_matches('#').strip_prefix('"').map(str::to_owned);
    }
    let mut out = String::new();
    let mut chars = text.strip_prefix('"')?.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            // A line that goes on: what the next one begins with is not part of it.
            ('\\', Some('\n')) => {
                let rest = chars.as_str().trim_start();
                chars = rest.chars();
            }
            ('\\', Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    Some(out)
}

/// Code with every item under `#[cfg(test)]` blanked out. Takes what [`code_only`] returns.
pub(super) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let (before, marked) = rest.split_at(start);
        out.push_str(before);
        let end = item_end(marked);
        out.extend(marked[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &marked[end..];
    }
    out.push_str(rest);
    out
}

/// Where the item ends: after its first balanced braces, or after a semicolon that comes before any.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, code: &str) {
        let kept: String = code_only(source).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(kept, code);
    }

    #[test]
    fn comments_are_blanked() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check("/// doc\nfn f() {}", "fn f() {}");
    }

    #[test]
    fn texts_are_blanked() {
        check(r#"a("b \" c") d"#, "a( ) d");
        check(r###"a(r#"b " c"#) d"###, "a( ) d");
        check(r#"a(br"\") d"#, "a( ) d");
        check(r#"a(b"\"") d"#, "a(b ) d");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        check("f::<'a>('b', '\\'', '\"') g", "f::<'a>( , , ) g");
        check("for<'r> r(\"x\") bar", "for<'r> r( ) bar");
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        check("a \"b", "a");
        check("a /* b", "a");
        check("a r#\"b\"", "a");
    }

    #[test]
    fn lines_stay_where_they_are() {
        assert_eq!(code_only("a\n\"b\nc\"\nd").lines().count(), 4);
    }

    #[test]
    fn test_items_are_blanked_and_the_rest_kept() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { {} }\n}\nfn c() {}\n#[cfg(test)]\nuse d;\nfn e() {}";
        let kept: String = without_tests(code).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(kept, "fn a() {} fn c() {} fn e() {}");
    }

    #[test]
    fn texts_in_quotes_are_read_as_they_are_meant() {
        let source = "// \"no\"\nf(\"a \\\"b\\\" \\n\", r#\"c \"d\" \\n\"#, '\"', \"e \\\n      f\")";
        assert_eq!(literals(source), ["a \"b\" \n", "c \"d\" \\n", "e f"]);
    }
}
