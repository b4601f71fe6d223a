//! Which rung can help which fault, and why.

use vocab::{Fault, Rung};

/// Whether a rung can help a fault, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "it is one cell of the table, whole by design")]
pub struct Fit {
    /// Whether it can help.
    pub helps: bool,
    /// Why, or why not.
    pub why: &'static str,
}

/// The table of the ladder: whether `rung` can help `fault`.
///
/// | fault | ping | reconnect | refresh | restart | switch |
/// | --- | --- | --- | --- | --- | --- |
/// | `process_dead` | | | | yes | yes |
/// | `driver_dead` | | | | yes | yes |
/// | `page_crashed` | | | yes | yes | yes |
/// | `page_hung` | yes | | yes | yes | yes |
/// | `worker_hung` | | | yes | yes | yes |
/// | `socket_lost` | | yes | yes | yes | yes |
/// | `device_lost` | | | yes | yes | yes |
/// | `out_of_memory` | | | yes | yes | yes |
/// | `wrong_numbers` | | | yes | yes | yes |
/// | `slow` | | | yes | yes | yes |
///
/// Restart and switch can help everything, because they leave nothing of what was. The reasons for the others are in
/// the answer.
#[must_use]
pub const fn fit(fault: Fault, rung: Rung) -> Fit {
    let (helps, why) = match rung {
        Rung::Ping => match fault {
            Fault::PageHung => (true, "a thread that was only busy answers, and nothing is lost"),
            Fault::ProcessDead | Fault::DriverDead | Fault::PageCrashed => {
                (false, "nobody is there to answer")
            }
            Fault::WorkerHung => {
                (false, "the main thread would answer, which says nothing of the one that hangs")
            }
            Fault::SocketLost => (false, "there is no connection to ask over"),
            Fault::DeviceLost | Fault::OutOfMemory | Fault::WrongNumbers | Fault::Slow => {
                (false, "it answers anyway; that was never in doubt")
            }
        },
        Rung::Reconnect => match fault {
            Fault::SocketLost => (true, "the page lives, and what it has loaded and computes stays"),
            Fault::ProcessDead | Fault::DriverDead | Fault::PageCrashed => {
                (false, "there is no page to connect to, or no owner that it could be left to")
            }
            Fault::PageHung => (false, "the thread that hangs is the one that would connect"),
            Fault::WorkerHung => (false, "a fresh connection does not free the thread that hangs"),
            Fault::DeviceLost | Fault::OutOfMemory | Fault::WrongNumbers | Fault::Slow => {
                (false, "the connection is not what is wrong")
            }
        },
        Rung::Refresh => match fault {
            Fault::ProcessDead => (false, "there is no browser to load a page in"),
            Fault::DriverDead => (false, "there is no driver to ask for a fresh page"),
            Fault::PageCrashed => (true, "a fresh page gets a fresh process"),
            Fault::PageHung | Fault::WorkerHung => (true, "a fresh page has fresh threads"),
            Fault::SocketLost => (true, "a fresh page connects anew"),
            Fault::DeviceLost => (true, "a fresh page asks for a fresh device"),
            Fault::OutOfMemory => (true, "a WebAssembly heap gives its memory back in no other way"),
            Fault::WrongNumbers => (true, "what the page held may be what is wrong; the canary decides"),
            Fault::Slow => (true, "a fresh page has no fragmented heap and no leaked sessions"),
        },
        Rung::Restart => (true, "a fresh browser keeps nothing of what was wrong, but its profile"),
        Rung::Switch => (true, "another worker does not share what is wrong with this one"),
    };
    Fit { helps, why }
}

/// A set of rungs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RungSet(u8);

impl RungSet {
    /// No rung.
    pub const NONE: Self = Self(0);
    /// All five.
    pub const ALL: Self = Self((1 << Rung::ALL.len()) - 1);

    /// Those rungs that can help a fault.
    #[must_use]
    pub fn helping(fault: Fault) -> Self {
        Rung::ALL.iter().copied().filter(|&rung| fit(fault, rung).helps).collect()
    }

    /// Whether the rung is in the set.
    #[must_use]
    pub const fn has(self, rung: Rung) -> bool {
        self.0 & (1 << rung as u8) != 0
    }

    /// The set with this rung.
    #[must_use]
    pub const fn with(self, rung: Rung) -> Self {
        Self(self.0 | (1 << rung as u8))
    }

    /// The set without this rung.
    #[must_use]
    pub const fn without(self, rung: Rung) -> Self {
        Self(self.0 & !(1 << rung as u8))
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no rung is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rungs in the set, the mildest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Rung> {
        Rung::ALL.iter().copied().filter(move |&rung| self.has(rung))
    }
}

impl FromIterator<Rung> for RungSet {
    fn from_iter<I: IntoIterator<Item = Rung>>(rungs: I) -> Self {
        rungs.into_iter().fold(Self::NONE, Self::with)
    }
}

impl std::fmt::Debug for RungSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
