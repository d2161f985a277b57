//! `AXONEME_CONNECTIONS` says of how many connections (20,000 without it).

mod kept;
mod overflow;
mod sound;
mod sums;
mod week;

use std::collections::HashMap;
use std::net::IpAddr;

use super::*;
use kept::Kept;
use sums::Sums;

const BEGIN_NS: u64 = 1_000_000_000_000;
/// The wall clock then, seconds since the Unix epoch.
const WALL: u64 = 1_800_000_000;
/// Connections of one batch.
const BATCH: usize = 2_000;
/// Bytes of records that may be kept: all.
const BYTES: u64 = 1 << 40;

fn connections() -> usize {
    let wanted = std::env::var("AXONEME_CONNECTIONS");
    wanted.map_or(20_000, |wanted| wanted.parse().expect("a number"))
}

/// What became of messages.
#[derive(Default)]
struct Fates {
    sent: u64,
    /// Told as they were.
    whole: u64,
    /// Told without what was lost.
    partly: u64,
    /// Not told at all.
    lost: u64,
    /// Samples that did not come.
    samples: u64,
    /// Connections of which something was told that is not so.
    wrong: Vec<String>,
}

#[tokio::test]
async fn every_record_and_every_count_is_what_was_sent_or_says_that_it_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(Some((directory.path(), BYTES)), BEGIN_NS, WALL).unwrap();
    let mut generator = Generator::new(7, BEGIN_NS);
    let (mut sums, mut fates) = (Sums::default(), Fates::default());
    let mut losers = Losers::default();
    let mut kept = Kept::new(directory.path());
    let all = connections();
    for (number, at) in (0..all).step_by(BATCH).enumerate() {
        let way = [Way::Whole, Way::Losing][number % 2];
        let batch = generator.batch(BATCH.min(all - at), way);
        let mut spoken = Vec::new();
        for (at_ns, step) in &batch.steps {
            reader.take(*at_ns, step, |spoke| spoken.push(spoke.clone()));
        }
        kept.is_what_came(&reader, &batch, &spoken);
        tell(&batch, spoken, &mut losers, (&mut sums, &mut fates));
    }
    losers.are_sound(&mut fates);
    let wrong = fates.wrong.len();
    assert!(
        wrong == 0,
        "{wrong} wrong: {}",
        fates.wrong[..wrong.min(400)].join("\n===\n")
    );
    let rows = reader.recorder().rollup().rows(0, u64::MAX).unwrap();
    assert_eq!(rows.lost, fates.samples);
    sums.are_those_of(&rows.rows);
    sums.are_answered(reader.recorder(), fates.samples).await;
    assert!(fates.samples > 0 && fates.partly > 0, "nothing was lost");
    assert_eq!(fates.sent, fates.whole + fates.partly + fates.lost);
    println!(
        "figure: {all} connections, {} records and {} messages as they were sent; of {} lost samples {} messages are known in part, \
         {} not; no wrong field",
        kept.records(),
        fates.whole,
        fates.samples,
        fates.partly,
        fates.lost
    );
}

/// A connection's client, and the number of its batch, since ports are used again.
type Name = (IpAddr, u16, u64);

/// Connections of which samples were lost, and what was told of them until now: where the end is missing, what is open is told
/// when the connection is forgotten or its ports are used again, some batches later.
#[derive(Default)]
struct Losers(HashMap<Name, (Case, Vec<Said>)>);

impl Losers {
    /// Takes what was said on a connection that is over.
    fn take(&mut self, told: HashMap<Name, Vec<Said>>, sums: &mut Sums) {
        for (name, told) in told {
            let Some((case, before)) = self.0.get_mut(&name) else {
                panic!("nobody said {told:#?} as {name:?}");
            };
            sums.heard(&case.edge, &told);
            before.extend(told);
        }
    }

    fn are_sound(&self, fates: &mut Fates) {
        for (case, told) in self.0.values() {
            let found = sound::check(&case.said, told, &mut fates.wrong);
            fates.whole += found.whole;
            fates.partly += found.partly;
            fates.lost += case.said.len() as u64 - found.whole - found.partly;
        }
    }
}

/// The first moment that a record knows.
fn first_ns(said: &Said) -> Option<u64> {
    match said {
        Said::Http(of) => of.start_ns.or(of.answer_ns).or(of.end_ns),
        Said::Dns(of) => Some(of.start_ns),
        Said::Kafka(of) => Some(of.start_ns),
        Said::Tls(of) => of.start_ns.or(of.hello_ns).or(of.done_ns),
    }
}

/// Holds what was told against what was sent, and adds it up.
fn tell(
    batch: &Batch,
    spoken: Vec<Spoke>,
    losers: &mut Losers,
    (sums, fates): (&mut Sums, &mut Fates),
) {
    let number = |at_ns: u64| (at_ns - BEGIN_NS) / BATCH_NS;
    let this = batch.steps.first().map_or(0, |(at_ns, _)| number(*at_ns));
    let mut told: HashMap<Name, Vec<Said>> = HashMap::new();
    for (client, record) in spoken {
        let of = first_ns(&record).map_or(this, number);
        let name = (client.address, client.port, of);
        told.entry(name).or_default().push(record);
    }
    let is_losing = batch.cases.iter().any(|case| case.lost > 0);
    for case in &batch.cases {
        let name = (case.client.address, case.client.port, this);
        let told = told.remove(&name).unwrap_or_default();
        sums.add(case, &told);
        fates.sent += case.said.len() as u64;
        fates.samples += case.lost;
        if case.lost > 0 {
            losers.0.insert(name, (case.clone(), told));
            continue;
        }
        let known = sound::expected(&case.said, &told, is_losing);
        if told != known {
            fates.wrong.push(format!("told {told:?} of {case:?}"));
        }
        fates.whole += case.said.len() as u64;
    }
    losers.take(told, sums);
}
