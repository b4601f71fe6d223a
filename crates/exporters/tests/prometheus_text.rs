//! What is rendered reads back with a strict parser of the text format, whatever the families are.

mod support {
    pub(crate) mod text;
}

use exporters::{Family, Kind, Reading, Sample, Summary, families, prometheus};
use proptest::prelude::*;
use support::text::{Parsed, parse};
use telemetry::Telemetry;

#[track_caller]
fn check(families: &[Family], text: &str) {
    let rendered = prometheus::render(families);
    assert_eq!(rendered, text);
    parse(&rendered).expect("it reads back");
}

fn labels(labels: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    labels.iter().map(|&(name, value)| (name, value.to_owned())).collect()
}

#[test]
fn each_kind_has_its_form() {
    check(
        &[
            Family::new("a_total", "All a.", Kind::Counter)
                .with(labels(&[("x", "1"), ("y", "2")]), 18_446_744_073_709_551_615)
                .with(labels(&[("x", "2")]), 0.5),
            Family::gauge("b", "B now.", 1e-9),
            Family::new("c_seconds", "C.", Kind::Summary)
                .with(labels(&[("x", "1")]), Summary::new(vec![(0.5, 0.25), (0.99, f64::NAN)], 1.5, 3)),
        ],
        "# HELP a_total All a.\n\
         # TYPE a_total counter\n\
         a_total{x=\"1\",y=\"2\"} 18446744073709551615\n\
         a_total{x=\"2\"} 0.5\n\
         # HELP b B now.\n\
         # TYPE b gauge\n\
         b 1e-9\n\
         # HELP c_seconds C.\n\
         # TYPE c_seconds summary\n\
         c_seconds{x=\"1\",quantile=\"0.5\"} 0.25\n\
         c_seconds{x=\"1\",quantile=\"0.99\"} NaN\n\
         c_seconds_sum{x=\"1\"} 1.5\n\
         c_seconds_count{x=\"1\"} 3\n",
    );
}

#[test]
fn what_is_special_is_escaped() {
    check(
        &[Family::new("a", "One \\ two\nthree \"four\"", Kind::Gauge)
            .with(labels(&[("x", "a\\b\nc\"d")]), f64::INFINITY)
            .with(labels(&[("x", "ä{}")]), f64::NEG_INFINITY)],
        "# HELP a One \\\\ two\\nthree \"four\"\n\
         # TYPE a gauge\n\
         a{x=\"a\\\\b\\nc\\\"d\"} +Inf\n\
         a{x=\"ä{}\"} -Inf\n",
    );
}

#[test]
fn families_of_one_name_and_type_become_one() {
    check(
        &[
            Family::new("a", "First.", Kind::Gauge).with(labels(&[("x", "1")]), 1),
            Family::gauge("b", "B.", 2),
            Family::new("a", "Second.", Kind::Gauge).with(labels(&[("x", "2")]), 3),
        ],
        "# HELP a First.\n\
         # TYPE a gauge\n\
         a{x=\"1\"} 1\n\
         a{x=\"2\"} 3\n\
         # HELP b B.\n\
         # TYPE b gauge\n\
         b 2\n",
    );
}

#[track_caller]
fn check_left_out(odd: Family, why: &str) {
    let text = prometheus::render(&[Family::gauge("a", "A.", 1), odd]);
    let parsed = parse(&text).expect("it reads back");
    assert!(parsed.comments.iter().any(|comment| comment.ends_with(why)), "{text}");
    assert_eq!(parsed.families["a"].samples.len(), 1);
}

