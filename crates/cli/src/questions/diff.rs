//! `axoneme diff`: what is other than before, edge by edge: new, gone, failing more or less, slower or faster.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use api::hubble::Timestamp;
use api::hubble::answers::{MapAnswer, Question, Row};
use hubble::rollup::{attempts, failed};
use hubble::sketch::Sketch;
use jiff::Zoned;
use serde_json::{Value, json};

use super::ask::{self, Answer, Kind, Server};
use super::tables::{Cells, duration, ends, share};
use super::{DiffArgs, Format, clusters, show};

/// Fewer failures than these are chance.
const FAILURES: u64 = 3;
/// Shares of failures that differ by less are alike.
const SHARE: f64 = 0.01;
/// Fewer answers than these have no 95th percentile.
const ANSWERS: u64 = 20;
/// Percentiles that differ by a smaller factor are alike.
const FACTOR: f64 = 1.5;

/// What of an edge is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Measured {
    attempts: u64,
    failed: u64,
    connect_p95: Option<Duration>,
}

/// An edge that is other than before.
#[derive(Clone, Debug, PartialEq)]
struct Difference {
    what: &'static str,
    /// Source, destination, service, port.
    edge: [String; 4],
    before: Measured,
    after: Measured,
}

/// Asks of both spans and shows what differs.
pub(super) async fn run(
    args: &DiffArgs,
    server: &Server,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let [before, after] = questions(args, &Zoned::now())?;
    let (mut before, mut after) = (server.put(before).await?, server.put(after).await?);
    if args.ask.cluster.is_some() {
        clusters::name_rows(&mut before.edges);
        clusters::name_rows(&mut after.edges);
    }
    let limit = args.ask.limit;
    let mut found = differences(&before, &after);
    if limit > 0 {
        found.truncate(limit as usize);
    }
    match args.ask.output {
        Format::Json => {
            let all: Vec<Value> = found.iter().map(Difference::json).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        Format::Csv => show::csv_of(&cells(&found), out)?,
        Format::Table => {
            if found.is_empty() {
                writeln!(out, "Nothing is other than before.")?;
            } else {
                show::aligned(&cells(&found), out)?;
            }
            writeln!(out)?;
            for (name, answer) in [("before", before), ("after", after)] {
                write!(out, "{name}: ")?;
                show::footer_of(&Answer::Map(answer), out)?;
            }
        }
        Format::Dot | Format::Mermaid => anyhow::bail!("-o: only a map has a picture"),
    }
    Ok(())
}

/// Says what would be asked.
pub(super) fn explain(args: &DiffArgs, now: &Zoned, out: &mut dyn Write) -> anyhow::Result<()> {
    for question in questions(args, now)? {
        ask::explain(&question, Kind::Map, out)?;
    }
    Ok(())
}

/// Of the earlier span, and of the later.
fn questions(args: &DiffArgs, now: &Zoned) -> anyhow::Result<[Question; 2]> {
    let after = ask::question(&args.ask, Kind::Map, now)?;
    let (from, to) = spans(args, (after.since, after.until), now)?;
    let mut before = after.clone();
    (before.since, before.until) = (Some(from), Some(to));
    Ok([before, after])
}

/// The earlier span: as long as the later one, and directly before it unless something else is asked for.
fn spans(
    args: &DiffArgs,
    (since, until): (Option<Timestamp>, Option<Timestamp>),
    now: &Zoned,
) -> anyhow::Result<(Timestamp, Timestamp)> {
    let since = since.context("--since all: the later span needs a beginning")?;
    let until = until.unwrap_or_else(|| now.timestamp().into());
    let length = until.seconds - since.seconds;
    anyhow::ensure!(length > 0, "--until: the span is empty");
    let end = match &args.before {
        None => since,
        Some(text) => crate::hubble::parse_time(text, now).context("--before")?,
    };
    let from = Timestamp {
        seconds: end.seconds - length,
        nanos: end.nanos,
    };
    Ok((from, end))
}

/// What differs, the worst first.
fn differences(before: &MapAnswer, after: &MapAnswer) -> Vec<Difference> {
    let (before, after) = (measured(&before.edges), measured(&after.edges));
    let edges: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut found: Vec<Difference> = edges
        .into_iter()
        .filter_map(|edge| {
            let of =
                |all: &BTreeMap<[String; 4], Measured>| all.get(edge).copied().unwrap_or_default();
            let (before, after) = (of(&before), of(&after));
            Some(Difference {
                what: what(&before, &after)?,
                edge: edge.clone(),
                before,
                after,
            })
        })
        .collect();
    found.sort_by_key(|of| (rank(of.what), std::cmp::Reverse(of.after.attempts)));
    found
}

fn rank(what: &str) -> usize {
    let order = [
        "fails more",
        "slower",
        "gone",
        "new",
        "fails less",
        "faster",
    ];
    order
        .iter()
        .position(|of| *of == what)
        .unwrap_or(order.len())
}

fn measured(rows: &[Row]) -> BTreeMap<[String; 4], Measured> {
    let of = |row: &Row| {
        let counters = row.counters.unwrap_or_default();
        let connect = row.connect.as_ref().map(Sketch::from).unwrap_or_default();
        let has_quantile = connect.count() >= ANSWERS;
        Measured {
            attempts: attempts(&counters),
            failed: failed(&counters),
            connect_p95: has_quantile.then(|| connect.quantile(0.95)).flatten(),
        }
    };
    rows.iter()
        .map(|row| (ends(row.edge.as_ref()), of(row)))
        .collect()
}

/// How an edge differs, if it does.
#[allow(clippy::cast_precision_loss, reason = "shares")]
fn what(before: &Measured, after: &Measured) -> Option<&'static str> {
    match (before.attempts, after.attempts) {
        (0, 0) => return None,
        (0, _) => return Some("new"),
        (_, 0) => return Some("gone"),
        _ => {}
    }
    let part = |of: &Measured| of.failed as f64 / of.attempts as f64;
    let more = part(after) - part(before);
    if more > SHARE && after.failed >= FAILURES {
        return Some("fails more");
    }
    if -more > SHARE && before.failed >= FAILURES {
        return Some("fails less");
    }
    let (old, new) = before.connect_p95.zip(after.connect_p95)?;
    let factor = new.as_secs_f64() / old.as_secs_f64();
    if factor > FACTOR {
        Some("slower")
    } else if factor < 1.0 / FACTOR {
        Some("faster")
    } else {
        None
    }
}

