//! Texts as PostgreSQL can keep them: it has no U+0000.

use std::borrow::Cow;

/// Marks what stands for another character. Texts that hold neither this nor U+0000 are kept as they are.
const MARK: char = '\u{1a}';

/// The text as it is kept.
pub(super) fn kept(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => kept.extend([MARK, '0']),
            MARK => kept.extend([MARK, '1']),
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

/// The text that was [`kept`].
pub(super) fn given(kept: &str) -> Cow<'_, str> {
    if !kept.contains(MARK) {
        return Cow::Borrowed(kept);
    }
    let mut text = String::with_capacity(kept.len());
    let mut rest = kept.chars();
    while let Some(character) = rest.next() {
        match (character, character == MARK) {
            (_, true) => text.push(if rest.next() == Some('0') { '\0' } else { MARK }),
            (other, false) => text.push(other),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back_and_none_holds_a_nul(text in "[\\x00\\x1a01ab✓]{0,20}") {
            let kept = kept(&text);
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(given(&kept), text.as_str());
        }
    }

    #[test]
    fn ordinary_texts_are_kept_as_they_are() {
        assert!(matches!(kept("C:\\gpu 模型"), Cow::Borrowed("C:\\gpu 模型")));
    }
}
