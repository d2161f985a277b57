use super::{message::parse, *};
use crate::{
    record::{DnsData, Record},
    tests::corpus::{Script, play_all},
    track::{Counts, Totals, Tracker},
};

/// A name on the wire.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut octets: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    octets.push(0);
    octets
}

fn head(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags]
        .into_iter()
        .chain(counts)
        .flat_map(u16::to_be_bytes)
        .collect()
}

fn question(id: u16, qname: &str, qtype: u16) -> Vec<u8> {
    let kind = [qtype, 1].map(u16::to_be_bytes).concat();
    [head(id, 0x0100, [1, 0, 0, 0]), name(qname), kind].concat()
}

/// An answer to a question, with records whose owner is a pointer to the question.
fn answer(
    id: u16,
    flags: u16,
    qname: &str,
    qtype: u16,
    records: &[(u16, u32, Vec<u8>)],
) -> Vec<u8> {
    let kind = [qtype, 1].map(u16::to_be_bytes).concat();
    let mut octets = [
        head(id, 0x8180 | flags, [1, records.len() as u16, 0, 0]),
        name(qname),
        kind,
    ]
    .concat();
    for (kind, ttl, data) in records {
        octets.extend([0xc0, 12]);
        octets.extend([*kind, 1].map(u16::to_be_bytes).concat());
        octets.extend(ttl.to_be_bytes());
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
    }
    octets
}

fn address(octets: [u8; 4]) -> DnsData {
    DnsData::Address(octets.into())
}

fn answer_of_every_type() -> Vec<u8> {
    let mut alias = name("web");
    alias.pop();
    alias.extend([0xc0, 12]);
    let service = [&[0, 1, 0, 2, 0x1f, 0x90][..], &name("db.shop")].concat();
    let records = [
        (5, 60, alias),
        (1, 5, vec![10, 0, 0, 7]),
        (28, 7, vec![0; 16]),
        (33, 9, service),
        (16, 1, vec![3, b'a', b'b', b'c']),
    ];
    answer(7, 0x0200, "API.shop", 255, &records)
}

#[test]
fn an_answer_is_read_with_its_records() {
    let octets = answer_of_every_type();
    let message = parse(&octets).unwrap();
    assert_eq!(
        (
            message.id,
            message.answers,
            message.truncated,
            message.rcode
        ),
        (7, true, true, 0)
    );
    assert_eq!(
        (&*message.qname, message.qtype, message.all_records),
        ("api.shop", 255, true)
    );
    let data: Vec<_> = message
        .records
        .iter()
        .map(|record| record.data.clone())
        .collect();
    let expected = [
        DnsData::Alias("web.api.shop".into()),
        address([10, 0, 0, 7]),
        DnsData::Address([0_u8; 16].into()),
        DnsData::Service("db.shop".into(), 8080),
        DnsData::Other(16),
    ];
    assert_eq!(data, expected);
    assert!(
        message
            .records
            .iter()
            .all(|record| record.name == "api.shop")
    );
    assert_eq!(
        message
            .records
            .iter()
            .map(|record| record.ttl_s)
            .collect::<Vec<_>>(),
        [60, 5, 7, 9, 1]
    );
}

#[test]
fn of_a_message_that_was_cut_the_beginning_is_known() {
    let octets = answer_of_every_type();
    let message = parse(&octets).unwrap();
    for end in 0..octets.len() {
        let Some(part) = parse(&octets[..end]) else {
            assert!(end < 26, "{end}");
            continue;
        };
        assert!(!part.all_records);
        assert!(message.records.starts_with(&part.records));
    }
}

#[test]
fn the_upper_part_of_a_code_is_in_the_record_of_the_extension() {
    let mut octets = answer(7, 0, "a", 1, &[]);
    octets[11] = 1;
    octets.extend([0, 0, 41, 0x10, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(parse(&octets).unwrap().rcode, 16);
}

#[test]
fn names_that_go_in_circles_or_too_far_are_none() {
    let question = |qname: &[u8]| [&head(1, 0, [1, 0, 0, 0]), qname, &[0, 1, 0, 1]].concat();
    assert_eq!(parse(&question(&[0])).unwrap().qname, ".");
    assert_eq!(
        parse(&question(&[3, b'a', b'.', 0xff, 0])).unwrap().qname,
        "a\\046\\255"
    );
    for wrong in [
        &[0xc0, 12][..],
        &[0xc0, 13, 0],
        &[0xc0, 200],
        &[1, b'a', 0xc0, 12],
        &[0x40, 1],
        &[0x80, 1],
        &[5, b'a'],
    ] {
        assert_eq!(parse(&question(wrong)), None, "{wrong:?}");
    }
    let long = "a.".repeat(127);
    assert_eq!(parse(&question(&name(&long))).unwrap().qname.len(), 253);
    assert_eq!(parse(&question(&name(&(long + "b")))), None);
    // A chain of pointers, each of which points to the one before.
    let mut octets = question(&[0]);
    let start = octets.len();
    octets[7] = 1;
    octets.extend([1, b'a', 0]);
    for number in 0..100 {
        let target = if number == 0 {
            start
        } else {
            start + 1 + number * 2
        };
        octets.extend([0xc0 | (target >> 8) as u8, target as u8]);
    }
    octets[7] = 0;
    let end = octets.len();
    let mut record = octets.clone();
    record[7] = 1;
    record.splice(
        start..start,
        [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4],
    );
    assert_eq!(parse(&record).unwrap().records.len(), 1);
    assert!(end > 200);
}

#[test]
fn two_questions_updates_and_noise_are_not_read() {
    assert_eq!(
        parse(&[head(1, 0, [2, 0, 0, 0]), name("a"), vec![0, 1, 0, 1]].concat()),
        None
    );
    assert_eq!(
        parse(&[head(1, 0x2800, [1, 0, 0, 0]), name("a"), vec![0, 6, 0, 1]].concat()),
        None
    );
    assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), None);
}

