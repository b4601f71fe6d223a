//! What a guest says of itself: text of a stranger, and worth no more.

use vocab::BrowserName;

/// A text without characters that would do something, cut to so many.
pub(crate) fn plain(text: &str, most: usize) -> String {
    // Bidirectional marks would turn what stands around them.
    let harmless = |letter: &char| {
        !letter.is_control()
            && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(harmless).take(most).collect()
}

/// The browser that a guest claims to be, and its version, from how it describes itself. One that names none that is known
/// counts as Chrome of no version: nothing rests on it.
pub(crate) fn claimed(user_agent: &str) -> (BrowserName, String) {
    let names = [
        ("Firefox/", BrowserName::Firefox),
        ("Edg/", BrowserName::Edge),
        ("HeadlessChrome/", BrowserName::ChromiumHeadlessShell),
        ("Chrome/", BrowserName::Chrome),
        ("Version/", BrowserName::Safari),
    ];
    let found = names.iter().find_map(|(mark, name)| {
        let rest = user_agent.split_once(mark)?.1;
        let version = rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').take(16);
        Some((*name, version.collect()))
    });
    found.unwrap_or((BrowserName::Chrome, String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(user_agent: &str, name: BrowserName, version: &str) {
        assert_eq!(claimed(user_agent), (name, version.to_owned()), "{user_agent}");
    }

    #[test]
    fn claims_are_read() {
        check(
            "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
            BrowserName::Firefox,
            "153.0",
        );
        check(
            "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
            BrowserName::Chrome,
            "156.0.0.0",
        );
        check("… Chrome/156.0.0.0 Safari/537.36 Edg/156.0.1", BrowserName::Edge, "156.0.1");
        check("… HeadlessChrome/147.0.0.0 Safari/537.36", BrowserName::ChromiumHeadlessShell, "147.0.0.0");
        check(
            "… AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
            BrowserName::Safari,
            "26.0",
        );
        check("Firefox/1<script>", BrowserName::Firefox, "1");
        check("Firefox/11111111111111111111111111", BrowserName::Firefox, "1111111111111111");
        check("curl", BrowserName::Chrome, "");
    }

    #[test]
    fn texts_do_nothing_where_they_are_shown() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d", 100), "a[31mbcd");
        assert_eq!(plain(&"ä".repeat(100), 5), "äääää");
    }
}
