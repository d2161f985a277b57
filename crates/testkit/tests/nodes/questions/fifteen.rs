//! What each question must be answered of what happened, and which figures of it metrics have as well.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::failures::{Expected, OF_CONNECTIONS, OF_RESETS, OF_SAID};
use super::relay::{Figure, figure, of_edge};
use super::traffic::{
    BARRED, CAME, CUT, DELAYS, DNS, Facts, HTTP, NAMES, PARTNER, QUOTE, REFUSED, REQUESTS, RESET,
    SHUT_OUT, UNHEARD, WAS_CUT, WENT, partner,
};
use super::{CLOSED, ECHO, Shop, grpc, kafka, tls};
use crate::answers::{asked, ends, number, told};
use crate::spoken::told::{codes, list, same, text};

/// Checks the answers to a question; which figures of them are to be those of metrics.
type Check = fn(&Shop<'_>, &Facts) -> anyhow::Result<Vec<Figure>>;

/// The questions, in the words of who asks them.
pub(super) const QUESTIONS: [(&str, Check); 15] = [
    ("who talks to whom, and how often", who_talks),
    ("which calls are made over HTTP", http_calls),
    ("who produces to which topic, who fetches", topics),
    ("what fails, why, and whose fault it is", failing),
    ("does it fail at L4 or at L7", layers),
    ("which names fail in the last five minutes", names),
    ("which connections are interrupted", interrupted),
    ("how many connections nobody answers", unanswered),
    ("how many requests have a 4xx or a 5xx", errors),
    ("how long requests take, p95 and p99", slow),
    ("which services are the worst", worst),
    ("how long it takes from one to the other", latency),
    ("what is blocked by policy, and by which", denied),
    ("what is reached from outside, and by whom", exposed),
    ("who resolved a name", resolved),
];

/// How far back is asked: beyond the beginning of all.
const SINCE: &str = "15m";
/// What the pods began.
const OURS: [&str; 2] = ["--from", "shop/"];

fn question(shop: &Shop<'_>, words: &[&str]) -> anyhow::Result<Value> {
    let answer = asked(shop.cluster, &[words, &OURS].concat(), SINCE)?;
    whole(&answer)?;
    Ok(answer)
}

fn whole(answer: &Value) -> anyhow::Result<()> {
    let completeness = &answer["completeness"];
    ensure!(completeness["nodes"] == 2, "{completeness}");
    for of in ["lost", "unknown"] {
        ensure!(number(&completeness[of]) == 0, "{completeness}");
    }
    Ok(())
}

/// The rows of a table.
fn table(shop: &Shop<'_>, words: &[&str]) -> anyhow::Result<Vec<Vec<String>>> {
    let text = told(shop.cluster, &[words, &OURS].concat(), SINCE, "csv")?;
    let cells = |line: &str| line.trim().split(',').map(str::to_owned).collect();
    Ok(text.lines().skip(1).map(cells).collect())
}

fn who_talks(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let edges = [
        ("web", "api", HTTP, 1),
        ("web", "api", grpc::PORT, 1),
        ("web", "api", CLOSED, REFUSED),
        ("web", "api", ECHO, RESET),
        ("web", "api", CUT, WAS_CUT),
        ("web", "slow", HTTP, 1),
        ("web", "resolver", DNS, 1),
        ("web", "vault", tls::PORT, tls::TRUST + tls::DISTRUST),
        ("web", "deaf", HTTP, UNHEARD),
        // Its own node lets it out.
        ("web", "barred", HTTP, BARRED),
        ("web", "shut", HTTP, 0),
        ("maker", "broker", kafka::PORT, 1),
        ("taker", "broker", kafka::PORT, 1),
        ("web", "partner.example", PARTNER, WENT),
    ];
    let map = question(shop, &["map"])?;
    let found = list(&map, "edges").iter().map(|row| {
        let (from, to, port) = ends(row);
        let opened = number(&row["counters"]["opened"]);
        format!("{from} to {to}:{port} {opened} times")
    });
    let wanted = edges
        .iter()
        .map(|(from, to, port, opened)| format!("{from} to {to}:{port} {opened} times"));
    same("map", found.collect(), wanted.collect())?;
    let figures = edges.iter().map(|(from, to, port, opened)| {
        let query = of_edge("hubble_connections_total", from, to, *port, "");
        figure(&format!("{from} to {to}:{port}"), *opened, query)
    });
    Ok(figures.collect())
}

fn http_calls(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let quotes: usize = DELAYS.iter().map(|(_, count)| count).sum();
    let calls: u64 = grpc::CODES.iter().map(|(_, count)| count).sum();
    let mut wanted = vec![
        ("slow", HTTP, "GET", QUOTE, 200, quotes as u64),
        ("api", grpc::PORT, "POST", grpc::CALL, 200, calls),
    ];
    let of_api = REQUESTS
        .iter()
        .map(|(_, path, status, count)| ("api", HTTP, "GET", *path, *status, *count));
    wanted.extend(of_api);
    let answer = question(shop, &["http"])?;
    let found = list(&answer, "requests").iter().map(|of| {
        let counters = &of["counters"];
        let callers = list(of, "callers").iter();
        let callers: Vec<_> = callers
            .map(|of| (text(&of["party"], "name"), number(&of["requests"])))
            .collect();
        format!(
            "{}:{} {} {} {} {:?} by {callers:?}",
            text(&of["destination"], "name"),
            of["port"],
            text(counters, "method"),
            text(counters, "path"),
            number(&counters["requests"]),
            codes(counters, "status"),
        )
    });
    let rows = wanted
        .iter()
        .map(|(to, port, method, path, status, count)| {
            let (codes, by) = ([(*status, *count)], [("web", *count)]);
            format!("{to}:{port} {method} {path} {count} {codes:?} by {by:?}")
        });
    same("http", found.collect(), rows.collect())?;
    let encrypted = number(&answer["encrypted"]);
    ensure!(encrypted == tls::TRUST + tls::DISTRUST, "{encrypted}");
    let figures = wanted.iter().map(|(to, port, method, path, _, count)| {
        let more = format!(r#",method="{method}",path="{path}""#);
        let query = of_edge("hubble_http_requests_total", "web", to, *port, &more);
        figure(path, *count, query)
    });
    Ok(figures.chain([encrypted_calls(shop)?]).collect())
}

/// Of how many connections to the vault, all of them, what was said is not seen: by version, and by the name that was asked for.
fn encrypted_calls(shop: &Shop<'_>) -> anyhow::Result<Figure> {
    let map = question(shop, &["map", "--to", "shop/vault"])?;
    let row = list(&map, "edges").first().context("an edge")?;
    let handshakes = list(row, "tls").first().context("handshakes")?;
    let of = |name: &str| number(&handshakes[name]);
    let all = tls::TRUST + tls::DISTRUST;
    ensure!(
        (of("handshakes"), of("done")) == (all, tls::TRUST)
            && number(&row["counters"]["opened"]) == all,
        "{row}"
    );
    let mut versions = codes(handshakes, "versions");
    versions.sort_unstable();
    ensure!(
        versions == [(0x0303, tls::DISTRUST), (0x0304, tls::TRUST)],
        "{versions:?}"
    );
    let more = format!(r#",server_name="{}",outcome="done""#, tls::SERVER_NAME);
    let query = of_edge(
        "hubble_tls_handshakes_total",
        "web",
        "vault",
        tls::PORT,
        &more,
    );
    Ok(figure("encrypted", tls::TRUST, query))
}

/// Who asked the broker for what, in which group, and with which errors.
fn uses() -> Vec<String> {
    let octets = kafka::RECORDS as u64;
    let (fetched, times, group) = kafka::FETCHED;
    let mut wanted: Vec<String> = kafka::PRODUCED
        .iter()
        .map(|(topic, count, code)| {
            let errors: Vec<(i16, u64)> = (*code != 0).then_some((*code, *count)).into_iter().collect();
            format!(
                "maker at broker {topic:?}: {count} produced with {}, 0 fetched with 0 in [], 0 others, errors {errors:?}",
                count * octets
            )
        })
        .collect();
    wanted.push(format!(
        "taker at broker {fetched:?}: 0 produced with 0, {times} fetched with {} in [{group:?}], 0 others, errors []",
        times * octets
    ));
    wanted.push(format!(
        "taker at broker \"\": 0 produced with 0, 0 fetched with 0 in [{group:?}], 1 others, errors []"
    ));
    wanted
}

fn topics(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = question(shop, &["kafka"])?;
    let found = list(&answer, "topics").iter().map(|of| {
        let (who, broker, _) = ends(of);
        let counters = &of["counters"];
        let groups = list(counters, "groups").iter();
        let groups: Vec<_> = groups.map(|of| text(of, "name")).collect();
        format!(
            "{who} at {broker} {:?}: {} produced with {}, {} fetched with {} in {groups:?}, {} others, errors {:?}",
            text(counters, "topic"),
            number(&counters["produces"]),
            number(&counters["produced_octets"]),
            number(&counters["fetches"]),
            number(&counters["fetched_octets"]),
            number(&counters["others"]),
            codes(counters, "errors"),
        )
    });
    same("kafka", found.collect(), uses())?;
    let (fetched, times, _) = kafka::FETCHED;
    let requests = |who: &str, topic: &str, operation: &str| {
        let more = format!(r#",topic="{topic}",operation="{operation}""#);
        of_edge(
            "hubble_kafka_requests_total",
            who,
            "broker",
            kafka::PORT,
            &more,
        )
    };
    let mut figures = vec![figure(
        "fetched",
        times,
        requests("taker", fetched, "fetch"),
    )];
    for (topic, count, _) in kafka::PRODUCED {
        figures.push(figure(
            "produced",
            *count,
            requests("maker", topic, "produce"),
        ));
    }
    Ok(figures)
}

fn row_of(of: &Value) -> String {
    let (from, to, port) = ends(of);
    let cause = &of["cause"];
    format!(
        "{from} to {to}:{port} {} {} {:?} {} {}: {}",
        text(of, "layer"),
        text(cause, "kind"),
        text(cause, "name"),
        cause["code"].as_u64().unwrap_or(0),
        of["fault"].as_str().unwrap_or("FAULT_UNKNOWN"),
        number(&of["count"]),
    )
}

/// What an answer has of failures is these, and nothing else.
fn only(answer: &Value, wanted: &[&Expected]) -> anyhow::Result<Vec<Figure>> {
    let found = list(answer, "failures").iter().map(row_of);
    let rows = wanted.iter().map(|of| of.row());
    same("failures", found.collect(), rows.collect())?;
    Ok(wanted.iter().map(|of| of.figure()).collect())
}

fn failing(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let all: Vec<&Expected> = OF_CONNECTIONS.iter().chain(OF_SAID).collect();
    only(&question(shop, &["failing"])?, &all)
}

/// Of one service, which has both kinds.
fn layers(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = question(shop, &["failing", "--to", "shop/api"])?;
    let of_layer = |layer: &str| -> u64 {
        let all = list(&answer, "failures").iter();
        let chosen = all.filter(|of| text(of, "layer") == layer);
        chosen.map(|of| number(&of["count"])).sum()
    };
    let (below, above) = (REFUSED + WAS_CUT, REQUESTS[2].3 + grpc::CODES[1].1);
    let found = (of_layer("L4"), of_layer("L7"));
    ensure!(found == (below, above), "{found:?}");
    let to_api = r#"{source="shop/web",destination="shop/api""#;
    let l4 = format!(
        r#"sum(hubble_tcp_connects_total{to_api},outcome="refused"}}) + sum(hubble_tcp_closes_total{to_api},cause="reset_by_server"}})"#
    );
    let l7 = format!(
        r#"sum(hubble_http_requests_total{to_api},status=~"5.."}}) + sum(hubble_grpc_calls_total{to_api},code="gRPC UNAVAILABLE"}})"#
    );
    Ok(vec![figure("L4", below, l4), figure("L7", above, l7)])
}

fn names(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = asked(shop.cluster, &["dns", "--failing", OURS[0], OURS[1]], "5m")?;
    whole(&answer)?;
    let found = list(&answer, "lookups").iter().map(|of| {
        let (from, to, port) = ends(of);
        let counters = &of["counters"];
        format!(
            "{from} of {to}:{port} {} {} {:?} -{}",
            text(counters, "name"),
            number(&counters["questions"]),
            codes(counters, "codes"),
            number(&counters["timeouts"]),
        )
    });
    let failing = NAMES.iter().filter(|of| of.1 != Some(0));
    let wanted = failing.clone().map(|(name, code, count)| {
        let codes: Vec<_> = code.iter().map(|code| (*code, *count)).collect();
        let silent = if code.is_none() { *count } else { 0 };
        format!("web of resolver:{DNS} {name} {count} {codes:?} -{silent}")
    });
    same("dns", found.collect(), wanted.collect())?;
    let all = failing.map(|of| of.2).sum();
    let answered = of_edge(
        "hubble_dns_responses_total",
        "web",
        "resolver",
        DNS,
        r#",rcode!~"NOERROR|searched""#,
    );
    let silent = of_edge("hubble_dns_unanswered_total", "web", "resolver", DNS, "");
    Ok(vec![figure("names", all, format!("{answered} + {silent}"))])
}

fn interrupted(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let ended = OF_CONNECTIONS
        .iter()
        .filter(|of| of.fault != "FAULT_POLICY");
    let all: Vec<&Expected> = ended.chain([&OF_RESETS]).collect();
    only(&question(shop, &["tcp", "--failing"])?, &all)
}

fn unanswered(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = question(shop, &["tcp", "--unanswered"])?;
    let all = list(&answer, "failures");
    let [of] = all else {
        anyhow::bail!("{all:#?}");
    };
    ensure!(number(&of["count"]) == UNHEARD, "{of}");
    let sentence = text(of, "sentence");
    ensure!(
        sentence == "delivered to the pod, which does not answer on port 8080 of shop/deaf",
        "{sentence}"
    );
    // Of how many that is.
    let rows = table(shop, &["tcp", "--to", "shop/deaf"])?;
    let row = rows.first().context("a row")?;
    let cells: Vec<&str> = [0, 1, 3, 7, 12]
        .iter()
        .filter_map(|at| Some(row.get(*at)?.as_str()))
        .collect();
    let (opened, unanswered) = (UNHEARD.to_string(), UNHEARD.to_string());
    let wanted = ["shop/web", "shop/deaf", &opened, &unanswered, "100.0%"];
    ensure!(cells == wanted, "{cells:?}");
    Ok(Vec::new())
}

fn errors(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = question(shop, &["http", "shop/api", "--errors"])?;
    let found = list(&answer, "requests").iter().map(|of| {
        let counters = &of["counters"];
        let refused: Vec<_> = codes(counters, "status")
            .into_iter()
            .filter(|of| of.0 >= 400)
            .collect();
        let calls: Vec<_> = codes(counters, "grpc")
            .into_iter()
            .filter(|of| of.0 != 0)
            .collect();
        format!(
            "{} of {}: {refused:?} {calls:?}",
            text(counters, "path"),
            number(&counters["requests"]),
        )
    });
    let calls: u64 = grpc::CODES.iter().map(|(_, count)| count).sum();
    let mut wanted = vec![format!(
        "{} of {calls}: [] {:?}",
        grpc::CALL,
        [grpc::CODES[1]]
    )];
    for (_, path, status, count) in REQUESTS.iter().filter(|of| of.2 >= 400) {
        wanted.push(format!("{path} of {count}: {:?} []", [(*status, *count)]));
    }
    same("errors", found.collect(), wanted)?;
    let of_class = |class: u16| {
        let chosen = REQUESTS.iter().filter(|of| of.2 / 100 == class);
        let count = chosen.map(|of| of.3).sum();
        let query = format!(
            r#"sum(hubble_http_requests_total{{destination="shop/api",status=~"{class}.."}})"#
        );
        figure(&format!("{class}xx of shop/api"), count, query)
    };
    Ok(vec![of_class(4), of_class(5)])
}

/// What a table has of a share is what the server's delays make of it, and no more than what its client had; by 1 % and what is
/// rounded.
fn ensure_quantiles(facts: &Facts, cells: &[String]) -> anyhow::Result<()> {
    let delays = DELAYS.iter();
    let delays = delays.flat_map(|(delay, count)| std::iter::repeat_n(*delay, *count));
    let delays: Vec<Duration> = delays.collect();
    for (percent, cell) in [50, 95, 99].into_iter().zip(cells) {
        let rank = (facts.quotes.len() * percent).div_ceil(100) - 1;
        let (least, most) = (delays[rank].as_secs_f64(), facts.quotes[rank].as_secs_f64());
        let told = seconds(cell)?;
        ensure!(
            told > least * 0.985 && told < most * 1.015,
            "p{percent} {cell}: the server took {least} s, the client had {most} s"
        );
    }
    ensure!(cells.len() == 3, "{cells:?}");
    Ok(())
}

/// Seconds of a duration in a table.
pub(super) fn seconds(cell: &str) -> anyhow::Result<f64> {
    let digits = cell.trim_end_matches(char::is_alphabetic);
    let unit = match &cell[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        other => anyhow::bail!("{cell:?}: {other:?}"),
    };
    Ok(digits.parse::<f64>()? * unit)
}

fn slow(shop: &Shop<'_>, facts: &Facts) -> anyhow::Result<Vec<Figure>> {
    let rows = table(shop, &["http", "shop/slow"])?;
    let [row] = rows.as_slice() else {
        anyhow::bail!("{rows:?}");
    };
    ensure_quantiles(facts, row.get(9..12).context("quantiles")?)?;
    let count = r#"sum(hubble_http_request_duration_seconds_count{destination="shop/slow"})"#;
    Ok(vec![figure("quotes", facts.quotes.len() as u64, count)])
}

fn worst(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let rows = table(shop, &["worst"])?;
    let found: Vec<String> = rows
        .iter()
        .map(|row| {
            let cell = |at: usize| row.get(at).map_or("", String::as_str);
            [0, 1, 2, 5, 6].map(cell).join(" ")
        })
        .take(6)
        .collect();
    let of_names = NAMES.iter().filter(|of| of.1 != Some(0)).map(|of| of.2);
    let names: u64 = NAMES.iter().map(|of| of.2).sum();
    let calls: u64 = grpc::CODES.iter().map(|(_, count)| count).sum();
    let requests: u64 = REQUESTS.iter().map(|of| of.3).sum::<u64>() + calls;
    let produced: u64 = kafka::PRODUCED.iter().map(|of| of.1).sum();
    let wanted = [
        format!("shop/barred {BARRED} {BARRED}  "),
        format!("shop/deaf {UNHEARD} {UNHEARD}  "),
        format!("shop/shut {SHUT_OUT} {SHUT_OUT}  "),
        format!("shop/resolver 0 1 {} {names}", of_names.sum::<u64>()),
        format!(
            "shop/api {} {} {} {requests}",
            REFUSED + WAS_CUT,
            // What goes to the port of the service is the service's.
            2 + REFUSED + WAS_CUT,
            REQUESTS[2].3 + grpc::CODES[1].1,
        ),
        format!(
            "shop/broker 0 2 {} {}",
            kafka::PRODUCED[1].1,
            produced + kafka::FETCHED.1 + 1
        ),
    ];
    ensure!(found == wanted, "{found:#?}\nand not\n{wanted:#?}");
    let query = |more: &str| {
        format!(
            r#"sum(hubble_tcp_connects_total{{source=~"shop/.*",destination="shop/barred"{more}}})"#
        )
    };
    // The policy is his; who began was not answered.
    let failed = query(r#",outcome="unanswered""#);
    Ok(vec![figure("fails", BARRED, failed)])
}

fn latency(shop: &Shop<'_>, facts: &Facts) -> anyhow::Result<Vec<Figure>> {
    // From whom is said by the words themselves.
    let text = told(
        shop.cluster,
        &["latency", "shop/web", "shop/slow"],
        SINCE,
        "csv",
    )?;
    let row = text.lines().nth(1).context("a row")?;
    let cells: Vec<String> = row.split(',').map(str::to_owned).collect();
    let counts = (cells[4].as_str(), cells[8].as_str());
    ensure!(counts == ("1", &*facts.quotes.len().to_string()), "{row}");
    ensure_quantiles(facts, cells.get(9..12).context("quantiles")?)?;
    let (whole, server) = (seconds(&cells[9])?, seconds(&cells[12])?);
    let network = seconds(&cells[13])?;
    let least = DELAYS[0].0.as_secs_f64();
    ensure!(server > least * 0.985 && server <= whole, "{row}");
    ensure!((whole - server - network).abs() < 0.02 * whole, "{row}");
    let query = of_edge(
        "hubble_tcp_connect_duration_seconds_count",
        "web",
        "slow",
        HTTP,
        "",
    );
    Ok(vec![figure("connected", 1, query)])
}

fn denied(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = question(shop, &["denied"])?;
    let found = list(&answer, "failures").iter().map(|of| {
        let (from, to, _) = ends(of);
        format!(
            "{from} to {to} {}: {}",
            number(&of["count"]),
            text(of, "sentence")
        )
    });
    let wanted = [
        format!(
            "web to barred {BARRED}: CiliumNetworkPolicy shop/bars denies it (ingress of shop/barred)"
        ),
        format!(
            "web to shut {SHUT_OUT}: no rule allows it: CiliumNetworkPolicy shop/nobody-to-shut select shop/shut for ingress"
        ),
    ];
    same("denied", found.collect(), wanted.into())?;
    Ok(Vec::new())
}

fn exposed(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = asked(shop.cluster, &["exposed", "--namespace", "shop"], SINCE)?;
    whole(&answer)?;
    let found = list(&answer, "exposures").iter().map(|of| {
        let outsiders = list(of, "outsiders").iter();
        let outsiders: Vec<_> = outsiders
            .map(|of| format!("{} {}", text(of, "address"), number(&of["connections"])))
            .collect();
        format!(
            "{} {} {}: {} by {outsiders:?}",
            text(&of["destination"], "name"),
            text(of, "service"),
            of["port"],
            number(&of["connections"]),
        )
    });
    let who = [format!("{} {CAME}", partner())];
    let wanted = format!("api shop/front {ECHO}: {CAME} by {who:?}");
    same("exposed", found.collect(), vec![wanted])?;
    let query = r#"sum(hubble_from_world_connections_total{destination="shop/api"})"#;
    Ok(vec![figure("came", CAME, query)])
}

fn resolved(shop: &Shop<'_>, _: &Facts) -> anyhow::Result<Vec<Figure>> {
    let answer = question(shop, &["resolved", "partner.*"])?;
    let found = list(&answer, "resolutions").iter().map(|of| {
        let addresses = list(of, "addresses").iter().filter_map(Value::as_str);
        let addresses: Vec<&str> = addresses.collect();
        format!(
            "{} {} {} times, -{}, {addresses:?}, connected {}",
            text(&of["source"], "name"),
            text(of, "name"),
            number(&of["questions"]),
            number(&of["failures"]),
            number(&of["connections"]),
        )
    });
    let (name, _, count) = NAMES[0];
    let addresses = [partner().to_string()];
    let wanted = format!("web {name} {count} times, -0, {addresses:?}, connected {WENT}");
    same("resolved", found.collect(), vec![wanted])?;
    let more = r#",rcode="NOERROR""#;
    let query = of_edge("hubble_dns_responses_total", "web", "resolver", DNS, more);
    Ok(vec![figure("found", count, query)])
}