#[test]
fn a_question_sent_again_is_one_record_with_its_attempts() {
    let mut questions = Questions::default();
    let mut out = Vec::new();
    for time_ns in [100, 1_000_100, 2_000_100] {
        questions.message(
            Direction::ToServer,
            &question(9, "a.shop", 1),
            time_ns,
            &mut out,
        );
    }
    questions.message(
        Direction::ToServer,
        &question(9, "a.shop", 28),
        2_000_200,
        &mut out,
    );
    assert_eq!(out, []);
    // Letters of the name may come back in another case.
    let late = answer(9, 0, "A.ShOp", 1, &[(1, 5, vec![1, 2, 3, 4])]);
    questions.message(Direction::ToClient, &late, 3_000_100, &mut out);
    let record = &out[0];
    assert_eq!(
        (record.attempts, record.start_ns, record.latency_ns),
        (3, 100, Some(3_000_000))
    );
    assert_eq!(record.outcome, DnsOutcome::Code(0));
    assert!(!questions.is_idle(), "AAAA is still open");
    questions.message(
        Direction::ToClient,
        &answer(9, 3, "a.shop", 28, &[]),
        3_000_200,
        &mut out,
    );
    assert_eq!(
        (out[1].outcome, out[1].attempts, out.len()),
        (DnsOutcome::Code(3), 1, 2)
    );
    assert!(questions.is_idle());
}

#[test]
fn a_question_without_an_answer_times_out_once() {
    let mut questions = Questions::default();
    let mut out = Vec::new();
    questions.message(Direction::ToServer, &question(9, "a", 1), 100, &mut out);
    questions.tick(99 + TIMEOUT_NS, &mut out);
    assert_eq!(out, []);
    questions.tick(100 + TIMEOUT_NS, &mut out);
    questions.tick(200 + TIMEOUT_NS, &mut out);
    assert_eq!(
        (out.len(), out[0].outcome, out[0].latency_ns),
        (1, DnsOutcome::Timeout, None)
    );
    questions.message(
        Direction::ToClient,
        &answer(9, 0, "a", 1, &[]),
        300 + TIMEOUT_NS,
        &mut out,
    );
    assert_eq!((out.len(), questions.losses.late), (1, 1));
    assert!(questions.is_idle());
    // An answer to nothing is told without a latency.
    questions.message(
        Direction::ToClient,
        &answer(9, 2, "a", 1, &[]),
        300 + TIMEOUT_NS,
        &mut out,
    );
    assert_eq!(
        (out[1].attempts, out[1].latency_ns, out[1].outcome),
        (0, None, DnsOutcome::Code(2))
    );
    questions.message(Direction::ToServer, &question(8, "b", 1), 400, &mut out);
    questions.closed(true, &mut out);
    assert_eq!((out[2].outcome, out.len()), (DnsOutcome::Closed, 3));
}

#[test]
fn an_answer_to_another_question_with_the_same_number_is_not_taken() {
    let mut questions = Questions::default();
    let mut out = Vec::new();
    questions.message(Direction::ToServer, &question(9, "a", 1), 100, &mut out);
    questions.message(
        Direction::ToClient,
        &answer(9, 0, "b", 1, &[]),
        200,
        &mut out,
    );
    assert_eq!((&*out[0].qname, out[0].attempts), ("b", 0));
    questions.message(
        Direction::ToClient,
        &answer(9, 0, "a", 1, &[]),
        300,
        &mut out,
    );
    assert_eq!((&*out[1].qname, out[1].latency_ns), ("a", Some(200)));
}

