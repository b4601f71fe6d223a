//! The name of a browser with a backend.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vocab::{Backend, BrowserName};

/// A browser with a backend: `firefox/wasm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a browser and a backend are all that it is")]
pub struct ArmName {
    /// The browser.
    pub browser: BrowserName,
    /// The backend.
    pub backend: Backend,
}

/// A text that names no arm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no browser with a backend, such as firefox/wasm{}", detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
#[non_exhaustive]
pub struct ParseArmError {
    /// The text.
    pub text: String,
    /// Which half is unknown.
    pub detail: Option<String>,
}

impl fmt::Display for ArmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.browser, self.backend))
    }
}

impl FromStr for ArmName {
    type Err = ParseArmError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |detail: Option<String>| ParseArmError { text: text.to_owned(), detail };
        let (browser, backend) = text.split_once('/').ok_or_else(|| wrong(None))?;
        let browser = browser.parse().map_err(|error: vocab::UnknownName| wrong(Some(error.to_string())))?;
        let backend = backend.parse().map_err(|error: vocab::UnknownName| wrong(Some(error.to_string())))?;
        Ok(Self { browser, backend })
    }
}

impl Serialize for ArmName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ArmName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, right: bool) {
        match text.parse::<ArmName>() {
            Ok(arm) => assert!(right && arm.to_string() == text, "{arm}"),
            Err(error) => assert!(!right && error.to_string().contains(text), "{error}"),
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for browser in BrowserName::ALL {
            for backend in Backend::ALL {
                check(&format!("{browser}/{backend}"), true);
            }
        }
        check("firefox", false);
        check("netscape/wasm", false);
        check("firefox/cuda", false);
    }
}
