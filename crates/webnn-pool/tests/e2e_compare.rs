//! `webnn-pool compare`: what it writes, what turns its exit status, and that noise does not.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Fixture, Ran, fixture, marked, pool, until_now, webnn_pool};
use tokio::time::Instant;
use webnn_bridge::{MarkedProcess, process_table};
use webnn_pool::compare::{ArmChange, CompareReport, Measure, ReferenceKind, Status, stats::Verdict};

const SHELL: &str = "chromium-headless-shell";

/// Runs `compare` on a fixture with these further arguments.
#[track_caller]
fn compare(fixture: &Fixture, arguments: &[&str]) -> Ran {
    let model = fixture.directory.to_string_lossy();
    let mut all = vec!["compare", &*model];
    all.extend(arguments);
    pool(&all, b"")
}

/// The report of a run with `--json -`, whose status must be this one.
#[track_caller]
fn report(ran: &Ran, status: i32) -> CompareReport {
    assert_eq!(ran.status, Some(status), "{ran:?}");
    CompareReport::from_json(ran.stdout.as_bytes()).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The one message on standard error of a run that failed.
#[track_caller]
fn message(ran: &Ran) -> &str {
    let mut lines = ran.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
    let (first, more) = (lines.next(), lines.next());
    assert!(more.is_none(), "{}", ran.stderr);
    first.unwrap_or_else(|| panic!("no message: {ran:?}"))
}

#[test]
fn every_arm_is_a_row_and_all_is_written() {
    let golden = fixture("micro/golden-f32");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (json, junit, html) = (path("r.json"), path("r.xml"), path("r.html"));
    let mut arguments =
        vec!["--browser", "chromium-headless-shell,firefox,safari", "--backend", "webnn,wasm"];
    arguments.extend(["--rounds", "2", "--repeat", "5", "--json", &json, "--junit", &junit, "--html", &html]);
    let ran = compare(&golden, &arguments);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("webnn") && ran.stdout.contains("reference: "), "{}", ran.stdout);

    let written = CompareReport::from_json(&std::fs::read(&json).expect("the report")).expect("a report");
    let status = |name: &str| {
        let arm = written.arms.iter().find(|arm| arm.name().to_string() == name);
        arm.unwrap_or_else(|| panic!("no {name}")).status
    };
    assert_eq!(status("chromium-headless-shell/webnn"), Status::Right);
    assert_eq!(status("chromium-headless-shell/wasm"), Status::Right);
    assert_eq!(status("firefox/wasm"), Status::Right);
    // Absent backends and browsers are rows with their reasons.
    assert_eq!((status("firefox/webnn"), status("safari/wasm")), (Status::Missing, Status::Missing));
    assert!(written.arms.iter().all(|arm| arm.status.ran() || arm.reason.is_some()));
    for arm in written.arms.iter().filter(|arm| arm.status.ran()) {
        assert_eq!(arm.blocks.len(), 2);
        let times = arm.in_page_ms.expect("times");
        assert!(times.count == 10 && 0.0 < times.p50 && times.p50 <= times.p95, "{times:?}");
        assert!(arm.total_ms.expect("times").p50 >= times.p50);
        let memory = arm.memory.expect("a Linux /proc");
        assert!(
            memory.loaded.pss_bytes > 0 && memory.loaded.pss_bytes <= memory.loaded.rss_bytes,
            "{memory:?}"
        );
        assert!(memory.heap_bytes.is_some_and(|bytes| bytes > 0), "{memory:?}");
        let numbers = arm.numbers.as_ref().expect("a judgement");
        assert!(numbers.max_abs.is_some_and(|off| off < 1e-5), "{numbers:?}");
    }
    let rounds = |arm: usize| written.arms[arm].blocks.iter().map(|block| block.at_ms).collect::<Vec<_>>();
    let (first, second) = (rounds(0), rounds(1));
    assert!(first[0] < second[0] && second[0] < first[1].max(second[1]), "not in turn: {first:?} {second:?}");

    let xml = std::fs::read_to_string(junit).expect("JUnit");
    assert!(xml.contains("<testsuite name=\"firefox/wasm\"") && xml.contains("failures=\"0\""), "{xml}");
    let page = std::fs::read_to_string(html).expect("a page");
    assert!(
        page.starts_with("<!doctype html>") && page.contains("<svg") && !page.contains("<script"),
        "{page}"
    );
}

