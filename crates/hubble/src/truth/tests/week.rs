//! A week in small or as a whole: `AXONEME_MINUTES` says how many minutes pass (75 without it).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use api::hubble::Timestamp;
use api::hubble::answers::answers_server::Answers as _;
use api::hubble::answers::{CodeCount, Question};
use tonic::Request;

use super::{BEGIN_NS, WALL};
use crate::answers::{Answers, OwnNode};
use crate::truth::{Batch, Generator, Reader, Said, Step, Way};

/// Connections of a minute; they make some 250 records.
const CONNECTIONS: usize = 60;
const MINUTE_NS: u64 = 60_000_000_000;
const DAY: u64 = 24 * 60;
/// Bytes of records that are kept for each minute that passes: fewer than they need.
const BYTES_OF_MINUTE: u64 = 6 << 10;
/// Bytes of counts on disk, at most.
const COUNTS: u64 = 256 << 20;
/// What memory may grow by between the first day and the last, MiB.
const GROWTH_MIB: u64 = 32;

fn minutes() -> u64 {
    let wanted = std::env::var("AXONEME_MINUTES");
    wanted.map_or(75, |wanted| wanted.parse().expect("a number"))
}

/// What was sent within a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    opened: u64,
    denied: u64,
    requests: u64,
    /// Answers over HTTP with a status from 500 on.
    errors: u64,
}

impl Sent {
    fn of(batch: &Batch) -> Self {
        let mut sent = Self::default();
        for case in &batch.cases {
            sent.opened += case.counters.opened;
            sent.denied += case.counters.denied;
            for said in &case.said {
                if let Said::Http(http) = said {
                    sent.requests += 1;
                    let is_error = http.status.known().is_some_and(|code| *code >= 500);
                    sent.errors += u64::from(is_error);
                }
            }
        }
        sent
    }

    fn plus(self, of: &Self) -> Self {
        Self {
            opened: self.opened + of.opened,
            denied: self.denied + of.denied,
            requests: self.requests + of.requests,
            errors: self.errors + of.errors,
        }
    }
}

/// What is answered of the minutes `from` to `to`, which is not in it.
async fn answered(reader: &Reader, from: u64, to: u64) -> Sent {
    let answers = Answers::new(Arc::new(OwnNode(Arc::clone(reader.recorder()))));
    let at = |minute: u64| Timestamp::from_unix_nanos((WALL + 60 * minute) * 1_000_000_000);
    let ask = || {
        let until = Timestamp::from_unix_nanos((WALL + 60 * to - 1) * 1_000_000_000);
        Request::new(Question {
            since: Some(at(from)),
            until: Some(until),
            ..Question::default()
        })
    };
    let mut sent = Sent::default();
    for row in answers.map(ask()).await.unwrap().into_inner().edges {
        let counters = row.counters.unwrap_or_default();
        sent.opened += counters.opened;
        sent.denied += counters.denied;
    }
    for of in answers.http(ask()).await.unwrap().into_inner().requests {
        let counters = of.counters.unwrap_or_default();
        sent.requests += counters.requests;
        let errors = |of: &&CodeCount| of.code >= 500;
        let errors = counters.status.iter().filter(errors).map(|of| of.count);
        sent.errors += errors.sum::<u64>();
    }
    sent
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("of this process");
    let mut words = status
        .lines()
        .filter_map(|line| line.strip_prefix("VmRSS:"));
    let kib = words.next().and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") >> 10
}

