//! The tiles of the page's first screen: what the page asks the relay for, as its own source has it, makes the number that the
//! command of the tile answers, and the metric agrees.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use testkit::cluster::Cluster;

use super::relay::{get, path, value};
use crate::answers::{asked, number, told};
use crate::spoken::told::{list, text};

/// Which answers the page asks for, and which command tells what a tile tells. The page reads the same file.
const TILES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../ui/src/tiles.json"
));

/// As a page asks for the last quarter of an hour, and a command. Of this namespace only: nodes go on to talk to the API server.
const SPAN: (&str, &str) = ("900s", "15m");
const NAMESPACE: &str = "shop";
/// Its edges: what its pods ask, and what they are asked.
const EDGES: &str = r#"source=~"(shop|probes)/.*|world",destination=~"shop/.*|partner.example""#;

/// Answers, by what was asked.
type Answers = BTreeMap<String, Value>;

/// Every tile has the number that its command tells.
pub(super) fn agree(cluster: &Cluster) {
    let tiles: Value = serde_json::from_str(TILES).expect("JSON");
    let page = page(cluster, &tiles["asks"]).expect("the page's answers");
    let commands = tiles["commands"].as_object().expect("commands");
    for (key, words) in commands {
        let words = words.as_array().expect("words").iter();
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        let shown = tile(key, &page).expect("a number");
        let told = command(cluster, key, &words).expect("an answer");
        assert!(
            same(&shown, &told),
            "tile {key} has {shown:?}, and 'axoneme {}' {told:?}",
            words.join(" ")
        );
    }
    println!(
        "ok    {} tiles have the numbers of commands",
        commands.len()
    );
}

/// And the number of its metric, if one counts the same.
pub(super) fn agree_with_metrics(cluster: &Cluster) {
    let tiles: Value = serde_json::from_str(TILES).expect("JSON");
    let page = page(cluster, &tiles["asks"]).expect("the page's answers");
    for (key, query) in METRICS {
        let shown = tile(key, &page).expect("a number");
        let query = query.replace("OF", EDGES);
        let counted = value(cluster, &query).expect("a value");
        // Of a histogram only between which of its bounds a quantile lies is known.
        let agrees = if query.contains("histogram_quantile") {
            (0.39..2.6).contains(&(shown[0] / counted))
        } else {
            (shown[0] - counted).abs() < 1e-6
        };
        assert!(agrees, "tile {key} has {shown:?}, and {query} {counted}");
    }
    println!("ok    {} tiles have the numbers of metrics", METRICS.len());
}

/// What counts the same as the tile; `OF` stands for the edges of the namespace. None counts causes (2); one that was denied on another node is unanswered for who began (4).
const METRICS: &[(&str, &str)] = &[
    ("1", "sum(hubble_connections_total{OF})"),
    (
        "3",
        r#"sum(hubble_tcp_connects_total{OF,outcome="refused"}) + sum(hubble_tcp_closes_total{OF,cause=~"reset_by_.*"})"#,
    ),
    (
        "4",
        r#"sum(hubble_tcp_connects_total{OF,outcome="unanswered"} unless on (source, destination, port) hubble_denied_connections_total{OF})"#,
    ),
    ("5", "sum(hubble_denied_connections_total{OF})"),
    (
        "6",
        "count(group by (service) (hubble_from_world_connections_total{OF}))",
    ),
    (
        "7",
        "histogram_quantile(0.95, sum by (le) (rate(hubble_tcp_connect_duration_seconds_bucket{OF}[15m]))) * 1e6",
    ),
    (
        "8",
        r#"max(sum by (destination) (hubble_tcp_connects_total{OF,outcome!="established"}) / sum by (destination) (hubble_tcp_connects_total{OF}))"#,
    ),
    ("9", "sum(hubble_http_requests_total{OF})"),
    (
        "0",
        r#"sum(hubble_http_requests_total{OF,status=~"4..|5..|unanswered"}) + sum(hubble_grpc_calls_total{OF,code!="gRPC OK"})"#,
    ),
    (
        "q",
        "histogram_quantile(0.95, sum by (le) (rate(hubble_http_request_duration_seconds_bucket{OF}[15m]))) * 1e6",
    ),
    (
        "n",
        r#"sum(hubble_dns_responses_total{OF,rcode!~"NOERROR|searched"}) + sum(hubble_dns_unanswered_total{OF})"#,
    ),
    (
        "t",
        r#"count(group by (topic) (hubble_kafka_requests_total{OF,topic!=""}))"#,
    ),
    (
        "r",
        "sum(hubble_dns_responses_total{OF}) + sum(hubble_dns_unanswered_total{OF})",
    ),
];

