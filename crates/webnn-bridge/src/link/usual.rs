//! How long runs usually take, to tell a long one from one that never ends.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use vocab::{Backend, BrowserName, ModelHash};

/// For how many models, browsers and backends that is remembered. Beyond that it begins anew.
const MOST: usize = 4_096;

/// The run that took longest: how long, and how many bytes went in.
type Longest = (Duration, u64);

/// What is known of all pages' runs, by model, browser and backend. A page that was loaded anew knows it from its
/// predecessor.
#[derive(Debug, Default)]
pub(crate) struct Durations(DashMap<(ModelHash, BrowserName, Backend), Longest>);

/// A session on a page.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) backend: Backend,
    key: (ModelHash, BrowserName, Backend),
    shared: Arc<Durations>,
}

impl Loaded {
    pub(super) fn new(
        shared: &Arc<Durations>,
        browser: BrowserName,
        backend: Backend,
        model: ModelHash,
    ) -> Self {
        Self { backend, key: (model, browser, backend), shared: Arc::clone(shared) }
    }

    /// A run of so many bytes took so long.
    pub(super) fn took(&self, took: Duration, bytes: u64) {
        let known = &self.shared.0;
        if let Some(mut longest) = known.get_mut(&self.key) {
            if took > longest.0 {
                *longest = (took, bytes);
            }
            return;
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(self.key, (took, bytes));
    }

    /// How long a run of so many bytes may take, by the longest one: no operator that is in use grows faster than with
    /// the square of its input. `None` where none has ended yet.
    pub(super) fn usual(&self, bytes: u64) -> Option<Duration> {
        let (longest, of) = *self.shared.0.get(&self.key)?;
        let growth = (bytes as f64 / of.max(1) as f64).max(1.0);
        Some(Duration::try_from_secs_f64(longest.as_secs_f64() * growth * growth).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(shared: &Arc<Durations>, model: u8) -> Loaded {
        Loaded::new(shared, BrowserName::Firefox, Backend::Wasm, ModelHash([model; 32]))
    }

    #[test]
    fn larger_inputs_may_take_the_square_of_their_growth() {
        let ms = Duration::from_millis;
        let shared = Arc::default();
        let first = loaded(&shared, 1);
        assert_eq!(first.usual(1_000), None);
        first.took(ms(10), 1_000);
        first.took(ms(5), 2_000);
        assert_eq!(first.usual(500), Some(ms(10)));
        assert_eq!(first.usual(3_000), Some(ms(90)));
        first.took(ms(20), 4_000);
        assert_eq!(first.usual(4_000), Some(ms(20)));
    }

    #[test]
    fn a_fresh_page_knows_it_from_the_one_before() {
        let shared = Arc::default();
        loaded(&shared, 1).took(Duration::from_millis(10), 1_000);
        assert_eq!(loaded(&shared, 1).usual(1_000), Some(Duration::from_millis(10)));
        assert_eq!(loaded(&shared, 2).usual(1_000), None);
    }
}
