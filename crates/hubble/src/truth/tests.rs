//! `AXONEME_CONNECTIONS` says of how many connections (20,000 without it).

mod kept;
mod overflow;
mod sound;
mod sums;
mod week;

use std::collections::HashMap;

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
        tell(&batch, spoken, (&mut sums, &mut fates));
    }
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

/// Holds what was told against what was sent, and adds it up.
fn tell(batch: &Batch, spoken: Vec<Spoke>, (sums, fates): (&mut Sums, &mut Fates)) {
    let mut told: HashMap<(std::net::IpAddr, u16), Vec<Said>> = HashMap::new();
    for (client, record) in spoken {
        let key = (client.address, client.port);
        told.entry(key).or_default().push(record);
    }
    let is_losing = batch.cases.iter().any(|case| case.lost > 0);
    for case in &batch.cases {
        let key = (case.client.address, case.client.port);
        let told = told.remove(&key).unwrap_or_default();
        sums.add(case, &told);
        fates.sent += case.said.len() as u64;
        fates.samples += case.lost;
        if case.lost == 0 {
            let known = sound::expected(&case.said, &told, is_losing);
            if told != known {
                fates.wrong.push(format!("told {told:?} of {case:?}"));
            }
            fates.whole += case.said.len() as u64;
            continue;
        }
        let found = sound::check(&case.said, &told, &mut fates.wrong);
        fates.whole += found.whole;
        fates.partly += found.partly;
        fates.lost += case.said.len() as u64 - found.whole - found.partly;
    }
    assert!(told.is_empty(), "nobody said {told:#?}");
}
