//! A conversation, played in every way in which a network and a full ring can show it to us.

use std::fmt;

use crate::{
    conversation::Direction,
    record::{
        Dns, DnsOutcome, Ending, Grpc, Http, Kafka, KafkaTopic, Record, Seen, Tls, TlsEnding,
    },
    stream::Sample,
    track::{Origin, Tracker},
};

/// A sample with octets of its own.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) direction: Direction,
    pub(crate) at: u32,
    pub(crate) octets: Vec<u8>,
    /// How many of them are in the sample.
    pub(crate) sampled: usize,
}

/// What two peers say, write by write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) segments: Vec<Segment>,
    sent: [u32; 2],
}

/// Places, lengths and what is sampled of them.
impl fmt::Display for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            let Segment {
                direction,
                at,
                octets,
                sampled,
            } = segment;
            let text = octets.get(..*sampled).unwrap_or_default().escape_ascii();
            writeln!(out, "{direction:?} {at} {sampled}/{} {text}", octets.len())?;
        }
        Ok(())
    }
}

/// Time between two samples.
const STEP_NS: u64 = 1000;

impl Script {
    pub(crate) fn say(mut self, direction: Direction, octets: &[u8]) -> Self {
        let sent = &mut self.sent[direction as usize];
        self.segments.push(Segment {
            direction,
            at: *sent,
            octets: octets.to_vec(),
            sampled: octets.len(),
        });
        *sent += octets.len() as u32;
        self
    }

    pub(crate) fn client(self, octets: impl AsRef<[u8]>) -> Self {
        self.say(Direction::ToServer, octets.as_ref())
    }

    pub(crate) fn server(self, octets: impl AsRef<[u8]>) -> Self {
        self.say(Direction::ToClient, octets.as_ref())
    }

    fn with(&self, segments: Vec<Segment>) -> Self {
        Self {
            segments,
            sent: self.sent,
        }
    }

    /// In segments of at most so many octets.
    pub(crate) fn in_segments_of(&self, most: usize) -> Self {
        let cut = |segment: &Segment| {
            let pieces = segment.octets.chunks(most).enumerate();
            let pieces = pieces.map(|(number, octets)| Segment {
                at: segment.at + (number * most) as u32,
                octets: octets.to_vec(),
                sampled: octets.len(),
                ..segment.clone()
            });
            pieces.collect::<Vec<_>>()
        };
        self.with(self.segments.iter().flat_map(cut).collect())
    }

    /// One segment in two, for every segment and every place in it.
    pub(crate) fn split_everywhere(&self) -> impl Iterator<Item = Self> {
        let places = self.segments.iter().enumerate();
        let places = places
            .flat_map(|(number, segment)| (1..segment.octets.len()).map(move |at| (number, at)));
        places.map(|(number, at)| {
            let mut segments = self.segments.clone();
            let mut second = segments[number].clone();
            second.octets.drain(..at);
            second.sampled = second.octets.len();
            second.at += at as u32;
            segments[number].octets.truncate(at);
            segments[number].sampled = at;
            segments.insert(number + 1, second);
            self.with(segments)
        })
    }

    /// Without the beginning or the end of one segment, for every segment and every place in it.
    pub(crate) fn halved(&self) -> impl Iterator<Item = Self> {
        let places = self.segments.iter().enumerate();
        let places = places
            .flat_map(|(number, segment)| (1..segment.octets.len()).map(move |at| (number, at)));
        places.flat_map(|(number, at)| {
            let (mut first, mut second) = (self.segments.clone(), self.segments.clone());
            first[number].octets.truncate(at);
            first[number].sampled = at;
            second[number].octets.drain(..at);
            second[number].sampled = second[number].octets.len();
            second[number].at += at as u32;
            [self.with(first), self.with(second)]
        })
    }

    /// What one side says without a word of the other, turned around.
    pub(crate) fn reordered(&self) -> Self {
        let runs = self
            .segments
            .chunk_by(|one, other| one.direction == other.direction);
        let turned = runs.flat_map(|run| run.chunks(16).flat_map(|run| run.iter().rev().cloned()));
        self.with(turned.collect())
    }

