//! Tensors of every type and size pass through a page unchanged, and what cannot pass is refused with a typed error.
#![allow(clippy::print_stdout, reason = "what was measured belongs in the output")]

mod support;

use std::time::Duration;

use pool_core::{LinkError, Marks};
use support::{Backend, BrowserName, ENGINES, FailureKind, Rig, fixture, rig, rig_with};
use tensor::{DType, NamedTensor, Tensor, bf16, f16};
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(20);

fn named(name: &str, tensor: Result<Tensor, tensor::TensorError>) -> NamedTensor {
    NamedTensor::new(name, tensor.expect("a tensor"))
}

/// One tensor of each element type, with the values at its edges.
fn every_type() -> Vec<NamedTensor> {
    vec![
        named("f32", Tensor::from_slice([4], &[f32::MIN, -0.0, f32::NAN, f32::INFINITY])),
        named("f64", Tensor::from_slice([2, 1], &[f64::MIN_POSITIVE, f64::MAX])),
        named("f16", Tensor::from_slice([2], &[f16::MAX, f16::from_bits(0x7e01)])),
        named("bf16", Tensor::from_slice([2], &[bf16::MAX, bf16::from_bits(0x7fc1)])),
        named("i8", Tensor::from_slice([2], &[i8::MIN, i8::MAX])),
        named("u8", Tensor::from_slice([3], &[0_u8, 1, 255])),
        named("i16", Tensor::from_slice([2], &[i16::MIN, i16::MAX])),
        named("u16", Tensor::from_slice([1], &[u16::MAX])),
        named("i32", Tensor::from_slice([2], &[i32::MIN, i32::MAX])),
        named("u32", Tensor::from_slice([1], &[u32::MAX])),
        named("i64", Tensor::from_slice([2], &[i64::MIN, i64::MAX])),
        named("u64", Tensor::from_slice([1], &[u64::MAX])),
        named("bool", Tensor::from_slice([2], &[true, false])),
        named("i4", Tensor::pack_i4([3], &[-8, 0, 7])),
        named("u4", Tensor::pack_u4([3], &[0, 8, 15])),
        named("string", Tensor::from_strings([2, 2], &["", "ä€😀", "a\0b", "line\nbreak"])),
        named("empty", Tensor::from_slice::<f32>([0, 7], &[])),
        NamedTensor::new("scalar", Tensor::scalar(42_i64)),
        named("", Tensor::from_slice([1], &[1_u8])),
    ]
}

async fn echo(rig: &Rig, tensors: &[NamedTensor]) {
    let started = Instant::now();
    let back = rig.page.echo(Backend::Wasm, tensors, TIMEOUT).await.expect("an echo");
    let bytes: usize = tensors.iter().map(|tensor| tensor.tensor.data().len()).sum();
    println!("{} echo of {bytes} B: {:?}", rig.page.label(), started.elapsed());
    assert!(back == tensors, "{bytes} bytes came back changed");
}

/// How the runtime refuses this element type, if it does: it has no tensors of two bytes of bfloat16, and tensors of
/// four bits but no kernel for them here.
fn refusal(dtype: DType) -> Option<FailureKind> {
    match dtype {
        DType::Bf16 => Some(FailureKind::UnsupportedDtype),
        DType::I4 | DType::U4 => Some(FailureKind::UnsupportedOperator),
        _ => None,
    }
}

async fn check(name: BrowserName) {
    let rig = rig(name, &[Backend::Wasm]).await;

    echo(&rig, &[]).await;
    let types = every_type();
    // Not equality of numbers: a NaN must come back with its own bits.
    let back = rig.page.echo(Backend::Wasm, &types, TIMEOUT).await.expect("an echo");
    for (sent, got) in types.iter().zip(&back) {
        assert_eq!(
            (&sent.name, sent.tensor.dtype(), sent.tensor.shape()),
            (&got.name, got.tensor.dtype(), got.tensor.shape())
        );
        assert_eq!(sent.tensor.data(), got.tensor.data(), "{}", sent.name);
    }
    for bytes in [64, 64 << 10, 1 << 20, 16 << 20] {
        let ramp: Vec<u8> = (0..bytes).map(|i: u32| (i % 251) as u8).collect();
        echo(&rig, &[named("x", Tensor::from_vec([u64::from(bytes)], ramp))]).await;
    }

    for dtype in [
        "bfloat16",
        "bool",
        "float16",
        "float32",
        "float32-scalar",
        "float64",
        "int16",
        "int32",
        "int4",
        "int64",
        "int8",
        "string",
        "uint16",
        "uint32",
        "uint4",
        "uint64",
        "uint8",
    ] {
        identity(&rig, dtype).await;
    }
    let complex = rig.load(&fixture("identity/complex64").model, Backend::Wasm).await;
    refused(&complex, &FailureKind::UnsupportedDtype, "complex64");

    marks(&rig).await;

    // After all of that the page still answers.
    echo(&rig, &types[4..8]).await;
    rig.end().await;
}

