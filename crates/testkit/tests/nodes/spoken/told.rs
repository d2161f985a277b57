//! What each answer must say of what was sent.

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::cluster::Cluster;

use super::{
    ADDRESS, DNS, HTTP, HTTP2, NAMES, PAIRS, Request, SLOW, Slow, THINKS, connections, sent_to,
};
use crate::answers::{asked, ends, number, told};

fn question(cluster: &Cluster, words: &[&str], since: &str) -> anyhow::Result<Value> {
    let words = [words, &["--namespace", "default"]].concat();
    let answer = asked(cluster, &words, since)?;
    let completeness = &answer["completeness"];
    ensure!(completeness["nodes"] == 2, "{completeness}");
    for of in ["lost", "unknown"] {
        ensure!(number(&completeness[of]) == 0, "{completeness}");
    }
    Ok(answer)
}

pub(crate) fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

/// Codes and how many had them. What is zero is left out of an answer.
pub(crate) fn codes(of: &Value, name: &str) -> Vec<(u64, u64)> {
    let all = list(of, name).iter();
    all.map(|of| (of["code"].as_u64().unwrap_or(0), number(&of["count"])))
        .collect()
}

pub(crate) fn same(
    what: &str,
    mut found: Vec<String>,
    mut wanted: Vec<String>,
) -> anyhow::Result<()> {
    found.sort();
    wanted.sort();
    ensure!(found == wanted, "{what}: {found:#?}\nand not\n{wanted:#?}");
    Ok(())
}

/// How many times as much was asked of a pod, and by whom, the most first.
fn asked_of(to: &str) -> (u64, Vec<(String, u64)>) {
    let pairs = PAIRS.iter().filter(|pair| pair.1 == to);
    let mut callers: Vec<_> = pairs
        .map(|(from, _, times)| ((*from).to_owned(), *times))
        .collect();
    callers.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    (callers.iter().map(|of| of.1).sum(), callers)
}

pub(super) fn http(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    let is_error = |of: &Request| of.status.is_none_or(|status| status >= 400);
    for (words, errors) in [(&["http"][..], false), (&["http", "--errors"], true)] {
        let answer = question(cluster, words, since)?;
        let found = list(&answer, "requests").iter().map(|of| {
            let counters = &of["counters"];
            let count = |name: &str| number(&counters[name]);
            let callers = list(of, "callers").iter();
            let callers: Vec<_> = callers
                .map(|of| (text(&of["party"], "name"), number(&of["requests"])))
                .collect();
            format!(
                "{}:{} {} {}: {} {:?} -{} sent {} got {} from {callers:?}",
                text(&of["destination"], "name"),
                of["port"],
                text(counters, "method"),
                text(counters, "path"),
                count("requests"),
                codes(counters, "status"),
                count("unanswered"),
                count("request_octets"),
                count("response_octets"),
            )
        });
        let wanted = [HTTP, HTTP2].into_iter().flat_map(|port| {
            let chosen = sent_to(port).filter(|of| !errors || is_error(of));
            chosen.flat_map(move |of| ["b", "c"].map(|to| requests(to, port, of)))
        });
        same(&words.join(" "), found.collect(), wanted.collect())?;
    }
    Ok(())
}

/// What is told of a request to a port.
fn requests(to: &str, port: u16, of: &Request) -> String {
    let (times, mut callers) = asked_of(to);
    let count = of.count * times;
    for caller in &mut callers {
        caller.1 *= of.count;
    }
    let status: Vec<_> = of.status.iter().map(|status| (*status, count)).collect();
    let gone = if of.status.is_none() { count } else { 0 };
    format!(
        "{to}:{port} {} {}: {count} {status:?} -{gone} sent {} got {} from {callers:?}",
        of.method,
        of.template,
        of.sent as u64 * count,
        of.got as u64 * count,
    )
}