    /// Every segment again, at once and after the next one.
    pub(crate) fn duplicated(&self) -> Self {
        let mut segments = Vec::new();
        for pair in self.segments.windows(2) {
            segments.extend([
                pair[0].clone(),
                pair[0].clone(),
                pair[1].clone(),
                pair[0].clone(),
            ]);
        }
        segments.extend(self.segments.last().cloned());
        self.with(segments)
    }

    /// What one side says without a word of the other, in one segment.
    pub(crate) fn coalesced(&self) -> Self {
        let runs = self
            .segments
            .chunk_by(|one, other| one.direction == other.direction);
        let joined = runs.map(|run| {
            let octets: Vec<u8> = run
                .iter()
                .flat_map(|segment| segment.octets.clone())
                .collect();
            Segment {
                sampled: octets.len(),
                octets,
                ..run[0].clone()
            }
        });
        self.with(joined.collect())
    }

    /// Every segment is sent again together with the one after it.
    pub(crate) fn overlapping(&self) -> Self {
        let mut segments = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            segments.push(segment.clone());
            if let Some(next) = self.segments.get(number + 1)
                && next.direction == segment.direction
            {
                let octets = [&segment.octets[..], &next.octets].concat();
                segments.push(Segment {
                    sampled: octets.len(),
                    octets,
                    ..segment.clone()
                });
            }
        }
        self.with(segments)
    }

    /// Without one segment, for each of them.
    pub(crate) fn each_lost(&self) -> impl Iterator<Item = Self> {
        (0..self.segments.len()).map(|lost| {
            let mut segments = self.segments.clone();
            segments.remove(lost);
            self.with(segments)
        })
    }

    /// From each segment on.
    pub(crate) fn each_midway(&self) -> impl Iterator<Item = Self> {
        (1..self.segments.len()).map(|first| self.with(self.segments[first..].to_vec()))
    }

    /// With samples of at most so many octets.
    pub(crate) fn sampled(&self, most: usize) -> Self {
        let mut segments = self.segments.clone();
        for segment in &mut segments {
            segment.sampled = segment.sampled.min(most);
        }
        self.with(segments)
    }

    /// The records of a tracker that sees the connection from its SYN, with these first sequence numbers.
    pub(crate) fn play_from(&self, first: [u32; 2]) -> Vec<Record> {
        self.records(first, true)
    }

    pub(crate) fn play(&self) -> Vec<Record> {
        self.records([1000, 77], true)
    }

    /// The records of a tracker that did not see the SYN.
    pub(crate) fn play_midway(&self) -> Vec<Record> {
        self.records([1000, 77], false)
    }

    fn records(&self, first: [u32; 2], syn: bool) -> Vec<Record> {
        let mut tracker = Tracker::default();
        let mut out = Vec::new();
        let mut time_ns = 1_000_000;
        if syn {
            for direction in Direction::ALL {
                let sample = Sample {
                    sequence: first[direction as usize].wrapping_sub(1),
                    syn: true,
                    time_ns,
                    ..Sample::default()
                };
                tracker.segment(1, Origin::default(), direction, sample, &mut out);
            }
        }
        for segment in &self.segments {
            time_ns += STEP_NS;
            let sample = Sample {
                sequence: first[segment.direction as usize].wrapping_add(segment.at),
                syn: false,
                octets: &segment.octets[..segment.sampled],
                length: segment.octets.len() as u32,
                expected: None,
                time_ns,
            };
            tracker.segment(1, Origin::default(), segment.direction, sample, &mut out);
        }
        tracker.tick(time_ns + 2_000_000_000, &mut out);
        let ends = [0, 1].map(|side| first[side].wrapping_add(self.sent[side]));
        tracker.closed(1, Some(ends), &mut out);
        assert!(tracker.is_empty());
        assert_eq!(tracker.octets(), 0);
        out.into_iter().map(|(_, record)| record).collect()
    }
}

/// What is known of how faithful lossy plays are.
#[derive(Debug, Default)]
pub(crate) struct Faith {
    pub(crate) plays: usize,
    pub(crate) records: usize,
    /// Records in which nothing is unknown.
    pub(crate) whole: usize,
}

