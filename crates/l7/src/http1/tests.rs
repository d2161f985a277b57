use super::*;
use crate::{
    record::Record,
    stream::Sample,
    tests::corpus::{Faith, Script, http, play_all, records, timeless},
    track::{Origin, Tracker},
};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: shop\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ok(body: &str) -> String {
    answer("200 OK", body)
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn path(record: &Record) -> Option<&String> {
    match record {
        Record::Http(http) => http.path.known(),
        _ => None,
    }
}

/// Plays it in all ways.
fn check(script: &Script, expected: Vec<Http>) -> Faith {
    let faith = play_all(script, &records(expected));
    assert!(faith.plays > 0);
    faith
}

#[test]
fn requests_one_after_the_other_are_told_with_their_answers() {
    let script = Script::default()
        .client(get("/a?token=secret"))
        .server(ok("hello"))
        .client(post("/users/17", "name=x"))
        .server(answer("404 Not Found", ""))
        .client("HEAD /b HTTP/1.1\r\nHost: shop\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        .client(get("/c"))
        .server("HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n")
        .client("DELETE /d HTTP/1.1\r\nHost: shop\r\n\r\n")
        .server("HTTP/1.1 204 No Content\r\n\r\n")
        .client(get("/e"))
        .server(answer("503 Service Unavailable", "sorry"));
    let expected = vec![
        http("GET", "/a", 200, (0, 5)),
        http("POST", "/users/17", 404, (6, 0)),
        http("HEAD", "/b", 200, (0, 0)),
        http("GET", "/c", 304, (0, 0)),
        http("DELETE", "/d", 204, (0, 0)),
        http("GET", "/e", 503, (0, 5)),
    ];
    check(&script, expected.clone());
    // One lost segment costs the exchange it is of and one more at the most, not the connection.
    for (number, lost) in script.each_lost().enumerate() {
        let played: Vec<_> = lost.play().iter().map(timeless).collect();
        let expected = records(expected.clone());
        let whole = expected.iter().filter(|record| played.contains(record));
        let whole: Vec<_> = whole.filter_map(path).collect();
        assert!(whole.len() >= 4, "without segment {number}: {whole:?}");
    }
}

#[test]
fn chunks_continues_and_trailers_are_passed_over() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4;a=b\r\nWiki\r\n00a\r\n0123456789\r\n0\r\nExpires: x\r\n\r\n";
    let script = Script::default()
        .client("PUT /up HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        .server("HTTP/1.1 100 Continue\r\n\r\n")
        .client("3\r\nabc\r\n0\r\n\r\n")
        .server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        .client(get("/list"))
        .server(chunked)
        .client(get("/next"))
        .server(ok("x"));
    check(
        &script,
        vec![
            http("PUT", "/up", 201, (3, 0)),
            http("GET", "/list", 200, (0, 14)),
            http("GET", "/next", 200, (0, 1)),
        ],
    );
}

#[test]
fn pipelined_requests_get_their_answers_in_order() {
    let script = Script::default()
        .client(get("/1") + &get("/2"))
        .client(post("/3", "abc"))
        .server(ok("1") + &answer("404 Not Found", "22") + &ok("333"))
        .client(get("/4"))
        .client(get("/5"))
        .server(answer("500 Oops", "4444"))
        .server(ok("55555"));
    check(
        &script,
        vec![
            http("GET", "/1", 200, (0, 1)),
            http("GET", "/2", 404, (0, 2)),
            http("POST", "/3", 200, (3, 3)),
            http("GET", "/4", 500, (0, 4)),
            http("GET", "/5", 200, (0, 5)),
        ],
    );
}

#[test]
fn bodies_need_not_be_there() {
    let body = "x".repeat(3000);
    let script = Script::default()
        .client(post("/up", &body))
        .server(ok(&body))
        .client(get("/next"))
        .server(ok("y"));
    let expected = vec![
        http("POST", "/up", 200, (3000, 3000)),
        http("GET", "/next", 200, (0, 1)),
    ];
    let cut = script.in_segments_of(1000).sampled(100);
    let played: Vec<_> = cut.play().iter().map(timeless).collect();
    assert_eq!(
        played,
        records(expected.clone()),
        "samples of 100 octets of each segment are enough"
    );
    for (number, lost) in script.in_segments_of(1000).each_lost().enumerate() {
        let inside = [1, 2, 5, 6].contains(&number);
        if inside {
            let played: Vec<_> = lost.play().iter().map(timeless).collect();
            assert_eq!(
                played,
                records(expected.clone()),
                "segment {number} is inside of a body"
            );
        }
    }
    check(&script.in_segments_of(700), expected);
}

#[test]
fn a_chunked_answer_longer_than_its_sample_costs_its_size_alone() {
    let body = "y".repeat(900);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n{body}\r\n384\r\n{body}\r\n0\r\n\r\n"
    );
    let script = Script::default()
        .client(get("/1"))
        .server(&chunked)
        .client(get("/2"))
        .server(&chunked)
        .client(get("/3"))
        .server(ok("z"));
    let sized = |path, size| http("GET", path, 200, (0, size));
    check(
        &script.in_segments_of(1000),
        vec![sized("/1", 1800), sized("/2", 1800), sized("/3", 1)],
    );
    let cut: Vec<_> = script.sampled(256).play().iter().map(timeless).collect();
    let unsized_ = |path| Http {
        response_octets: Seen::Unknown,
        ending: Ending::Unknown,
        ..sized(path, 0)
    };
    assert_eq!(
        cut,
        records(vec![unsized_("/1"), unsized_("/2"), sized("/3", 1)])
    );
}

#[test]
fn a_request_longer_than_its_sample_keeps_its_answer() {
    let cookie = "c".repeat(600);
    let long =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\nCookie: {cookie}\r\n\r\n");
    let script = Script::default()
        .client(long("/1"))
        .server(answer("404 No", "abc"))
        .client(long("/2"))
        .server(ok("de"))
        .client(get("/3"))
        .server(ok("f"));
    let whole = vec![
        http("GET", "/1", 404, (0, 3)),
        http("GET", "/2", 200, (0, 2)),
        http("GET", "/3", 200, (0, 1)),
    ];
    check(&script, whole.clone());
    let cut: Vec<_> = script.sampled(512).play().iter().map(timeless).collect();
    let mut expected = whole;
    for http in &mut expected[..2] {
        http.request_octets = Seen::Unknown;
        http.traceparent = Seen::Unknown;
    }
    assert_eq!(cut, records(expected));
}

#[test]
fn a_body_that_ends_with_the_connection_and_an_answer_that_never_came() {
    let script = Script::default()
        .client("GET http://me:secret@shop:80/old#x HTTP/1.0\r\n\r\n")
        .server("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let mut old = http("GET", "/old", 200, (0, 13));
    old.version = crate::record::HttpVersion::Http10;
    old.host = Seen::Known("shop:80".into());
    check(&script, vec![old]);

    let script = Script::default()
        .client(get("/a"))
        .server(ok("x"))
        .client(get("/hung"));
    let mut hung = http("GET", "/hung", 0, (0, 0));
    hung.status = Seen::Absent;
    hung.response_octets = Seen::Unknown;
    hung.ending = Ending::Closed;
    check(&script, vec![http("GET", "/a", 200, (0, 1)), hung]);

    let script = Script::default()
        .client(get("/a"))
        .server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let mut half = http("GET", "/a", 200, (0, 0));
    half.response_octets = Seen::Unknown;
    half.ending = Ending::Closed;
    check(&script, vec![half]);
}

#[test]
fn after_an_upgrade_or_connect_nothing_is_read() {
    let script = Script::default()
        .client(get("/a"))
        .server(ok("x"))
        .client(
            "GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        .client("GET /not-a-request HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 500 not an answer\r\n\r\n");
    let mut chat = http("GET", "/chat", 101, (0, 0));
    chat.response_octets = Seen::Unknown;
    let played: Vec<_> = script.play().iter().map(timeless).collect();
    assert_eq!(played, records(vec![http("GET", "/a", 200, (0, 1)), chat]));

    let script = Script::default()
        .client("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n")
        .server("HTTP/1.1 200 Connection established\r\n\r\n")
        .client("GET /not-a-request HTTP/1.1\r\n\r\n");
    let mut connect = http("CONNECT", "", 200, (0, 0));
    connect.host = Seen::Known("db:5432".into());
    connect.response_octets = Seen::Unknown;
    let played: Vec<_> = script.play().iter().map(timeless).collect();
    assert_eq!(played, records(vec![connect]));
}

#[test]
fn headers_of_the_allow_list_are_kept_and_no_others() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let script = Script::default()
        .client(format!("GET /a HTTP/1.1\r\nHOST:  Shop \r\nTraceParent: {trace}\r\nAuthorization: Bearer s3cr3t\r\nCookie: s3cr3t\r\n\r\n"))
        .server("HTTP/1.1 200 OK\r\nSet-Cookie: s3cr3t\r\ncontent-length: 6\r\n\r\ns3cr3t");
    let mut traced = http("GET", "/a", 200, (0, 6));
    traced.traceparent = Seen::Known(trace.into());
    assert!(!format!("{:?}", script.play()).contains("s3cr3t"));
    check(&script, vec![traced]);
}

#[test]
fn times_are_those_of_the_samples() {
    let mut tracker = Tracker::default();
    let mut out = Vec::new();
    let mut push = |direction, sequence, octets: &str, time_ns| {
        let sample = Sample {
            sequence,
            syn: octets.is_empty(),
            octets: octets.as_bytes(),
            length: 0,
            expected: None,
            time_ns,
        };
        tracker.segment(1, Origin::default(), direction, sample, &mut out);
    };
    push(Direction::ToServer, 0, "", 5);
    push(Direction::ToClient, 0, "", 6);
    push(Direction::ToServer, 1, "GET / HT", 10);
    push(Direction::ToServer, 9, "TP/1.1\r\n\r\n", 20);
    push(Direction::ToClient, 1, "HTTP/1.1 200 OK\r\ncontent-le", 30);
    push(Direction::ToClient, 28, "ngth: 2\r\n\r\na", 40);
    push(Direction::ToClient, 40, "b", 50);
    let [(1, Record::Http(http))] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(
        (http.start_ns, http.answer_ns, http.end_ns),
        (Some(10), Some(30), Some(50))
    );
    assert_eq!(http.host, Seen::Absent);
}

#[test]
fn hostile_connections_take_no_more_than_their_share() {
    let mut http = Http1::new(false);
    let mut out = Vec::new();
    let mut most = 0;
    let hostile = format!(
        "GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n",
        "\u{200b}".repeat(1300),
        "\u{1}".repeat(4000)
    );
    let half = format!("X: {}", "y".repeat(9000));
    for number in 0..200 {
        // As many as wait, then a line without an end.
        let octets = if number % 40 < 32 { &hostile } else { &half };
        let piece = Piece::Octets {
            octets: octets.as_bytes(),
            begins: true,
            time_ns: number,
        };
        http.piece(Direction::ToServer, piece, &mut out);
        most = most.max(http.octets());
    }
    assert!(most > MEMORY_OCTETS / 4, "{most}");
    assert!(most <= MEMORY_OCTETS, "{most}");
}

#[test]
fn what_is_no_head_makes_no_request() {
    for wrong in [
        "GET\r\n\r\n",
        "GET /a HTTP/3.0\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        " GET /a HTTP/1.1\r\n\r\n",
        "G\u{1}T /a HTTP/1.1\r\n\r\n",
        "GET /a\r\n\r\n",
    ] {
        let mut http = Http1::new(false);
        let mut out = Vec::new();
        let piece = Piece::Octets {
            octets: wrong.as_bytes(),
            begins: true,
            time_ns: 1,
        };
        http.piece(Direction::ToServer, piece, &mut out);
        http.closed(true, &mut out);
        assert_eq!((out, http.doubts), (vec![], 1), "{wrong:?}");
    }
    for (lengths, known) in [
        ("5, 5", true),
        ("5, 6", false),
        ("-1", false),
        ("0x5", false),
        ("99999999999999999999", false),
    ] {
        let script = Script::default()
            .client(get("/a"))
            .server(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\nhello"
            ))
            .client(get("/b"))
            .server(ok("x"));
        let played = script.play();
        let [Record::Http(first), Record::Http(second)] = &played[..] else {
            panic!("{played:?}");
        };
        assert_eq!(first.response_octets == Seen::Known(5), known, "{lengths}");
        assert_eq!(second.status, Seen::Known(200), "{lengths}");
    }
}

#[test]
fn an_answer_does_not_end_before_it_begins_when_its_end_comes_first() {
    let mut http = Http1::default();
    let mut out = Vec::new();
    let mut give = |direction, octets: &[u8], time_ns, begins| {
        let piece = Piece::Octets {
            octets,
            begins,
            time_ns,
        };
        http.piece(direction, piece, &mut out);
    };
    give(Direction::ToServer, get("/a").as_bytes(), 100, true);
    let answer = ok("hello");
    let (head, body) = answer.split_at(answer.len() - 5);
    // In order of the stream, but the second one came first.
    give(Direction::ToClient, head.as_bytes(), 300, true);
    give(Direction::ToClient, body.as_bytes(), 200, true);
    assert_eq!((out[0].answer_ns, out[0].end_ns), (Some(300), Some(300)));
}

#[test]
fn what_is_left_of_a_method_is_not_a_method() {
    let mut http = Http1::default();
    let mut out = Vec::new();
    let mut give = |piece| {
        http.piece(Direction::ToServer, piece, &mut out);
    };
    give(Piece::Gap {
        octets: 2,
        hole: Hole::Cut,
        time_ns: 100,
    });
    give(Piece::Octets {
        octets: b"T /a HTTP/1.1\r\nHost: shop\r\n\r\n",
        begins: true,
        time_ns: 200,
    });
    give(Piece::Octets {
        octets: get("/b").as_bytes(),
        begins: true,
        time_ns: 300,
    });
    http.closed(false, &mut out);
    let paths: Vec<_> = out
        .iter()
        .map(|record| record.path.known().cloned())
        .collect();
    assert_eq!(paths, [Some("/b".to_owned())]);
}
