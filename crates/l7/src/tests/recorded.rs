//! What programs in other languages said to each other (`recorded/NAME.hex`: number of the connection, who speaks, octets), held
//! against what their clients say that they asked and were answered (`recorded/NAME.txt`).

use std::{collections::BTreeMap, fmt::Write as _};

use super::corpus::{Script, play_in_segments};
use crate::{
    conversation::Direction,
    record::{Ending, Grpc, Http, Kafka, Record, Seen},
    stream::Sample,
    track::{Origin, Tracker},
};

/// Octets of a segment on an ordinary network.
const SEGMENT: usize = 1448;

/// One read: connection, who spoke, octets.
type Read = (u32, Direction, Vec<u8>);

fn reads(text: &str) -> Vec<Read> {
    let line = |line: &str| {
        let (head, hex) = line.split_once(' ')?;
        let number = head.trim_end_matches(['<', '>']).parse().ok()?;
        let direction = if head.ends_with('>') {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        let octet = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let octets = (0..hex.len()).step_by(2).map(octet);
        Some((number, direction, octets.collect::<Option<Vec<u8>>>()?))
    };
    let reads = text.lines().map(|text| line(text).expect(text));
    reads.collect()
}

/// Each connection by itself, in segments as long as they can be; those of answers may be shorter.
fn scripts(reads: &[Read], answers: usize) -> Vec<Script> {
    let mut scripts: BTreeMap<u32, Script> = BTreeMap::new();
    for (number, direction, octets) in reads {
        let longest = match direction {
            Direction::ToServer => SEGMENT,
            Direction::ToClient => answers,
        };
        let script = scripts.entry(*number).or_default();
        for octets in octets.chunks(longest) {
            *script = std::mem::take(script).say(*direction, octets);
        }
    }
    scripts.into_values().collect()
}

/// The records of all connections, as one tracker sees them at the same time.
fn played(reads: &[Read]) -> Vec<Record> {
    let mut tracker = Tracker::default();
    let mut out = Vec::new();
    let (mut sent, mut time_ns) = (BTreeMap::new(), 0);
    for (number, direction, octets) in reads {
        let ends = sent.entry(*number).or_insert_with(|| {
            for direction in Direction::ALL {
                let sample = Sample {
                    sequence: 99,
                    syn: true,
                    time_ns,
                    ..Sample::default()
                };
                tracker.segment(*number, Origin::default(), direction, sample, &mut out);
            }
            [100_u32; 2]
        });
        for octets in octets.chunks(SEGMENT) {
            time_ns += 1000;
            let sequence = ends[*direction as usize];
            ends[*direction as usize] += octets.len() as u32;
            let sample = Sample {
                sequence,
                octets,
                length: octets.len() as u32,
                time_ns,
                ..Sample::default()
            };
            tracker.segment(*number, Origin::default(), *direction, sample, &mut out);
        }
    }
    for (number, ends) in sent {
        tracker.closed(number, Some(ends), &mut out);
    }
    out.into_iter().map(|(_, record)| record).collect()
}

/// A value; `?` of one that was not seen, `-` of none.
fn shown<T: ToString>(of: &Seen<T>) -> String {
    match of {
        Seen::Known(value) => value.to_string(),
        Seen::Absent => "-".into(),
        Seen::Unknown => "?".into(),
    }
}

/// A record, as the recording's text has it.
fn line(record: &Record) -> String {
    match record {
        Record::Http(http) => http_line(http),
        Record::Kafka(kafka) => kafka_line(kafka),
        Record::Dns(dns) => format!(
            "{} {} {:?} {} answers",
            dns.qname,
            dns.qtype,
            dns.outcome,
            dns.answers.len()
        ),
        Record::Tls(tls) => format!("TLS {}", shown(&tls.server_name)),
    }
}

fn http_line(http: &Http) -> String {
    let (method, path) = (shown(&http.method), shown(&http.path));
    let mut line = format!("{method} {path} {}", shown(&http.status));
    if let Seen::Known(Grpc { status, .. }) = &http.grpc {
        // A client of gRPC does not know how long its messages are on the wire.
        write!(line, " grpc {}", shown(status)).unwrap();
    } else {
        let octets = [&http.request_octets, &http.response_octets].map(shown);
        write!(line, " {} {}", octets[0], octets[1]).unwrap();
    }
    if http.ending != Ending::Whole {
        write!(line, " {:?}", http.ending).unwrap();
    }
    line
}

fn kafka_line(kafka: &Kafka) -> String {
    let api = match kafka.api {
        0 => "PRODUCE",
        1 => "FETCH",
        2 => "LIST_OFFSETS",
        3 => "METADATA",
        8 => "OFFSET_COMMIT",
        9 => "OFFSET_FETCH",
        10 => "FIND_COORDINATOR",
        11 => "JOIN_GROUP",
        12 => "HEARTBEAT",
        13 => "LEAVE_GROUP",
        14 => "SYNC_GROUP",
        18 => "API_VERSIONS",
        19 => "CREATE_TOPICS",
        22 => "INIT_PRODUCER_ID",
        36 => "SASL_AUTHENTICATE",
        _ => "OTHER",
    };
    let group = kafka.group.known().map_or("-", String::as_str);
    let mut line = format!(
        "{api} v{} {} group {group} error {}",
        kafka.version,
        shown(&kafka.client),
        shown(&kafka.error)
    );
    for topic in &kafka.topics {
        // Nobody but us looks how long what is produced gets.
        let octets = if kafka.api == 1 {
            shown(&topic.octets)
        } else {
            "?".into()
        };
        write!(line, " {}:{octets}", shown(&topic.name)).unwrap();
    }
    if kafka.ending != Ending::Whole {
        write!(line, " {:?}", kafka.ending).unwrap();
    }
    line
}

/// Holds the records of a recording against its text, then plays each of its connections in all ways.
fn check(hex: &str, text: &str) {
    let reads = reads(hex);
    let mut lines: Vec<_> = played(&reads).iter().map(line).collect();
    let mut expected: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    lines.sort();
    expected.sort();
    let only = |these: &[String], others: &[String]| {
        let mut others = others.to_vec();
        let mut only = these.to_vec();
        only.retain(|line| match others.iter().position(|other| other == line) {
            Some(at) => {
                others.remove(at);
                false
            }
            None => true,
        });
        only
    };
    let (wrong, missing) = (only(&lines, &expected), only(&expected, &lines));
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "told: {wrong:#?}, said: {missing:#?}"
    );
    for script in scripts(&reads, SEGMENT) {
        play_in_segments(&[100, 400], &script, &script.play());
    }
}

