//! What is recorded is written in order, by a thread that ends with its recorder, and whoever records never waits.

mod support;
#[path = "support/watched.rs"]
mod watched;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use perf_history::recorder::{FlushError, StartError};
use perf_history::{Recorder, RecorderSettings};
use support::{MIDNIGHT, mixed};
use watched::{Call, Watch, check_stored, stored, watched};

/// Settings by which only a full batch, a flush or the end has anything written.
fn settings() -> RecorderSettings {
    let mut settings = RecorderSettings::default();
    settings.gather = Duration::from_secs(3_600);
    settings.retention = None;
    settings
}

fn started(settings: RecorderSettings) -> (tempfile::TempDir, PathBuf, Recorder, Watch) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    let (store, watch) = watched(&path);
    let recorder = Recorder::start(store, settings).expect("it starts");
    (folder, path, recorder, watch)
}

#[test]
fn what_is_recorded_is_durable_after_a_flush_and_in_order() {
    let (_folder, path, recorder, mut watch) = started(settings());
    watch.gate = None;
    let all = mixed(5_000, MIDNIGHT);
    all.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    recorder.handle().flush().wait().expect("it is written");
    check_stored(&path, &all);
    let stats = recorder.handle().stats();
    assert_eq!((stats.recorded, stats.written, stats.lost, stats.waiting()), (5_000, 5_000, 0, 0));
    let sizes: Vec<Call> = watch.calls.try_iter().collect();
    assert_eq!(sizes, [Call::Append(2_048, true), Call::Append(2_048, true), Call::Append(904, true)]);
    assert_eq!(stats.batches, 3);
    recorder.handle().flush().wait().expect("there is nothing to write");
}

#[test]
fn a_few_are_written_without_being_asked_for() {
    let (_folder, path, recorder, mut watch) = started(RecorderSettings::default());
    watch.gate = None;
    let few = mixed(3, MIDNIGHT);
    few.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    let written = |calls: &mut dyn Iterator<Item = Call>| {
        let mut count = 0;
        while count < 3 {
            if let Call::Append(more, true) = calls.next().expect("the store lives") {
                count += more;
            }
        }
    };
    written(&mut watch.calls.iter());
    check_stored(&path, &few);
}

/// Polls on this thread until it is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_task_awaits_a_flush_and_may_give_it_up() {
    let (_folder, path, recorder, mut watch) = started(settings());
    let all = mixed(10, MIDNIGHT);
    all[..5].iter().cloned().for_each(|observation| recorder.handle().record(observation));
    let given_up = {
        let mut flush = pin!(recorder.handle().flush());
        flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    };
    assert!(given_up, "the gate is shut");
    all[5..].iter().cloned().for_each(|observation| recorder.handle().record(observation));
    let flush = recorder.handle().flush();
    watch.gate = None;
    block_on(flush).expect("it is written");
    check_stored(&path, &all);
}

#[test]
fn what_is_too_much_is_lost_and_counted_exactly() {
    let mut few = settings();
    (few.capacity, few.batch) = (100, 10);
    let (_folder, path, recorder, mut watch) = started(few);
    let all = mixed(130, MIDNIGHT);
    // The store is held up in its first batch, and nobody who records notices.
    all.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    let stats = recorder.handle().stats();
    assert_eq!((stats.recorded, stats.written, stats.lost, stats.waiting()), (130, 0, 30, 100));
    let gate = watch.gate.take().expect("it is shut");
    gate.send(()).expect("the store lives");
    assert_eq!(watch.calls.recv(), Ok(Call::Append(10, true)));
    drop(gate);
    recorder.handle().flush().wait().expect("it is written");
    check_stored(&path, &all[..100]);
    recorder.handle().record(all[100].clone());
    let stats = recorder.shutdown().expect("it ends");
    assert_eq!((stats.recorded, stats.written, stats.lost), (131, 101, 30), "there is room again");
}

#[test]
fn many_threads_record_and_each_keeps_its_order() {
    let (_folder, path, recorder, mut watch) = started(settings());
    watch.gate = None;
    let all = mixed(4_000, MIDNIGHT);
    std::thread::scope(|scope| {
        for mine in all.chunks(1_000) {
            let handle = recorder.handle().clone();
            scope.spawn(move || mine.iter().cloned().for_each(|observation| handle.record(observation)));
        }
    });
    recorder.shutdown().expect("it ends");
    let found = stored(&path);
    assert_eq!(found.len(), all.len());
    for mine in all.chunks(1_000) {
        let (first, last) = (mine[0].at, mine[999].at);
        let order: Vec<_> = found.iter().filter(|seen| (first..=last).contains(&seen.at)).collect();
        assert!(order.into_iter().eq(mine));
    }
}

#[test]
fn a_shutdown_writes_joins_and_closes_the_store() {
    let (_folder, path, recorder, mut watch) = started(settings());
    watch.gate = None;
    let handle = recorder.handle().clone();
    let all = mixed(2_100, MIDNIGHT);
    all.iter().cloned().for_each(|observation| handle.record(observation));
    let stats = recorder.shutdown().expect("it ends");
    assert_eq!((stats.written, stats.lost), (2_100, 0));
    assert!(watch.is_closed());
    check_stored(&path, &all);

    handle.record(all[0].clone());
    assert_eq!((handle.stats().lost, handle.stats().waiting()), (1, 0));
    assert!(matches!(handle.flush().wait(), Err(FlushError::Ended)));
}

#[test]
fn a_recorder_that_is_dropped_writes_joins_and_closes_the_store() {
    let (_folder, path, recorder, mut watch) = started(settings());
    watch.gate = None;
    let all = mixed(7, MIDNIGHT);
    all.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    drop(recorder);
    assert!(watch.is_closed());
    check_stored(&path, &all);
}

#[test]
fn settings_are_checked_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, watch) = watched(&folder.path().join("history.db"));
    let mut wrong = settings();
    wrong.batch = 0;
    let error = Recorder::start(store, wrong).expect_err("it is refused");
    assert!(matches!(error, StartError::Zero { setting: "batch" }));
    assert!(watch.is_closed());
}
