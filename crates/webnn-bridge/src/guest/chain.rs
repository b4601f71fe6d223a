//! The tokens of a guest, each of which opens one control connection.

/// The tokens of a guest: the one that is good, and the one that was given and may not have arrived.
#[derive(Debug)]
pub(crate) struct Chain {
    current: String,
    offered: Option<String>,
}

/// What became of a token that a page showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// It is good. These are of no use any more.
    Good {
        /// Tokens that are over.
        over: Vec<String>,
    },
    /// It was good once.
    Over,
}

impl Chain {
    pub(crate) fn new(first: String) -> Self {
        Self { current: first, offered: None }
    }

    /// A page shows a token, and is given `next` if it is good.
    pub(crate) fn present(&mut self, token: &str, next: &str) -> Presented {
        let mut over = Vec::new();
        if token.is_empty() {
            return Presented::Over;
        }
        if self.offered.as_deref() == Some(token) {
            over.extend(self.offered.take().map(|offered| std::mem::replace(&mut self.current, offered)));
        } else if self.current != token {
            return Presented::Over;
        }
        over.extend(self.offered.replace(next.to_owned()));
        Presented::Good { over }
    }

    /// The page has said something since it was given a token, so it has that one. Answers the token that is over.
    pub(crate) fn confirm(&mut self) -> Option<String> {
        let offered = self.offered.take()?;
        Some(std::mem::replace(&mut self.current, offered))
    }

    /// No token is good any more. Answers those that were.
    pub(crate) fn close(&mut self) -> Vec<String> {
        let mut good = vec![std::mem::take(&mut self.current)];
        good.extend(self.offered.take());
        good.retain(|token| !token.is_empty());
        good
    }

    #[cfg(test)]
    fn good(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.current.as_str()).chain(self.offered.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good(over: &[&str]) -> Presented {
        Presented::Good { over: over.iter().map(|&token| token.to_owned()).collect() }
    }

    #[test]
    fn a_token_opens_one_connection() {
        let mut chain = Chain::new("a".to_owned());
        assert_eq!(chain.present("a", "b"), good(&[]));
        assert_eq!(chain.confirm().as_deref(), Some("a"));
        assert_eq!(chain.present("a", "x"), Presented::Over, "it was copied before it was used");
        assert_eq!(chain.present("b", "c"), good(&[]));
        assert_eq!(chain.confirm().as_deref(), Some("b"));
        assert_eq!(chain.confirm(), None);
    }

    #[test]
    fn a_token_that_did_not_arrive_is_no_loss() {
        let mut chain = Chain::new("a".to_owned());
        assert_eq!(chain.present("a", "b"), good(&[]));
        assert_eq!(chain.present("a", "c"), good(&["b"]), "nothing was heard since");
        assert_eq!(chain.present("b", "x"), Presented::Over);
        assert_eq!(chain.present("c", "d"), good(&["a"]), "and one that did arrive needs no word");
        assert_eq!(chain.present("a", "x"), Presented::Over);
    }

    #[test]
    fn a_chain_that_is_closed_stays_closed() {
        let mut chain = Chain::new("a".to_owned());
        assert_eq!(chain.present("a", "b"), good(&[]));
        assert_eq!(chain.close(), ["a", "b"]);
        for token in ["a", "b", ""] {
            assert_eq!(chain.present(token, "x"), Presented::Over);
        }
        assert_eq!(chain.close(), Vec::<String>::new());
    }

    proptest! {
        /// Whatever is shown in whatever order: two are good at most, and one that is over never is again.
        #[test]
        fn what_is_over_stays_over(steps in prop::collection::vec((any::<bool>(), 0..12_usize), 1..80)) {
            let mut chain = Chain::new("0".to_owned());
            let mut over: Vec<String> = Vec::new();
            for (n, (confirms, shown)) in steps.into_iter().enumerate() {
                let next = (n + 1).to_string();
                if confirms {
                    over.extend(chain.confirm());
                } else {
                    let shown = shown.to_string();
                    match chain.present(&shown, &next) {
                        Presented::Good { over: gone } => {
                            prop_assert!(!over.contains(&shown));
                            over.extend(gone);
                        }
                        Presented::Over => prop_assert!(chain.good().all(|good| good != shown)),
                    }
                }
                prop_assert!(chain.good().count() <= 2);
                prop_assert!(chain.good().all(|good| over.iter().all(|over| over != good)));
            }
        }
    }
}