/// No slow request is told as shorter than the server thought, nor the n-th of them as longer than the client's n-th: by how
/// much the machine was late is in both.
pub(super) fn quantiles(cluster: &Cluster, since: &str, slow: &Slow) -> anyhow::Result<()> {
    let answer = question(cluster, &["http"], since)?;
    for (to, port) in [("b", HTTP), ("c", HTTP), ("b", HTTP2), ("c", HTTP2)] {
        let of_slow = |of: &&Value| {
            let is_asked = text(&of["destination"], "name") == to && of["port"] == port;
            is_asked && text(&of["counters"], "path") == SLOW
        };
        let found = list(&answer, "requests").iter().find(of_slow);
        let latency = &found.context("slow requests")?["counters"]["latency"];
        // Bucket i holds durations above 1.0202^(i-1) and up to 1.0202^i microseconds.
        let growth = 1.01_f64 / 0.99;
        let counts = list(latency, "bucket").iter().zip(list(latency, "count"));
        let told = counts.flat_map(|(bucket, count)| {
            let bucket = bucket.as_u64().and_then(|of| i32::try_from(of).ok());
            let up_to = growth.powi(bucket.unwrap_or(0)) / 1e6;
            let times = usize::try_from(number(count)).unwrap_or(0);
            std::iter::repeat_n((up_to / growth, up_to), times)
        });
        let told: Vec<(f64, f64)> = told.collect();
        let mut took: Vec<f64> = slow
            .iter()
            .filter(|of| (of.0, of.1) == (to, port))
            .map(|of| of.2.as_secs_f64())
            .collect();
        took.sort_by(f64::total_cmp);
        ensure!(told.len() == took.len(), "{told:?}, {took:?}");
        for ((above, up_to), took) in told.into_iter().zip(took) {
            ensure!(
                up_to >= THINKS.as_secs_f64() && above <= took,
                "{above} to {up_to} s, and at the client {took} s"
            );
        }
    }
    Ok(())
}

pub(super) fn dns(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    for (words, failing) in [(&["dns"][..], false), (&["dns", "--failing"], true)] {
        let answer = question(cluster, words, since)?;
        let found = list(&answer, "lookups").iter().map(|of| {
            let counters = &of["counters"];
            let (from, to, port) = ends(of);
            format!(
                "{from} to {to}:{port} {} {}: {} {:?} -{} again {}",
                text(counters, "name"),
                counters["type"],
                number(&counters["questions"]),
                codes(counters, "codes"),
                number(&counters["timeouts"]),
                number(&counters["repeats"]),
            )
        });
        let chosen = NAMES.iter().filter(|of| !failing || of.1 != Some(0));
        let wanted = chosen.flat_map(|(name, code, count)| {
            PAIRS.iter().map(move |(from, to, times)| {
                let count = count * times;
                let codes: Vec<_> = code.iter().map(|code| (*code, count)).collect();
                let silent = if code.is_none() { count } else { 0 };
                format!("{from} to {to}:{DNS} {name} 1: {count} {codes:?} -{silent} again 0")
            })
        });
        same(&words.join(" "), found.collect(), wanted.collect())?;
    }
    Ok(())
}

pub(super) fn resolved(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    let answer = question(cluster, &["resolved", "*.test"], since)?;
    let found = list(&answer, "resolutions").iter().map(|of| {
        let addresses: Vec<&str> = list(of, "addresses")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        format!(
            "{} {}: {} -{} {addresses:?}",
            text(&of["source"], "name"),
            text(of, "name"),
            number(&of["questions"]),
            number(&of["failures"]),
        )
    });
    let wanted = NAMES.iter().flat_map(|(name, code, count)| {
        ["a", "c"].map(|who| {
            let pairs = PAIRS.iter().filter(|pair| pair.0 == who);
            let count = count * pairs.map(|pair| pair.2).sum::<u64>();
            let is_there = *code == Some(0);
            let failures = if is_there { 0 } else { count };
            let address = is_there.then(|| ADDRESS.to_string());
            let addresses: Vec<_> = address.into_iter().collect();
            format!("{who} {name}: {count} -{failures} {addresses:?}")
        })
    });
    same("resolved", found.collect(), wanted.collect())
}

/// Everything that fails, and nothing else: no connection does.
pub(super) fn failing(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    let answer = question(cluster, &["failing"], since)?;
    let found = list(&answer, "failures").iter().map(|of| {
        let (from, to, port) = ends(of);
        let cause = &of["cause"];
        format!(
            "{from} to {to}:{port} {} {} {} {} {} {} of {}",
            text(of, "layer"),
            text(cause, "kind"),
            text(cause, "name"),
            cause["code"].as_u64().unwrap_or(0),
            of["fault"].as_str().unwrap_or("FAULT_UNKNOWN"),
            number(&of["count"]),
            number(&of["attempts"]),
        )
    });
    let causes: [(u16, &str, u64); 6] = [
        (HTTP, "HTTP_ERROR GET /broken 500 FAULT_SERVER", 4),
        (HTTP2, "HTTP_ERROR GET /broken 500 FAULT_SERVER", 4),
        (HTTP, "NO_ANSWER GET /gone 0 FAULT_UNKNOWN", 2),
        (DNS, "DNS_NO_SUCH_NAME missing.test 3 FAULT_CLIENT", 7),
        (DNS, "DNS_ERROR broken.test 2 FAULT_DNS", 5),
        (DNS, "DNS_TIMEOUT silent.test 0 FAULT_DNS", 2),
    ];
    let wanted = causes.iter().flat_map(|(port, cause, count)| {
        PAIRS.iter().map(move |(from, to, times)| {
            let count = count * times;
            format!("{from} to {to}:{port} L7 {cause} {count} of {count}")
        })
    });
    same("failing", found.collect(), wanted.collect())
}

