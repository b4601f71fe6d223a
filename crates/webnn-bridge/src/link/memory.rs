//! What a page says about its memory.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use vocab::Backend;

/// How much memory a page takes, as it said last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageMemory {
    /// The WebAssembly heap of each engine.
    pub heaps: Vec<HeapReading>,
    /// The page's own memory in bytes, engines included, where the browser tells: Chromium does, in a page that is
    /// cross-origin isolated, every half minute.
    pub page_bytes: Option<u64>,
}

/// The WebAssembly heap of one engine. It grows and never shrinks; what was freed in it is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapReading {
    /// The engine's backend.
    pub backend: Backend,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its size when the engine had just passed its probe: what a page that is loaded anew begins with.
    pub fresh_bytes: u64,
    /// What it may grow to.
    pub limit_bytes: u64,
}

/// Where a page's own words about its memory are written down.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// First and last size of each heap.
    heaps: BTreeMap<Backend, (u64, u64)>,
    page_bytes: Option<u64>,
}

impl Ledger {
    /// The page has told all of it.
    pub(crate) fn told(&self, heaps: &BTreeMap<Backend, u64>, page_bytes: Option<u64>) {
        let mut lines = self.0.lock();
        lines.heaps.retain(|backend, _| heaps.contains_key(backend));
        for (&backend, &bytes) in heaps {
            lines.note(backend, bytes);
        }
        lines.page_bytes = page_bytes;
    }

    /// An engine is started anew, with a heap of its own.
    pub(crate) fn anew(&self, backend: Backend) {
        self.0.lock().heaps.remove(&backend);
    }

    /// One engine has told the size of its heap.
    pub(crate) fn heap(&self, backend: Backend, bytes: u64) {
        self.0.lock().note(backend, bytes);
    }

    pub(crate) fn read(&self, limit_bytes: u64) -> PageMemory {
        let lines = self.0.lock();
        let heaps = lines.heaps.iter().map(|(&backend, &(fresh_bytes, bytes))| HeapReading {
            backend,
            bytes,
            fresh_bytes,
            limit_bytes,
        });
        PageMemory { heaps: heaps.collect(), page_bytes: lines.page_bytes }
    }
}

impl Lines {
    fn note(&mut self, backend: Backend, bytes: u64) {
        let line = self.heaps.entry(backend).or_insert((bytes, bytes));
        // A heap never shrinks: what is less was said earlier, over another connection.
        line.1 = line.1.max(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// The sizes that were told, where zero stands for an engine that is started anew.
    #[track_caller]
    fn check(told: &[u64], fresh: u64, last: u64) {
        let ledger = Ledger::default();
        for &bytes in told {
            match bytes {
                0 => ledger.anew(Backend::Wasm),
                bytes => ledger.told(&[(Backend::Wasm, bytes)].into(), None),
            }
        }
        let heaps = ledger.read(4_096 * MIB).heaps;
        let expected =
            HeapReading { backend: Backend::Wasm, bytes: last, fresh_bytes: fresh, limit_bytes: 4_096 * MIB };
        assert_eq!(heaps, [expected]);
    }

    #[test]
    fn the_first_size_is_remembered_until_the_engine_is_another() {
        check(&[16 * MIB], 16 * MIB, 16 * MIB);
        check(&[16 * MIB, 90 * MIB, 120 * MIB], 16 * MIB, 120 * MIB);
        check(&[16 * MIB, 120 * MIB, 90 * MIB], 16 * MIB, 120 * MIB);
        check(&[16 * MIB, 90 * MIB, 0, 17 * MIB, 20 * MIB], 17 * MIB, 20 * MIB);
    }

    #[test]
    fn an_engine_that_is_gone_has_no_heap() {
        let ledger = Ledger::default();
        ledger.told(&[(Backend::Wasm, MIB), (Backend::WebGpu, MIB)].into(), Some(5));
        ledger.told(&[(Backend::WebGpu, MIB)].into(), None);
        let read = ledger.read(1);
        assert_eq!(read.heaps.iter().map(|heap| heap.backend).collect::<Vec<_>>(), [Backend::WebGpu]);
        assert_eq!(read.page_bytes, None);
    }
}