#[test]
fn questions_are_bounded() {
    let mut over = OverTcp::default();
    let mut out = Vec::new();
    let long = "\u{1}".repeat(62) + ".";
    for id in 0..1000 {
        let asked = question(id, &long.repeat(4), 1);
        let octets = [&(asked.len() as u16).to_be_bytes()[..], &asked].concat();
        over.piece(
            Direction::ToServer,
            Piece::Octets {
                octets: &octets,
                begins: true,
                time_ns: 5,
            },
            &mut out,
        );
        let half = [0xff, 0xff]
            .into_iter()
            .chain([0; 1000])
            .collect::<Vec<u8>>();
        over.piece(
            Direction::ToClient,
            Piece::Octets {
                octets: &half,
                begins: true,
                time_ns: 5,
            },
            &mut out,
        );
    }
    assert_eq!(over.losses().over_budget, 1000 - QUESTIONS as u64);
    assert!(over.octets() > MEMORY_OCTETS / 2, "{}", over.octets());
    assert!(over.octets() <= MEMORY_OCTETS, "{}", over.octets());
}

fn record(qname: &str, qtype: u16, rcode: u16, answers: Vec<DnsAnswer>) -> Record {
    Record::Dns(Box::new(Dns {
        qname: qname.into(),
        qtype,
        outcome: DnsOutcome::Code(rcode),
        attempts: 1,
        start_ns: 0,
        latency_ns: None,
        answers,
        all_answers: true,
        truncated: false,
    }))
}

#[test]
fn over_tcp_messages_are_found_however_they_are_cut() {
    let framed = |octets: Vec<u8>| [&(octets.len() as u16).to_be_bytes()[..], &octets].concat();
    let many: Vec<_> = (0..20).map(|last| (1, 5, vec![10, 0, 0, last])).collect();
    let script = Script::default()
        .client(framed(question(1, "a.shop", 1)))
        .server(framed(answer(
            1,
            0,
            "a.shop",
            1,
            &[(1, 5, vec![10, 0, 0, 1])],
        )))
        .client(
            [
                framed(question(2, "b.shop", 1)),
                framed(question(3, "c.shop", 28)),
            ]
            .concat(),
        )
        .server(framed(answer(3, 3, "c.shop", 28, &[])))
        .server(framed(answer(2, 0, "b.shop", 1, &many)));
    let a = |qname: &str, last| DnsAnswer {
        name: qname.into(),
        ttl_s: 5,
        data: address([10, 0, 0, last]),
    };
    let expected = [
        record("a.shop", 1, 0, vec![a("a.shop", 1)]),
        record("c.shop", 28, 3, vec![]),
        record(
            "b.shop",
            1,
            0,
            (0..20).map(|last| a("b.shop", last)).collect(),
        ),
    ];
    let faith = play_all(&script, &expected);
    assert!(faith.whole * 3 > faith.records, "{faith:?}");
}

#[test]
fn datagrams_of_many_clients_are_told_apart() {
    let mut tracker = Tracker::default();
    let mut out = Vec::new();
    for client in 0..10_u16 {
        tracker.datagram(
            client,
            0,
            Direction::ToServer,
            &question(1, "a", 1),
            10,
            &mut out,
        );
    }
    for client in 0..9 {
        let answer = answer(1, client & 3, "a", 1, &[]);
        tracker.datagram(
            client,
            0,
            Direction::ToClient,
            &answer,
            20 + u64::from(client),
            &mut out,
        );
    }
    tracker.datagram(3, 0, Direction::ToServer, b"noise", 30, &mut out);
    assert_eq!(tracker.len(), 1);
    tracker.tick(11 + TIMEOUT_NS, &mut out);
    let outcomes: Vec<_> = out
        .iter()
        .map(|(client, record)| match record {
            Record::Dns(dns) => (*client, dns.outcome, dns.latency_ns),
            other => panic!("{other:?}"),
        })
        .collect();
    for client in 0..9 {
        let expected = (
            client,
            DnsOutcome::Code(client & 3),
            Some(10 + u64::from(client)),
        );
        assert_eq!(outcomes[usize::from(client)], expected);
    }
    assert_eq!(outcomes[9..], [(9, DnsOutcome::Timeout, None)]);
    let totals: &Totals = tracker.totals();
    let expected = Counts {
        records: 10,
        malformed: 1,
        ..Counts::default()
    };
    assert_eq!(totals.of(crate::classify::Protocol::Dns), expected);
    tracker.tick(10 + 2 * TIMEOUT_NS, &mut out);
    assert!(tracker.is_empty());
}

#[test]
fn a_question_whose_answer_may_be_among_lost_samples_is_unknown_and_the_next_one_times_out() {
    let mut tracker: Tracker<u32> = Tracker::default();
    let mut out = Vec::new();
    let ask = |tracker: &mut Tracker<u32>, id, at_ns, out: &mut Vec<_>| {
        tracker.datagram(
            7,
            0,
            Direction::ToServer,
            &question(id, "a.shop", 1),
            at_ns,
            out,
        );
    };
    ask(&mut tracker, 1, 100, &mut out);
    tracker.lost();
    ask(&mut tracker, 2, 200, &mut out);
    tracker.tick(200 + TIMEOUT_NS, &mut out);
    let outcomes: Vec<_> = out
        .iter()
        .map(|(_, record)| match record {
            Record::Dns(dns) => dns.outcome,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(outcomes, [DnsOutcome::Unknown, DnsOutcome::Timeout]);
}
