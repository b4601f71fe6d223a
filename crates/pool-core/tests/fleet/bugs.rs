//! Mistakes that are made on purpose, to see that the simulation finds them.

/// A mistake in what connects decisions and deeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The answer of a worker that was lost is delivered all the same.
    LateAnswer,
    /// After a page was loaded anew, what it held is not loaded again.
    NothingLoadedAgain,
    /// A restart that has ended does not give its permit back.
    PermitKept,
    /// Nothing is done about a page of which it is seen that it computes wrongly.
    LiarServes,
}

impl Bug {
    pub(crate) const ALL: [Self; 4] =
        [Self::LateAnswer, Self::NothingLoadedAgain, Self::PermitKept, Self::LiarServes];

    /// What finding it has to say.
    pub(crate) const fn symptom(self) -> &'static str {
        match self {
            Self::LateAnswer => "ended twice",
            Self::NothingLoadedAgain => "not loaded again",
            Self::PermitKept => "permits for restarts",
            Self::LiarServes => "was known to compute wrongly",
        }
    }
}