/// All that the page asks for.
fn page(cluster: &Cluster, asks: &Value) -> anyhow::Result<Answers> {
    let asks = asks.as_object().context("asks")?;
    let mut answers = Answers::new();
    for (of, parameters) in asks {
        let more = parameters.as_object().context("parameters")?.iter();
        let more = more.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let parameters = [("since", SPAN.0), ("namespace", NAMESPACE)];
        let parameters = parameters.into_iter().chain(more);
        let answer = get(cluster, &path(&format!("/api/{of}"), parameters))?;
        let name = of.trim_start_matches("answers/");
        answers.insert(name.to_owned(), answer);
    }
    Ok(answers)
}

/// Two in a hundred thousand are rounding.
fn same(a: &[f64], b: &[f64]) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 2e-5 * a.abs().max(b.abs());
    a.len() == b.len() && a.iter().zip(b).all(near)
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn sum<'a>(all: impl IntoIterator<Item = &'a Value>, of: impl Fn(&Value) -> u64) -> f64 {
    all.into_iter().map(of).sum::<u64>() as f64
}

fn kind(failure: &Value) -> &str {
    text(&failure["cause"], "kind")
}

fn counted(of: &Value, name: &str, chosen: impl Fn(u64) -> bool) -> u64 {
    let all = list(of, name).iter();
    let chosen = all.filter(|of| chosen(of["code"].as_u64().unwrap_or(0)));
    chosen.map(|of| number(&of["count"])).sum()
}

/// Requests that were not answered well.
fn wrong(of: &Value) -> u64 {
    let status = counted(of, "status", |code| code >= 400);
    status + counted(of, "grpc", |code| code != 0) + number(&of["unanswered"])
}

/// Questions that came to nothing.
fn unresolved(of: &Value) -> u64 {
    let absent = counted(of, "codes", |code| code == 3).saturating_sub(number(&of["searched"]));
    let refused = counted(of, "codes", |code| code != 0 && code != 3);
    absent + refused + number(&of["timeouts"]) + number(&of["unanswered"])
}

/// Microseconds that 95 of a hundred durations are not longer than.
fn p95<'a>(sketches: impl Iterator<Item = &'a Value>) -> f64 {
    let growth = 1.01_f64 / 0.99;
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for sketch in sketches {
        for (bucket, count) in list(sketch, "bucket").iter().zip(list(sketch, "count")) {
            *buckets.entry(bucket.as_u64().unwrap_or(0)).or_default() += number(count);
        }
    }
    let rank = (buckets.values().sum::<u64>() * 95).div_ceil(100);
    let mut below = 0;
    for (bucket, count) in buckets {
        below += count;
        if below >= rank {
            let bucket = i32::try_from(bucket).unwrap_or(0);
            return 2.0 * growth.powi(bucket) / (growth + 1.0);
        }
    }
    0.0
}

