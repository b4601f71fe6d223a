//! Counts what was asked and what was refused. The labels are fixed by the routes and the errors, so their number is too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::Serialize;

/// How often a route was answered with a status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Answered {
    /// The route as it is declared, for example `/v2/models/{model}/infer`.
    pub(crate) route: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// How often.
    pub(crate) count: u64,
    /// Seconds that these took together.
    pub(crate) seconds: f64,
}

/// A route and a status.
type Answer = (&'static str, u16);

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: Mutex<BTreeMap<Answer, (u64, f64)>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, route: &'static str, status: u16, seconds: f64) {
        let mut requests = self.requests.lock();
        let entry = requests.entry((route, status)).or_default();
        entry.0 += 1;
        entry.1 += seconds;
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        *self.refused.lock().entry(reason).or_default() += 1;
    }

    pub(crate) fn requests(&self) -> Vec<Answered> {
        let requests = self.requests.lock();
        let one = |(&(route, status), &(count, seconds)): (&Answer, &(u64, f64))| Answered {
            route,
            status,
            count,
            seconds,
        };
        requests.iter().map(one).collect()
    }

    pub(crate) fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refused.lock().clone()
    }

    pub(crate) fn opened(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }
}
