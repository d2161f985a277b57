//! Answers as a person or a program reads them.

use std::io::Write;

use api::hubble::Timestamp;
use api::hubble::answers::{Completeness, Failure, HttpAnswer, Sample};
use serde_json::Value;

use super::ask::Answer;
use super::tables::{self, Cells, cells, clock};
use super::{Format, View, picture, said};
use crate::output::{Paint, Table, visible};

/// Services that are named of which not all connections were read.
const UNREAD: usize = 5;

/// Writes an answer.
pub(super) fn show(
    answer: &Answer,
    view: &View,
    (format, limit): (Format, u32),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&json(answer)?)?)?,
        Format::Csv => csv_of(&cells(view.table, answer, limit), out)?,
        Format::Table => table(answer, view, limit, out)?,
        Format::Dot | Format::Mermaid => match answer {
            Answer::Map(map) => picture::draw(map, format, limit, out)?,
            _ => anyhow::bail!("-o {format:?}: only a map has a picture"),
        },
    }
    Ok(())
}

fn json(answer: &Answer) -> Result<Value, serde_json::Error> {
    match answer {
        Answer::Map(of) => serde_json::to_value(of),
        Answer::Failing(of) => serde_json::to_value(of),
        Answer::Exposed(of) => serde_json::to_value(of),
        Answer::Http(of) => serde_json::to_value(of),
        Answer::Dns(of) => serde_json::to_value(of),
        Answer::Kafka(of) => serde_json::to_value(of),
        Answer::Resolved(of) => serde_json::to_value(of),
    }
}

/// A record of RFC 4180.
fn csv(row: &[String]) -> String {
    let cell = |text: &String| {
        if text.contains(['"', ',', '\r', '\n']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.clone()
        }
    };
    row.iter().map(cell).collect::<Vec<_>>().join(",")
}

fn table(answer: &Answer, view: &View, limit: u32, out: &mut dyn Write) -> anyhow::Result<()> {
    let paint = Paint::of_stdout();
    let cells = cells(view.table, answer, limit);
    if cells.rows.is_empty() {
        let text = match view.table {
            tables::Of::Failures => paint.good("Nothing fails."),
            tables::Of::Exposures => "Nothing was reached from outside.".to_owned(),
            tables::Of::Errors => paint.good("No request fails."),
            tables::Of::Requests => "No request was seen.".to_owned(),
            tables::Of::Lookups if view.narrow.failing => paint.good("No question fails."),
            tables::Of::Lookups | tables::Of::Resolutions => {
                "No such name was asked for.".to_owned()
            }
            tables::Of::Topics => "No request to Kafka was seen.".to_owned(),
            _ => "Nothing was seen.".to_owned(),
        };
        writeln!(out, "{text}")?;
    } else {
        aligned(&cells, out)?;
    }
    if let (Answer::Failing(failing), true) = (answer, view.evidence) {
        for (number, failure) in failing.failures.iter().enumerate() {
            evidence(number + 1, failure, out)?;
        }
    }
    writeln!(out)?;
    if let Answer::Http(HttpAnswer {
        encrypted, unread, ..
    }) = answer
    {
        if *encrypted > 0 {
            let text =
                format!("{encrypted} connections are encrypted (TLS): their requests are not seen");
            writeln!(out, "{}", paint.warn(&text))?;
        }
        for of in unread.iter().take(UNREAD) {
            writeln!(out, "{}", visible(&said::not_seen(of)))?;
        }
    }
    footer_of(answer, out)
}

/// The rows under their header.
pub(super) fn aligned(cells: &Cells, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(&cells.header);
    for row in &cells.rows {
        table.row(row.iter().map(|cell| visible(cell).into_owned()));
    }
    table.write(out)?;
    Ok(())
}

/// The same as records of RFC 4180.
pub(super) fn csv_of(cells: &Cells, out: &mut dyn Write) -> anyhow::Result<()> {
    let header: Vec<String> = cells.header.iter().map(ToString::to_string).collect();
    for row in std::iter::once(&header).chain(&cells.rows) {
        write!(out, "{}\r\n", csv(row))?;
    }
    Ok(())
}

/// The line below an answer.
pub(super) fn footer_of(answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
    let (since, until, completeness) = match answer {
        Answer::Map(of) => (of.since, of.until, &of.completeness),
        Answer::Failing(of) => (of.since, of.until, &of.completeness),
        Answer::Exposed(of) => (of.since, of.until, &of.completeness),
        Answer::Http(of) => (of.since, of.until, &of.completeness),
        Answer::Dns(of) => (of.since, of.until, &of.completeness),
        Answer::Kafka(of) => (of.since, of.until, &of.completeness),
        Answer::Resolved(of) => (of.since, of.until, &of.completeness),
    };
    let completeness = completeness.clone().unwrap_or_default();
    let text = footer(since, until, &completeness, Paint::of_stdout());
    writeln!(out, "{text}")?;
    Ok(())
}

fn evidence(number: usize, failure: &Failure, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\n{number}. {}", visible(&failure.sentence))?;
    let end = |pod: &str, address: &str| {
        let address = visible(address).into_owned();
        if pod.is_empty() {
            address
        } else {
            format!("{} ({address})", visible(pod))
        }
    };
    for sample in &failure.samples {
        let Sample {
            source_pod,
            source,
            destination_pod,
            destination,
            ..
        } = sample;
        let time = clock(Some(Timestamp::from_unix_nanos(sample.time_ns)));
        let (from, to) = (end(source_pod, source), end(destination_pod, destination));
        writeln!(out, "   {time}  {from} -> {to}")?;
    }
    Ok(())
}

/// Of which time the answer is, of how many nodes, and how much of it is missing.
fn footer(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    of: &Completeness,
    paint: Paint,
) -> String {
    let nodes = match of.nodes {
        1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let mut missing = Vec::new();
    if of.lost > 0 {
        let percent = (of.share * 100.0).min(99.9);
        missing.push(format!("{percent:.1}% complete, {} records lost", of.lost));
    }
    if of.unknown > 0 {
        let (unknown, said) = (of.unknown, of.said);
        missing.push(format!("of {said} requests {unknown} were seen in part"));
    }
    if !of.missing.is_empty() {
        missing.push(format!("no answer of {}", visible(&of.missing.join(", "))));
    }
    if !of.missing_clusters.is_empty() {
        let names = of.missing_clusters.join(", ");
        missing.push(format!("no answer of the clusters {}", visible(&names)));
    }
    if of.withheld > 0 {
        missing.push(format!("{} edges are withheld", of.withheld));
    }
    let whole = if missing.is_empty() {
        "complete".to_owned()
    } else {
        paint.warn(&missing.join("; "))
    };
    format!("{} to {}, {nodes}, {whole}", clock(since), clock(until))
}
