//! Queries of PromQL: read, and evaluated over a few series within narrow limits.

use promql::{Error, Found, Labels, Limits, Matcher, NAME, Sample, Series};

use super::{Shape, Target};

pub(super) const TARGET: Target = Target {
    name: "queries",
    shape: Shape::Text,
    seeds,
    run,
};

/// Four counters, one with a gap.
struct Few;

impl Series for Few {
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        from: i64,
        until: i64,
    ) -> Box<dyn Iterator<Item = Result<Found, Error>> + 'a> {
        let each = (0..4_u8).map(move |number| {
            let le = if number == 3 {
                "+Inf".to_owned()
            } else {
                format!("0.{number}")
            };
            let labels: Labels = [(NAME, "a".to_owned()), ("le", le)].into_iter().collect();
            let times = (0..60_i64).map(|ten| ten * 10_000);
            let inside = times.filter(|time| {
                (from..=until).contains(time) && (number != 1 || !(200_000..500_000).contains(time))
            });
            let samples = inside.map(|time| Sample {
                time,
                value: f64::from((time % 70_000) as i32) * f64::from(number + 1),
            });
            Found {
                labels,
                samples: samples.collect(),
            }
        });
        Box::new(
            each.filter(|found| Matcher::all(matchers, &found.labels))
                .map(Ok),
        )
    }
}

fn run(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let expr = match promql::parse(query) {
        Ok(expr) => expr,
        Err(error) => return assert!(!error.message.is_empty()),
    };
    let limits = Limits {
        samples: 200_000,
        ..Limits::default()
    };
    if let Some((from, until)) = promql::extent(&expr, 300_000, 600_000) {
        assert!(from <= until, "it reads backwards");
    }
    let _ = promql::instant(&expr, 590_000, &Few, &limits);
    if let Ok(lines) = promql::range(&expr, (300_000, 600_000), 60_000, &Few, &limits) {
        for line in &lines {
            assert!(!line.samples.is_empty(), "a series without values");
            assert!(
                line.samples
                    .is_sorted_by(|one, other| one.time < other.time)
            );
        }
        let labels: std::collections::BTreeSet<_> = lines.iter().map(|line| &line.labels).collect();
        assert_eq!(labels.len(), lines.len(), "a series comes twice");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let queries = [
        "sum by (le) (rate(a{le!=\"0.1\"}[5m]))",
        "histogram_quantile(0.9, increase(a[1m] offset 10s)) > bool 1e3",
        "topk(2, a) - on (le) group_left (x) label_replace(a, \"x\", \"$1\", \"le\", \"(.*)\") unless -a @ start()",
        "max_over_time(quantile without (le) (0.5, a)[5m:30s]) ^ 2 or absent(b{c='d'})",
        "count_values('v', round(a / 7, 0.5)) and ignoring (v) vector(scalar(sum(a)) % 0x1F)",
        "predict_linear(a[5m], 3600) * deriv(a[2m]) atan2 stddev_over_time(a[3m])",
    ];
    queries
        .iter()
        .map(|query| query.as_bytes().to_vec())
        .collect()
}
