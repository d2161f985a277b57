use super::*;
use crate::{
    record::{Grpc, HttpVersion, Record},
    tests::corpus::{Script, http, play_all, records, sorted},
};

mod peers;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A literal field without an entry.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// A literal field that becomes an entry.
fn entry(name: &str, value: &str) -> Vec<u8> {
    let mut field = literal(name, value);
    field[0] = 0x40;
    field
}

fn get(path: &str) -> Vec<u8> {
    [
        literal(":method", "GET"),
        literal(":path", path),
        literal(":authority", "shop"),
    ]
    .concat()
}

fn expected(path: &str, status: u16, octets: (u64, u64)) -> Http {
    Http {
        version: HttpVersion::Http2,
        ..http("GET", path, status, octets)
    }
}

const END: u8 = 0x1;
const WHOLE: u8 = 0x4;

#[test]
fn padding_priorities_continuations_and_frames_of_no_interest_are_passed_over() {
    let block = get("/padded");
    let padded = [&[3, 0, 0, 0, 0, 9][..], &block[..10], &[0; 3]].concat();
    let script = Script::default()
        .client([PREFACE, &frame(4, 0, 0, &[0, 1, 0, 0, 0x20, 0])].concat())
        .server([frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat())
        .client([frame(4, 1, 0, &[]), frame(8, 0, 0, &[0, 1, 0, 0])].concat())
        .client(
            [
                frame(1, 0x8 | 0x20, 1, &padded),
                frame(9, 0, 1, &block[10..20]),
            ]
            .concat(),
        )
        .client(frame(9, WHOLE, 1, &block[20..]))
        .client(
            [
                frame(0, 0x8, 1, &[4, b'a', b'b', 0, 0, 0, 0]),
                frame(6, 0, 0, &[1; 8]),
            ]
            .concat(),
        )
        .client(frame(0, END, 1, b"cde"))
        .server(
            [
                frame(6, 1, 0, &[1; 8]),
                frame(1, WHOLE, 1, &literal(":status", "103")),
            ]
            .concat(),
        )
        .server(frame(1, WHOLE, 1, &[0x88]))
        .server(
            [
                frame(0, 0, 1, b"hello"),
                frame(99, 0, 7, b"new kind"),
                frame(0, END, 1, b""),
            ]
            .concat(),
        );
    play_all(&script, &records(vec![expected("/padded", 200, (5, 5))]));
}

#[test]
fn interleaved_streams_are_told_apart_and_resets_named() {
    let script = Script::default()
        .client([PREFACE, &frame(1, WHOLE | END, 1, &get("/1"))].concat())
        .client(
            [
                frame(1, WHOLE | END, 3, &get("/3")),
                frame(1, WHOLE, 5, &get("/5")),
            ]
            .concat(),
        )
        .server([frame(1, WHOLE, 3, &[0x88]), frame(1, WHOLE, 1, &[0x8d])].concat())
        .server(
            [
                frame(0, 0, 3, b"aa"),
                frame(0, END, 1, b"b"),
                frame(0, END, 3, b"c"),
            ]
            .concat(),
        )
        .client(frame(3, 0, 5, &[0, 0, 0, 8]))
        .client(frame(1, WHOLE | END, 7, &get("/7")))
        .server(
            [
                frame(1, WHOLE, 7, &[0x88]),
                frame(0, 0, 7, b"aa"),
                frame(3, 0, 7, &[0, 0, 0, 2]),
            ]
            .concat(),
        )
        .client(
            [
                frame(1, WHOLE | END, 9, &get("/9")),
                frame(1, WHOLE | END, 11, &get("/11")),
            ]
            .concat(),
        )
        .server(frame(7, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]))
        .server(frame(1, WHOLE | END, 9, &[0x8e]));
    let ended = |path, status, ending| Http {
        status,
        ending,
        response_octets: Seen::Unknown,
        ..expected(path, 0, (0, 0))
    };
    let mut cancelled = ended("/5", Seen::Absent, Ending::Reset(Direction::ToServer, 8));
    cancelled.request_octets = Seen::Unknown;
    play_all(
        &script,
        &records(vec![
            expected("/1", 404, (0, 1)),
            expected("/3", 200, (0, 3)),
            cancelled,
            ended(
                "/7",
                Seen::Known(200),
                Ending::Reset(Direction::ToClient, 2),
            ),
            ended("/11", Seen::Absent, Ending::Refused),
            expected("/9", 500, (0, 0)),
        ]),
    );
}

/// Fields of a call of gRPC.
fn call(path: &str) -> Vec<u8> {
    [
        literal(":method", "POST"),
        literal(":path", path),
        literal(":authority", "shop"),
        literal("content-type", "application/grpc+proto"),
    ]
    .concat()
}

