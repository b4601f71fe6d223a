//! The log of events: what is emitted stands in the file, and what does not is told.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use exporters::json_lines::{JsonLines, Settings, StartError};
use serde_json::Value;
use telemetry::{Event, RejectReason, Sink, Telemetry};

const NOON: u64 = 1_735_732_800_000_000_000;

fn settings(queue: usize) -> Settings {
    let mut settings = Settings::default();
    settings.queue = queue;
    settings.clock = || NOON;
    settings
}

#[allow(clippy::disallowed_methods, reason = "a test needs one real instant to count from")]
fn emit(telemetry: &Telemetry, times: usize) {
    for _ in 0..times {
        telemetry.emit(Instant::now(), event());
    }
}

#[track_caller]
#[allow(clippy::disallowed_methods, reason = "a wait needs an end")]
fn wait_while(so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while so() {
        assert!(Instant::now() < end, "it never came to be");
        std::thread::yield_now();
    }
}

fn event() -> Event {
    Event::RequestRejected { reason: RejectReason::QueueFull }
}

#[track_caller]
fn lines(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "every line ends");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

/// Memory that can be full, and whose writes can be held up.
#[derive(Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
    gate: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Disk {
    /// One whose every write waits for a word; without anybody who could give it, none waits.
    fn held_up() -> (Self, Sender<()>) {
        let (go, gate) = channel();
        (Self { gate: Some(Arc::new(Mutex::new(gate))), ..Self::default() }, go)
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv();
        }
        let mut kept = self.bytes.lock().unwrap();
        if self.full.load(SeqCst) {
            // Like a disk: a part still fits the first time, and then nothing does.
            if kept.last().is_none_or(|&last| last == b'\n') {
                kept.extend_from_slice(&bytes[..5]);
                return Ok(5);
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn events_are_appended_one_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    for _ in 0..2 {
        let log = JsonLines::append_to(&path, settings(100)).unwrap();
        emit(&Telemetry::builder().sink(Arc::new(log.sink())).build(), 3);
        log.close();
        log.close();
        assert_eq!((log.stats().written, log.stats().lost), (3, 0));
    }
    let lines = lines(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(lines.len(), 6);
    let sequences: Vec<_> = lines.iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [0, 1, 2, 0, 1, 2]);
    let first = &lines[0];
    assert_eq!(first["at"], "2025-01-01T12:00:00.000Z");
    assert_eq!((&first["event"], &first["reason"]), (&"request_rejected".into(), &"queue_full".into()));
    assert_eq!(first["at_ms"], 0.0);
}

#[test]
fn a_file_that_is_copied_and_truncated_is_written_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let log = JsonLines::append_to(&path, settings(100)).unwrap();
    let telemetry = Telemetry::builder().sink(Arc::new(log.sink())).build();
    emit(&telemetry, 3);
    wait_while(|| log.stats().written < 3);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    emit(&telemetry, 1);
    log.close();
    let lines = lines(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["sequence"], 3);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = JsonLines::append_to(folder.path(), settings(1)).unwrap_err();
    assert!(matches!(&error, StartError::Open { path, .. } if path == folder.path()), "{error:?}");
}

#[test]
fn what_has_no_room_is_lost_without_waiting_and_told() {
    let (disk, go) = Disk::held_up();
    let log = JsonLines::write_to(disk.clone(), settings(4)).unwrap();
    let telemetry = Telemetry::builder().sink(Arc::new(log.sink())).build();
    emit(&telemetry, 1);
    wait_while(|| disk.writes.load(SeqCst) == 0);
    // The thread is being held up in a write, so this would never end if it waited.
    emit(&telemetry, 10);
    assert_eq!(log.stats().lost, 6);
    drop(go);
    log.close();
    assert_eq!((log.stats().written, log.stats().lost), (5, 6));
    let lines = lines(&disk.text());
    let told: Vec<_> = lines.iter().filter(|line| line["event"] == "events_lost").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["lost"], &told[0]["lost_in_all"]), (&6.into(), &6.into()));
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_full_disk_is_counted_and_spoils_no_later_line() {
    let disk = Disk::default();
    let log = JsonLines::write_to(disk.clone(), settings(100)).unwrap();
    let telemetry = Telemetry::builder().sink(Arc::new(log.sink())).build();
    disk.full.store(true, SeqCst);
    for failed in 1..=2 {
        emit(&telemetry, 1);
        wait_while(|| log.stats().lost < failed);
    }
    disk.full.store(false, SeqCst);
    emit(&telemetry, 1);
    log.close();
    assert_eq!((log.stats().written, log.stats().lost, log.stats().failed), (1, 2, 2));
    let text = disk.text();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn.len(), 5, "the part that still fitted");
    let lines = lines(rest);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["lost"], 2);
}

#[test]
fn what_comes_after_the_end_is_lost_and_counted() {
    let disk = Disk::default();
    let log = JsonLines::write_to(disk.clone(), settings(100)).unwrap();
    let sink = log.sink();
    sink.record(0.0, &Arc::new(event()));
    log.close();
    sink.record(1.0, &Arc::new(event()));
    assert_eq!((log.stats().written, log.stats().lost), (1, 1));
    let families = log.families();
    assert_eq!(families[0].samples[1].value, 1_u64.into());
    drop(log);
    assert_eq!(lines(&disk.text()).len(), 1);
}

#[test]
fn the_end_does_not_wait_for_ever_for_a_place_that_takes_nothing() {
    let (disk, go) = Disk::held_up();
    let mut settings = settings(2);
    settings.flush = Duration::from_millis(50);
    let log = JsonLines::write_to(disk.clone(), settings).unwrap();
    let telemetry = Telemetry::builder().sink(Arc::new(log.sink())).build();
    emit(&telemetry, 1);
    wait_while(|| disk.writes.load(SeqCst) == 0);
    emit(&telemetry, 5);
    log.close();
    assert_eq!((log.stats().written, log.stats().lost), (0, 3));
    drop(go);
    wait_while(|| log.stats().written < 3);
}