async fn identity(rig: &Rig, name: &str) {
    let fixture = fixture(&format!("identity/{name}"));
    let loaded = rig.load(&fixture.model, Backend::Wasm).await;
    for case in fixture.cases() {
        let inputs = fixture.inputs(&case);
        let what = format!("{name}/{case} in {}", rig.page.label());
        let answer = match &loaded {
            Ok((session, _)) => rig.run(*session, inputs.clone()).await,
            Err(error) => Err(error.clone()),
        };
        if name == "string" && case == "nul" {
            refused(&answer, &FailureKind::InvalidInput, &what);
        } else if let Some(kind) = refusal(inputs[0].tensor.dtype()) {
            refused(&answer, &kind, &what);
        } else {
            let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(answer.outputs.len(), 1, "{what}");
            assert_eq!(answer.outputs[0].tensor.dtype(), inputs[0].tensor.dtype(), "{what}");
            assert_eq!(answer.outputs[0].tensor.shape(), inputs[0].tensor.shape(), "{what}");
            assert_eq!(answer.outputs[0].tensor.data(), inputs[0].tensor.data(), "{what}");
        }
    }
}

/// How many runs are looked at: more than the bridge compares to align the page's clock.
const TIMED: usize = 40;

/// What browsers may round their clocks to, twice: at the beginning and at the end.
const ROUNDING_MS: f64 = 2.0;

/// The page tells when the parts of a run were, and the bridge has its clock right: everything lies between sending and
/// receiving, in order, and what is between start and end is what the page computed.
async fn marks(rig: &Rig) {
    let fixture = fixture("identity/float32");
    let (session, _) = rig.load(&fixture.model, Backend::Wasm).await.expect("it loads");
    let inputs = fixture.inputs(&fixture.cases()[0]);
    let mut spent: [Vec<f64>; 5] = Default::default();
    for _ in 0..TIMED {
        let asked = Instant::now();
        let reply = rig.run(session, inputs.clone()).await.expect("a result");
        let had = Instant::now();
        let Marks { sent, arrived, started, ended, answered, received } =
            reply.marks.expect("the page tells");
        let times = [asked, sent, arrived, started, ended, answered, received, had];
        assert!(times.is_sorted(), "{}: {times:?}", rig.page.label());
        let ms = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64() * 1e3;
        let computed = ms(started, ended);
        assert!(
            (computed - reply.in_page_ms).abs() <= ROUNDING_MS,
            "{}: {computed} ms by the host's clock, {} ms by its own",
            rig.page.label(),
            reply.in_page_ms
        );
        for (part, (from, to)) in times[1..7].iter().zip(&times[2..7]).enumerate() {
            spent[part].push(ms(*from, *to));
        }
    }
    let [there, waiting, computing, reading, back] = spent.map(|mut part| {
        part.sort_by(f64::total_cmp);
        part[part.len() / 2]
    });
    println!(
        "{} medians of {TIMED} runs, ms: there {there:.3}, waiting {waiting:.3}, computing {computing:.3}, \
         reading {reading:.3}, back {back:.3}",
        rig.page.label()
    );
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: &Result<T, LinkError>, wanted: &FailureKind, what: &str) {
    println!("{what}: {answer:?}");
    assert!(matches!(answer, Err(LinkError::Reported { kind, .. }) if kind == wanted), "{what}: {answer:?}");
}

#[tokio::test]
async fn chromium() {
    check(BrowserName::Chromium).await;
}

#[tokio::test]
async fn chromium_headless_shell() {
    check(BrowserName::ChromiumHeadlessShell).await;
}

#[tokio::test]
async fn firefox() {
    check(BrowserName::Firefox).await;
}

#[tokio::test]
async fn webkitgtk() {
    check(BrowserName::WebKitGtk).await;
}

#[tokio::test]
async fn frames_beyond_the_limit_are_refused_before_they_are_sent() {
    let rig = rig_with(ENGINES[0], &[Backend::Wasm], |limits| limits.frame.max_frame_bytes = 1 << 20).await;
    let large = named("x", Tensor::from_vec([2 << 20], vec![0_u8; 2 << 20]));
    let started = Instant::now();
    refused(
        &rig.page.echo(Backend::Wasm, &[large], TIMEOUT).await,
        &FailureKind::InvalidInput,
        "to the page",
    );
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    // The page has not heard of it, and goes on.
    let fits = named("x", Tensor::from_vec([1 << 19], vec![7_u8; 1 << 19]));
    echo(&rig, &[fits]).await;
    rig.end().await;
}
