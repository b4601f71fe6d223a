//! What is emitted is found again in the snapshot: counted once, measured where it is a result, remembered in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use telemetry::{
    BreakerCause, BreakerState, CheckOutcome, Event, Guarded, GuestEnd, GuestRefusal, LatencyKind,
    LeaveCause, Outcome, Place, PressureSource, RecoveryEnd, RecycleCause, RejectReason, Relief, RepairKind,
    RungOutcome, Sink, StallCause, Telemetry,
};
use vocab::{Backend, BrowserName, Fault, ModelHash, PressureLevel, RequestId, Rung, WorkerId};

#[allow(clippy::disallowed_methods, reason = "a test needs one real instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn finished(outcome: Outcome, total_ms: f64) -> Event {
    let place = Place { worker: WorkerId(1), browser: BrowserName::Firefox, backend: Backend::Wasm };
    Event::RequestFinished {
        request: RequestId(1),
        model: ModelHash([7; 32]),
        outcome,
        place: Some(place),
        queue_ms: 1.0,
        in_page_ms: Some(total_ms / 2.0),
        total_ms,
    }
}

#[track_caller]
fn check(events: &[Event], counter: &str, count: u64) {
    let telemetry = Telemetry::new();
    let start = start();
    for event in events {
        telemetry.emit(start, event.clone());
    }
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counters.get(counter), Some(&count), "{counter}");
    assert_eq!(snapshot.counters.values().sum::<u64>(), events.len() as u64, "each event is counted once");
}

#[test]
fn each_cause_has_its_own_counter() {
    check(&[], "requests_rejected.queue_full", 0);
    check(&[Event::RequestRejected { reason: RejectReason::QueueFull }], "requests_rejected.queue_full", 1);
    check(&[Event::RequestRejected { reason: RejectReason::NoWorker }], "requests_rejected.queue_full", 0);
    let left = |cause| Event::WorkerLeft { worker: WorkerId(1), cause };
    check(&[left(LeaveCause::Crashed), left(LeaveCause::Shutdown)], "workers_left.shutdown", 1);
    let stalled = |cause| Event::HistoryStalled { cause, detail: "no room".into(), waiting: 3 };
    let resumed = Event::HistoryResumed { stalled_ms: 5.0, lost: 0 };
    check(&[stalled(StallCause::Full), stalled(StallCause::Unusable), resumed], "history_stalled.full", 1);
    check(
        &[finished(Outcome::Completed, 4.0), finished(Outcome::Cancelled, 4.0)],
        "requests_finished.completed",
        1,
    );
}

#[test]
fn recovery_is_counted_by_rung_and_by_cause() {
    let worker = WorkerId(1);
    let mut events = Vec::new();
    for &fault in Fault::ALL {
        events.push(Event::RecoveryStarted { worker, browser: None, fault });
        for &rung in Rung::ALL {
            for &outcome in RungOutcome::ALL {
                events.push(Event::RungTried { worker, fault, rung, outcome, took_ms: 1.0 });
            }
        }
    }
    let fault = Fault::Slow;
    events.extend(RecoveryEnd::ALL.iter().map(|&end| Event::RecoveryEnded {
        worker,
        fault,
        end,
        rung: None,
        took_ms: 1.0,
    }));
    let guarded = Guarded::Worker { worker };
    let (from, to) = (BreakerState::Closed, BreakerState::Open);
    events.extend(BreakerCause::ALL.iter().map(|&cause| Event::BreakerMoved { guarded, from, to, cause }));
    let (from, source) = (PressureLevel::Normal, PressureSource::Cgroup);
    let model = ModelHash([1; 32]);
    events.extend(CheckOutcome::ALL.iter().map(|&outcome| Event::Checked {
        worker,
        model,
        outcome,
        off: None,
    }));
    events.extend(PressureLevel::ALL.iter().map(|&to| Event::PressureChanged { from, to, source }));
    events.extend(RecycleCause::ALL.iter().map(|&cause| Event::RecycleDue { worker, cause }));
    let level = PressureLevel::High;
    events.extend(Relief::ALL.iter().map(|&relief| Event::MemoryRelieved { worker, relief, level, source }));
    let by = WorkerId(2);
    events.extend(RecycleCause::ALL.iter().map(|&cause| Event::WorkerReplaced {
        worker,
        by,
        cause,
        took_ms: 1.0,
    }));
    events.extend(RepairKind::ALL.iter().map(|&kind| Event::Repaired { kind, worker: None }));
    events.extend(GuestRefusal::ALL.iter().map(|&cause| Event::GuestRefused { cause }));
    events.extend(GuestEnd::ALL.iter().map(|&cause| Event::GuestWent { guest: "guest-1".into(), cause }));
    events.push(Event::GuestCame { guest: "guest-1".into(), worker: WorkerId(1) });
    check(&events, "recoveries_started.slow", 1);
    check(&events, "rungs_tried.refresh.unproved", Fault::ALL.len() as u64);
    check(&events, "recoveries_ended.deadline", 1);
    check(&events, "breakers_moved.reset", 1);
    check(&events, "checks.undecided", 1);
    check(&events, "pressure_changed.critical", 1);
    check(&events, "recycles_due.growth", 1);
    check(&events, "memory_relieved.page_refreshed", 1);
    check(&events, "workers_replaced.age", 1);
    check(&events, "repaired.stray_socket", 1);
    check(&events, "guests_refused.wrong_code", 1);
    check(&events, "guests_went.put_out", 1);
    check(&events, "guests_came", 1);
}