/// Plays the script in all ways: where nothing is missing the answers are the same, elsewhere they fit.
pub(crate) fn play_all(script: &Script, expected: &[Record]) -> Faith {
    play_in_segments(&[16, 32, 100], script, expected)
}

/// The same, in segments of these sizes: where it takes a whole message to know a protocol, it must fit into a few.
pub(crate) fn play_in_segments(sizes: &[usize], script: &Script, expected: &[Record]) -> Faith {
    let same = |played: &Script, how: &str| {
        assert_eq!(sorted(&played.play()), sorted(expected), "{how}");
    };
    same(script, "as it is");
    same(&script.duplicated(), "duplicated");
    same(&script.coalesced(), "coalesced");
    for split in script.split_everywhere() {
        same(&split, "split");
        same(&split.overlapping(), "overlapping");
    }
    for most in sizes.iter().copied() {
        let small = script.in_segments_of(most);
        same(&small, "small");
        same(&small.reordered(), "reordered");
        same(&small.duplicated(), "small and duplicated");
        same(&small.overlapping(), "small and overlapping");
    }
    for first in [[u32::MAX - 5, 0], [u32::MAX, u32::MAX - 300], [0, 1 << 31]] {
        let records = script.in_segments_of(64).reordered().play_from(first);
        assert_eq!(
            sorted(&records),
            sorted(expected),
            "over the end of the numbers"
        );
    }
    let mut faith = Faith::default();
    let mut fits = |records: Vec<Record>, how: &str, script: &Script| {
        faith.plays += 1;
        faith.records += records.len();
        faith.whole += check(&records, expected, how, script);
    };
    for base in [
        script.clone(),
        script.coalesced(),
        script.in_segments_of(20),
        script.in_segments_of(64),
    ] {
        for lost in base.each_lost() {
            fits(lost.play(), "lost", &lost);
            fits(lost.reordered().play(), "lost and reordered", &lost);
        }
        for midway in base.each_midway() {
            fits(midway.play_midway(), "midway", &midway);
        }
    }
    for half in script.halved() {
        fits(half.play(), "half of a segment lost", &half);
    }
    for most in [40, 64, 128, 256] {
        let cut = script.sampled(most);
        fits(cut.play(), "cut", &cut);
        for lost in cut.each_lost() {
            fits(lost.play(), "cut and lost", &lost);
        }
        for midway in cut.each_midway() {
            fits(midway.play_midway(), "cut and midway", &midway);
        }
    }
    faith
}

/// Records without their times, in an order of their own.
pub(crate) fn sorted(records: &[Record]) -> Vec<Record> {
    let mut records: Vec<_> = records.iter().map(timeless).collect();
    records.sort_by_cached_key(|record| format!("{record:?}"));
    records
}

/// Each record fits one that is expected, and none of those with its name known comes twice. Gives the number of records
/// in which nothing is unknown.
fn check(records: &[Record], expected: &[Record], how: &str, script: &Script) -> usize {
    let records: Vec<_> = records.iter().map(timeless).collect();
    for record in &records {
        assert!(
            expected.iter().any(|other| fits(record, other)),
            "{how}: nothing like {record:?} is expected in {expected:#?}, played {script}"
        );
    }
    let count = |records: &[Record], wanted: &Record| {
        records.iter().filter(|record| *record == wanted).count()
    };
    let mut whole = 0;
    for record in expected {
        let (seen, most) = (count(&records, record), count(expected, record));
        assert!(
            seen <= most,
            "{how}: {record:#?} came {seen} times, played {script}"
        );
        // Those that are alike are counted once each.
        whole += seen.min(1);
    }
    whole
}

fn known<T: PartialEq>(seen: &Seen<T>, expected: &Seen<T>) -> bool {
    matches!(seen, Seen::Unknown) || seen == expected
}

/// Whether what is known of a record is what is expected.
fn fits(record: &Record, expected: &Record) -> bool {
    match (record, expected) {
        (Record::Http(record), Record::Http(expected)) => http_fits(record, expected),
        (Record::Dns(record), Record::Dns(expected)) => dns_fits(record, expected),
        (Record::Tls(record), Record::Tls(expected)) => tls_fits(record, expected),
        (Record::Kafka(record), Record::Kafka(expected)) => kafka_fits(record, expected),
        _ => false,
    }
}