fn refused_or_reset(failures: &Value) -> f64 {
    let is_so = |of: &&Value| {
        [
            "REFUSED",
            "CUT_BY_SERVER",
            "RESET_BY_CLIENT",
            "RESET_BY_SERVER",
        ]
        .contains(&kind(of))
    };
    let chosen = list(failures, "failures").iter().filter(is_so);
    sum(chosen, |of| number(&of["count"]))
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn places(exposed: &Value) -> f64 {
    let all = list(exposed, "exposures").iter();
    let names = all.map(|of| match text(of, "service") {
        "" => text(&of["destination"], "name"),
        service => service,
    });
    names.collect::<BTreeSet<_>>().len() as f64
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn topics(kafka: &Value) -> f64 {
    let all = list(kafka, "topics").iter();
    let names = all.map(|of| text(&of["counters"], "topic"));
    let names = names.filter(|name| !name.is_empty());
    names.collect::<BTreeSet<_>>().len() as f64
}

/// The share of failures of the worst, of connections or of requests.
#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn worst(edges: &Value) -> f64 {
    let mut all: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    for row in list(edges, "edges") {
        let (counters, edge) = (&row["counters"], &row["edge"]);
        let of = |name: &str| number(&counters[name]);
        let unanswered = of("unanswered").saturating_sub(of("late"));
        let kafka = list(row, "kafka").iter();
        let failed_at_kafka: u64 = kafka
            .clone()
            .map(|of| counted(of, "errors", |_| true) + number(&of["unanswered"]))
            .sum();
        let of_kafka = ["produces", "fetches", "others"];
        let kafka: u64 = kafka
            .map(|sum| of_kafka.map(|name| number(&sum[name])).iter().sum::<u64>())
            .sum();
        let faults = |of: &Value| {
            let grpc = counted(of, "grpc", |code| [2, 4, 12, 13, 14, 15].contains(&code));
            counted(of, "status", |code| code >= 500) + grpc + number(&of["unanswered"])
        };
        let (http, dns) = (list(row, "http").iter(), list(row, "dns").iter());
        let failed: u64 =
            http.clone().map(faults).sum::<u64>() + dns.clone().map(unresolved).sum::<u64>();
        let asked: u64 = http.map(|of| number(&of["requests"])).sum::<u64>()
            + dns.map(|of| number(&of["questions"])).sum::<u64>();
        let name = match text(edge, "service") {
            "" => text(&edge["destination"], "name"),
            service => service,
        };
        let more = [
            of("refused") + of("cut") + unanswered + of("denied"),
            of("opened") + of("denied"),
            failed + failed_at_kafka,
            asked + kafka,
        ];
        let sums = all.entry(name).or_default();
        sums.iter_mut()
            .zip(more)
            .for_each(|(sum, more)| *sum += more);
    }
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let shares = all
        .values()
        .map(|[a, b, c, d]| share(*a, *b).max(share(*c, *d)));
    shares.fold(0.0, f64::max)
}

/// What the page makes of its answers.
fn tile(key: &str, page: &Answers) -> anyhow::Result<Vec<f64>> {
    let of = |name: &str| {
        page.get(name)
            .with_context(|| format!("tile {key} asks for no {name}"))
    };
    let failures = || of("failing");
    let edges = || Ok::<_, anyhow::Error>(list(of("map")?, "edges"));
    let http = || Ok::<_, anyhow::Error>(edges()?.iter().flat_map(|row| list(row, "http")));
    let dns = || Ok::<_, anyhow::Error>(edges()?.iter().flat_map(|row| list(row, "dns")));
    let counts = |chosen: &dyn Fn(&str) -> bool| {
        let all = list(failures()?, "failures").iter();
        Ok::<_, anyhow::Error>(sum(all.filter(|of| chosen(kind(of))), |of| {
            number(&of["count"])
        }))
    };
    Ok(match key {
        "1" => vec![sum(edges()?, |row| number(&row["counters"]["opened"]))],
        "2" => {
            let all = list(failures()?, "failures").iter();
            vec![sum(all.filter(|of| !kind(of).starts_with("RESET")), |_| 1)]
        }
        "3" => vec![refused_or_reset(failures()?)],
        "4" => vec![counts(&|kind| kind == "UNANSWERED")?],
        "5" => vec![counts(&|kind| kind.starts_with("DENIED"))?],
        "6" => vec![places(of("exposed")?)],
        "7" => vec![p95(edges()?.iter().map(|row| &row["connect"]))],
        "8" => vec![worst(of("map")?)],
        "9" => vec![sum(http()?, |of| number(&of["requests"]))],
        "0" => vec![
            sum(http()?, wrong),
            sum(http()?, |of| number(&of["requests"])),
        ],
        "q" => vec![p95(http()?.map(|of| &of["latency"]))],
        "n" => vec![
            sum(dns()?, unresolved),
            sum(dns()?, |of| number(&of["questions"])),
        ],
        "t" => vec![topics(of("kafka")?)],
        "r" => vec![sum(dns()?, |of| number(&of["questions"]))],
        other => bail!("no tile {other:?}"),
    })
}

/// The same out of what the tile's command tells.
fn command(cluster: &Cluster, key: &str, words: &[&str]) -> anyhow::Result<Vec<f64>> {
    let of_namespace = |words: &[&str]| {
        let words = [words, &["--namespace", NAMESPACE]].concat();
        asked(cluster, &words, SPAN.1)
    };
    let answer = || of_namespace(words);
    let counters = |answer: &Value, name: &str| -> Vec<Value> {
        let all = list(answer, name).iter();
        all.map(|of| of["counters"].clone()).collect()
    };
    let failures = || {
        let answer = answer()?;
        Ok::<_, anyhow::Error>(sum(list(&answer, "failures"), |of| number(&of["count"])))
    };
    Ok(match key {
        "1" => vec![sum(list(&answer()?, "edges"), |row| {
            number(&row["counters"]["opened"])
        })],
        "2" => vec![sum(list(&answer()?, "failures"), |_| 1)],
        "3" => vec![refused_or_reset(&answer()?)],
        "4" | "5" => vec![failures()?],
        "6" => vec![places(&answer()?)],
        "7" => vec![p95(list(&answer()?, "edges")
            .iter()
            .map(|row| &row["connect"]))],
        "8" => vec![worst_told(cluster, words)?],
        "9" => vec![sum(&counters(&answer()?, "requests"), |of| {
            number(&of["requests"])
        })],
        "0" => {
            let all = of_namespace(&words[..1])?;
            let wrong = sum(&counters(&answer()?, "requests"), wrong);
            vec![
                wrong,
                sum(&counters(&all, "requests"), |of| number(&of["requests"])),
            ]
        }
        "q" => {
            let answer = answer()?;
            let http = list(&answer, "edges")
                .iter()
                .flat_map(|row| list(row, "http"));
            vec![p95(http.map(|of| &of["latency"]))]
        }
        "n" => {
            let all = of_namespace(&words[..1])?;
            let failed = sum(&counters(&answer()?, "lookups"), unresolved);
            vec![
                failed,
                sum(&counters(&all, "lookups"), |of| number(&of["questions"])),
            ]
        }
        "t" => vec![topics(&answer()?)],
        "r" => vec![sum(list(&answer()?, "resolutions"), |of| {
            number(&of["questions"])
        })],
        other => bail!("no tile {other:?}"),
    })
}

/// The larger share of the first row.
fn worst_told(cluster: &Cluster, words: &[&str]) -> anyhow::Result<f64> {
    let words = [words, &["--namespace", NAMESPACE]].concat();
    let table = told(cluster, &words, SPAN.1, "csv")?;
    let row = table.lines().nth(1).context("a row")?;
    let cells: Vec<&str> = row.trim().split(',').collect();
    let share = |at: usize| -> anyhow::Result<f64> {
        let cell = cells.get(at).context("a share")?;
        let digits = cell.trim_end_matches('%');
        ensure!(digits.is_empty() || digits != *cell, "{row}");
        Ok(digits.parse::<f64>().unwrap_or(0.0) / 100.0)
    };
    Ok(share(3)?.max(share(7)?))
}
