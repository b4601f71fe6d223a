//! What an installation tells while it goes on.

use std::fmt;
use std::path::Path;

use super::report::{Item, Outcome};

/// Something that a user wants to hear; displayed, it is one or more whole lines without a line end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Another installation is going on; this one waits for it.
    Waiting {
        /// The file that the other one has locked.
        lock: &'a Path,
    },
    /// Something is about to be done.
    Begin {
        /// To which item it belongs.
        item: Item,
        /// What is done.
        what: &'a str,
        /// Why it is done.
        why: &'a str,
    },
    /// A program wrote a line.
    Line {
        /// To which item it belongs.
        item: Item,
        /// The line.
        text: &'a str,
    },
    /// An item is done.
    End {
        /// Which item.
        item: Item,
        /// How it ended.
        outcome: &'a Outcome,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { lock } => {
                write!(f, "another set-up is running (it holds {}); waiting for it to end", lock.display())
            }
            Self::Begin { item, what, why } => write!(f, "{item}: {what}, because {why}"),
            Self::Line { item: _, text } => write!(f, "    {text}"),
            Self::End { item, outcome } => match outcome {
                Outcome::Installed { detail } => write!(f, "{item}: installed: {detail}"),
                Outcome::AlreadyThere { detail } => write!(f, "{item}: already there: {detail}"),
                Outcome::Failed { error } => {
                    write!(f, "{item}: failed: {error}")?;
                    let mut cause = std::error::Error::source(error);
                    while let Some(error) = cause {
                        write!(f, ": {error}")?;
                        cause = error.source();
                    }
                    Ok(())
                }
            },
        }
    }
}
