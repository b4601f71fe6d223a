//! However a pool ends, and whichever of its browsers does: no process and no folder of ours is left.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use pool_core::RunError;
use support::{Backend, BrowserName, Kept, fixture, marked, of_browser, until, until_now, webnn_pool};
use webnn_pool::{Accelerator, ModelSpec};

/// How long anything of ours may outlive us.
const GONE: Duration = Duration::from_secs(5);

/// A command that goes on for a long time, and where it keeps its files.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    temp: Kept,
}

impl Running {
    /// Starts the command, and waits until its browser has probed its backend and computes.
    fn start(browser: BrowserName) -> Self {
        let mut this = Self::launch(browser);
        let mut line = String::new();
        while !line.contains("probed") {
            line.clear();
            let read = this.stderr.read_line(&mut line).expect("standard error");
            assert!(read > 0, "{browser} did not start");
        }
        assert!(this.alive() >= 2, "{browser} has a driver and a browser: {:?}", marked(&this.prefix()));
        this
    }

    /// Starts the command.
    fn launch(browser: BrowserName) -> Self {
        let temp = Kept::new();
        let golden = fixture("micro/golden-f32");
        let mut command = webnn_pool(temp.path());
        command
            .arg("run")
            .arg(&golden.directory)
            .arg("--input")
            .arg(golden.request_path(golden.case("golden")));
        command.args(["--browser", browser.as_str(), "--backend", "wasm", "--repeat", "1000000", "--json"]);
        command.env("WEBNN_POOL_LOG", "webnn_bridge=debug").stdout(Stdio::null());
        let mut child = command.spawn().expect("the command starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, stderr, temp }
    }

    fn prefix(&self) -> String {
        format!("webnn-pool-{}-", self.child.id())
    }

    fn alive(&self) -> usize {
        marked(&self.prefix()).len()
    }

    /// Nothing is left, after five seconds at most.
    #[track_caller]
    fn nothing_left(&self) -> Duration {
        let prefix = self.prefix();
        until_now("processes and folders are gone", GONE, || {
            marked(&prefix).is_empty() && self.temp.names().is_empty()
        })
    }
}

#[track_caller]
fn killed(browser: BrowserName) {
    let mut running = Running::start(browser);
    let processes = running.alive();
    running.child.kill().expect("killed");
    running.child.wait().expect("dead");
    let took = running.nothing_left();
    println!(
        "{browser}: killed; {processes} processes and the folder were gone after {} ms",
        took.as_millis()
    );
}

/// Killed as soon as there is a process to be left over, while the browser is still being launched.
#[track_caller]
fn killed_early(browser: BrowserName) {
    let mut running = Running::launch(browser);
    until_now("a driver", Duration::from_secs(30), || {
        marked(&running.prefix()).iter().any(|(_, command)| command.to_lowercase().contains("driver"))
    });
    running.child.kill().expect("killed");
    running.child.wait().expect("dead");
    let took = running.nothing_left();
    println!("{browser}: killed while launching; nothing left after {} ms", took.as_millis());
}

/// Asked to end: one message, a status that says so, and nothing left.
#[track_caller]
fn asked(browser: BrowserName, signal: &str, message: &str) {
    let mut running = Running::start(browser);
    let sent = Command::new("kill").args(["-s", signal, &running.child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let status = running.child.wait().expect("it ends");
    let took = running.nothing_left();
    let mut stderr = String::new();
    running.stderr.read_to_string(&mut stderr).expect("text");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(errors, [format!("error: {message}")], "{stderr}");
    println!("{browser}: {signal}; nothing left {} ms after the end", took.as_millis());
}

#[test]
fn kill_9_leaves_nothing_of_chromium() {
    killed(BrowserName::Chromium);
}

#[test]
fn kill_9_leaves_nothing_of_the_headless_shell() {
    killed(BrowserName::ChromiumHeadlessShell);
}

#[test]
fn kill_9_leaves_nothing_of_firefox() {
    killed(BrowserName::Firefox);
}

#[test]
fn kill_9_leaves_nothing_of_webkitgtk() {
    killed(BrowserName::WebKitGtk);
}

#[test]
fn kill_9_during_a_launch_leaves_nothing() {
    killed_early(BrowserName::Chromium);
    killed_early(BrowserName::Firefox);
    killed_early(BrowserName::WebKitGtk);
}

#[test]
fn a_signal_ends_it_in_order() {
    asked(BrowserName::Firefox, "TERM", "terminated");
    asked(BrowserName::Chromium, "INT", "interrupted");
    asked(BrowserName::WebKitGtk, "HUP", "hung up");
}

/// An interrupt is heard also while the request has not come yet.
#[test]
fn a_signal_is_heard_while_standard_input_is_open() {
    let temp = Kept::new();
    let mut command = webnn_pool(temp.path());
    command
        .arg("run")
        .arg(fixture("micro/golden-f32").directory)
        .args(["--input", "-"])
        .stdin(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // It has set up its signals once it waits for its standard input.
    let waits = || {
        std::fs::read_dir(format!("/proc/{}/task", child.id())).is_ok_and(|tasks| {
            tasks.filter_map(Result::ok).any(|task| {
                std::fs::read_to_string(task.path().join("wchan"))
                    .is_ok_and(|place| place.contains("pipe_read"))
            })
        })
    };
    until_now("it reads", Duration::from_secs(5), waits);
    let sent = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let took = until_now("it ends", GONE, || child.try_wait().expect("a status").is_some());
    assert_eq!(child.wait().expect("a status").code(), Some(1));
    println!("interrupted while reading: ended after {} ms", took.as_millis());
}

/// Requests of a browser that dies under load are computed by the other one, or say that their workers were lost; then it
/// is launched again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_dies_under_load_takes_nothing_along() {
    let two = [BrowserName::Chromium, BrowserName::Firefox];
    let accelerator =
        Accelerator::builder().browsers(two).backends([Backend::Wasm]).build().await.expect("browsers");
    let golden = fixture("micro/golden-f32");
    let model = accelerator.accelerate_model(ModelSpec::path(&golden.directory)).await.expect("a model");
    let inputs: std::sync::Arc<[_]> = golden.inputs("golden").into();
    let victim = accelerator
        .pages()
        .iter()
        .map(|page| page.label().to_owned())
        .find(|label| label.contains("firefox"));
    let workers = accelerator.stats().core.workers;
    let dead = workers.iter().find(|worker| worker.browser == BrowserName::Firefox).expect("a worker").worker;
    let victims = of_browser(accelerator.mark(), &victim.expect("Firefox has a page"));
    assert!(victims.len() >= 2, "a driver and a browser: {victims:?}");

    let requests: Vec<_> = (0..600)
        .map(|_| {
            let (model, inputs) = (model.clone(), std::sync::Arc::clone(&inputs));
            tokio::spawn(async move { model.run(inputs).await })
        })
        .collect();
    let used = || {
        let stats = accelerator.stats();
        stats
            .core
            .workers
            .iter()
            .filter(|worker| worker.sessions.iter().any(|session| session.uses > 20))
            .count()
    };
    until("both browsers compute", Duration::from_secs(20), || used() == 2).await;
    let ids: Vec<String> = victims.iter().map(|(id, _)| id.to_string()).collect();
    Command::new("kill").arg("-9").args(&ids).status().expect("kill runs");

    let mut ends = BTreeMap::new();
    for request in join_all(requests).await {
        let end = match request.expect("no panic") {
            Ok(done) => {
                golden.compare(golden.case("golden"), &done.outputs).expect("right numbers");
                format!("answered by {} at attempt {}", done.report.browser, done.report.attempts)
            }
            Err(error @ RunError::WorkersLost { .. }) => error.to_string(),
            Err(error) => panic!("{error:?}"),
        };
        *ends.entry(end).or_insert(0) += 1;
    }
    println!("{ends:?}");
    assert_eq!(ends.values().sum::<i32>(), 600);

    model.run(inputs).await.expect("the pool goes on");
    // It is launched again, as another worker.
    let here = || accelerator.stats().core.workers.iter().map(|worker| worker.worker).collect::<Vec<_>>();
    until("the dead worker has left", GONE, || !here().contains(&dead)).await;
    until("it is back", Duration::from_secs(60), || here().len() == 2).await;
    let mark = accelerator.mark().to_owned();
    accelerator.shutdown().await;
    assert_eq!(marked(&mark), [], "processes left");
}