#[test]
fn a_reference_that_is_given_decides_and_a_wrong_one_turns_the_status() {
    let golden = fixture("micro/golden-f32");
    let case = golden.case("golden");
    let input = golden.request_path(case);
    let folder = tempfile::tempdir().expect("a folder");
    let outputs = golden.outputs(case);
    let right = tensor::oip::InferResponse {
        model_name: "golden".to_owned(),
        model_version: None,
        id: None,
        parameters: Default::default(),
        outputs,
    };
    let mut altered: Value = serde_json::from_slice(&right.to_json().expect("JSON")).expect("JSON");
    let first = altered["outputs"][0]["data"][0].as_f64().expect("a number");
    altered["outputs"][0]["data"][0] = json!(first + 0.5);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let right = write("right.json", &right.to_json().expect("JSON"));
    let wrong = write("wrong.json", altered.to_string().as_bytes());
    let run = |reference: &str| {
        let arguments = ["--input", &*input.to_string_lossy(), "--reference", reference, "--rounds", "1"]
            .map(str::to_owned);
        let more = ["--repeat", "2", "--browser", SHELL, "--backend", "wasm", "--json", "-"];
        let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more).collect();
        compare(&golden, &all)
    };
    let good = report(&run(&right), 0);
    assert_eq!((good.reference.kind, good.arms[0].status), (ReferenceKind::File, Status::Right));
    let ran = run(&wrong);
    let bad = report(&ran, 1);
    assert_eq!(bad.arms[0].status, Status::Wrong);
    let message = message(&ran);
    assert!(
        message.contains("chromium-headless-shell/wasm numbers: output ") && message.contains("off"),
        "{message}"
    );
}

#[test]
fn what_one_backend_cannot_take_does_not_end_the_others() {
    let text = fixture("identity/string");
    let input = text.request_path(text.case("values"));
    let arguments = ["--input", &*input.to_string_lossy(), "--browser", SHELL].map(str::to_owned);
    let more = ["--backend", "webnn,wasm", "--rounds", "1", "--repeat", "2", "--json", "-"];
    let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more).collect();
    let found = report(&compare(&text, &all), 0);
    assert_eq!(found.arms.iter().map(|arm| arm.status.ran()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(found.arms[0].status, Status::Refused, "{:?}", found.arms[0].reason);
    let required = ["--require", "chromium-headless-shell/webnn"];
    let ran = compare(&text, &all.iter().copied().chain(required).collect::<Vec<_>>());
    assert!(
        message(&ran).contains("chromium-headless-shell/webnn runs: it cannot take the model"),
        "{ran:?}"
    );
    report(&ran, 1);
}

/// A `compare` that is still going on.
struct Going {
    child: Child,
    temp: tempfile::TempDir,
    started: Instant,
}

impl Going {
    #[track_caller]
    fn start(fixture: &Fixture, arguments: &[&str]) -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        let started = Instant::now();
        let mut command = webnn_pool(temp.path());
        let child =
            command.arg("compare").arg(&fixture.directory).args(arguments).spawn().expect("it starts");
        Self { child, temp, started }
    }

    fn end(self) -> Ran {
        Ran::of(self.child, self.started)
    }
}