fn http_fits(record: &Http, expected: &Http) -> bool {
    let grpc = |record: &Grpc, expected: &Grpc| {
        known(&record.service, &expected.service)
            && known(&record.method, &expected.method)
            && known(&record.status, &expected.status)
    };
    let grpc = match (&record.grpc, &expected.grpc) {
        (Seen::Known(record), Seen::Known(expected)) => grpc(record, expected),
        (record, expected) => known(record, expected),
    };
    known(&record.method, &expected.method)
        && known(&record.path, &expected.path)
        && known(&record.template, &expected.template)
        && known(&record.host, &expected.host)
        && known(&record.status, &expected.status)
        && known(&record.request_octets, &expected.request_octets)
        && known(&record.response_octets, &expected.response_octets)
        && known(&record.traceparent, &expected.traceparent)
        && grpc
        && (record.ending == Ending::Unknown || record.ending == expected.ending)
}

fn dns_fits(record: &Dns, expected: &Dns) -> bool {
    let same_answers = if record.all_answers {
        record.answers == expected.answers
    } else {
        expected.answers.starts_with(&record.answers)
    };
    record.qname == expected.qname
        && record.qtype == expected.qtype
        && (record.outcome == DnsOutcome::Unknown || record.outcome == expected.outcome)
        && (record.attempts == 0 || record.attempts == expected.attempts)
        && same_answers
}

fn tls_fits(record: &Tls, expected: &Tls) -> bool {
    known(&record.server_name, &expected.server_name)
        && known(&record.alpn_offered, &expected.alpn_offered)
        && known(&record.alpn, &expected.alpn)
        && known(&record.version, &expected.version)
        && (record.ending == TlsEnding::Unknown || record.ending == expected.ending)
}

fn kafka_fits(record: &Kafka, expected: &Kafka) -> bool {
    let topic_fits = |topic: &KafkaTopic, expected: &KafkaTopic| {
        known(&topic.name, &expected.name)
            && topic.id == expected.id
            && known(&topic.octets, &expected.octets)
            && known(&topic.error, &expected.error)
    };
    let all = !record.all_topics || record.topics.len() == expected.topics.len();
    record.api == expected.api
        && record.version == expected.version
        && record.request_octets == expected.request_octets
        && known(&record.client, &expected.client)
        && known(&record.group, &expected.group)
        && known(&record.error, &expected.error)
        && known(&record.response_octets, &expected.response_octets)
        && all
        && record
            .topics
            .iter()
            .all(|topic| expected.topics.iter().any(|other| topic_fits(topic, other)))
        && (record.ending == Ending::Unknown || record.ending == expected.ending)
}

/// The record without its times.
pub(crate) fn timeless(record: &Record) -> Record {
    let mut record = record.clone();
    match &mut record {
        Record::Http(http) => {
            http.start_ns = None;
            http.answer_ns = None;
            http.end_ns = None;
        }
        Record::Dns(dns) => {
            dns.start_ns = 0;
            dns.latency_ns = None;
        }
        Record::Kafka(kafka) => {
            kafka.start_ns = 0;
            kafka.end_ns = None;
        }
        Record::Tls(tls) => {
            tls.start_ns = None;
            tls.hello_ns = None;
            tls.done_ns = None;
        }
    }
    record
}

/// A record of HTTP as it is expected.
pub(crate) fn http(method: &str, path: &str, status: u16, octets: (u64, u64)) -> Http {
    Http {
        method: Seen::Known(method.into()),
        path: Seen::Known(path.into()),
        template: Seen::Known(crate::template::template(path)),
        host: Seen::Known("shop".into()),
        status: Seen::Known(status),
        request_octets: Seen::Known(octets.0),
        response_octets: Seen::Known(octets.1),
        traceparent: Seen::Absent,
        grpc: Seen::Absent,
        ending: Ending::Whole,
        ..Http::default()
    }
}

/// Records of HTTP.
pub(crate) fn records(https: Vec<Http>) -> Vec<Record> {
    https
        .into_iter()
        .map(|http| Record::Http(Box::new(http)))
        .collect()
}
