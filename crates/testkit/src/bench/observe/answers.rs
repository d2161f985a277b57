//! How long answers about a day take: twenty million records on 900 edges.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use api::hubble::Timestamp;
use api::hubble::answers::answers_server::Answers as _;
use api::hubble::answers::{
    CodeCount, Edge, HttpCounters, Party, Question, Row as Counted, Sample, Sketch,
};
use hubble::answers::{Answers, OwnNode};
use hubble::connections::{Change, Outcome, Traffic};
use hubble::recorder::Recorder;
use hubble::rollup::{self, Rollup};

use crate::bench::Bench;
use crate::bench::statistics::{Target, median};
use crate::bench::table::Row;

pub(super) const ROWS: &[&str] = &[
    "observe, a day's map of 900 edges",
    "observe, a day's failures",
    "observe, a day's requests",
];

/// Start of the day, seconds since the Unix epoch: a full hour.
const START: u64 = 1_800_000_000;
const EDGES: u64 = 900;
const DAY: u64 = 24 * 60;
/// Requests of an edge within a minute; with its connection, some twenty million records of a day.
const REQUESTS: u64 = 14;
/// Milliseconds.
const TARGET: f64 = 200.0;

fn edge(number: u64) -> Edge {
    let party = |name: String| Party {
        namespace: "shop".into(),
        name,
        ..Party::default()
    };
    Edge {
        source: Some(party(format!("client-{}", number / 30))),
        destination: Some(party(format!("server-{}", number % 30))),
        port: 8080,
        protocol: 6,
        ..Edge::default()
    }
}

/// What an edge says within a minute, by two paths; one of a hundred requests fails.
fn said(number: u64, minute: u64, at_ns: u64) -> Counted {
    let http = ["/carts/{id}", "/orders"].map(|path| {
        let failed = u64::from((number + minute).is_multiple_of(7));
        let codes = [(200, REQUESTS / 2 - failed), (503, failed)];
        let codes = codes.into_iter().filter(|(_, count)| *count > 0);
        let bucket = 300 + ((number * 7 + minute) % 40) as u32;
        HttpCounters {
            method: "GET".into(),
            path: path.into(),
            requests: REQUESTS / 2,
            status: codes
                .map(|(code, count)| CodeCount { code, count })
                .collect(),
            latency: Some(Sketch {
                bucket: vec![bucket, bucket + 3, bucket + 9],
                count: vec![3, 3, REQUESTS / 2 - 6],
            }),
            ..HttpCounters::default()
        }
    });
    Counted {
        http: http.into(),
        first_ns: at_ns,
        last_ns: at_ns,
        ..Counted::default()
    }
}

/// Counts a day, minute by minute, as it would be counted; how many minutes there are.
fn fill(rollup: &Rollup, minutes: u64) -> anyhow::Result<()> {
    for minute in 0..minutes {
        let at = START + 60 * minute;
        let at_ns = at * 1_000_000_000;
        for number in 0..EDGES {
            let from = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
            let change = Change {
                answered: Some(Duration::from_micros(200 + number)),
                outcome: Some(if (number + minute) % 50 == 0 {
                    Outcome::Refused
                } else {
                    Outcome::Closed
                }),
                sent: Traffic {
                    packets: 5,
                    bytes: 400,
                    retransmits: 0,
                },
                ..Change::default()
            };
            let sample = Sample {
                time_ns: at_ns,
                source: "10.0.0.1:40000".into(),
                destination: "10.0.0.2:8080".into(),
                ..Sample::default()
            };
            for counted in [
                rollup::Counted::Opened {
                    from,
                    led_on: false,
                },
                rollup::Counted::Changed(change, Some(sample)),
                rollup::Counted::Said(Box::new(said(number, minute, at_ns))),
            ] {
                rollup.count(&edge(number), counted, at_ns);
            }
        }
        rollup.tick(at + 60)?;
    }
    Ok(())
}

pub(super) fn answers(bench: &mut Bench) -> anyhow::Result<()> {
    let minutes = if bench.options.quick { 60 } else { DAY };
    let directory = tempfile::tempdir()?;
    let rollup = Rollup::open(Some(directory.path()), START)?;
    fill(&rollup, minutes)?;
    let recorder = Arc::new(Recorder::new(rollup, 0));
    let answers = Answers::new(Arc::new(OwnNode(recorder)));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ask = || {
        let at = |seconds: u64| Some(Timestamp::from_unix_nanos(seconds * 1_000_000_000));
        tonic::Request::new(Question {
            since: at(START),
            until: at(START + 60 * minutes - 1),
            ..Question::default()
        })
    };
    let requests = REQUESTS * EDGES * minutes;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..if bench.options.quick { 2 } else { 9 } {
        let mut timed = |of: usize, begun: Instant| {
            times[of].push(begun.elapsed().as_secs_f64() * 1e3);
        };
        let begun = Instant::now();
        let map = runtime.block_on(answers.map(ask()))?.into_inner();
        timed(0, begun);
        ensure!(map.edges.len() as u64 == EDGES, "{} edges", map.edges.len());
        let begun = Instant::now();
        let failing = runtime.block_on(answers.failing(ask()))?.into_inner();
        timed(1, begun);
        ensure!(!failing.failures.is_empty(), "nothing fails");
        let begun = Instant::now();
        let http = runtime.block_on(answers.http(ask()))?.into_inner();
        timed(2, begun);
        let told = http.requests.iter().filter_map(|of| of.counters.as_ref());
        let told: u64 = told.map(|of| of.requests).sum();
        ensure!(told == requests, "{told} of {requests} requests");
    }
    for (name, times) in ROWS.iter().zip(&times) {
        let value = median(times).context("no answer")?;
        let row = Row::figure(*name, value, "ms", times.len());
        bench.add([row.wanted(Target::AtMost(TARGET))]);
    }
    Ok(())
}
