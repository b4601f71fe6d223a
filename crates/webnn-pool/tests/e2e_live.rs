//! The live page before a real browser's eyes: what it shows while workers are killed, to whom, and in how much memory.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use support::{
    Backend, BrowserName, Eyes, Look, MARKUP, MadeUp, Serving, fixture, kill_browser, pictures, place, spec,
};
use telemetry::Event;
use tokio::time::Instant;
use vocab::WorkerId;
use webnn_pool::TextShard;

/// Within how long a killed worker has to be shown as lost.
const SHOWN: Duration = Duration::from_secs(2);
/// How long a browser may take to come back. Printed, not judged.
const BACK: Duration = Duration::from_secs(180);
/// What the page may hold after a day, in bytes.
const DAY_BYTES: f64 = 100e6;

/// What was asked for: how many kills. `cargo xtask e2e --live` does.
fn asked() -> Option<usize> {
    std::env::var("WEBNN_POOL_LIVE").ok()?.parse().ok()
}

fn golden_body() -> String {
    let golden = fixture("micro/golden-f32");
    std::fs::read_to_string(golden.request_path(golden.case("golden"))).expect("a request")
}

async fn open(browsers: &[BrowserName]) -> Serving {
    let specs = browsers.iter().map(|&browser| spec(browser, Backend::Wasm)).collect();
    let serving = Serving::open(specs, BTreeMap::new(), |models| {
        place(models, "golden", &fixture("micro/golden-f32"));
    })
    .await;
    for _ in 0..2 {
        serving.ask("/v2/models/golden/infer", golden_body(), Duration::from_millis(40));
    }
    serving
}

/// Kills a browser, and says how long it took until the page called its worker lost, and until it showed that it is back.
async fn kill(serving: &Serving, eyes: &Eyes, browser: BrowserName) -> (Duration, Duration) {
    let workers = serving.accelerator.stats().core.workers;
    let worker = workers.iter().find(|worker| worker.browser == browser).expect("it serves").worker;
    let pages = serving.accelerator.pages();
    let page = pages.iter().rev().find(|page| page.worker_info().browser == browser).expect("its page");
    let there =
        format!("return document.querySelector('[data-worker=\"{worker}\"]')?.dataset.state !== 'lost'");
    eyes.until("the worker is shown", &there, Duration::from_secs(5)).await;
    let recovered = "document.querySelectorAll('[data-incident][data-end=recovered]').length";
    let before = eyes.ask(&format!("return {recovered}")).await.as_u64().expect("a number");
    let at = Instant::now();
    assert!(kill_browser(serving.accelerator.mark(), browser, page.label()) > 0, "nothing was killed");
    let lost =
        format!("return document.querySelector('[data-worker=\"{worker}\"][data-state=lost]') !== null");
    let shown = eyes.until("the loss is shown", &lost, Duration::from_secs(20)).await - at;
    let again = format!("return {recovered} > {before}");
    let back = eyes.until("the recovery is shown", &again, BACK).await - at;
    (shown, back)
}

/// Looks at the page in all three ways, has axe look, and takes a picture of each.
async fn look_at_all(eyes: &Eyes, name: &str) {
    for look in Look::ALL {
        eyes.look(look).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let (passed, serious) = eyes.axe().await;
        println!("axe, {}: {passed} rules hold, {} are seriously broken", look.name(), serious.len());
        assert!(passed >= 20, "axe looked at nothing");
        assert!(serious.is_empty(), "{}: {serious:#?}", look.name());
        let wide = eyes.ask("return document.documentElement.scrollWidth").await.as_f64().expect("a width");
        assert!(wide <= f64::from(look.width()), "{}: {wide} px wide", look.name());
        eyes.picture(&pictures().join(format!("{name}-{}.png", look.name())), None).await;
    }
    eyes.look(Look::Light).await;
}

