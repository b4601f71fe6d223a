//! The latest calls, bounded in number and in age.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One call that counts.
#[derive(Debug, Clone, Copy)]
struct Call {
    at: Instant,
    failed: bool,
    slow: bool,
}

/// The latest calls, with their sums kept up to date.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    calls: VecDeque<Call>,
    failed: usize,
    slow: usize,
}

impl Window {
    pub(super) fn push(&mut self, now: Instant, failed: bool, slow: bool, most: usize, oldest: Duration) {
        self.expire(now, oldest);
        while self.calls.len() >= most {
            self.pop();
        }
        self.calls.push_back(Call { at: now, failed, slow });
        self.failed += usize::from(failed);
        self.slow += usize::from(slow);
    }

    pub(super) fn expire(&mut self, now: Instant, oldest: Duration) {
        while self.calls.front().is_some_and(|call| now.saturating_duration_since(call.at) > oldest) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(call) = self.calls.pop_front() {
            self.failed -= usize::from(call.failed);
            self.slow -= usize::from(call.slow);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    pub(super) fn slow(&self) -> usize {
        self.slow
    }
}
