//! Whatever ends, and however it ends, nothing is left behind: no process, no directory, no waiting call.
#![allow(clippy::print_stdout, reason = "what was measured belongs in the output")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pool_core::{LinkError, WorkerLink as _};
use rustix::process::{Pid, Signal, kill_process};
use support::{Backend, BrowserName, ENGINES, fixture, rig, run_call, runtime, until};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use webnn_bridge::{Bridge, BridgeConfig, PageEnd, marked_processes};

/// A process that owns a browser, its run's mark, and all processes of that run.
struct Owner {
    child: Child,
    mark: String,
    processes: Vec<(i32, String)>,
}

/// When a process started; with its id this names it for good. Nothing for one that has ended.
fn start_time(id: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?;
    (state != "Z").then(|| started.to_owned())
}

impl Owner {
    async fn start(name: BrowserName) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_webnn-bridge-owner"))
            .arg(name.as_str())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the owner starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let said = tokio::time::timeout(Duration::from_secs(120), stdout.read_line(&mut line)).await;
        said.expect("the owner's line in time").expect("the owner's line");
        let mark =
            line.trim().strip_prefix("READY ").unwrap_or_else(|| panic!("{name}: {line:?}")).to_owned();
        let processes: Vec<_> =
            marked_processes(Some(&mark)).into_iter().filter_map(|id| Some((id, start_time(id)?))).collect();
        assert!(
            processes.len() > 2,
            "{name} has a driver, a browser and a page's process at least: {processes:?}"
        );
        Self { child, mark, processes }
    }

    fn run_dir(&self) -> PathBuf {
        std::env::temp_dir().join(&self.mark)
    }

    fn id(&self) -> i32 {
        i32::try_from(self.child.id().expect("an id")).expect("an id")
    }

    /// Waits until nothing of it is left.
    async fn gone(mut self) -> Duration {
        let (mark, run_dir, processes) = (self.mark.clone(), self.run_dir(), self.processes.clone());
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        ended.expect("the owner ends in time").expect("the owner ends");
        until("everything of a killed owner is gone", Duration::from_secs(5), || {
            marked_processes(Some(&mark)).is_empty()
                && processes.iter().all(|(id, started)| start_time(*id).as_ref() != Some(started))
                && !run_dir.exists()
        })
        .await
    }
}

fn signal(id: i32, signal: Signal) {
    // It may have ended already, with the one before it.
    let _ = kill_process(Pid::from_raw(id).expect("an id"), signal);
}

/// The displays that lock files name.
fn displays() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/tmp").into_iter().flatten().flatten();
    let mut locks: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-lock")).collect();
    locks.sort();
    locks
}

/// Ends an owner by a signal.
async fn check(name: BrowserName, by: Signal) {
    let before = displays();
    let owner = Owner::start(name).await;
    let processes = owner.processes.len();
    signal(owner.id(), by);
    let took = owner.gone().await;
    println!("{name} by {by:?}: nothing left of {processes} processes after {took:?}");
    assert_eq!(displays(), before, "a display's lock is left");
}

#[tokio::test]
async fn an_owner_that_is_killed_leaves_nothing() {
    for name in ENGINES {
        check(name, Signal::KILL).await;
    }
}

#[tokio::test]
async fn an_owner_that_is_terminated_leaves_nothing() {
    // Not by SIGINT: what a shell starts in the background ignores it, and so would an owner that was started from there.
    check(BrowserName::Chromium, Signal::TERM).await;
    check(BrowserName::Firefox, Signal::TERM).await;
}

#[tokio::test]
async fn what_owner_and_watchdog_left_the_next_start_clears_away() {
    let owner = Owner::start(BrowserName::Chromium).await;
    let (mark, run_dir) = (owner.mark.clone(), owner.run_dir());
    for watchdog in watchdogs(&run_dir) {
        signal(watchdog, Signal::KILL);
    }
    signal(owner.id(), Signal::KILL);
    let mut owner = owner;
    owner.child.wait().await.expect("the owner ends");
    assert!(!marked_processes(Some(&mark)).is_empty() && run_dir.exists(), "somebody else cleared away");

    let bridge = Bridge::start(BridgeConfig::new(runtime())).await.expect("a bridge");
    assert_eq!(marked_processes(Some(&mark)), Vec::<i32>::new());
    assert!(!run_dir.exists());

    // A run that lives is left alone by a further start.
    let living = std::env::temp_dir().join(bridge.mark());
    let other = Bridge::start(BridgeConfig::new(runtime())).await.expect("another bridge");
    assert!(living.exists());
    other.shutdown().await;
    bridge.shutdown().await;
    assert!(!living.exists());
}

/// The watchdogs of a run.
fn watchdogs(run_dir: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("a process table");
    let run_dir = run_dir.to_string_lossy().into_owned();
    let found: Vec<i32> = entries
        .flatten()
        .filter(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = command.split(|&byte| byte == 0);
            words.clone().any(|word| word == b"webnn-pool-watchdog")
                && words.any(|word| word == run_dir.as_bytes())
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    assert!(!found.is_empty(), "{run_dir} has no watchdog");
    found
}

#[tokio::test]
async fn a_browser_that_is_killed_ends_its_page_and_its_calls() {
    for name in ENGINES {
        let rig = rig(name, &[Backend::Wasm]).await;
        let fixture = fixture("whisper-tiny-encoder");
        let (session, _) = rig.load(&fixture.model, Backend::Wasm).await.expect("a session");
        let page = rig.page.clone();
        let pending = page.run(run_call(session, fixture.inputs("b1")));
        tokio::pin!(pending);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut pending).await.is_err());

        let driver = rig.browser.driver_id().and_then(|id| i32::try_from(id).ok());
        let started = tokio::time::Instant::now();
        for id in marked_processes(Some(rig.bridge.mark())) {
            if Some(id) != driver {
                signal(id, Signal::KILL);
            }
        }
        let end =
            tokio::time::timeout(Duration::from_secs(5), rig.page.ended()).await.expect("the page ends");
        println!("{name}: {end} after {:?}", started.elapsed());
        assert!(matches!(end, PageEnd::Disconnected { .. }), "{name}: {end}");
        let failed = (&mut pending).await;
        assert!(matches!(failed, Err(LinkError::Vanished { .. })), "{name}: {failed:?}");
        let next = tokio::time::timeout(Duration::from_secs(10), rig.browser.next_page()).await;
        assert!(matches!(next, Ok(None)), "{name}: a page of a dead browser");
        rig.end().await;
    }
}

#[tokio::test]
async fn a_driver_that_is_killed_leaves_a_page_that_answers_or_has_ended() {
    for name in ENGINES {
        let rig = rig(name, &[Backend::Wasm]).await;
        let driver = rig.browser.driver_id().expect("a driver of ours");
        signal(i32::try_from(driver).expect("an id"), Signal::KILL);
        let echo = rig.page.echo(Backend::Wasm, &[], Duration::from_secs(5)).await;
        println!("{name} without its driver: {echo:?}");
        assert!(matches!(echo, Ok(_) | Err(LinkError::Vanished { .. })), "{name}: {echo:?}");
        rig.end().await;
    }
}
