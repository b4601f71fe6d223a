//! Codes that were given out, and who may come in with one.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use telemetry::GuestRefusal;
use tokio::time::Instant;

use super::{Attempts, Code};

/// How many codes are remembered that are used or expired, so that whoever shows one is told which.
const MOST_PAST: usize = 256;

/// A code that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// The code.
    pub code: Code,
    /// Where to open it: the code stands in the fragment, which browsers send to nobody.
    pub url: String,
    /// For how long it is good.
    pub expires_in: Duration,
}

/// Why no code was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// Guests are not let in at all.
    #[error("guests are not let in here: switch it on by enabled = true in the table [join]")]
    Disabled,
    /// There are as many open codes as there may be.
    #[error("there are {open} open codes, as many as may be: use one of them, or wait until one expires")]
    TooMany {
        /// How many.
        open: usize,
    },
}

/// The codes: open, and past.
#[derive(Debug)]
pub(crate) struct Admissions {
    most_open: usize,
    lifetime: Duration,
    open: Vec<(Code, Instant)>,
    past: VecDeque<(Code, GuestRefusal)>,
    attempts: Attempts,
}

impl Admissions {
    pub(crate) fn new(now: Instant, most_open: usize, lifetime: Duration) -> Self {
        Self { most_open, lifetime, open: Vec::new(), past: VecDeque::new(), attempts: Attempts::new(now) }
    }

    /// Opens a code, drawn from `random`. Answers it, and how long it is good.
    ///
    /// # Errors
    /// [`InviteError::TooMany`]
    pub(crate) fn issue(&mut self, now: Instant, random: u64) -> Result<(Code, Duration), InviteError> {
        self.expire(now);
        if self.open.len() >= self.most_open {
            return Err(InviteError::TooMany { open: self.open.len() });
        }
        let mut code = Code::from_bits(random);
        // One that is known already would be refused, or let two in.
        while self.open.iter().any(|(known, _)| *known == code)
            || self.past.iter().any(|(known, _)| *known == code)
        {
            code = code.next();
        }
        self.open.push((code, now + self.lifetime));
        Ok((code, self.lifetime))
    }

    /// Whether a code would let somebody in. Answers how long it still would.
    ///
    /// # Errors
    /// Why not, and, where there were too many attempts, how long to wait.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        from: IpAddr,
        typed: &str,
    ) -> Result<(Code, Duration), (GuestRefusal, Duration)> {
        self.expire(now);
        self.attempts.may(now, from).map_err(|wait| (GuestRefusal::TooManyAttempts, wait))?;
        let Ok(code) = typed.parse::<Code>() else {
            self.attempts.wrong(now, from);
            return Err((GuestRefusal::WrongCode, Duration::ZERO));
        };
        // All of them are compared, whether one was found or not.
        let mut found = None;
        for (open, until) in &self.open {
            if open.is(code) {
                found = Some((code, until.saturating_duration_since(now)));
            }
        }
        let mut past = GuestRefusal::WrongCode;
        for (known, why) in &self.past {
            if known.is(code) {
                past = *why;
            }
        }
        found.ok_or_else(|| {
            self.attempts.wrong(now, from);
            (past, Duration::ZERO)
        })
    }

    /// Lets somebody in by a code, which lets nobody in afterwards.
    ///
    /// # Errors
    /// Like [`look`](Self::look).
    pub(crate) fn redeem(
        &mut self,
        now: Instant,
        from: IpAddr,
        typed: &str,
    ) -> Result<(), (GuestRefusal, Duration)> {
        let (code, _) = self.look(now, from, typed)?;
        self.open.retain(|(open, _)| *open != code);
        self.remember(code, GuestRefusal::UsedCode);
        Ok(())
    }

    fn expire(&mut self, now: Instant) {
        let over: Vec<Code> =
            self.open.iter().filter(|(_, until)| *until <= now).map(|(code, _)| *code).collect();
        self.open.retain(|(_, until)| *until > now);
        for code in over {
            self.remember(code, GuestRefusal::ExpiredCode);
        }
    }

    fn remember(&mut self, code: Code, why: GuestRefusal) {
        if self.past.len() >= MOST_PAST {
            self.past.pop_front();
        }
        self.past.push_back((code, why));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn from(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_lets_one_in_once_and_for_a_while() {
        let now = Instant::now();
        let mut admissions = Admissions::new(now, 2, MINUTE);
        let (first, _) = admissions.issue(now, 1).expect("a code");
        let (second, _) = admissions.issue(now, 1).expect("another");
        assert_ne!(first, second, "whatever was drawn");
        assert_eq!(admissions.issue(now, 3), Err(InviteError::TooMany { open: 2 }));
        let typed = first.to_string();
        assert_eq!(admissions.look(now, from(1), &typed), Ok((first, MINUTE)), "looking costs nothing");
        assert_eq!(admissions.redeem(now, from(1), &typed), Ok(()));
        let why = |result: Result<(), (GuestRefusal, Duration)>| result.map_err(|(why, _)| why);
        assert_eq!(why(admissions.redeem(now, from(2), &typed)), Err(GuestRefusal::UsedCode));
        let later = now + MINUTE;
        let typed = second.to_string();
        assert_eq!(why(admissions.redeem(later, from(2), &typed)), Err(GuestRefusal::ExpiredCode));
        assert_eq!(why(admissions.redeem(later, from(2), "ZZZZ-ZZZZ")), Err(GuestRefusal::WrongCode));
        assert!(admissions.issue(later, 3).is_ok(), "those that are over make room");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_guesses_is_made_to_wait_even_with_a_right_code() {
        let now = Instant::now();
        let mut admissions = Admissions::new(now, 2, MINUTE);
        let (code, _) = admissions.issue(now, 9).expect("a code");
        for _ in 0..8 {
            assert!(admissions.redeem(now, from(1), "0000-0000").is_err());
        }
        let refused = admissions.redeem(now, from(1), &code.to_string());
        assert_eq!(refused, Err((GuestRefusal::TooManyAttempts, Duration::from_secs(10))));
        assert_eq!(admissions.redeem(now, from(2), &code.to_string()), Ok(()));
    }

    proptest! {
        /// Whatever is issued and shown in whatever order: nobody comes in twice by one code, nobody by one that was not
        /// given out or is over, and what is kept stays bounded.
        #[test]
        fn each_code_lets_at_most_one_in(steps in prop::collection::vec((0..4_u8, 0..40_u64, 0..30_u64), 1..200)) {
            #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
            let mut now = Instant::now();
            let mut admissions = Admissions::new(now, 4, MINUTE);
            let mut open: Vec<(Code, Instant)> = Vec::new();
            let mut used = BTreeSet::new();
            for (step, n, wait) in steps {
                now += Duration::from_secs(wait);
                match step {
                    0 | 1 => if let Ok((code, _)) = admissions.issue(now, n) {
                        prop_assert!(used.iter().all(|other| *other != code.to_string()));
                        open.push((code, now + MINUTE));
                    },
                    _ => {
                        let at = usize::try_from(n).unwrap_or(0) % 8;
                        let known = open.get(at).copied();
                        let typed = known.map_or_else(|| "ZZZZ-ZZZZ".to_owned(), |(code, _)| code.to_string());
                        let result = admissions.redeem(now, from(n as u8), &typed);
                        if result.is_ok() {
                            prop_assert!(known.is_some_and(|(_, until)| until > now));
                            prop_assert!(used.insert(typed), "twice");
                        }
                    }
                }
                prop_assert!(admissions.open.len() <= 4 && admissions.past.len() <= MOST_PAST);
            }
        }
    }
}
