//! What user space does with records, on one processor: from events, entries and samples to counts, and to segments on disk.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use datapath::abi::sample::Sample;
use hubble::truth::{Generator, Reader, Step, Way};

use crate::bench::Bench;
use crate::bench::statistics::{Target, median};
use crate::bench::table::Row;

const BEGIN_NS: u64 = 1_000_000_000_000;
/// The wall clock then, seconds since the Unix epoch.
const WALL: u64 = 1_800_000_000;
/// Port of the servers that speak HTTP.
const HTTP: u16 = 8080;
/// Port of those that speak DNS.
const DNS: u16 = 53;

/// Octets of a trace's number, which a third of the requests has, by request.
const TRACED: f64 = 16.0 / 3.0;

pub(super) const ROWS: &[&str] = &[
    "observe, records of connections per second of a processor",
    "observe, requests over HTTP/1 per second of a processor",
    "observe, bytes of a connection's record on disk",
    "observe, bytes of a request's records on disk",
    "observe, bytes of a question's records on disk",
    "observe, time to write a row",
];

/// Which steps are taken.
#[derive(Clone, Copy)]
enum Only {
    Connections,
    Samples(u16),
}

impl Only {
    fn has(self, step: &Step) -> bool {
        let is_of = |sample: &Sample, port: u16| {
            let ports = [sample.key.low_port, sample.key.high_port, sample.to_port];
            ports.contains(&port.to_be())
        };
        match (self, step) {
            (_, Step::Second) | (Self::Connections, Step::Event(..) | Step::Entry(..)) => true,
            (Self::Samples(port), Step::Sample(sample, _)) => is_of(sample, port),
            _ => false,
        }
    }
}

/// A round: records that were made, seconds that this took, bytes of them on disk, rows, and seconds to write those.
struct Round {
    records: u64,
    seconds: f64,
    bytes: u64,
    rows: u64,
    sealing: f64,
}

fn round(
    only: Only,
    connections: usize,
    directory: Option<&Path>,
    seed: u64,
) -> anyhow::Result<Round> {
    let place = directory.map(|directory| (directory, 1 << 40));
    let mut reader = Reader::new(place, BEGIN_NS, WALL)?;
    let mut batch = Generator::new(seed, BEGIN_NS).batch(connections, Way::Whole);
    batch.steps.retain(|(_, step)| only.has(step));
    let mut said = 0;
    let begun = Instant::now();
    for (at_ns, step) in &batch.steps {
        reader.take(*at_ns, step, |_| said += 1);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let told = batch.steps.iter().filter(|(_, step)| match step {
        Step::Event(..) => true,
        Step::Entry(_, _, entry, _) => *entry == hubble::connections::Entry::Goes,
        _ => false,
    });
    let records = told.count() as u64 + said;
    ensure!(records > 0, "nothing was told");
    let rows = reader.intake().ring().head();
    let (mut bytes, mut sealing) = (0, 0.0);
    if let Some(history) = reader.history() {
        let begun = Instant::now();
        history.seal()?;
        sealing = begun.elapsed().as_secs_f64();
        bytes = history.bytes();
        ensure!(history.lost() == 0, "records were lost");
    }
    Ok(Round {
        records,
        seconds,
        bytes,
        rows,
        sealing,
    })
}

/// The median of several rounds.
fn typical(rounds: u64, value: impl Fn(u64) -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let values = (0..rounds).map(value).collect::<anyhow::Result<Vec<_>>>()?;
    median(&values).context("no round")
}

pub(super) fn records(bench: &mut Bench) -> anyhow::Result<()> {
    let (connections, rounds) = if bench.options.quick {
        (2_000, 2)
    } else {
        (20_000, 9)
    };
    for (name, only, target) in [
        (ROWS[0], Only::Connections, 150_000.0),
        (ROWS[1], Only::Samples(HTTP), 100_000.0),
    ] {
        let value = typical(rounds, |seed| {
            let round = round(only, connections, None, seed)?;
            Ok(round.records as f64 / round.seconds)
        })?;
        let row = Row::figure(name, value, "1/s", rounds as usize);
        bench.add([row.wanted(Target::AtLeast(target))]);
    }
    let mut writing = Vec::new();
    for (name, only, target) in [
        (ROWS[2], Only::Connections, 24.0),
        (ROWS[3], Only::Samples(HTTP), 16.0 + TRACED),
        (ROWS[4], Only::Samples(DNS), 10.0),
    ] {
        let directory = tempfile::tempdir()?;
        let round = round(only, connections, Some(directory.path()), 1)?;
        let value = round.bytes as f64 / round.records as f64;
        let row = Row::figure(name, value, "octets", round.records as usize);
        bench.add([row.wanted(Target::AtMost(target))]);
        writing.push((round.sealing, round.rows));
    }
    let seconds: f64 = writing.iter().map(|(seconds, _)| seconds).sum();
    let rows: u64 = writing.iter().map(|(_, rows)| rows).sum();
    let value = seconds * 1e6 / rows as f64;
    bench.add([Row::figure(ROWS[5], value, "µs", rows as usize)]);
    Ok(())
}
