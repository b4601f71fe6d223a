//! Which counter of a snapshot is which series.

use std::collections::BTreeMap;

use super::{Family, Kind, PREFIX, Sample};

/// One kind of event: its name in the snapshot, the labels for what follows in a counter's name, and what it means.
struct Row {
    event: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
}

const fn row(event: &'static str, labels: &'static [&'static str], help: &'static str) -> Row {
    Row { event, labels, help }
}

/// Every event that telemetry counts, in the order in which they are shown.
const ROWS: &[Row] = &[
    row("workers_joined", &[], "Workers that joined the pool."),
    row("workers_left", &["cause"], "Workers that left the pool, by cause."),
    row("sessions_loading", &[], "Models that began to load on a worker."),
    row("sessions_loaded", &[], "Models that finished loading on a worker."),
    row("sessions_load_failed", &[], "Models that could not be loaded on a worker."),
    row(
        "sessions_evicted",
        &["cause"],
        "Loaded models that were dropped from a worker that stayed, by cause.",
    ),
    row("requests_accepted", &[], "Requests that were accepted into the queue."),
    row("requests_rejected", &["reason"], "Requests that were not accepted, by reason."),
    row("requests_dispatched", &[], "Times that a request was sent to a worker."),
    row("requests_retried", &["cause"], "Times that an accepted request went back into the queue, by cause."),
    row("requests_finished", &["outcome"], "Accepted requests that ended, by how they ended."),
    row("orphans", &[], "Failures that no caller waited for."),
    row("history_stalled", &["cause"], "Times that observations could no longer be written, by cause."),
    row("history_resumed", &[], "Times that observations could be written again."),
    row("recoveries_started", &["fault"], "Recoveries that began, by what was wrong."),
    row("recoveries_ended", &["outcome"], "Recoveries that ended, by how they ended."),
    row("rungs_tried", &["rung", "outcome"], "Rungs of recovery that were tried, by how that ended."),
    row("checks", &["outcome"], "Checks of workers' numbers, by what they showed."),
    row(
        "breakers_moved",
        &["cause"],
        "Times that a circuit breaker opened, half opened or closed, by cause.",
    ),
    row("pressure_changed", &["level"], "Changes of memory pressure, by the level that was reached."),
    row("memory_relieved", &["relief"], "Things done about memory, by what was done."),
    row("recycles_due", &["cause"], "Working browsers that were to be replaced, by cause."),
    row("workers_replaced", &["cause"], "Working browsers that were replaced, by cause."),
    row(
        "repaired",
        &["kind"],
        "Mismatches of processes, workers and connections that were repaired, by kind.",
    ),
    row("guests_came", &[], "Times that a guest joined the pool, or came back."),
    row("guests_went", &["cause"], "Guests that are gone, by cause."),
    row(
        "guests_refused",
        &["reason"],
        "Times that somebody was not let in as a guest, or a guest was refused something.",
    ),
    row("events_lost", &[], "Events that were counted, but are not among the recent ones."),
    row("samples_lost", &[], "Events that were counted, but whose times were not measured."),
];

/// Labels for a counter that the table does not know, so that it is shown all the same.
const UNKNOWN: Row = row("", &["cause", "detail"], "Events of this kind.");

fn sample(row: &Row, causes: &str, count: u64) -> Sample {
    // The last label takes what is left, so nothing of a name can get lost.
    let causes = causes.splitn(row.labels.len().max(1), '.');
    let labels = row.labels.iter().zip(causes).filter(|(_, cause)| !cause.is_empty());
    Sample::new(labels.map(|(&label, cause)| (label, cause.to_owned())).collect(), count)
}

pub(super) fn families(counters: &BTreeMap<String, u64>) -> Vec<Family> {
    let name = |event: &str| format!("{PREFIX}_{event}_total");
    let mut all: Vec<Family> =
        ROWS.iter().map(|row| Family::new(name(row.event), row.help, Kind::Counter)).collect();
    for (key, &count) in counters {
        let (event, causes) = key.split_once('.').unwrap_or((key, ""));
        if let Some(at) = ROWS.iter().position(|row| row.event == event) {
            all[at].samples.push(sample(&ROWS[at], causes, count));
            continue;
        }
        let name = name(event);
        let sample = sample(&UNKNOWN, causes, count);
        match all[ROWS.len()..].iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => {
                let mut family = Family::new(name, UNKNOWN.help, Kind::Counter);
                family.samples.push(sample);
                all.push(family);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use telemetry::Telemetry;

    use super::*;

    #[track_caller]
    fn check(key: &str, name: &str, labels: &[(&str, &str)]) {
        let found = families(&BTreeMap::from([(key.to_owned(), 7)]));
        let family = found.iter().find(|family| family.name == name).expect("the family is there");
        let labels = labels.iter().map(|&(name, value)| (name, value.to_owned())).collect::<Vec<_>>();
        assert_eq!(family.samples.len(), 1);
        assert_eq!(family.samples[0].labels, labels);
        assert_eq!(family.samples[0].value, 7.into());
    }

    #[test]
    fn causes_become_labels() {
        check("workers_joined", "webnn_pool_workers_joined_total", &[]);
        check(
            "requests_finished.completed",
            "webnn_pool_requests_finished_total",
            &[("outcome", "completed")],
        );
        let labels = [("rung", "ping"), ("outcome", "worked")];
        check("rungs_tried.ping.worked", "webnn_pool_rungs_tried_total", &labels);
        check("pressure_changed.high", "webnn_pool_pressure_changed_total", &[("level", "high")]);
    }

    #[test]
    fn an_event_without_a_row_is_shown_all_the_same() {
        check("new_event.because", "webnn_pool_new_event_total", &[("cause", "because")]);
        check("new_event.a.b.c", "webnn_pool_new_event_total", &[("cause", "a"), ("detail", "b.c")]);
    }

    #[test]
    fn every_counter_has_a_row_with_a_label_for_each_part_and_every_row_a_counter() {
        let snapshot = Telemetry::new().snapshot();
        for key in snapshot.counters.keys() {
            let mut parts = key.split('.');
            let event = parts.next().expect("a name has a first part");
            let row = ROWS.iter().find(|row| row.event == event);
            let row = row.unwrap_or_else(|| panic!("{key}: add a row for {event} to the table"));
            assert_eq!(row.labels.len(), parts.count(), "{key}: a label for each cause");
        }
        let all = families(&snapshot.counters);
        assert_eq!(all.len(), ROWS.len());
        for family in &all {
            assert!(!family.samples.is_empty(), "{}: telemetry counts no such event", family.name);
        }
        let samples = all.iter().map(|family| family.samples.len()).sum::<usize>();
        assert_eq!(samples, snapshot.counters.len(), "each counter is one series");
    }
}
