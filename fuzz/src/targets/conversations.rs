//! What connections say: octets of both sides, in samples that are cut, lost, sent again and out of order.

use l7::conversation::Direction;
use l7::dns::{Questions, parse};
use l7::hpack::Table;
use l7::record::{HttpVersion, Record, Seen};
use l7::stream::{HELD_OCTETS, Piece, Sample};
use l7::track::{Origin, Tracker};
use l7::{dns, http1, http2, kafka, redact, template, tls};

use super::{Shape, Target};

/// The whole way, from samples to records.
pub(super) const SAMPLES: Target = Target {
    name: "l7-samples",
    shape: Shape::Bytes,
    seeds: sample_seeds,
    run: samples,
};

/// One parser after the other, each with the same pieces.
pub(super) const HTTP1: Target = parser("l7-http1", http1_seeds, http1);
pub(super) const HTTP2: Target = parser("l7-http2", http2_seeds, http2);
pub(super) const HPACK: Target = parser("l7-hpack", hpack_seeds, hpack);
pub(super) const DNS: Target = parser("l7-dns", dns_seeds, dns);
pub(super) const KAFKA: Target = parser("l7-kafka", kafka_seeds, kafka);
pub(super) const TLS: Target = parser("l7-tls", tls_seeds, tls);

const fn parser(name: &'static str, seeds: fn() -> Vec<Vec<u8>>, run: fn(&[u8])) -> Target {
    Target {
        name,
        shape: Shape::Bytes,
        seeds,
        run,
    }
}

/// Takes an input apart: a head of two octets says direction, gap or not, and the number of octets that follow it.
fn pieces(data: &[u8], mut give: impl FnMut(Direction, Piece<'_>)) {
    let mut rest = data;
    let mut time_ns = 1;
    while let [flags, length, after @ ..] = rest {
        time_ns += 1000;
        let direction = direction(*flags);
        let (octets, following) = after.split_at((*length).min(after.len() as u8).into());
        rest = following;
        if flags & 0x40 != 0 {
            give(
                direction,
                Piece::Gap {
                    octets: u64::from(*length) + 1,
                    hole: l7::stream::Hole::Lost,
                    time_ns,
                },
            );
        } else if !octets.is_empty() {
            give(
                direction,
                Piece::Octets {
                    octets,
                    begins: flags & 0x20 == 0,
                    time_ns,
                },
            );
        }
    }
}

fn direction(flags: u8) -> Direction {
    Direction::ALL[usize::from(flags >> 7)]
}

/// Pieces as an input.
fn written(said: &[(Direction, &[u8])]) -> Vec<u8> {
    let mut input = Vec::new();
    for (direction, octets) in said {
        for chunk in octets.chunks(255) {
            input.extend([(*direction as u8) << 7, chunk.len() as u8]);
            input.extend(chunk);
        }
    }
    input
}

/// Nothing in a text steers a terminal.
fn is_plain<'a>(texts: impl IntoIterator<Item = &'a Seen<String>>) {
    for text in texts {
        let steers = text
            .known()
            .is_some_and(|text| text.contains(char::is_control));
        assert!(!steers, "{text:?}");
    }
}

fn samples(data: &[u8]) {
    let mut tracker = Tracker::default();
    let mut out = Vec::new();
    let mut next = [1_u32; 2];
    let mut rest = data;
    let mut time_ns = 1;
    while let [flags, length, place, after @ ..] = rest {
        let direction = direction(*flags);
        let (octets, following) = after.split_at((*length).min(after.len() as u8).into());
        rest = following;
        time_ns += u64::from(*place) * 10_000_000;
        let syn = flags & 0x40 != 0;
        // Where it should be, or near that.
        let moved = (u32::from(*place) % 8).wrapping_mul(u32::from(flags & 0x1f));
        let next = &mut next[direction as usize];
        let sequence = if flags & 0x20 == 0 {
            *next
        } else {
            next.wrapping_add(moved).wrapping_sub(40)
        };
        let sample = Sample {
            sequence,
            syn,
            octets,
            length: octets.len() as u32 + u32::from(flags & 0x1f == 7) * u32::from(*place),
            expected: None,
            time_ns,
        };
        *next = next.wrapping_add(sample.length.max(octets.len() as u32) + u32::from(syn));
        tracker.segment(0_u8, Origin::default(), direction, sample, &mut out);
        tracker.datagram(1, 0, direction, octets, time_ns, &mut out);
        assert!(tracker.octets() <= http2::MEMORY_OCTETS + 4 * HELD_OCTETS);
        if flags & 0x1f == 9 {
            tracker.tick(time_ns, &mut out);
        }
    }
    tracker.closed(0, Some(next), &mut out);
    tracker.closed(1, None, &mut out);
    assert!(tracker.is_empty());
    for (_, record) in &out {
        if let Record::Http(http) = record {
            is_plain([
                &http.method,
                &http.path,
                &http.template,
                &http.host,
                &http.traceparent,
            ]);
        }
    }
}