async fn nothing_to_complain_of(eyes: &Eyes) {
    let complaints = eyes.complaints().await;
    println!("console: {} warnings and errors", complaints.len());
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_is_shown_and_its_recovery() {
    let killed = BrowserName::ChromiumHeadlessShell;
    let serving = open(&[killed, BrowserName::Firefox]).await;
    let eyes = Eyes::open(&serving.url("/")).await;
    let ready = "return document.getElementById('state').innerText.includes('ready')
        && document.querySelectorAll('#models tr').length === 1
        && document.querySelectorAll('#workers [data-worker]').length === 2
        && document.querySelectorAll('.uplot').length === 2";
    eyes.until("everything is shown", ready, Duration::from_secs(15)).await;
    // What comes from outside is text, wherever it is from.
    let detail = MARKUP.into();
    let now = Instant::now().into_std();
    serving
        .accelerator
        .telemetry()
        .emit(now, Event::Orphan { operation: "unload", worker: Some(WorkerId(1)), detail });
    let told = format!("return document.getElementById('events').innerText.includes({})", json!(MARKUP));
    eyes.until("the event is shown as it is", &told, Duration::from_secs(5)).await;
    assert_eq!(eyes.ask("return document.querySelectorAll('#events img, #events b').length").await, 0);

    let (shown, back) = kill(&serving, &eyes, killed).await;
    println!(
        "killed: shown as lost after {} ms, as recovered after {} ms",
        shown.as_millis(),
        back.as_millis()
    );
    assert!(shown <= SHOWN, "{shown:?}");
    look_at_all(&eyes, "short").await;
    // A keyboard finds the ranges, and the page follows.
    let pressed = "document.querySelector('#range button:last-child').click();
        return document.querySelector('#range [aria-pressed=true]').innerText";
    assert_eq!(eyes.ask(pressed).await, "24 h");
    nothing_to_complain_of(&eyes).await;

    // Streams end with the server at once, and requests are not held up by them.
    serving.quiet().await;
    let began = Instant::now();
    assert_eq!(serving.service.drain(Duration::from_secs(10)).await, 0);
    let ended = "return document.getElementById('state').innerText.includes('shut down')";
    eyes.until("the end is shown", ended, Duration::from_secs(10)).await;
    println!("the end is shown after {} ms", began.elapsed().as_millis());
    serving.close().await;
    eyes.close().await;
}

/// Reads a made-up feed of so many seconds to its end, and weighs the page.
async fn weigh(frames: u64) {
    let feed = MadeUp::start(frames).await;
    let began = Instant::now();
    let eyes = Eyes::open(&format!("http://{}/", feed.address)).await;
    let last = 1_760_000_000_000_u64 + (frames - 1) * 1_000;
    let read = format!("return Number(document.body.dataset.at ?? 0) >= {last}");
    eyes.until("the whole feed is read", &read, Duration::from_secs(900)).await;
    let took = began.elapsed();
    eyes.devtools("HeapProfiler.collectGarbage", json!({})).await;
    let heap = eyes.devtools("Runtime.getHeapUsage", json!({})).await;
    let of = |name: &str| heap[name].as_f64().unwrap_or(0.0);
    let all = of("usedSize") + of("embedderHeapUsedSize") + of("backingStorageSize");
    let elements = eyes.ask("return document.querySelectorAll('*').length").await;
    println!(
        "{frames} s of feed, {:.0} MB, read in {:.0} s: {:.1} MB in the tab ({:.1} scripts, {:.1} elements, {:.1} buffers), {elements} elements",
        feed.sent() as f64 / 1e6,
        took.as_secs_f64(),
        all / 1e6,
        of("usedSize") / 1e6,
        of("embedderHeapUsedSize") / 1e6,
        of("backingStorageSize") / 1e6,
    );
    assert!(all < DAY_BYTES, "{heap}");
    assert_ne!(eyes.ask("return document.title").await, "owned");
    assert_eq!(eyes.ask("return document.querySelectorAll('main img, main b').length").await, 0);
    assert!(eyes.text().await.contains(MARKUP), "the name is shown as it is");
    nothing_to_complain_of(&eyes).await;
    if asked().is_some() {
        look_at_all(&eyes, "day").await;
    }
    eyes.close().await;
    feed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarter_of_an_hour_of_feed_is_small_and_names_are_no_markup() {
    weigh(900).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_day_of_feed() {
    if asked().is_none() {
        return;
    }
    weigh(86_400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_row_of_kills() {
    let Some(kills) = asked() else { return };
    let browsers = support::ENGINES;
    let serving = open(&browsers).await;
    let eyes = Eyes::open(&serving.url("/")).await;
    let mut all = Vec::new();
    for number in 0..kills {
        let browser = browsers[number % browsers.len()];
        let (shown, back) = kill(&serving, &eyes, browser).await;
        println!("{browser}: shown after {} ms, recovered after {} ms", shown.as_millis(), back.as_millis());
        all.push(shown.as_millis() as f64);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    all.sort_by(f64::total_cmp);
    let (median, worst) = (support::quantile(&all, 0.5), support::quantile(&all, 1.0));
    println!("{kills} kills: shown after {median:.0} ms in the median, {worst:.0} ms at worst");
    nothing_to_complain_of(&eyes).await;
    serving.close().await;
    eyes.close().await;
    assert!(worst <= SHOWN.as_secs_f64() * 1e3);
}

/// The picture of the README: four engines at work, a text over shards, and a browser that had to be revived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_picture_for_the_readme() {
    if asked().is_none() {
        return;
    }
    let pages = [
        (BrowserName::ChromiumHeadlessShell, Backend::WebNn),
        (BrowserName::Chromium, Backend::Wasm),
        (BrowserName::Firefox, Backend::Wasm),
        (BrowserName::WebKitGtk, Backend::Wasm),
    ];
    let specs = pages.map(|(browser, backend)| {
        let mut spec = spec(browser, backend);
        spec.backends = if backend == Backend::WebNn { vec![backend, Backend::Wasm] } else { vec![backend] };
        spec
    });
    let mut text = TextShard::default();
    text.shards = 3;
    let serving =
        Serving::open(specs.to_vec(), BTreeMap::from([("llama-tiny".to_owned(), text)]), |models| {
            for name in ["minilm", "vit-tiny", "whisper-tiny-encoder", "resnet-mini", "llama-tiny"] {
                place(models, name, &fixture(name));
            }
            let tokenizer = models.join("llama-tiny/tokenizer.json");
            std::fs::write(tokenizer, support::byte_tokenizer()).expect("a tokenizer");
        })
        .await;
    let serving = Arc::new(serving);
    for (name, case, every) in [
        ("minilm", "sentence-0", 120),
        ("minilm", "sentence-1", 200),
        ("resnet-mini", "", 250),
        ("vit-tiny", "", 1_200),
        ("whisper-tiny-encoder", "", 6_000),
    ] {
        let model = fixture(name);
        let case = if case.is_empty() { &model.cases[0] } else { model.case(case) };
        let body = std::fs::read_to_string(model.request_path(case)).expect("a request");
        serving.ask(&format!("/v2/models/{name}/infer"), body, Duration::from_millis(every));
    }
    let prompt = json!({ "model": "llama-tiny", "prompt": "In a browser far away", "max_tokens": 48 });
    serving.ask("/v1/completions", prompt.to_string(), Duration::from_millis(600));
    let eyes = Eyes::open(&serving.url("/")).await;
    let drawn = "return document.querySelectorAll('.flow svg .arrow').length >= 3";
    eyes.until("the shards are drawn", drawn, Duration::from_secs(60)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    kill(&serving, &eyes, BrowserName::Chromium).await;
    tokio::time::sleep(Duration::from_secs(45)).await;
    eyes.picture(&support::repository().join("docs/img/live.png"), Some(1_525)).await;
    look_at_all(&eyes, "pool").await;
    nothing_to_complain_of(&eyes).await;
    Arc::into_inner(serving).expect("nobody else asks").close().await;
    eyes.close().await;
}
