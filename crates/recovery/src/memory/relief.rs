//! What to do when memory is scarce, the cheapest first.

use vocab::PressureLevel;

use super::MemoryReading;

/// One way to have more memory, in rising order of what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MemoryAction {
    /// Load no further models. It costs nobody what he has.
    RefuseNewSessions,
    /// Drop the loaded model whose next use is the least likely or the cheapest to load again. It costs one load.
    EvictLeastValuable,
    /// Load a page anew, which is the only way in which a WebAssembly heap gives its memory back. It costs all the
    /// page's loads, from the browser's cache.
    RefreshPage,
    /// End a browser and start another. It costs a start, and what else the browser was doing.
    RecycleBrowser,
    /// Do with one browser fewer until memory is there again. It costs capacity.
    ShrinkPool,
}

/// What there is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "whoever asks for relief builds it in full")]
pub struct Means {
    /// Loaded models that nobody uses at this moment.
    pub evictable: usize,
    /// Pages that could be loaded anew.
    pub pages: usize,
    /// Browsers that could be ended.
    pub browsers: usize,
    /// How many browsers there must be at the least.
    pub least_browsers: usize,
}

/// What to do at a level, the cheapest first; nothing that there are no means for.
///
/// From elevated on, no new sessions; from high on, evict and refresh; at critical, recycle and shrink. Whoever acts on
/// it should do one thing at a time and look again, because each is enough now and then.
#[must_use]
pub fn relief(level: PressureLevel, means: &Means) -> Vec<MemoryAction> {
    use MemoryAction::{EvictLeastValuable, RecycleBrowser, RefreshPage, RefuseNewSessions, ShrinkPool};
    let all = [
        (RefuseNewSessions, PressureLevel::Elevated, true),
        (EvictLeastValuable, PressureLevel::High, means.evictable > 0),
        (RefreshPage, PressureLevel::High, means.pages > 0),
        (RecycleBrowser, PressureLevel::Critical, means.browsers > 0),
        (ShrinkPool, PressureLevel::Critical, means.browsers > means.least_browsers.max(1)),
    ];
    all.into_iter().filter(|(_, from, possible)| level >= *from && *possible).map(|(act, ..)| act).collect()
}

/// Why a model should not be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadRefusal {
    /// Memory is scarce already.
    #[error("memory pressure is {level}")]
    Pressure {
        /// How scarce.
        level: PressureLevel,
    },
    /// It would not fit.
    #[error("it is expected to need {needs} bytes, and {left} are left")]
    NoRoom {
        /// What it is expected to need.
        needs: u64,
        /// What is left below the nearest limit.
        left: u64,
    },
}

/// Whether a model that is expected to need this much may be loaded, so that running out is not how one finds out. Where
/// no limit is known, only the level decides.
///
/// # Errors
/// Why it should not.
pub fn may_load(level: PressureLevel, reading: &MemoryReading, needs: u64) -> Result<(), LoadRefusal> {
    if relief(level, &Means { evictable: 0, pages: 0, browsers: 0, least_browsers: 0 })
        .contains(&MemoryAction::RefuseNewSessions)
    {
        return Err(LoadRefusal::Pressure { level });
    }
    match reading.headroom() {
        Some(left) if left < needs => Err(LoadRefusal::NoRoom { needs, left }),
        _ => Ok(()),
    }
}