#[test]
fn only_results_are_measured() {
    let telemetry = Telemetry::new();
    let start = start();
    for ms in 1..=100 {
        telemetry.emit(start, finished(Outcome::Completed, f64::from(ms)));
        telemetry.emit(start, finished(Outcome::Cancelled, 1e9));
    }
    let snapshot = telemetry.snapshot();
    let total =
        snapshot.latencies.iter().find(|latency| latency.kind == LatencyKind::Total).expect("it has samples");
    assert_eq!((total.count, total.browser, total.backend), (100, BrowserName::Firefox, Backend::Wasm));
    assert!((total.p50_ms - 50.0).abs() <= 1.0 && (total.p99_ms - 99.0).abs() <= 1.0, "{total:?}");
    let in_page = snapshot
        .latencies
        .iter()
        .find(|latency| latency.kind == LatencyKind::InPage)
        .expect("it has samples");
    assert!((in_page.max_ms - 50.0).abs() <= 1.0, "{in_page:?}");
}

#[test]
fn rungs_are_measured_by_outcome() {
    let telemetry = Telemetry::new();
    let start = start();
    let tried = |rung, outcome, took_ms| Event::RungTried {
        worker: WorkerId(1),
        fault: Fault::PageHung,
        rung,
        outcome,
        took_ms,
    };
    for ms in 1..=100 {
        telemetry.emit(start, tried(Rung::Refresh, RungOutcome::Worked, f64::from(ms) * 10.0));
    }
    telemetry.emit(start, tried(Rung::Refresh, RungOutcome::TimedOut, f64::INFINITY));
    telemetry.emit(start, tried(Rung::Ping, RungOutcome::Failed, 0.125));
    let rungs = telemetry.snapshot().rungs;
    let keys: Vec<_> = rungs.iter().map(|rung| (rung.rung, rung.outcome, rung.count)).collect();
    let expected = [
        (Rung::Ping, RungOutcome::Failed, 1),
        (Rung::Refresh, RungOutcome::Worked, 100),
        (Rung::Refresh, RungOutcome::TimedOut, 1),
    ];
    assert_eq!(keys, expected, "only what was tried, by rung and outcome");
    let worked = &rungs[1];
    assert!((worked.p50_ms - 500.0).abs() <= 10.0 && (worked.p99_ms - 990.0).abs() <= 10.0, "{worked:?}");
    assert_eq!(worked.sum_ms, 50_500.0, "the sum is exact");
    assert_eq!(rungs[2].sum_ms, 3_600_000.0, "more than an hour counts as an hour");
    assert_eq!(rungs[0].sum_ms, 0.125);
}

#[test]
fn absurd_samples_do_no_harm() {
    let telemetry = Telemetry::new();
    for ms in [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MAX] {
        telemetry.emit(start(), finished(Outcome::Completed, ms));
    }
    assert_eq!(telemetry.snapshot().latencies[0].count, 5);
}

#[test]
fn the_ring_keeps_the_latest_in_order() {
    let telemetry = Telemetry::builder().recent(4).build();
    let start = start();
    for second in 0..10 {
        let at = start + Duration::from_secs(second);
        telemetry.emit(at, Event::RequestRejected { reason: RejectReason::QueueFull });
    }
    let recent: Vec<_> = telemetry.snapshot().recent.iter().map(|r| (r.sequence, r.at_ms)).collect();
    assert_eq!(recent, [(6, 6e3), (7, 7e3), (8, 8e3), (9, 9e3)]);
}

#[test]
fn a_snapshot_is_json_with_flat_events() {
    let telemetry = Telemetry::new();
    telemetry.emit(start(), finished(Outcome::Completed, 4.0));
    let json = serde_json::to_value(telemetry.snapshot()).expect("it serialises");
    assert_eq!(json["recent"][0]["event"], "request_finished");
    assert_eq!(json["recent"][0]["place"]["browser"], "firefox");
    assert_eq!(json["latencies"][0]["backend"], "wasm");
}

#[test]
fn emitting_from_many_threads_loses_nothing_silently() {
    #[derive(Default)]
    struct Count(AtomicU64);
    impl Sink for Count {
        fn record(&self, _at_ms: f64, _event: &Arc<Event>) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let sink = Arc::new(Count::default());
    let telemetry = Telemetry::builder().recent(8).sink(Arc::<Count>::clone(&sink)).build();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    telemetry.emit(start(), finished(Outcome::Completed, 1.0));
                }
            });
        }
        for _ in 0..20 {
            let _ = telemetry.snapshot();
        }
    });
    let snapshot = telemetry.snapshot();
    let measured =
        snapshot.latencies.iter().find(|latency| latency.kind == LatencyKind::Total).expect("samples").count;
    assert_eq!(sink.0.load(Relaxed), 8_000, "a sink sees every event");
    assert_eq!(snapshot.counters["requests_finished.completed"], 8_000);
    assert_eq!(measured + snapshot.counters["samples_lost"], 8_000);
}