#[test]
fn what_the_format_cannot_say_is_left_out_with_a_word_about_it() {
    check_left_out(Family::gauge("a", "A.", 2), "another series has the same labels");
    check_left_out(Family::counter("a", "A.", 2), "another type");
    check_left_out(Family::gauge("1\n# TYPE x gauge", "A.", 2), "its name is not a metric's name");
    check_left_out(Family::new("b", "", Kind::Gauge).with(labels(&[("x y", "1")]), 2), "name is not one");
    check_left_out(Family::new("b", "", Kind::Gauge).with(labels(&[("__x", "1")]), 2), "name is not one");
    check_left_out(
        Family::new("b", "", Kind::Gauge).with(labels(&[("x", "1"), ("x", "2")]), 2),
        "it has a label twice",
    );
    check_left_out(Family::new("b", "", Kind::Summary).with(Vec::new(), 2), "does not fit the family's type");
    let summary = || Family::new("b", "", Kind::Summary).with(labels(&[("quantile", "1")]), Summary::empty());
    check_left_out(summary(), "own label is taken");
    let text = prometheus::render(&[summary(), Family::counter("b_count", "", 1)]);
    assert!(text.contains("another family has a series of that name"), "{text}");
    check_left_out(
        Family::new("b", "", Kind::Gauge).with(labels(&[("x", "")]), 1).with(Vec::new(), 2),
        "another series has the same labels",
    );
}

#[test]
fn a_snapshot_reads_back_whole() {
    let all = families(&Telemetry::new().snapshot());
    let parsed = parse(&prometheus::render(&all)).expect("it reads back");
    assert!(parsed.comments.is_empty(), "{:?}", parsed.comments);
    assert_eq!(parsed.families.len(), all.len());
    for family in &all {
        let found = &parsed.families[family.name.as_ref()];
        assert!(!found.help.is_empty() && found.kind == family.kind.as_str());
        let lines = if family.kind == Kind::Summary { 2 } else { 1 };
        assert_eq!(found.samples.len(), lines * family.samples.len(), "{}", family.name);
        assert!(found.samples.iter().all(|sample| sample.value == 0.0));
    }
}

fn any_value() -> impl Strategy<Value = Reading> {
    let number = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)];
    prop_oneof![
        any::<u64>().prop_map(Reading::Whole),
        number.clone().prop_map(Reading::Real),
        (number, any::<u64>(), proptest::collection::vec(any::<f64>(), 0..3)).prop_map(
            |(sum, count, values)| {
                let quantiles = values.into_iter().enumerate().map(|(at, value)| (at as f64 / 4.0, value));
                Reading::Summary(Summary::new(quantiles.collect(), sum, count))
            }
        ),
    ]
}

fn any_family() -> impl Strategy<Value = Family> {
    let name = prop_oneof!["[abc](_sum|_count|_total)?", ".{0,4}"];
    let label = prop_oneof![Just("x"), Just("y"), Just("quantile"), Just("a b"), Just("__z")];
    let labels = proptest::collection::vec((label, prop_oneof!["[ab]?", any::<String>()]), 0..3);
    let samples = proptest::collection::vec((labels, any_value()), 0..4);
    let kind = prop_oneof![Just(Kind::Counter), Just(Kind::Gauge), Just(Kind::Summary)];
    (name, any::<String>(), kind, samples).prop_map(|(name, help, kind, samples)| {
        let family = Family::new(name, help, kind);
        samples.into_iter().fold(family, |family, (labels, value)| family.with(labels, value))
    })
}

/// How often a value is found under its name, labels and, to the bit, number.
fn count(parsed: &Parsed, family: &Family, sample: &Sample) -> usize {
    let Some(found) = parsed.families.get(family.name.as_ref()) else { return 0 };
    let expected = match sample.value {
        Reading::Whole(value) => value as f64,
        Reading::Real(value) => value,
        _ => return 1,
    };
    let same = |value: f64| value.to_bits() == expected.to_bits() || (value.is_nan() && expected.is_nan());
    let labels: Vec<_> =
        sample.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    found.samples.iter().filter(|found| found.labels == labels && same(found.value)).count()
}

proptest! {
    #[test]
    fn whatever_is_rendered_reads_back(families in proptest::collection::vec(any_family(), 0..5)) {
        let text = prometheus::render(&families);
        let parsed = parse(&text);
        prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed, text);
        let parsed = parsed.expect("checked above");
        // Where nothing was left out, every number is there once.
        if parsed.comments.is_empty() {
            for family in &families {
                for sample in &family.samples {
                    prop_assert_eq!(count(&parsed, family, sample), 1, "{:?}\n{}", sample, text);
                }
            }
        }
    }
}