/// The processes of browsers of one kind in whatever run keeps its files in this folder.
fn browsers(temp: &Path, browser: &str) -> Vec<MarkedProcess> {
    let entries = std::fs::read_dir(temp).into_iter().flatten().flatten();
    let marks = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let marks = marks.filter(|name| name.starts_with("webnn-pool-"));
    let mine = |process: &MarkedProcess| {
        let rest =
            process.browser.as_deref().and_then(|label| label.strip_prefix(browser)?.strip_prefix('-'));
        rest.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    marks.flat_map(|mark| process_table(&mark)).filter(mine).collect()
}

/// Stops the processes of one kind of browser for four of five parts of the time, until it is told to end.
async fn slow_down(temp: std::path::PathBuf, browser: &'static str, end: Arc<AtomicBool>) {
    const STOPPED: Duration = Duration::from_millis(20);
    const GOING: Duration = Duration::from_millis(5);
    let signal = |processes: &[MarkedProcess], signal: Signal| {
        for pid in processes.iter().filter_map(|process| Pid::from_raw(i32::try_from(process.pid).ok()?)) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    };
    while !end.load(Ordering::Relaxed) {
        let look = (temp.clone(), browser);
        let found = tokio::task::spawn_blocking(move || browsers(&look.0, look.1)).await.expect("a look");
        for _ in 0..12 {
            signal(&found, Signal::STOP);
            tokio::time::sleep(STOPPED).await;
            signal(&found, Signal::CONT);
            tokio::time::sleep(GOING).await;
        }
    }
}

/// Runs `compare` while one kind of browser is slowed down.
#[track_caller]
fn slowed(fixture: &Fixture, browser: &'static str, arguments: &[&str]) -> Ran {
    let going = Going::start(fixture, arguments);
    let end = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime");
    let slowing = runtime.spawn(slow_down(going.temp.path().to_owned(), browser, Arc::clone(&end)));
    let ran = going.end();
    end.store(true, Ordering::Relaxed);
    runtime.block_on(slowing).expect("it ends");
    ran
}

/// The arguments of a comparison that is to be held against another.
fn watched<'a>(input: &'a str, json: &'a str, browsers: &'a str, rounds: &'a str) -> Vec<&'a str> {
    let mut all = vec!["--input", input, "--browser", browsers, "--backend", "wasm", "--rounds", rounds];
    all.extend(["--repeat", "10", "--seconds", "1", "--json", json]);
    all
}

/// A part of the long form, because launches of a browser that is stopped most of the time take long.
#[test]
fn long_an_arm_that_became_slow_turns_the_status_and_none_does_not() {
    if repeats().is_none() {
        println!("an arm that is slowed down: only with cargo xtask e2e --compare N");
        return;
    }
    let model = fixture("minilm");
    let input = model.request_path(model.case("s16")).to_string_lossy().into_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.json").to_string_lossy().into_owned();
    // What the stops do to a run depends on what else wants the processor, so there are more launches than by default.
    let before = compare(&model, &watched(&input, &base, SHELL, "4"));
    assert_eq!(before.status, Some(0), "{before:?}");
    let mut again = watched(&input, "-", SHELL, "4");
    again.extend(["--baseline", &base]);
    let ran = slowed(&model, SHELL, &again);
    let slow = report(&ran, 1);
    let found = slow.baseline.expect("a comparison");
    // Where other programs disturb the runs too, it may be the load alone that is surely slower.
    let slower = |change: &&ArmChange| change.measure != Measure::Memory && change.verdict == Verdict::Worse;
    println!("slowed down: {:?}", found.changes);
    assert!(found.changes.iter().any(|change| slower(&change)), "{:?}", found.changes);
    assert!(message(&ran).contains("_since: "), "{ran:?}");
    assert_eq!(slow.arms[0].status, Status::Right, "slow and not wrong");
}

#[test]
fn an_interrupt_leaves_nothing() {
    let golden = fixture("micro/golden-f32");
    let going = Going::start(&golden, &["--browser", SHELL, "--rounds", "50"]);
    let limit = Duration::from_secs(60);
    until_now("a browser is there", limit, || !browsers(going.temp.path(), SHELL).is_empty());
    let id = going.child.id();
    let pid = Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
    kill_process(pid, Signal::INT).expect("it is there");
    let temp = going.temp.path().to_owned();
    let Going { child, temp: kept, started } = going;
    let ran = Ran::of(child, started);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(message(&ran).contains("interrupted") && ran.stdout.is_empty(), "{ran:?}");
    until_now("nothing is left", limit, || {
        marked(&format!("webnn-pool-{id}-")).is_empty()
            && std::fs::read_dir(&temp).is_ok_and(|mut left| left.next().is_none())
    });
    drop(kept);
}

/// The long form: how many repeated runs to hold against the first, from `cargo xtask e2e --compare N`.
fn repeats() -> Option<u32> {
    std::env::var("WEBNN_POOL_COMPARE").ok()?.parse().ok()
}

#[test]
fn long_repeated_runs_are_no_alarm_and_a_slow_arm_is() {
    let Some(repeats) = repeats() else {
        println!("repeated runs: only with cargo xtask e2e --compare N");
        return;
    };
    const ALL: &str = "chromium-headless-shell,chromium,firefox,webkitgtk";
    for (name, case) in [("minilm", "s16"), ("resnet-mini", "b1")] {
        let model = fixture(name);
        let input = model.request_path(model.case(case)).to_string_lossy().into_owned();
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join("base.json").to_string_lossy().into_owned();
        let mut first = watched(&input, &base, ALL, "3");
        let backends = first.iter().position(|word| *word == "wasm").expect("the backends");
        first[backends] = "webnn,wasm";
        let ran = compare(&model, &first);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        println!("{}", ran.stdout);
        let mut again = first.clone();
        let json = again.iter().position(|word| *word == base).expect("the file");
        again[json] = "-";
        again.extend(["--baseline", &base]);
        let mut alarms = 0;
        for run in 0..repeats {
            let ran = compare(&model, &again);
            let found = CompareReport::from_json(ran.stdout.as_bytes()).expect("a report");
            let changes = &found.baseline.as_ref().expect("a baseline").changes;
            let far = changes
                .iter()
                .map(|one| one.change.ratio)
                .fold(1.0_f64, |far, ratio| if ratio.ln().abs() > far.ln().abs() { ratio } else { far });
            println!(
                "{name} {run}: status {:?}, the ratio farthest from 1 of {}: {far:.2}",
                ran.status,
                changes.len()
            );
            if ran.status != Some(0) {
                alarms += 1;
                println!("  {}", message(&ran));
            }
        }
        println!("{name}: {alarms} alarms in {repeats} repeated runs");
        let ran = slowed(&model, "firefox", &again);
        println!("{name}, firefox slowed down: {}", message(&ran));
        assert_eq!(alarms, 0, "false alarms");
        let found = report(&ran, 1).baseline.expect("a baseline");
        let worse: Vec<_> = found.changes.iter().filter(|one| one.verdict == Verdict::Worse).collect();
        assert!(
            !worse.is_empty() && worse.iter().all(|one| one.arm.to_string() == "firefox/wasm"),
            "{worse:?}"
        );
    }
}
