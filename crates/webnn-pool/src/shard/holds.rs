//! Who else has a part on a page: several plans of one model have parts in common.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use vocab::{ModelHash, WorkerId};

/// How many seats there are for each part on each page, over all managers of an accelerator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds(Arc<Mutex<HashMap<(WorkerId, ModelHash), usize>>>);

impl Holds {
    /// One seat more.
    pub(super) fn hold(&self, worker: WorkerId, part: ModelHash) {
        *self.0.lock().entry((worker, part)).or_default() += 1;
    }

    /// One seat less. Answers whether it was the last one.
    pub(super) fn let_go(&self, worker: WorkerId, part: ModelHash) -> bool {
        let mut all = self.0.lock();
        let Entry::Occupied(mut count) = all.entry((worker, part)) else { return true };
        *count.get_mut() -= 1;
        let last = *count.get() == 0;
        if last {
            count.remove();
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_turns_off_the_light() {
        let holds = Holds::default();
        let (worker, part) = (WorkerId(1), ModelHash([1; 32]));
        holds.hold(worker, part);
        holds.clone().hold(worker, part);
        holds.hold(WorkerId(2), part);
        assert!(!holds.let_go(worker, part), "another one has it");
        assert!(holds.let_go(worker, part) && holds.let_go(WorkerId(2), part));
        assert!(holds.0.lock().is_empty());
    }
}