/// Requests to a port of a pair that asks once, and those without an answer.
fn totals(port: u16) -> (u64, u64) {
    let gone = sent_to(port).filter(|of| of.status.is_none());
    let all = sent_to(port).map(|of| of.count).sum();
    (all, gone.map(|of| of.count).sum())
}

fn questions() -> u64 {
    NAMES.iter().map(|of| of.2).sum()
}

pub(super) fn map(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    let answer = question(cluster, &["map"], since)?;
    let found = list(&answer, "edges").iter().map(|row| {
        let (from, to, port) = ends(row);
        let sum = |name: &str, count: &str| -> Vec<u64> {
            let all = list(row, name).iter();
            all.map(|of| number(&of[count])).collect()
        };
        let served = list(&row["served"], "count").iter().map(number);
        format!(
            "{from} to {to}:{port} {} opened, {:?} requests -{:?}, {} at the other node, {:?} questions",
            number(&row["counters"]["opened"]),
            sum("http", "requests"),
            sum("http", "unanswered"),
            served.sum::<u64>(),
            sum("dns", "questions"),
        )
    });
    let wanted = PAIRS.iter().flat_map(|(from, to, times)| {
        let is_across = (*from == "c") != (*to == "c");
        let over_http = |port| {
            let (requests, gone) = totals(port);
            let served = if is_across { (requests - gone) * times } else { 0 };
            let opened = connections(port, *times);
            let (requests, gone) = (requests * times, gone * times);
            format!(
                "{from} to {to}:{port} {opened} opened, [{requests}] requests -[{gone}], {served} at the other node, [] questions"
            )
        };
        let questions = questions() * times;
        let over_dns = format!(
            "{from} to {to}:{DNS} 1 opened, [] requests -[], 0 at the other node, [{questions}] questions"
        );
        [over_http(HTTP), over_http(HTTP2), over_dns]
    });
    same("map", found.collect(), wanted.collect())?;
    let all: u64 = PAIRS.iter().map(|pair| pair.2).sum();
    let said = number(&answer["completeness"]["said"]);
    let each = totals(HTTP).0 + totals(HTTP2).0 + questions();
    ensure!(said == each * all, "{said} said");
    Ok(())
}

/// The tables of which only the command line makes the sums.
pub(super) fn sums(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    let table = |name: &str, columns: &[usize]| -> anyhow::Result<Vec<String>> {
        let text = told(cluster, &[name, "--namespace", "default"], since, "csv")?;
        let row = |line: &str| {
            let cells: Vec<&str> = line.trim().split(',').collect();
            let chosen = columns.iter().filter_map(|at| cells.get(*at).copied());
            chosen.collect::<Vec<_>>().join(" ")
        };
        Ok(text.lines().skip(1).map(row).collect())
    };
    let unresolved = NAMES.iter().filter(|of| of.1 != Some(0)).map(|of| of.2);
    let is_failed = |of: &&Request| of.status.is_none_or(|status| status >= 500);
    let broken = [HTTP, HTTP2]
        .into_iter()
        .flat_map(sent_to)
        .filter(is_failed);
    let failed = unresolved.sum::<u64>() + broken.map(|of| of.count).sum::<u64>();
    let all = totals(HTTP).0 + totals(HTTP2).0 + questions();
    let worst = ["b", "c"].map(|to| {
        let (sum, callers) = asked_of(to);
        let opened = callers
            .iter()
            .map(|(_, times)| connections(HTTP, *times) + connections(HTTP2, *times) + 1);
        let attempts: u64 = opened.sum();
        format!("default/{to} 0 {attempts} {} {}", failed * sum, all * sum)
    });
    same("worst", table("worst", &[0, 1, 2, 5, 6])?, worst.into())?;
    let latency = PAIRS.iter().flat_map(|(from, to, times)| {
        let row = |port: &str, opened: u64, asked: u64| {
            format!(
                "default/{from} default/{to} {port} {opened} {}",
                asked * times
            )
        };
        [
            row("8080/TCP", connections(HTTP, *times), totals(HTTP).0),
            row("8081/TCP", connections(HTTP2, *times), totals(HTTP2).0),
            row("53/UDP", 1, questions()),
        ]
    });
    same(
        "latency",
        table("latency", &[0, 1, 3, 4, 8])?,
        latency.collect(),
    )
}