/// Bytes of the segments in a directory.
fn on_disk(directory: &Path) -> u64 {
    let all = std::fs::read_dir(directory.join("records")).unwrap();
    all.map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// The last minutes, the last day and the last week, as far as there are so many, are answered as they were sent.
async fn is_answered(reader: &Reader, sent: &[Sent]) {
    let now = sent.len() as u64;
    for span in [5, DAY, 7 * DAY] {
        let from = now.saturating_sub(span);
        let expected = sent[from as usize..]
            .iter()
            .fold(Sent::default(), Sent::plus);
        let told = answered(reader, from, now).await;
        assert_eq!(told, expected, "the last {span} minutes of {now}");
    }
}

#[tokio::test]
async fn a_week_is_answered_as_it_was_sent_and_takes_no_more_than_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let all = minutes();
    let budget = all * BYTES_OF_MINUTE;
    let mut reader = Reader::new(Some((directory.path(), budget)), BEGIN_NS, WALL).unwrap();
    let mut generator = Generator::new(3, BEGIN_NS);
    let (mut sent, mut oldest, mut gone) = (Vec::new(), 0, 0);
    let (mut after_a_day, mut counts_after_a_day) = (0, 0);
    let counts = directory.path().join("counts.redb");
    // Of the file that part for which there are blocks.
    let size_of_counts = || std::fs::metadata(&counts).unwrap().blocks() * 512;
    for minute in 0..all {
        generator.go_on_at(BEGIN_NS + minute * MINUTE_NS);
        let batch = generator.batch(CONNECTIONS, Way::Whole);
        for (at_ns, step) in &batch.steps {
            reader.take(*at_ns, step, |_| {});
        }
        let end_ns = BEGIN_NS + (minute + 1) * MINUTE_NS;
        reader.take(end_ns, &Step::Second, |_| {});
        sent.push(Sent::of(&batch));
        let history = reader.history().unwrap();
        history.seal().unwrap();
        assert!(history.bytes() <= budget, "{} of {budget}", history.bytes());
        let since = history.since_ns().unwrap();
        assert!(since >= oldest, "the oldest goes first");
        gone += u64::from(since > oldest);
        oldest = since;
        if (minute + 1).is_multiple_of(DAY) || minute + 1 == all {
            is_answered(&reader, &sent).await;
            assert_eq!(on_disk(directory.path()), reader.history().unwrap().bytes());
            assert!(size_of_counts() <= COUNTS, "{}", size_of_counts());
        }
        if minute + 1 == DAY {
            (after_a_day, counts_after_a_day) = (resident_mib(), size_of_counts());
        }
    }
    assert!(gone > 1, "the budget was never used up");
    assert_eq!(reader.history().unwrap().lost(), 0);
    if all > 7 * DAY + 120 {
        let first = answered(&reader, 1, 2).await;
        assert_eq!(first, Sent::default(), "minutes are kept for a week");
        let hour = sent[..60].iter().fold(Sent::default(), Sent::plus);
        assert_eq!(
            answered(&reader, 0, 60).await,
            hour,
            "hours are kept longer"
        );
        let grown = resident_mib().saturating_sub(after_a_day);
        assert!(grown <= GROWTH_MIB, "{grown} MiB more than after a day");
        println!(
            "figure: {all} minutes with {} connections and {} requests; memory after a day {after_a_day} MiB, at the end {grown} MiB more; \
             counts after a day {} KiB, at the end {} KiB; records {} of {} KiB",
            sent.iter().map(|of| of.opened + of.denied).sum::<u64>(),
            sent.iter().map(|of| of.requests).sum::<u64>(),
            counts_after_a_day >> 10,
            size_of_counts() >> 10,
            reader.history().unwrap().bytes() >> 10,
            budget >> 10,
        );
    }
    ninety_days_later(&mut reader, &mut generator).await;
}

/// Hours are gone when they are ninety days old: the first one, however much came after it.
async fn ninety_days_later(reader: &mut Reader, generator: &mut Generator) {
    for hours in [89 * 24, 90 * 24 + 2] {
        let minute = 60 * hours;
        generator.go_on_at(BEGIN_NS + minute * MINUTE_NS);
        for (at_ns, step) in &generator.batch(CONNECTIONS, Way::Whole).steps {
            reader.take(*at_ns, step, |_| {});
        }
        // The hour after it: that is when what is old goes.
        let end_ns = BEGIN_NS + (minute + 61) * MINUTE_NS;
        reader.take(end_ns, &Step::Second, |_| {});
        let first = answered(reader, 0, 60).await;
        let is_kept = hours < 90 * 24;
        assert_eq!(first != Sent::default(), is_kept, "{hours} hours later");
    }
}
