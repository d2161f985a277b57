use super::*;
use Direction::{ToClient, ToServer};

/// What is said of a conversation in which each text is one packet.
fn classified(hint: Option<Protocol>, said: &[(Direction, &[u8])]) -> Option<Protocol> {
    let mut classifier = Classifier::new(hint);
    let mut answers = said
        .iter()
        .map(|(direction, octets)| classifier.octets(*direction, octets, true));
    answers.find_map(|answer| answer)
}

#[test]
fn each_protocol_is_known_by_its_first_packet() {
    let hello = [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, 7];
    let dns = [
        0, 23, 0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, b's', b'h', b'o', b'p', 0, 0, 1, 0, 1,
    ];
    for (octets, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], Protocol::Http1),
        (b"\r\nPOST /a?b HTTP/1.0\r\n", Protocol::Http1),
        (b"M-SEARCH * HTTP/1.1\r\n", Protocol::Http1),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            Protocol::Http2,
        ),
        (&hello, Protocol::Tls),
        (&dns, Protocol::Dns),
    ] {
        assert_eq!(classified(None, &[(ToServer, octets)]), Some(expected));
        // In two packets as well, and one that is cut is no other protocol.
        for at in 1..octets.len() {
            let (first, second) = octets.split_at(at);
            assert_eq!(
                classified(None, &[(ToServer, first), (ToServer, second)]),
                Some(expected),
                "at {at}"
            );
        }
    }
    assert_eq!(
        classified(None, &[(ToClient, b"HTTP/1.1 200 OK\r\n")]),
        Some(Protocol::Http1)
    );
    assert_eq!(
        classified(None, &[(ToClient, &[22, 3, 3, 0, 90, 2, 0, 0, 86])]),
        Some(Protocol::Tls)
    );
}

#[test]
fn other_protocols_are_called_so_and_not_guessed() {
    let redis = b"*1\r\n$4\r\nPING\r\n";
    let postgres = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
    let mysql = [0x4a, 0, 0, 0, 10, b'8', b'.', b'0'];
    let ssh = b"SSH-2.0-OpenSSH_9.2\r\n";
    let smtp = b"220 mail ESMTP\r\n";
    let amqp = b"AMQP\0\0\x09\x01";
    let mongo = [58, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xd4, 7, 0, 0];
    let nats = b"INFO {\"server_id\":\"x\"}\r\n";
    for octets in [
        &redis[..],
        &postgres,
        &mysql,
        ssh,
        smtp,
        amqp,
        &mongo,
        nats,
        b"GETAWAY",
        b"GET /a HTTP/9\r\n",
        b"\0\0\0\0",
    ] {
        for direction in Direction::ALL {
            let said = [
                (direction, octets),
                (direction.reverse(), octets),
                (direction, octets),
                (direction, octets),
            ];
            assert_eq!(classified(None, &said), Some(Protocol::Other), "{octets:?}");
            assert_eq!(
                classified(Some(Protocol::Http1), &said),
                Some(Protocol::Other),
                "a hint is no proof"
            );
        }
    }
}

#[test]
fn after_four_packets_it_is_given_up() {
    let said = [
        (ToServer, &b"G"[..]),
        (ToServer, b"E"),
        (ToServer, b"T"),
        (ToServer, b" "),
    ];
    assert_eq!(classified(None, &said[..3]), None);
    assert_eq!(classified(None, &said), Some(Protocol::Other));
}

#[test]
fn a_connection_of_http2_joined_midway_is_known_by_frames_that_fill_segments_of_both_sides() {
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let window = [0, 0, 4, 8, 0, 0, 0, 0, 3, 0, 0, 1, 0];
    assert_eq!(
        classified(None, &[(ToServer, &ping)]),
        None,
        "one side is no proof"
    );
    assert_eq!(
        classified(None, &[(ToServer, &ping), (ToClient, &window)]),
        Some(Protocol::Http2)
    );
    let odd = [&window[..], &[0]].concat();
    assert_eq!(
        classified(
            None,
            &[
                (ToServer, &ping),
                (ToClient, &odd),
                (ToClient, &odd),
                (ToClient, &odd)
            ]
        ),
        Some(Protocol::Other)
    );
    // A frame whose sample was cut counts with its whole length.
    let mut classifier = Classifier::new(None);
    let data = [0, 1, 0, 0, 1, 0, 0, 0, 3, 9, 9];
    assert_eq!(classifier.octets(ToServer, &data, true), None);
    assert_eq!(classifier.gap(ToServer, 254, true), None);
    assert_eq!(
        classifier.octets(ToClient, &ping, true),
        Some(Protocol::Http2)
    );
}

#[test]
fn a_request_line_longer_than_its_sample_is_one() {
    let mut classifier = Classifier::new(None);
    let long = format!("GET /{}", "a".repeat(400));
    assert_eq!(classifier.octets(ToServer, long.as_bytes(), true), None);
    assert_eq!(classifier.gap(ToServer, 900, true), Some(Protocol::Http1));
    let mut classifier = Classifier::new(None);
    assert_eq!(
        classifier.octets(ToServer, b"GET \xff\xfe", true),
        Some(Protocol::Other)
    );
}