impl Difference {
    fn json(&self) -> Value {
        let [source, destination, service, port] = &self.edge;
        let of = |of: &Measured| {
            json!({
                "attempts": of.attempts, "failed": of.failed,
                "connect_p95_us": of.connect_p95.map(|of| of.as_micros() as u64),
            })
        };
        json!({
            "what": self.what, "source": source, "destination": destination, "service": service, "port": port,
            "before": of(&self.before), "after": of(&self.after),
        })
    }
}

fn cells(found: &[Difference]) -> Cells {
    let row = |of: &Difference| {
        let p95 = |of: &Measured| of.connect_p95.map(duration).unwrap_or_default();
        let mut row = vec![of.what.to_owned()];
        row.extend(of.edge.iter().cloned());
        for of in [&of.before, &of.after] {
            row.extend([
                of.attempts.to_string(),
                share(of.failed, of.attempts),
                p95(of),
            ]);
        }
        row
    };
    Cells {
        header: vec![
            "WHAT",
            "SOURCE",
            "DESTINATION",
            "SERVICE",
            "PORT",
            "ATTEMPTS BEFORE",
            "FAILED",
            "CONNECT P95",
            "ATTEMPTS AFTER",
            "FAILED",
            "CONNECT P95",
        ],
        rows: found.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