#[test]
fn grpc_has_service_method_and_status_of_trailers_or_trailers_alone() {
    let answer = [vec![0x88], literal("content-type", "application/grpc")].concat();
    let script = Script::default()
        .client(
            [
                PREFACE,
                &frame(1, WHOLE, 1, &call("/shop.v1.Cart/Add")),
                &frame(0, END, 1, b"12345"),
            ]
            .concat(),
        )
        .server(
            [
                frame(1, WHOLE, 1, &answer),
                frame(0, 0, 1, b"abc"),
                frame(1, WHOLE | END, 1, &literal("grpc-status", "0")),
            ]
            .concat(),
        )
        .client(
            [
                frame(1, WHOLE, 3, &call("/shop.v1.Cart/Drop")),
                frame(0, END, 3, b"1"),
            ]
            .concat(),
        )
        .server(frame(
            1,
            WHOLE | END,
            3,
            &[answer.clone(), literal("grpc-status", "12")].concat(),
        ))
        .client(
            [
                frame(1, WHOLE, 5, &call("/shop.v1.Cart/Hang")),
                frame(0, END, 5, b"1"),
            ]
            .concat(),
        )
        .server(frame(3, 0, 5, &[0, 0, 0, 2]));
    let record = |method: &str, octets, status: Seen<u32>| Http {
        method: Seen::Known("POST".into()),
        grpc: Seen::Known(Grpc {
            service: Seen::Known("shop.v1.Cart".into()),
            method: Seen::Known(method.into()),
            status,
        }),
        ..expected(&format!("/shop.v1.Cart/{method}"), 200, octets)
    };
    let hung = Http {
        status: Seen::Absent,
        response_octets: Seen::Unknown,
        ending: Ending::Reset(Direction::ToClient, 2),
        ..record("Hang", (1, 0), Seen::Unknown)
    };
    let expected = records(vec![
        record("Add", (5, 3), Seen::Known(0)),
        record("Drop", (1, 0), Seen::Known(12)),
        hung,
    ]);
    play_all(&script, &expected);
}

#[test]
fn after_a_gap_indexed_fields_are_unknown_until_they_are_said_again() {
    let first = [
        entry(":path", "/indexed"),
        entry(":authority", "shop"),
        vec![0x82],
    ]
    .concat();
    // Newest first: 62 is the authority, 63 the path.
    let again = [0x82, 0xbe, 0xbf];
    let script = Script::default()
        .client(PREFACE)
        .client(frame(1, WHOLE | END, 1, &first))
        .server(frame(1, WHOLE | END, 1, &[0x88]))
        .client(frame(1, WHOLE | END, 3, &again))
        .server(frame(1, WHOLE | END, 3, &[0x89]))
        .client(frame(1, WHOLE | END, 5, &first))
        .server(frame(1, WHOLE | END, 5, &[0x8d]))
        .client(frame(1, WHOLE | END, 7, &again))
        .server(frame(1, WHOLE | END, 7, &[0x8e]));
    let all = [200, 204, 404, 500].map(|status| expected("/indexed", status, (0, 0)));
    play_all(&script, &records(all.to_vec()));
    let mut lost = script.clone();
    lost.segments.remove(1);
    let unknown = Http {
        path: Seen::Unknown,
        template: Seen::Unknown,
        host: Seen::Unknown,
        traceparent: Seen::Unknown,
        grpc: Seen::Unknown,
        ..all[1].clone()
    };
    let answer = Http {
        method: Seen::Unknown,
        request_octets: Seen::Unknown,
        status: Seen::Known(200),
        ..unknown.clone()
    };
    let expected = records(vec![answer, unknown, all[2].clone(), all[3].clone()]);
    assert_eq!(sorted(&lost.play()), sorted(&expected));
}

