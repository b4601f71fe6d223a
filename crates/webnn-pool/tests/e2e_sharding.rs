//! Parts of models in real browsers: the numbers of the whole, also when browsers die.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use sharding::{PlanError, Strategy};
use support::{Backend, BrowserName, Dice, Fixture, fixture, full, kill_browser, quantile, spec};
use tensor::{NamedTensor, Tensor};
use tokio::time::{Instant, sleep};
use webnn_pool::{
    Accelerator, GenerateOptions, ModelShardingManager, ModelSpec, Sampling, ShardedMetrics, ShardingError,
    ShardingOptions,
};

/// Four engines, and each of the backends.
const MIXED: [(BrowserName, Backend); 5] = [
    (BrowserName::Chromium, Backend::Wasm),
    (BrowserName::Firefox, Backend::Wasm),
    (BrowserName::WebKitGtk, Backend::Wasm),
    (BrowserName::ChromiumHeadlessShell, Backend::WebNn),
    (BrowserName::Chromium, Backend::WebGpu),
];

const ALIKE: [(BrowserName, Backend); 4] = [
    (BrowserName::Chromium, Backend::Wasm),
    (BrowserName::Firefox, Backend::Wasm),
    (BrowserName::WebKitGtk, Backend::Wasm),
    (BrowserName::ChromiumHeadlessShell, Backend::Wasm),
];

const STRATEGIES: [Strategy; 4] =
    [Strategy::Layer, Strategy::AttentionFeedforward, Strategy::Component, Strategy::Optimal];

async fn open(pages: &[(BrowserName, Backend)]) -> Accelerator {
    let mut builder = Accelerator::builder();
    for &(browser, backend) in pages {
        builder = builder.launch(spec(browser, backend));
    }
    builder.build().await.expect("browsers that start")
}

/// A manager whose parts are loaded; `None` where the strategy does not fit the model.
async fn sharded(
    accelerator: &Accelerator,
    model: &Fixture,
    options: ShardingOptions,
) -> Option<ModelShardingManager> {
    let manager = ModelShardingManager::new(accelerator, &model.directory, options);
    match manager.initialize_sharding().await {
        Ok(_) => Some(manager),
        Err(ShardingError::Plan(PlanError::Misfit { .. })) => None,
        Err(error) => panic!("{}: {error:?}", model.name),
    }
}

/// Who computed, for people.
fn places(metrics: &ShardedMetrics) -> Vec<String> {
    let place = |component: &webnn_pool::ComponentReport| {
        let name = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        let browser = name(component.browser.map(|browser| browser.to_string()));
        format!("{browser}/{}", name(component.backend.map(|backend| backend.to_string())))
    };
    metrics.components.iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_in_several_engines_give_the_numbers_of_the_whole() {
    let accelerator = open(&MIXED).await;
    let models: &[&str] = if full() {
        &[
            "minilm",
            "minilm-static",
            "vit-tiny",
            "vit-tiny-static",
            "whisper-tiny-encoder",
            "whisper-tiny-encoder-static",
            "clip",
            "llama-tiny",
            "resnet-mini",
        ]
    } else {
        &["clip", "llama-tiny", "resnet-mini"]
    };
    let mut used = BTreeSet::new();
    let mut right = 0;
    for name in models {
        let model = fixture(name);
        for strategy in STRATEGIES {
            let counts = if full() { &[2, 4][..] } else { &[4] };
            for &shards in counts {
                let options = ShardingOptions::new(shards, strategy);
                let Some(manager) = sharded(&accelerator, &model, options).await else {
                    println!("{name:<22} {strategy:<22} {shards}  does not fit");
                    assert!(
                        !matches!(strategy, Strategy::Layer | Strategy::Optimal),
                        "{name}: any fits {strategy}"
                    );
                    continue;
                };
                let mut worst = 0.0_f64;
                let mut seen = Vec::new();
                for case in &model.cases {
                    let ran = manager.run_inference_sharded(model.inputs(&case.name), 5).await;
                    let ran = ran.unwrap_or_else(|error| panic!("{name} {strategy} {shards}: {error:?}"));
                    let off = model.compare(case, &ran.outputs);
                    worst = worst.max(off.unwrap_or_else(|wrong| {
                        panic!(
                            "{name} {strategy} {shards} {}: {wrong} on {:?}",
                            case.name,
                            places(&ran.metrics)
                        )
                    }));
                    assert_eq!(ran.metrics.successful_components, ran.metrics.component_count);
                    seen = places(&ran.metrics);
                    used.extend(seen.iter().cloned());
                    right += 1;
                }
                println!("{name:<22} {strategy:<22} {shards}  max |Δ| {worst:.1e}  {}", seen.join(" "));
                manager.shutdown().await;
            }
        }
    }
    println!("{right} answers right; computed on {used:?}");
    assert!(used.len() >= 4, "parts went to several engines and backends: {used:?}");
    accelerator.shutdown().await;
}

/// Kills the browser of a random component at a random moment of a run.
struct Killer<'a> {
    accelerator: &'a Accelerator,
    dice: Dice,
}

