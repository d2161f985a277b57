//! A query that costs too much, or makes no sense, is an error that says so.

#![allow(
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "small numbers, and tests that are to panic"
)]

use promql::{Error, ErrorKind, Found, Labels, Limits, Matcher, NAME, Sample, Series};
use proptest::prelude::*;

/// Series `a` of `count` kinds with a value every ten seconds.
struct Many(usize);

impl Series for Many {
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        from: i64,
        until: i64,
    ) -> Box<dyn Iterator<Item = Result<Found, Error>> + 'a> {
        let each = (0..self.0).map(move |number| {
            let labels: Labels = [(NAME, "a".to_owned()), ("kind", number.to_string())]
                .into_iter()
                .collect();
            let times = (from.div_euclid(10_000) + 1..=until.div_euclid(10_000)).take(1000);
            let samples = times.map(|ten| Sample {
                time: ten * 10_000,
                value: (ten % 7) as f64,
            });
            Ok(Found {
                labels,
                samples: samples.collect(),
            })
        });
        Box::new(each.filter(|found| {
            found
                .as_ref()
                .is_ok_and(|found| Matcher::all(matchers, &found.labels))
        }))
    }
}

fn failure(query: &str, limits: &Limits<'_>) -> Error {
    let expr = promql::parse(query).unwrap();
    promql::range(&expr, (0, 600_000), 1000, &Many(50), limits).unwrap_err()
}

#[test]
fn too_many_samples_are_an_error_that_names_the_limit() {
    let limits = Limits {
        samples: 10_000,
        ..Limits::default()
    };
    for query in [
        "a",
        "rate(a[5m])",
        "a + a",
        "sum_over_time(vector(1)[1h:1s])",
        "count_values(\"x\", a)",
    ] {
        let error = failure(query, &limits);
        assert_eq!(error.kind, ErrorKind::Execution, "{query}");
        assert!(
            error.message.contains("too many samples") && error.message.contains("10000"),
            "{error}"
        );
    }
}

#[test]
fn too_many_series_are_an_error_that_names_the_limit() {
    let limits = Limits {
        series: 49,
        ..Limits::default()
    };
    let error = failure("sum(a)", &limits);
    assert_eq!(error.kind, ErrorKind::Execution);
    assert!(
        error.message.contains("too many series") && error.message.contains("49"),
        "{error}"
    );
}

#[test]
fn a_query_whose_time_is_over_ends() {
    let is_over = || true;
    let limits = Limits {
        is_over: &is_over,
        ..Limits::default()
    };
    assert_eq!(failure("a", &limits).kind, ErrorKind::Timeout);
}

#[test]
fn a_range_of_too_many_steps_is_refused() {
    let expr = promql::parse("1").unwrap();
    let limits = Limits::default();
    let range = |end, step| promql::range(&expr, (0, end), step, &Many(0), &limits);
    assert_eq!(range(11_000, 1).unwrap_err().kind, ErrorKind::Bad);
    assert!(range(10_999, 1).is_ok());
    assert_eq!(range(10, 0).unwrap_err().kind, ErrorKind::Bad);
    assert_eq!(range(-1, 1).unwrap_err().kind, ErrorKind::Bad);
    assert_eq!(range(i64::MAX, 1).unwrap_err().kind, ErrorKind::Bad);
}

#[test]
fn what_lies_too_deep_or_is_too_long_is_refused() {
    for query in [
        format!("{}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}1", "-".repeat(5000)),
        format!("1{}", " + 1".repeat(5000)),
        format!("1{}", " ^ 1".repeat(5000)),
        format!("{}a{}", "abs(".repeat(5000), ")".repeat(5000)),
        format!("a{{x=\"{}\"}}", "y".repeat(70_000)),
    ] {
        let error = promql::parse(&query).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Bad, "{error}");
    }
}

#[test]
fn a_query_says_which_times_it_reads() {
    let extent = |query: &str| promql::extent(&promql::parse(query).unwrap(), 1_000_000, 2_000_000);
    assert_eq!(extent("1 + time()"), None);
    assert_eq!(extent("a"), Some((700_000, 2_000_000)));
    assert_eq!(extent("rate(a[1m] offset 10s)"), Some((930_000, 1_990_000)));
    assert_eq!(
        extent("max_over_time(rate(a[1m])[5m:10s]) + b @ 100"),
        Some((-200_000, 2_000_000))
    );
    assert_eq!(extent("a @ end()"), Some((1_700_000, 2_000_000)));
}

/// Words of the language in any order.
fn words() -> impl Strategy<Value = String> {
    let words = [
        "a",
        "sum",
        "rate",
        "(",
        ")",
        "[5m]",
        "[1m:10s]",
        "{",
        "}",
        "kind",
        "=",
        "=~",
        "\"1\"",
        "'x'",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "bool",
        "offset",
        "@",
        "1",
        "0x",
        "-",
        "+",
        "^",
        "%",
        "and",
        "or",
        "unless",
        "==",
        ">",
        ",",
        "5m",
        "inf",
        "start()",
        "topk",
        "quantile_over_time",
        "label_replace",
        "histogram_quantile",
        "absent",
        "2",
        ":",
        "#",
        "\\",
        "ü",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..24)
        .prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(query in prop_oneof![".{0,60}", words()], start in -10_i64..10_000, step in 1_i64..5000) {
        if let Ok(expr) = promql::parse(&query) {
            let limits = Limits { samples: 100_000, ..Limits::default() };
            let _ = promql::instant(&expr, start, &Many(3), &limits);
            let _ = promql::range(&expr, (start, start + 3 * step), step, &Many(3), &limits);
            let _ = promql::extent(&expr, start, start);
        }
    }
}