#[test]
fn a_connection_of_http1_goes_on_as_http2() {
    let script = Script::default()
        .client("GET /up HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        .server([&b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat())
        .client([PREFACE, &frame(4, 0, 0, &[])].concat())
        .server([frame(1, WHOLE, 1, &[0x88]), frame(0, END, 1, b"hi")].concat())
        .client(frame(1, WHOLE | END, 3, &get("/next")))
        .server(frame(1, WHOLE | END, 3, &[0x8d]));
    let up = Http {
        version: HttpVersion::Http11,
        ..expected("/up", 200, (0, 2))
    };
    let records = records(vec![up, expected("/next", 404, (0, 0))]);
    assert_eq!(sorted(&script.play()), sorted(&records));
    for split in script.split_everywhere() {
        assert_eq!(sorted(&split.play()), sorted(&records));
    }
}

#[test]
fn hostile_connections_take_no_more_than_their_share() {
    let mut connection = Http2::new(false);
    let mut out = Vec::new();
    let mut most = 0;
    let mut push = |connection: &mut Http2, direction, octets: &[u8]| {
        connection.piece(
            direction,
            Piece::Octets {
                octets,
                begins: true,
                time_ns: 1,
            },
            &mut out,
        );
        most = most.max(connection.octets());
    };
    push(&mut connection, Direction::ToServer, PREFACE);
    let value = "\u{1}".repeat(127);
    for id in 0..2000_u32 {
        let block: Vec<u8> = [
            entry(":method", &value),
            entry(":path", &format!("/{}", "\u{1}".repeat(126))),
            entry(":authority", &value),
        ]
        .concat();
        push(
            &mut connection,
            Direction::ToServer,
            &frame(1, WHOLE, id * 2 + 1, &block),
        );
        push(
            &mut connection,
            Direction::ToClient,
            &frame(1, WHOLE, id * 2 + 1, &[0x88]),
        );
    }
    assert_eq!(connection.streams.len(), STREAMS);
    assert_eq!(connection.over_budget, 2 * (2000 - STREAMS as u64));
    let zeros = vec![0; 100_000];
    let long = frame(9, 0, 9001, &zeros[..30_000]);
    for direction in Direction::ALL {
        push(&mut connection, direction, &frame(1, 0, 9001, &long));
        for _ in 0..100 {
            push(&mut connection, direction, &long);
        }
        push(&mut connection, direction, &[0xff, 0xff, 0xff, 9]);
        push(&mut connection, direction, &zeros);
    }
    assert!(most > MEMORY_OCTETS / 4, "{most}");
    assert!(most <= MEMORY_OCTETS, "{most}");
    connection.closed(true, &mut Vec::new());
    assert_eq!(connection.text_octets, 0);
}

#[test]
fn streams_whose_end_may_have_been_missed_are_told_after_a_minute() {
    let script =
        Script::default().client([PREFACE, &frame(1, WHOLE | END, 1, &get("/1"))].concat());
    let mut connection = Http2::new(false);
    let mut out = Vec::new();
    for segment in &script.segments {
        connection.piece(
            segment.direction,
            Piece::Octets {
                octets: &segment.octets,
                begins: true,
                time_ns: 5,
            },
            &mut out,
        );
    }
    connection.tick(5 + DOUBT_NS, &mut out);
    assert_eq!(out, [], "a call may take long");
    let gap = Piece::Gap {
        octets: 100,
        hole: crate::stream::Hole::Lost,
        time_ns: 6,
    };
    connection.piece(Direction::ToClient, gap, &mut out);
    connection.tick(4 + DOUBT_NS, &mut out);
    assert_eq!(out, []);
    connection.tick(5 + DOUBT_NS, &mut out);
    assert_eq!(
        (out[0].path.clone(), out[0].status.clone(), out[0].ending),
        (Seen::Known("/1".into()), Seen::Unknown, Ending::Unknown)
    );
    assert!(matches!(records(out)[0], Record::Http(_)));
}

#[test]
fn an_overdue_stream_is_told_once_and_the_others_go_on() {
    let mut connection = Http2::new(false);
    let mut out = Vec::new();
    let mut say = |connection: &mut Http2, direction, octets: &[u8]| {
        let piece = Piece::Octets {
            octets,
            begins: true,
            time_ns: 7,
        };
        connection.piece(direction, piece, &mut out);
        std::mem::take(&mut out)
    };
    let asked = [
        PREFACE,
        &frame(4, 0, 0, &[]),
        &frame(1, WHOLE | END, 1, &get("/slow")),
        &frame(1, WHOLE | END, 3, &get("/quick")),
        // Not yet asked to the end.
        &frame(1, WHOLE, 5, &get("/upload")),
    ];
    let asked = asked.concat();
    assert_eq!(say(&mut connection, Direction::ToServer, &asked), []);
    let answer = |stream| frame(1, WHOLE | END, stream, &[0x88]);
    let settings = [frame(4, 0, 0, &[]), answer(3)].concat();
    assert_eq!(
        say(&mut connection, Direction::ToClient, &settings).len(),
        1
    );
    let mut overdue = Vec::new();
    for _ in 0..2 {
        connection.overdue(|of| of.start_ns == Some(7), &mut overdue);
    }
    let [told] = &overdue[..] else {
        panic!("{overdue:?}");
    };
    assert_eq!(told.path, Seen::Known("/slow".into()));
    assert_eq!(
        (&told.status, told.ending),
        (&Seen::Absent, Ending::Overdue)
    );
    assert_eq!(say(&mut connection, Direction::ToClient, &answer(1)), []);
    let [late] = &connection.late[..] else {
        panic!("{:?}", connection.late);
    };
    assert_eq!(
        (&late.status, late.ending),
        (&Seen::Known(200), Ending::Whole)
    );
}