fn http1(data: &[u8]) {
    for midway in [false, true] {
        let mut http = http1::Http1::new(midway);
        let mut out = Vec::new();
        pieces(data, |direction, piece| {
            http.piece(direction, piece, &mut out);
            assert!(http.octets() <= http1::MEMORY_OCTETS);
        });
        http.closed(true, &mut out);
        for record in &out {
            is_plain([&record.method, &record.path, &record.host]);
            if let Seen::Known(path) = &record.path {
                assert!(!path.contains(['?', '#']), "{path}");
                let template = template::template(path);
                assert!(template.len() <= path.len() * 4 + 8, "{template}");
            }
            assert_ne!(record.version, HttpVersion::Http2);
        }
    }
    let text = redact::text(data);
    assert!(!text.contains(char::is_control), "{text}");
}

fn http2(data: &[u8]) {
    for midway in [false, true] {
        let mut http = http2::Http2::new(midway);
        let mut out = Vec::new();
        pieces(data, |direction, piece| {
            http.piece(direction, piece, &mut out);
            assert!(http.octets() <= http2::MEMORY_OCTETS);
        });
        http.tick(http2::DOUBT_NS * 2, &mut out);
        http.closed(true, &mut out);
        for record in &out {
            is_plain([&record.method, &record.path, &record.host]);
        }
    }
}

fn hpack(data: &[u8]) {
    let mut table = Table::default();
    for block in data.split(|octet| *octet == 0xff) {
        // After an error the table is empty, and goes on.
        let _ = table.read(block, &mut |field| {
            assert!(
                field
                    .value
                    .is_none_or(|value| value.len() <= redact::TEXT_OCTETS + 1)
            );
        });
        assert!(table.memory() <= 8 * l7::hpack::TABLE_OCTETS);
    }
}

fn dns(data: &[u8]) {
    if let Some(message) = parse(data) {
        assert!(message.records.len() <= dns::ANSWERS);
        let names = message.records.iter().map(|record| &record.name);
        for name in names.chain([&message.qname]) {
            // 255 octets on the wire, of which each takes four as `\DDD`.
            assert!(name.is_ascii() && name.len() <= 4 * 255, "{name}");
            assert!(!name.contains(char::is_control), "{name}");
        }
    }
    let mut over = dns::OverTcp::default();
    let mut questions = Questions::default();
    let mut out = Vec::new();
    pieces(data, |direction, piece| {
        over.piece(direction, piece, &mut out);
        assert!(over.octets() <= dns::MEMORY_OCTETS);
        if let Piece::Octets {
            octets, time_ns, ..
        } = piece
        {
            questions.message(direction, octets, time_ns, &mut out);
        }
    });
    questions.tick(dns::TIMEOUT_NS * 2, &mut out);
    questions.closed(true, &mut out);
    over.closed(false, &mut out);
    assert!(questions.is_idle());
}

fn kafka(data: &[u8]) {
    let mut names = kafka::TopicNames::default();
    for midway in [false, true] {
        let mut connection = kafka::Connection::new(midway);
        let mut out = Vec::new();
        pieces(data, |direction, piece| {
            connection.piece(direction, piece, &mut names, &mut out);
            assert!(connection.octets() <= kafka::MEMORY_OCTETS);
        });
        connection.closed(true, &names, &mut out);
        for record in &out {
            is_plain([&record.client, &record.group]);
            is_plain(record.topics.iter().map(|topic| &topic.name));
            // As many of the answer may come to those of the request.
            assert!(record.topics.len() <= kafka::TOPICS);
        }
    }
}

fn tls(data: &[u8]) {
    for midway in [false, true] {
        let mut handshake = tls::Handshake::new(midway);
        let mut out = Vec::new();
        pieces(data, |direction, piece| {
            handshake.piece(direction, piece, &mut out);
            assert!(handshake.octets() <= tls::MEMORY_OCTETS);
        });
        handshake.closed(true, &mut out);
        assert_eq!(out.len(), 1, "a connection has one handshake");
        is_plain([&out[0].server_name, &out[0].alpn]);
    }
}

const REQUEST: &[u8] = b"POST /users/17?x=1 HTTP/1.1\r\nHost: shop\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 3\r\n\r\nabcGET /a HTTP/1.1\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nWiki\r\n0\r\nX: y\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno";
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
const UPGRADED: &[u8] = b"HTTP/1.1 101 Yes\r\nUpgrade: h2c\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const BLOCK: &[u8] =
    b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xbe\x44\x04/abc\x3f\xe1\x1f";
const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x04shop\0\0\x01\0\x01";
const TOLD: &[u8] = b"\0\x07\x81\x83\0\x01\0\x02\0\0\0\0\x01a\x04shop\0\0\x01\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x05\0\x04\x01b\xc0\x0e\xc0\x28\0\x01\0\x01\0\0\0\x05\0\x04\x0a\0\0\x07";

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

fn framed<const N: usize>(octets: &[u8]) -> Vec<u8> {
    let length = (octets.len() as u32).to_be_bytes();
    [&length[4 - N..], octets].concat()
}