/// A test for each recording.
macro_rules! recordings {
    ($($name:ident $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                check(
                    include_str!(concat!("recorded/", $file, ".hex")),
                    include_str!(concat!("recorded/", $file, ".txt")),
                );
            }
        )*
    };
}

recordings! {
    http1_between_programs_in_go "go-http1",
    http1_between_programs_in_java "java-http1",
    http1_between_programs_in_python "python-http1",
    http1_of_a_client_in_java_that_would_rather_speak_http2 "java-upgrade",
    http2_between_programs_in_go "go-h2c",
    http2_of_a_client_in_python_with_a_server_in_go "python-h2c-go",
    grpc_between_programs_in_go "go-grpc",
    grpc_between_programs_in_java "java-grpc",
    grpc_between_programs_in_python "python-grpc",
    grpc_of_a_client_in_python_with_a_server_in_java "python-grpc-java",
    dns_over_tcp_between_programs_in_python "python-dns",
    kafka_of_its_own_clients_in_java "kafka-java",
    kafka_of_kafka_python "kafka-python",
    kafka_of_aiokafka "kafka-aiokafka",
}

/// Messages of Kafka that are whole in what is left of a direction behind its first `skipped` octets.
fn numbers(script: &Script, direction: Direction, skipped: u32) -> Vec<i32> {
    let segments = script.segments.iter();
    let stream: Vec<u8> = segments
        .filter(|segment| segment.direction == direction)
        .flat_map(|segment| segment.octets.clone())
        .collect();
    let (mut at, mut numbers) = (0, Vec::new());
    while at + 12 <= stream.len() {
        let word = |at: usize| u32::from_be_bytes(stream[at..at + 4].try_into().unwrap());
        if at as u32 >= skipped {
            let number = if direction == Direction::ToServer {
                8
            } else {
                4
            };
            numbers.push(word(at + number).cast_signed());
        }
        at += 4 + word(at) as usize;
    }
    numbers
}

#[test]
fn of_a_connection_of_kafka_that_is_joined_midway_every_later_call_is_seen() {
    let reads = reads(include_str!("recorded/kafka-java.hex"));
    let whole = scripts(&reads, SEGMENT)
        .into_iter()
        .map(|script| (script, 0));
    // The first answer may begin in the midst of a segment, behind the rest of another one.
    let cut = scripts(&reads, 100).into_iter().map(|script| (script, 1));
    for (script, missed) in whole.chain(cut) {
        for (skipped, midway) in script.each_midway().enumerate() {
            let gone = |direction| {
                let gone = script.segments[..=skipped].iter();
                let gone = gone.filter(|segment| segment.direction == direction);
                gone.map(|segment| segment.octets.len() as u32).sum()
            };
            let [asked, told] = Direction::ALL.map(|to| numbers(&script, to, gone(to)));
            let whole = asked.iter().filter(|number| told.contains(number)).count();
            let ended = |record: &&Record| matches!(record, Record::Kafka(kafka) if kafka.ending == Ending::Whole);
            let seen = midway.play_midway().iter().filter(ended).count();
            assert!(seen + missed >= whole, "{seen} of {whole} calls: {midway}");
        }
    }
}
