//! Where a database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A file, or the address of a server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// An SQLite file; it is created where there is none.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as `postgres://user:password@host:port/database`.
    Postgres(String),
}

/// A text that is neither a path nor the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no history: give the path of an SQLite file, or an address that begins with postgres://"
)]
#[non_exhaustive]
pub struct ParseLocationError {
    /// The text, without what may be a password.
    pub text: String,
}

impl FromStr for Location {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            None if !text.is_empty() && !text.contains("://") => Ok(Self::Sqlite(text.into())),
            _ => Err(ParseLocationError { text: without_password(text) }),
        }
    }
}

/// The address without its password. That may stand before the last `@`, even with an `@` in it, and among the
/// parameters, so those are left out altogether.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let hide = |rest: &str| rest.split('?').next().unwrap_or_default().to_owned();
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split([':', '?', '/']).next().unwrap_or_default();
            format!("{scheme}://{user}@{}", hide(host))
        }
        None => format!("{scheme}://{}", hide(rest)),
    }
}

impl fmt::Display for Location {
    /// Never shows a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_are_told_apart_and_passwords_are_not_shown() {
        assert_eq!("a/b.db".parse(), Ok(Location::Sqlite("a/b.db".into())));
        assert_eq!("sqlite://b.db".parse(), Ok(Location::Sqlite("b.db".into())));
        let server: Location = "postgres://me:secret@host/db".parse().expect("an address");
        assert_eq!(format!("{server} {server:?}"), "postgres://me@host/db Location(postgres://me@host/db)");
        for address in [
            "postgres://me:se@cret@host/db",
            "postgres://me@host/db?password=secret",
            "postgres://host/db?password=secret@",
            "postgres://me:secret@host/db?application_name=a@b",
        ] {
            let server: Location = address.parse().expect("an address");
            assert!(!server.to_string().contains("cret"), "{server}");
        }
        for wrong in ["", "mysql://me:secret@host/db", "sqlite://"] {
            let error = wrong.parse::<Location>().expect_err("it is neither");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