impl Killer<'_> {
    /// Waits until all browsers are there again.
    async fn whole(&self, pages: usize) {
        let began = Instant::now();
        while self.accelerator.stats().core.workers.len() < pages {
            assert!(began.elapsed() < Duration::from_secs(120), "{:?}", self.accelerator.stats());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// `after` a random part of `within`.
    async fn strike(&mut self, among: &ShardedMetrics, within: Duration) -> BrowserName {
        let component = &among.components[self.dice.below(among.components.len())];
        let browser = component.browser.expect("it ran");
        let micros = usize::try_from(within.as_micros()).expect("a run is short");
        sleep(Duration::from_micros(self.dice.below(micros.max(1)) as u64)).await;
        let began = Instant::now();
        loop {
            let pages = self.accelerator.pages();
            let page = pages.iter().find(|page| page.is_connected() && page.worker_info().browser == browser);
            if page.is_some_and(|page| kill_browser(self.accelerator.mark(), browser, page.label()) > 0) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{browser} has no process: {pages:?}");
            sleep(Duration::from_millis(20)).await;
        }
        browser
    }
}

/// How many trials of each kind, and with which seed: `WEBNN_POOL_SHARD_KILLS=SEED:TRIALS`.
fn trials() -> (u64, usize) {
    let asked = std::env::var("WEBNN_POOL_SHARD_KILLS").ok();
    let parse = |text: String| {
        let (seed, trials) = text.split_once(':')?;
        Some((seed.parse().ok()?, trials.parse().ok()?))
    };
    asked.map_or((1, 2), |text| parse(text).expect("SEED:TRIALS"))
}

/// Whether more than the sample of each change was asked for.
fn long() -> bool {
    trials().1 > 9
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_of_a_request_change_no_number() {
    let (seed, trials) = trials();
    let accelerator = open(&ALIKE).await;
    let mut moved = 0;
    // The sample of each change has two of the strategies; a number of trials asks for all.
    let strategies = if long() { &STRATEGIES[..] } else { &[Strategy::Layer, Strategy::Component] };
    for &strategy in strategies {
        let name = if strategy == Strategy::Component { "clip" } else { "minilm-static" };
        let model = fixture(name);
        let case = &model.cases[0];
        let manager =
            sharded(&accelerator, &model, ShardingOptions::new(2, strategy)).await.expect("it fits");
        let mut killer = Killer { accelerator: &accelerator, dice: Dice(seed) };
        let mut took = Vec::new();
        let mut undisturbed = Vec::new();
        let mut hit = BTreeMap::<BrowserName, usize>::new();
        let mut disturbed = 0;
        let mut failed = Vec::new();
        for trial in 0..trials {
            killer.whole(ALIKE.len()).await;
            // Twice, so that the second finds everything loaded.
            for _ in 0..2 {
                let before =
                    manager.run_inference_sharded(model.inputs(&case.name), 5).await.expect("an answer");
                undisturbed.push(before.metrics);
            }
            let before = undisturbed.last().expect("two");
            let within = Duration::from_secs_f64(before.inference_time_ms / 1e3);
            let began = Instant::now();
            let run = manager.run_inference_sharded(model.inputs(&case.name), 5);
            let (ran, browser) = tokio::join!(run, killer.strike(before, within));
            *hit.entry(browser).or_default() += 1;
            match ran {
                Ok(ran) => {
                    took.push(began.elapsed().as_secs_f64());
                    disturbed += usize::from(ran.metrics.recovery_attempts.browser_change > 0);
                    if let Err(wrong) = model.compare(case, &ran.outputs) {
                        panic!("trial {trial} of {strategy}: {wrong}");
                    }
                }
                Err(error) => failed.push(format!("trial {trial}, {browser}: {error:?}")),
            }
        }
        println!(
            "{strategy}: {} of {trials} right, {disturbed} of them moved a component, p50 {:.2} s, worst {:.2} s; hit {hit:?}",
            took.len(),
            quantile(&took, 0.5),
            quantile(&took, 1.0),
        );
        for failure in &failed {
            println!("  {failure}");
        }
        assert!(failed.len() * 100 <= trials, "at least 99 of 100: {failed:#?}");
        moved += disturbed;
        manager.shutdown().await;
    }
    assert!(moved > 0 || !long(), "some of the kills hit a request");
    accelerator.shutdown().await;
}

fn prompt(length: i64, seed: i64) -> Vec<i64> {
    (0..length).map(|at| (at * 37 + seed * 101 + 5) % 512).collect()
}

/// What the whole model gives greedily, with no cache at all: the whole text so far is computed for each token.
async fn reference(accelerator: &Accelerator, model: &Fixture, prompt: &[i64], count: usize) -> Vec<i64> {
    let whole = accelerator.accelerate_model(ModelSpec::path(&model.directory)).await.expect("a model");
    let whole = whole.on_backends([Backend::Wasm]);
    let empty: Vec<NamedTensor> = whole
        .signature()
        .inputs
        .iter()
        .filter(|spec| spec.name.starts_with("past"))
        .map(|spec| {
            let tensor = Tensor::from_vec::<f32>([1, 2, 0, 32], Vec::new()).expect("an empty cache");
            NamedTensor::new(Arc::clone(&spec.name), tensor)
        })
        .collect();
    let mut text = prompt.to_vec();
    for _ in 0..count {
        let shape = [1, text.len() as u64];
        let ones = vec![1_i64; text.len()];
        let positions: Vec<i64> = (0..i64::try_from(text.len()).expect("short")).collect();
        let mut inputs = empty.clone();
        for (name, values) in [("input_ids", &text), ("attention_mask", &ones), ("position_ids", &positions)]
        {
            inputs.push(NamedTensor::new(name, Tensor::from_slice(shape, values).expect("a row")));
        }
        let done = whole.run(inputs).await.expect("an answer");
        let logits = done.outputs.iter().find(|output| &*output.name == "logits").expect("logits");
        let logits = logits.tensor.to_vec::<f32>().expect("numbers");
        let last = &logits[logits.len() - 512..];
        let best = (0..512).reduce(|best, at| if last[at] > last[best] { at } else { best }).expect("512");
        text.push(i64::try_from(best).expect("small"));
    }
    text.split_off(prompt.len())
}

fn tokens(count: usize) -> GenerateOptions {
    let mut options = GenerateOptions::default();
    options.max_new_tokens = count;
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_over_shards_are_those_of_the_whole() {
    const COUNT: usize = 24;
    let accelerator = open(&ALIKE).await;
    let model = fixture("llama-tiny");
    let mut expected = Vec::new();
    for seed in 0..4 {
        expected.push(reference(&accelerator, &model, &prompt(9 + seed, seed), COUNT).await);
    }
    for (strategy, shards) in
        [(Strategy::Layer, 2), (Strategy::Layer, 4), (Strategy::AttentionFeedforward, 2)]
    {
        let manager =
            sharded(&accelerator, &model, ShardingOptions::new(shards, strategy)).await.expect("it fits");
        let one =
            |seed: i64| manager.generate(&prompt(9 + seed, seed), tokens(COUNT)).expect("it generates").all();
        let began = Instant::now();
        let mut alone = Vec::new();
        for seed in 0..4 {
            alone.push(one(seed).await.expect("a text"));
        }
        let in_turn = began.elapsed();
        assert_eq!(alone, expected, "{strategy} {shards}");
        let began = Instant::now();
        let together = try_join_all((0..4).map(one)).await.expect("texts");
        println!(
            "{strategy} over {shards}: four texts of {COUNT} tokens in turn {in_turn:.2?}, together {:.2?}",
            began.elapsed()
        );
        assert_eq!(together, expected, "{strategy} {shards}, four at the same time");
        let metrics = manager.metrics();
        let last = metrics.last.expect("the last step");
        let travelled: u64 =
            last.components.iter().map(|component| component.input_bytes).max().expect("components");
        // Hidden states of one token, and a mask; the smallest of the caches is larger.
        assert!(travelled < 4 << 10, "caches do not travel: {travelled} bytes in the last step");
        assert_eq!(metrics.recovery_attempts.cache_rebuild, 0);

        let mut options = tokens(COUNT);
        options.sampling = Sampling::Random { temperature: 0.8, top_k: 50, top_p: 0.9, seed: 11 };
        let drawn = || manager.generate(&prompt(9, 0), options.clone()).expect("it generates").all();
        let first = drawn().await.expect("a text");
        assert_eq!(first, drawn().await.expect("a text"), "the same seed draws the same text");
        assert_ne!(first, expected[0], "and not the likeliest");
        manager.shutdown().await;
    }
    accelerator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_stay_on_the_graphics_device() {
    const COUNT: usize = 5;
    let pages = [
        (BrowserName::Chromium, Backend::WebGpu),
        (BrowserName::ChromiumHeadlessShell, Backend::WebGpu),
        (BrowserName::Firefox, Backend::Wasm),
    ];
    let accelerator = open(&pages).await;
    let model = fixture("llama-tiny");
    let mut options = ShardingOptions::new(2, Strategy::Layer);
    options.backends = vec![Backend::WebGpu];
    let manager = sharded(&accelerator, &model, options).await.expect("it fits");
    for seed in 0..if full() { 3 } else { 1 } {
        let expected = reference(&accelerator, &model, &prompt(9, seed), COUNT).await;
        let text = manager.generate(&prompt(9, seed), tokens(COUNT)).expect("it generates").all().await;
        assert_eq!(text.expect("a text"), expected);
    }
    let metrics = manager.metrics();
    assert_eq!(metrics.recovery_attempts.cache_rebuild, 0);
    let last = metrics.last.expect("the last step");
    println!("on {:?}: {:.0} ms for the last token", places(&last), last.inference_time_ms);
    assert!(last.components.iter().all(|component| component.backend == Some(Backend::WebGpu)), "{last:?}");
    // A step that the runtime refuses spoils nothing for those behind it.
    let case = &model.cases[1];
    let mut bad = model.inputs(&case.name);
    let mask = bad.iter_mut().find(|input| &*input.name == "attention_mask").expect("a mask");
    mask.tensor = Tensor::from_vec([1, 3], vec![1_i64; 3]).expect("a row");
    let refused = manager.run_inference_sharded(bad, 0).await.expect_err("the mask has another length");
    println!("{refused}");
    let expected = reference(&accelerator, &model, &prompt(7, 3), 2).await;
    let text = manager.generate(&prompt(7, 3), tokens(2)).expect("it generates").all().await;
    assert_eq!(text.expect("a text"), expected, "after a run that failed");
    // Without a sequence the same session gives its caches away like other outputs.
    let plain = manager.run_inference_sharded(model.inputs(&case.name), 5).await.expect("an answer");
    model.compare(case, &plain.outputs).expect("the right numbers");
    manager.shutdown().await;
    accelerator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_of_a_text_change_no_token() {
    const COUNT: usize = 24;
    let (seed, trials) = trials();
    let accelerator = open(&ALIKE).await;
    let model = fixture("llama-tiny");
    let expected = reference(&accelerator, &model, &prompt(9, 0), COUNT).await;
    let manager =
        sharded(&accelerator, &model, ShardingOptions::new(2, Strategy::Layer)).await.expect("it fits");
    let mut killer = Killer { accelerator: &accelerator, dice: Dice(seed) };
    let mut failed = Vec::new();
    let mut rebuilt = 0;
    for trial in 0..trials {
        killer.whole(ALIKE.len()).await;
        let began = Instant::now();
        let undisturbed = manager.generate(&prompt(9, 0), tokens(COUNT)).expect("it generates").all().await;
        assert_eq!(undisturbed.expect("a text"), expected);
        let within = began.elapsed();
        let before = manager.metrics();
        let last = before.last.expect("the last step");
        let run = manager.generate(&prompt(9, 0), tokens(COUNT)).expect("it generates").all();
        let (text, browser) = tokio::join!(run, killer.strike(&last, within));
        match text {
            Ok(text) => assert_eq!(text, expected, "trial {trial}, {browser}"),
            Err(error) => failed.push(format!("trial {trial}, {browser}: {error:?}")),
        }
        let after = manager.metrics().recovery_attempts.cache_rebuild;
        rebuilt += usize::from(after > before.recovery_attempts.cache_rebuild);
    }
    println!("{} of {trials} texts identical, {rebuilt} of them with caches rebuilt", trials - failed.len());
    assert!(rebuilt > 0 || !long(), "some of the kills hit a text");
    assert!(failed.len() * 100 <= trials, "at least 99 of 100: {failed:#?}");
    manager.shutdown().await;
    accelerator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_retries_exhausted_one_error_names_the_component() {
    let pages = [(BrowserName::Chromium, Backend::Wasm), (BrowserName::ChromiumHeadlessShell, Backend::Wasm)];
    let accelerator = open(&pages).await;
    let model = fixture("minilm-static");
    let manager =
        sharded(&accelerator, &model, ShardingOptions::new(2, Strategy::Layer)).await.expect("it fits");
    let inputs = || model.inputs(&model.cases[0].name);
    let before = manager.run_inference_sharded(inputs(), 0).await.expect("an answer").metrics;
    let mut killer = Killer { accelerator: &accelerator, dice: Dice(3) };
    killer.strike(&before, Duration::from_micros(1)).await;
    let error = manager.run_inference_sharded(inputs(), 0).await.expect_err("its page is dead");
    match &error {
        ShardingError::Component { component, label, .. } => {
            assert_eq!(before.components[*component].label, *label);
        }
        other => panic!("{other:?}"),
    }
    println!("{error}");
    // Nothing is lost: with repetitions the same manager answers, on the page that is left or on the new one.
    let after = manager.run_inference_sharded(inputs(), 5).await.expect("an answer");
    model.compare(&model.cases[0], &after.outputs).expect("the right numbers");
    let totals = manager.metrics();
    assert_eq!((totals.answers, totals.errors), (2, 1));
    manager.shutdown().await;
    accelerator.shutdown().await;
}

/// Parts that were loaded so far, by whomever.
fn loads(accelerator: &Accelerator) -> u64 {
    let counters = serde_json::to_value(accelerator.telemetry().snapshot().counters).expect("JSON");
    counters["sessions_loaded"].as_u64().unwrap_or_else(|| panic!("{counters}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_and_plans_of_one_model_share_its_parts() {
    let pages = [(BrowserName::Chromium, Backend::Wasm), (BrowserName::ChromiumHeadlessShell, Backend::Wasm)];
    let accelerator = open(&pages).await;
    let model = fixture("llama-tiny");
    let options = || ShardingOptions::new(2, Strategy::Layer);
    let manager = sharded(&accelerator, &model, options()).await.expect("it fits");
    let expected = reference(&accelerator, &model, &prompt(9, 0), 6).await;
    let before = loads(&accelerator);
    // A text that began on the first deployment goes on while another one takes its place.
    let mut text = manager.generate(&prompt(9, 0), tokens(6)).expect("it generates");
    let mut given = vec![text.next().await.expect("a token").expect("it goes on")];
    manager.initialize_sharding().await.expect("again");
    let other = sharded(&accelerator, &model, options()).await.expect("it fits");
    while let Some(token) = text.next().await.expect("a token") {
        given.push(token);
    }
    assert_eq!(given, expected);
    drop(text);
    other.shutdown().await;
    let again = manager.generate(&prompt(9, 0), tokens(6)).expect("it generates").all().await;
    assert_eq!(again.expect("a text"), expected);
    assert_eq!(loads(&accelerator), before, "the parts were there all the while");
    assert_eq!(manager.metrics().recovery_attempts.cache_rebuild, 0);

    // A token that nobody waited for is computed again, without any repetition.
    let mut one = tokens(6);
    one.max_retries = 0;
    let mut text = manager.generate(&prompt(9, 0), one).expect("it generates");
    let mut given = vec![text.next().await.expect("a token").expect("it goes on")];
    for _ in 0..3 {
        let _ = tokio::time::timeout(Duration::from_millis(4), text.next()).await.map(|token| {
            given.extend(token.expect("a token"));
        });
    }
    while let Some(token) = text.next().await.expect("a token") {
        given.push(token);
    }
    assert_eq!(given, expected);
    drop(text);

    // One page at most: both parts are there.
    let mut narrow = options();
    narrow.max_connections = 1;
    let narrow = sharded(&accelerator, &model, narrow).await.expect("it fits");
    let case = &model.cases[0];
    let ran = narrow.run_inference_sharded(model.inputs(&case.name), 2).await.expect("an answer");
    let workers: BTreeSet<_> = ran.metrics.components.iter().map(|component| component.worker).collect();
    assert_eq!(workers.len(), 1, "{:?}", places(&ran.metrics));
    drop(narrow);
    manager.shutdown().await;
    accelerator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_without_a_load() {
    let accelerator = open(&ALIKE).await;
    let model = fixture("minilm-static");
    let mut options = ShardingOptions::new(2, Strategy::Layer);
    options.standby = true;
    let manager = sharded(&accelerator, &model, options).await.expect("it fits");
    let inputs = || model.inputs(&model.cases[0].name);
    let before = manager.run_inference_sharded(inputs(), 5).await.expect("an answer").metrics;
    assert_eq!(manager.metrics().loads, 4, "two parts, each twice");
    let mut killer = Killer { accelerator: &accelerator, dice: Dice(5) };
    killer.strike(&before, Duration::from_micros(1)).await;
    let runs = join_all((0..3).map(|_| manager.run_inference_sharded(inputs(), 5))).await;
    for run in runs {
        model.compare(&model.cases[0], &run.expect("an answer").outputs).expect("the right numbers");
    }
    assert_eq!(manager.metrics().loads, 4, "nothing was loaded again");
    manager.shutdown().await;
    let left = || {
        let workers = accelerator.stats().core.workers;
        workers.iter().map(|worker| worker.sessions.len()).sum::<usize>()
    };
    support::until("the parts are unloaded", Duration::from_secs(20), || left() == 0).await;
    accelerator.shutdown().await;
}
