//! Bearer tokens: several, each with a name and a rate, replaced while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::rate::Bucket;
use crate::error::ServiceError;

/// A token that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The hash is none.
    #[error("token {name:?}: its sha256 must be 64 hexadecimal digits")]
    Hash {
        /// The token's name.
        name: String,
    },
    /// The rate is none.
    #[error("token {name:?}: its rate must be above 0 requests a second")]
    Rate {
        /// The token's name.
        name: String,
    },
    /// Two tokens have one name.
    #[error("two tokens are called {name:?}")]
    Twice {
        /// The name.
        name: String,
    },
    /// There is none.
    #[error("there is no token in it")]
    None,
}

/// A token as the settings describe it. The token itself stands nowhere.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TokenSpec {
    /// What logs and metrics call it.
    pub name: String,
    /// The SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Requests a second, after a burst. Default: no limit.
    pub per_second: Option<f64>,
    /// Requests at once. Default: as many as a second allows, at least 1.
    pub burst: Option<u32>,
    /// Whether it may load and unload models. Default: yes.
    pub admin: bool,
}

impl TokenSpec {
    /// A token that is known itself.
    #[must_use]
    pub fn of_secret(name: impl Into<String>, secret: &str) -> Self {
        let sha256 = Sha256::digest(secret.as_bytes()).into();
        Self { name: name.into(), sha256, per_second: None, burst: None, admin: true }
    }

    /// A token of which the hash is known, in hexadecimal.
    ///
    /// # Errors
    /// The hash is none.
    pub fn of_hash(name: impl Into<String>, sha256: &str) -> Result<Self, TokenError> {
        let name = name.into();
        match sha256.parse::<vocab::ModelHash>() {
            Ok(hash) => Ok(Self { name, sha256: hash.0, per_second: None, burst: None, admin: true }),
            Err(_) => Err(TokenError::Hash { name }),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// The token's name; `None` where none is needed.
    pub(crate) name: Option<Arc<str>>,
    /// Whether it may load and unload models.
    pub(crate) admin: bool,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    sha256: [u8; 32],
    admin: bool,
    bucket: Option<Mutex<Bucket>>,
}

/// The tokens that are valid now.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// `None`: no token is needed.
    known: ArcSwap<Option<Vec<Known>>>,
}

impl Tokens {
    /// These tokens are valid from now on, and no other. `None`: no token is needed.
    ///
    /// # Errors
    /// One that makes no sense; those that were valid stay so.
    pub(crate) fn replace(&self, specs: Option<Vec<TokenSpec>>) -> Result<(), TokenError> {
        let Some(specs) = specs else {
            self.known.store(Arc::new(None));
            return Ok(());
        };
        if specs.is_empty() {
            return Err(TokenError::None);
        }
        let before = self.known.load();
        let mut known: Vec<Known> = Vec::with_capacity(specs.len());
        for TokenSpec { name, sha256, per_second, burst, admin } in specs {
            if known.iter().any(|other| *other.name == *name) {
                return Err(TokenError::Twice { name });
            }
            if per_second.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
                return Err(TokenError::Rate { name });
            }
            let fresh = per_second.map(|rate| Bucket::new(rate, burst.unwrap_or_else(|| rate.ceil() as u32)));
            // What was used up stays used up.
            let old = (**before).iter().flatten().find(|old| *old.name == *name && old.sha256 == sha256);
            let kept = old.and_then(|old| old.bucket.as_ref().map(|bucket| bucket.lock().clone()));
            let bucket = fresh.map(|fresh| Mutex::new(kept.unwrap_or(fresh)));
            known.push(Known { name: name.into(), sha256, admin, bucket });
        }
        self.known.store(Arc::new(Some(known)));
        Ok(())
    }

    /// Whether a token is needed.
    pub(crate) fn needed(&self) -> bool {
        self.known.load().is_some()
    }

