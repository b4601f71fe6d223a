//! Codes that people can type.

/// The digits: Crockford's base 32, which leaves out letters that are mistaken for others.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many digits a code has: 40 bits.
const LENGTH: usize = 8;
/// How much of what was typed is looked at.
const TYPED: usize = 64;

/// A code that lets one page in: 40 random bits, written as two groups of four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(u64);

/// Why something is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has eight letters and digits, such as 7KQ2-M8XN")]
#[non_exhaustive]
pub struct BadCode;

impl Code {
    /// The code of the lowest 40 of these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << (5 * LENGTH)) - 1))
    }

    /// The code after this one.
    pub(crate) const fn next(self) -> Self {
        Self::from_bits(self.0 + 1)
    }

    /// Whether two codes are the same, in a time that does not depend on how much of them is.
    pub(crate) fn is(self, other: Self) -> bool {
        // The sum of the differing bits is looked at once, and not each digit until one differs.
        std::hint::black_box(self.0 ^ other.0) == 0
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(LENGTH + 1);
        for place in (0..LENGTH).rev() {
            text.push(char::from(DIGITS[(self.0 >> (5 * place)) as usize & 31]));
            if place == LENGTH / 2 {
                text.push('-');
            }
        }
        f.pad(&text)
    }
}

impl std::str::FromStr for Code {
    type Err = BadCode;

    /// Reads what somebody typed: in capitals or not, with or without the dash and spaces, O for 0, and I and L for 1.
    fn from_str(text: &str) -> Result<Self, BadCode> {
        if text.len() > TYPED {
            return Err(BadCode);
        }
        let mut bits = 0;
        let mut digits = 0;
        for letter in text.chars().filter(|letter| !matches!(letter, '-' | ' ' | '\u{2013}')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let digit = DIGITS.iter().position(|&digit| char::from(digit) == letter).ok_or(BadCode)?;
            digits += 1;
            bits = (bits << 5) | digit as u64;
            if digits > LENGTH {
                return Err(BadCode);
            }
        }
        if digits == LENGTH { Ok(Self(bits)) } else { Err(BadCode) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(typed: &str, same: Option<&str>) {
        let read = typed.parse::<Code>().ok().map(|code| code.to_string());
        assert_eq!(read.as_deref(), same, "{typed:?}");
    }

    #[test]
    fn what_people_type_is_understood() {
        check("7KQ2-M8XN", Some("7KQ2-M8XN"));
        check("7kq2m8xn", Some("7KQ2-M8XN"));
        check(" 7KQ2 – M8XN ", Some("7KQ2-M8XN"));
        check("OIl0-0000", Some("0110-0000"));
        check("7KQ2-M8X", None);
        check("7KQ2-M8XNN", None);
        check("7KQ2-M8XU", None);
        check("", None);
        check(&"-".repeat(100), None);
        check("ééééé-ééé", None);
    }

    proptest! {
        #[test]
        fn a_code_is_read_as_it_is_written(bits in any::<u64>(), lower in any::<bool>(), dash in any::<bool>()) {
            let code = Code::from_bits(bits);
            let mut text = code.to_string();
            prop_assert_eq!(text.len(), LENGTH + 1);
            if lower { text = text.to_lowercase(); }
            if !dash { text = text.replace('-', ""); }
            prop_assert_eq!(text.parse::<Code>(), Ok(code));
        }

        #[test]
        fn codes_are_the_same_where_all_bits_are(a in any::<u64>(), bit in 0..64_u32) {
            let (one, other) = (Code::from_bits(a), Code::from_bits(a ^ (1 << bit)));
            prop_assert!(one.is(one));
            prop_assert_eq!(one.is(other), bit >= 40);
        }

        #[test]
        fn nothing_that_is_typed_is_a_panic(text in ".*") {
            let _ = text.parse::<Code>();
        }
    }
}
