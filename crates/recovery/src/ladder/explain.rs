//! Why the ladder chooses as it does.

use std::time::{Duration, Instant};

use vocab::{BrowserName, Fault, Rung};

use super::choice::weigh;
use super::step::Conditions;
use super::{Estimate, Incident, Source};
use crate::config::seconds;
use crate::rungs::fit;

/// How a rung stands at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It may be tried, and pays.
    Pays,
    /// It may be tried, but going straight up is expected to cost less.
    Dearer,
    /// It cannot help this fault.
    CannotHelp,
    /// It does not exist here.
    NotOffered,
    /// The ladder is above it already.
    Passed,
    /// It was tried as often as it may be.
    UsedUp,
    /// It was tried, and the retry budget does not afford another time.
    OverBudget,
}

/// The figures of one rung.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RungFigures {
    /// Which one.
    pub rung: Rung,
    /// How it stands.
    pub standing: Standing,
    /// Why it can or cannot help.
    pub why: &'static str,
    /// What is expected of it, this time.
    pub estimate: Estimate,
    /// What recovery is expected to cost if it is tried next, disruption included; `None` where it may not be.
    pub cost: Option<Duration>,
    /// What it is expected to cost without it; `None` where nothing is above it.
    pub without: Option<Duration>,
}

/// The figures behind a decision. Its text has one line for each rung.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// What is wrong.
    pub fault: Fault,
    /// With which browser.
    pub browser: Option<BrowserName>,
    /// Every rung, the mildest first.
    pub rungs: Vec<RungFigures>,
}

impl Incident {
    /// The figures from which the next rung would be chosen now, time left aside.
    #[must_use]
    pub fn explain(&self, now: Instant, conditions: &Conditions<'_>) -> Explanation {
        let weighed = weigh(&self.candidates(now, conditions));
        let figures = |rung: Rung| {
            let weighed = weighed.iter().find(|weighed| weighed.candidate.rung == rung);
            let standing = match (self.barred(conditions, rung), weighed) {
                (Some(barred), _) => barred,
                (None, Some(weighed)) if weighed.pays() => Standing::Pays,
                (None, _) => Standing::Dearer,
            };
            RungFigures {
                rung,
                standing,
                why: fit(self.fault(), rung).why,
                estimate: self.estimate(now, conditions, rung),
                cost: weighed.map(|weighed| seconds(weighed.cost)),
                without: weighed.and_then(|weighed| weighed.without).map(seconds),
            }
        };
        Explanation {
            fault: self.fault(),
            browser: self.subject().browser,
            rungs: Rung::ALL.iter().map(|&rung| figures(rung)).collect(),
        }
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let browser = self.browser.map_or("anything else", BrowserName::as_str);
        for (index, figures) in self.rungs.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "for {} on {browser}, {} ", self.fault, figures.rung)?;
            let estimate = &figures.estimate;
            if figures.standing == Standing::CannotHelp {
                write!(f, "cannot help: {}", figures.why)?;
                continue;
            }
            match (estimate.source, estimate.observed) {
                (Source::History, Some(share)) => {
                    write!(f, "works {:.0} % of {:.0}", share * 100.0, estimate.samples)?;
                }
                _ => write!(f, "is assumed to work {:.0} %", estimate.chance * 100.0)?,
            }
            write!(f, " in {:.1} s", estimate.worked.as_secs_f64())?;
            match figures.standing {
                Standing::Pays => write!(f, ", and pays")?,
                Standing::Dearer => write!(f, ", but going straight up costs less")?,
                Standing::NotOffered => write!(f, ", but does not exist here")?,
                Standing::Passed => write!(f, ", but was passed")?,
                Standing::UsedUp => write!(f, ", but was tried as often as it may be")?,
                Standing::OverBudget => write!(f, ", but the retry budget is spent")?,
                Standing::CannotHelp => {}
            }
            if let (Some(cost), Some(without)) = (figures.cost, figures.without) {
                write!(f, " ({:.1} s with it, {:.1} s without)", cost.as_secs_f64(), without.as_secs_f64())?;
            }
        }
        Ok(())
    }
}