    /// Lets a request in by the value of its `Authorization` header.
    ///
    /// Takes as long for a wrong token as for a right one: hashes are compared, all of them, each as a whole.
    pub(crate) fn admit(&self, authorization: Option<&[u8]>, now: Instant) -> Result<Admitted, ServiceError> {
        let known = self.known.load();
        let Some(known) = known.as_ref() else { return Ok(Admitted { name: None, admin: true }) };
        let token = find(known, authorization)?;
        if let Some(bucket) = &token.bucket {
            bucket.lock().take(now).map_err(|retry_after| ServiceError::RateLimited { retry_after })?;
        }
        Ok(Admitted { name: Some(Arc::clone(&token.name)), admin: token.admin })
    }

    /// Whether a request with this header would be let in, but for its rate.
    pub(crate) fn is_valid(&self, authorization: Option<&[u8]>) -> bool {
        self.known.load().as_ref().as_ref().is_none_or(|known| find(known, authorization).is_ok())
    }
}

/// The token that a header names.
fn find<'a>(known: &'a [Known], authorization: Option<&[u8]>) -> Result<&'a Known, ServiceError> {
    let Some(header) = authorization else {
        return Err(ServiceError::Unauthorized("a token is needed: send it as Authorization: Bearer TOKEN"));
    };
    let scheme = header.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let Some(secret) = header.get(7..).filter(|_| scheme) else {
        return Err(ServiceError::Unauthorized("the Authorization header must be: Bearer TOKEN"));
    };
    let hash: [u8; 32] = Sha256::digest(secret.trim_ascii()).into();
    let mut found = None;
    for token in known {
        if bool::from(token.sha256.ct_eq(&hash)) {
            found = Some(token);
        }
    }
    found.ok_or(ServiceError::Unauthorized("the token is not known, or was revoked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(specs: &[TokenSpec]) -> Tokens {
        let tokens = Tokens::default();
        tokens.replace(Some(specs.to_vec())).expect("they make sense");
        tokens
    }

    #[track_caller]
    fn check(tokens: &Tokens, header: Option<&str>, want: Result<&str, &str>) {
        match (tokens.admit(header.map(str::as_bytes), Instant::now()), want) {
            (Ok(admitted), Ok(name)) => assert_eq!(admitted.name.as_deref(), Some(name)),
            (Err(error), Err(reason)) => assert_eq!(error.reason(), reason),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_known_tokens_are_let_in() {
        let tokens = tokens(&[TokenSpec::of_secret("one", "s3cret"), TokenSpec::of_secret("two", "other")]);
        check(&tokens, Some("Bearer s3cret"), Ok("one"));
        check(&tokens, Some("bearer other"), Ok("two"));
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer ", "Basic s3cret", "s3cret", ""] {
            check(&tokens, Some(wrong), Err("unauthorized"));
        }
        check(&tokens, None, Err("unauthorized"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_revoked_while_the_server_runs() {
        let tokens = tokens(&[TokenSpec::of_secret("one", "a"), TokenSpec::of_secret("two", "b")]);
        tokens.replace(Some(vec![TokenSpec::of_secret("two", "b")])).expect("it makes sense");
        check(&tokens, Some("Bearer a"), Err("unauthorized"));
        check(&tokens, Some("Bearer b"), Ok("two"));
        assert_eq!(tokens.replace(Some(Vec::new())), Err(TokenError::None));
        check(&tokens, Some("Bearer b"), Ok("two"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_each_tokens_own_and_survives_a_reload() {
        let mut slow = TokenSpec::of_secret("slow", "a");
        slow.per_second = Some(0.5);
        let all = [slow, TokenSpec::of_secret("fast", "b")];
        let tokens = tokens(&all);
        check(&tokens, Some("Bearer a"), Ok("slow"));
        check(&tokens, Some("Bearer a"), Err("rate_limited"));
        tokens.replace(Some(all.to_vec())).expect("they make sense");
        check(&tokens, Some("Bearer a"), Err("rate_limited"));
        check(&tokens, Some("Bearer b"), Ok("fast"));
    }
}