fn http1_seeds() -> Vec<Vec<u8>> {
    vec![
        written(&[
            (Direction::ToServer, REQUEST),
            (Direction::ToClient, ANSWER),
        ]),
        written(&[
            (Direction::ToServer, UPGRADE),
            (Direction::ToClient, UPGRADED),
        ]),
        written(&[
            (Direction::ToServer, b"CONNECT me@db:1 HTTP/1.0\r\n\r\n"),
            (Direction::ToClient, b"HTTP/1.0 200\r\n\r\nx"),
        ]),
    ]
}

fn http2_seeds() -> Vec<Vec<u8>> {
    let asked = [
        PREFACE,
        &frame(1, 5, 1, BLOCK),
        &frame(1, 0x2c, 3, &[2, 0, 0, 0, 1, 9, 0x82, 0, 0]),
        &frame(0, 9, 3, &[1, 7, 0]),
    ]
    .concat();
    let told = [
        frame(1, 0, 1, &[0x88]),
        frame(9, 4, 1, b"\0\x0bgrpc-status\x010"),
        frame(0, 1, 1, b"abc"),
        frame(5, 4, 1, &[0, 0, 0, 2, 0x82]),
        frame(3, 0, 3, &[0, 0, 0, 8]),
        frame(7, 0, 0, &[0; 8]),
    ]
    .concat();
    vec![written(&[
        (Direction::ToServer, &asked),
        (Direction::ToClient, &told),
    ])]
}

fn hpack_seeds() -> Vec<Vec<u8>> {
    vec![
        BLOCK.to_vec(),
        b"\x40\x01a\x01b\xff\x20\xbe\xff\x7f\x00\x02xy\xbe".to_vec(),
    ]
}

fn dns_seeds() -> Vec<Vec<u8>> {
    let (asked, told) = (framed::<2>(QUESTION), framed::<2>(TOLD));
    vec![
        QUESTION.to_vec(),
        TOLD.to_vec(),
        written(&[(Direction::ToServer, &asked), (Direction::ToClient, &told)]),
        written(&[(Direction::ToServer, QUESTION), (Direction::ToClient, TOLD)]),
    ]
}

fn kafka_seeds() -> Vec<Vec<u8>> {
    let versions = (
        framed::<4>(b"\0\x12\0\x03\0\0\0\x01\0\x01c\0\x02j\x021\0"),
        framed::<4>(b"\0\0\0\x01\0\0\x01\0\0\0\0\0"),
    );
    let produce = (framed::<4>(b"\0\0\0\x07\0\0\0\x02\0\x01c\xff\xff\xff\xff\0\0\0\x01\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\0\0\0\x02ab"), framed::<4>(b"\0\0\0\x02\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    let mut fetch = b"\0\x01\0\x0d\0\0\0\x03\0\x01c\0\xff\xff\xff\xff\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\x02".to_vec();
    fetch.extend([7; 16]);
    fetch.extend([2]);
    fetch.extend([0; 36]);
    fetch.extend([0, 0, 1, 1, 0]);
    let told = framed::<4>(b"\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\x4d\x01\0");
    let fetch = framed::<4>(&fetch);
    vec![
        written(&[
            (Direction::ToServer, &versions.0),
            (Direction::ToClient, &versions.1),
            (Direction::ToServer, &produce.0),
            (Direction::ToClient, &produce.1),
        ]),
        written(&[(Direction::ToServer, &fetch), (Direction::ToClient, &told)]),
    ]
}

fn tls_seeds() -> Vec<Vec<u8>> {
    let extensions = b"\0\x13\0\0\0\x08\0\x06\0\0\x03a.b\0\x10\0\x03\0\x01\0";
    let client = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], extensions].concat();
    let server = [
        &[3, 3][..],
        &[8; 32],
        &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4],
    ]
    .concat();
    let message = |kind: u8, body: &[u8]| {
        [
            &[22, 3, 1][..],
            &framed::<2>(&[&[kind][..], &framed::<3>(body)].concat()),
        ]
        .concat()
    };
    let asked = message(1, &client);
    let told = [
        message(2, &server),
        vec![20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 9, 21, 3, 3, 0, 2, 2, 40],
    ]
    .concat();
    vec![written(&[
        (Direction::ToServer, &asked),
        (Direction::ToClient, &told),
        (Direction::ToServer, &[23, 3, 3, 0, 1, 9]),
    ])]
}

/// The seeds of the parsers, as samples.
fn sample_seeds() -> Vec<Vec<u8>> {
    let parsers = [http1_seeds, http2_seeds, dns_seeds, kafka_seeds, tls_seeds];
    let mut seeds = Vec::new();
    for seed in parsers.into_iter().flat_map(|seeds| seeds()) {
        let mut input = vec![0x40, 0, 0, 0xc0, 0, 0];
        pieces(&seed, |direction, piece| {
            if let Piece::Octets { octets, .. } = piece {
                input.extend([(direction as u8) << 7, octets.len() as u8, 0]);
                input.extend(octets);
            }
        });
        seeds.push(input);
    }
    seeds
}
