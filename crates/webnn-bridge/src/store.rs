//! The model store: files by content hash, as long as a load needs them.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use pool_core::{ModelFile, ModelSource};
use vocab::ModelHash;

/// The files that pages may fetch at this moment.
#[derive(Debug, Default)]
pub(crate) struct ModelStore {
    files: DashMap<ModelHash, Stored>,
}

#[derive(Debug)]
struct Stored {
    file: ModelFile,
    offers: usize,
}

impl ModelStore {
    /// Makes files available until the returned guard is dropped.
    pub(crate) fn offer(self: &Arc<Self>, files: &[ModelFile]) -> Offer {
        for file in files {
            self.files
                .entry(file.hash)
                .and_modify(|stored| stored.offers += 1)
                .or_insert_with(|| Stored { file: file.clone(), offers: 1 });
        }
        Offer { store: Arc::clone(self), hashes: files.iter().map(|file| file.hash).collect() }
    }

    /// Where the contents with this hash are, and how many bytes they have.
    pub(crate) fn find(&self, hash: ModelHash) -> Option<(ModelSource, u64)> {
        self.files.get(&hash).map(|stored| (stored.file.source.clone(), stored.file.bytes))
    }
}

/// Files on offer. Dropping it withdraws them, unless another load still offers them.
#[derive(Debug)]
pub(crate) struct Offer {
    store: Arc<ModelStore>,
    hashes: Vec<ModelHash>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        for hash in &self.hashes {
            if let Entry::Occupied(mut entry) = self.store.files.entry(*hash) {
                entry.get_mut().offers -= 1;
                if entry.get().offers == 0 {
                    entry.remove();
                }
            }
        }
    }
}
