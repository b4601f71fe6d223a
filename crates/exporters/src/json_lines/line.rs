//! What a line looks like.

use std::sync::Arc;

use serde::Serialize;
use telemetry::Event;

use crate::when::rfc3339;

/// One event on its way to its line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) unix_nanos: u64,
    pub(super) sequence: u64,
    pub(super) at_ms: f64,
    pub(super) event: Arc<Event>,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    sequence: u64,
    at_ms: f64,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct Lost {
    at: String,
    event: &'static str,
    lost: u64,
    lost_in_all: u64,
}

impl Entry {
    /// Appends the event's line; `false` where it has no form in JSON.
    pub(super) fn write(&self, into: &mut Vec<u8>) -> bool {
        let Self { unix_nanos, sequence, at_ms, event } = self;
        append(into, &Line { at: rfc3339(*unix_nanos), sequence: *sequence, at_ms: *at_ms, event })
    }
}

/// Appends a line that says how many events were lost since the last such line.
pub(super) fn write_lost(into: &mut Vec<u8>, unix_nanos: u64, lost: u64, lost_in_all: u64) {
    let line = Lost { at: rfc3339(unix_nanos), event: "events_lost", lost, lost_in_all };
    append(into, &line);
}

fn append(into: &mut Vec<u8>, line: &impl Serialize) -> bool {
    let before = into.len();
    let written = serde_json::to_writer(&mut *into, line).is_ok();
    if written {
        into.push(b'\n');
    } else {
        into.truncate(before);
    }
    written
}
