//! Fixed work that no model and no browser has a part in, so that how long it takes tells how busy the machine is.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::stats::median;

/// Hashes of a mebibyte that each thread computes.
const HASHES: u32 = 12;
/// How often the work is done for one reading.
const TIMES: usize = 5;
/// Threads at most.
const MOST_THREADS: usize = 4;

/// What the work is, so that readings of different work are not held against each other.
pub(super) fn name() -> String {
    format!("sha256 {HASHES} MiB on {} threads", threads())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS))
}

/// Does the work some times on as many threads as WASM would take, and gives the times in milliseconds. Takes a few tenths of
/// a second, and blocks meanwhile.
pub(super) fn read() -> Vec<f64> {
    let text = vec![0x5a_u8; 1 << 20];
    (0..TIMES).map(|_| once(&text).as_secs_f64() * 1e3).collect()
}

fn once(text: &[u8]) -> Duration {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let mut hasher = Sha256::new();
                (0..HASHES).for_each(|_| hasher.update(text));
                std::hint::black_box(hasher.finalize())
            });
        }
    });
    started.elapsed()
}

/// What the work took around something: the middle of the readings before and after.
pub(super) fn around(before: &[f64], after: &[f64]) -> Option<f64> {
    median(&[before, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_takes_time_each_time() {
        let times = read();
        assert!(times.len() == TIMES && times.iter().all(|ms| *ms > 0.0), "{times:?}");
        assert!(around(&times, &times).is_some_and(|ms| ms > 0.0));
        assert_eq!(around(&[], &[]), None);
    }
}
