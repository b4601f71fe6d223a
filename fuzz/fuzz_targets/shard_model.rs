//! No bytes make reading, planning or writing parts panic, and nothing is written outside of the folder.

#![no_main]

#[path = "../../crates/sharding/tests/common/ordeal.rs"]
mod ordeal;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|model: &[u8]| {
    let folder = tempfile::tempdir().expect("there is room");
    ordeal::undergo(folder.path(), model);
});
