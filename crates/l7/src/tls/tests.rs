use std::{io::Cursor, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};

use super::*;
use crate::{
    record::Record,
    stream::Sample,
    tests::corpus::{Script, play_all},
    track::{Origin, Tracker},
};

/// How a client and a server are made.
struct Peers {
    version: &'static SupportedProtocolVersion,
    client_protocols: &'static [&'static str],
    server_protocols: &'static [&'static str],
    trusts: bool,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            version: &TLS13,
            client_protocols: &["h2", "http/1.1"],
            server_protocols: &["h2"],
            trusts: true,
        }
    }
}

impl Peers {
    fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn connections(&self) -> (ClientConnection, ServerConnection) {
        let made = rcgen::generate_simple_self_signed(vec!["api.shop".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let certificate = made.cert.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        if self.trusts {
            roots.add(certificate.clone()).unwrap();
        }
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        server.alpn_protocols = Self::protocols(self.server_protocols);
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = Self::protocols(self.client_protocols);
        let client =
            ClientConnection::new(Arc::new(client), "API.shop".try_into().unwrap()).unwrap();
        (client, ServerConnection::new(Arc::new(server)).unwrap())
    }

    /// What the two say until both are satisfied or one is not, and a request and an answer inside.
    fn talk(&self) -> Script {
        let (mut client, mut server) = self.connections();
        let mut script = Script::default();
        let mut asked = false;
        for _ in 0..10 {
            let mut octets = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut octets).unwrap();
            }
            if !octets.is_empty() {
                script = script.client(&octets);
            }
            let mut from = Cursor::new(octets);
            while server.read_tls(&mut from).unwrap() > 0 {}
            let refused = server.process_new_packets().is_err();
            let mut octets = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut octets).unwrap();
            }
            if !octets.is_empty() {
                script = script.server(&octets);
            }
            let mut from = Cursor::new(octets);
            while client.read_tls(&mut from).unwrap() > 0 {}
            let refused = client.process_new_packets().is_err() || refused;
            if !refused && !client.is_handshaking() && !asked {
                asked = true;
                std::io::Write::write_all(&mut client.writer(), b"GET / HTTP/1.1\r\n\r\n").unwrap();
            }
        }
        script
    }
}

fn offered(names: &[&str]) -> Seen<Vec<String>> {
    Seen::Known(names.iter().map(|name| (*name).to_owned()).collect())
}

fn expected() -> Tls {
    Tls {
        server_name: Seen::Known("api.shop".into()),
        alpn_offered: offered(&["h2", "http/1.1"]),
        alpn: Seen::Unknown,
        version: Seen::Known(VERSION_13),
        ending: TlsEnding::Done,
        ..Tls::default()
    }
}

fn check(peers: &Peers, expected: Tls) {
    let faith = play_all(&peers.talk(), &[Record::Tls(Box::new(expected))]);
    assert!(faith.whole > 0);
}

#[test]
fn a_handshake_of_version_1_3() {
    check(&Peers::default(), expected());
}

#[test]
fn a_handshake_of_version_1_2_shows_the_protocol_that_was_chosen() {
    let old = Tls {
        version: Seen::Known(0x0303),
        ..expected()
    };
    check(
        &Peers {
            version: &TLS12,
            ..Peers::default()
        },
        Tls {
            alpn: Seen::Known("h2".into()),
            ..old.clone()
        },
    );
    let without = Peers {
        version: &TLS12,
        client_protocols: &[],
        ..Peers::default()
    };
    check(
        &without,
        Tls {
            alpn: Seen::Absent,
            alpn_offered: Seen::Absent,
            ..old
        },
    );
}

#[test]
fn a_server_without_a_common_protocol_says_so_by_an_alert() {
    let peers = Peers {
        version: &TLS12,
        server_protocols: &["smtp"],
        ..Peers::default()
    };
    let refused = Tls {
        version: Seen::Unknown,
        ending: TlsEnding::Alert(Direction::ToClient, 120),
        ..expected()
    };
    check(&peers, refused);
}

#[test]
fn a_client_that_does_not_trust_the_server_says_so_by_an_alert() {
    let peers = Peers {
        version: &TLS12,
        trusts: false,
        ..Peers::default()
    };
    let refused = Tls {
        version: Seen::Known(0x0303),
        alpn: Seen::Known("h2".into()),
        ending: TlsEnding::Alert(Direction::ToServer, 48),
        ..expected()
    };
    check(&peers, refused);
}

#[test]
fn times_are_those_of_hellos_and_of_the_clients_last_word() {
    let script = Peers::default().talk();
    let mut tracker = Tracker::default();
    let mut out = Vec::new();
    for direction in Direction::ALL {
        let sample = Sample {
            sequence: u32::MAX,
            syn: true,
            ..Sample::default()
        };
        tracker.segment(1, Origin::default(), direction, sample, &mut out);
    }
    for (number, segment) in script.segments.iter().enumerate() {
        let sample = Sample {
            sequence: segment.at,
            syn: false,
            octets: &segment.octets,
            length: 0,
            expected: None,
            time_ns: 10 + number as u64,
        };
        tracker.segment(1, Origin::default(), segment.direction, sample, &mut out);
    }
    let [(1, Record::Tls(tls))] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(
        (tls.start_ns, tls.hello_ns, tls.done_ns),
        (Some(10), Some(11), Some(12))
    );
    assert_eq!(
        tracker.wants(1),
        Some(crate::track::Want::Nothing),
        "nothing inside is looked at"
    );
}

/// A record of TLS with a message of a handshake.
fn message(kind: u8, body: &[u8], most: usize) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let octets = [&[kind][..], &length[1..], body].concat();
    let records = octets
        .chunks(most)
        .map(|part| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat());
    records.collect::<Vec<_>>().concat()
}

fn client_hello(extensions: &[u8]) -> Vec<u8> {
    let head = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    [
        &head[..],
        &(extensions.len() as u16).to_be_bytes(),
        extensions,
    ]
    .concat()
}

fn server_hello(random: [u8; 32]) -> Vec<u8> {
    [
        &[3, 3][..],
        &random,
        &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4],
    ]
    .concat()
}

/// An extension with the name `a.b`.
const NAMED: [u8; 12] = [0, 0, 0, 8, 0, 6, 0, 0, 3, b'a', b'.', b'b'];

#[test]
fn messages_over_several_records_and_a_second_hello_are_read() {
    let mut retry = [0; 32];
    retry.copy_from_slice(&[
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c,
    ]);
    let script = Script::default()
        .client(message(1, &client_hello(&NAMED), 20))
        .server(message(2, &server_hello(retry), 90))
        .client(
            [
                &[20, 3, 3, 0, 1, 1][..],
                &message(1, &client_hello(&NAMED), 90),
            ]
            .concat(),
        )
        .server(
            [
                message(2, &server_hello([1; 32]), 30),
                vec![20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 4, 9, 9, 9, 9],
            ]
            .concat(),
        )
        .client([23, 3, 3, 0, 4, 8, 8, 8, 8]);
    let record = Tls {
        server_name: Seen::Known("a.b".into()),
        alpn_offered: Seen::Absent,
        ..expected()
    };
    play_all(&script, &[Record::Tls(Box::new(record))]);
}

#[test]
fn a_connection_joined_midway_is_one_of_tls_and_no_more_is_known() {
    let script = Script::default()
        .client([23, 3, 3, 0, 4, 8, 8, 8, 8])
        .server([23, 3, 3, 0, 4, 8, 8, 8, 8]);
    assert_eq!(script.play_midway(), [Record::Tls(Box::default())]);
}

#[test]
fn a_hello_that_is_cut_keeps_what_was_seen_of_it() {
    let long = [&NAMED[..], &[0, 21, 1, 0], &[0; 256]].concat();
    let octets = message(1, &client_hello(&long), 9000);
    let script = Script::default().client(&octets);
    for (most, name) in [
        (octets.len(), Seen::Known("a.b".into())),
        (80, Seen::Known("a.b".into())),
        (60, Seen::Unknown),
    ] {
        let played = script.sampled(most).play();
        let [Record::Tls(tls)] = &played[..] else {
            panic!("{played:?}");
        };
        assert_eq!(
            (&tls.server_name, tls.ending),
            (&name, TlsEnding::Closed),
            "{most}"
        );
        let whole = most == octets.len();
        assert_eq!(
            tls.alpn_offered,
            if whole { Seen::Absent } else { Seen::Unknown }
        );
    }
}

#[test]
fn hostile_connections_take_no_more_than_their_share() {
    let names = [&[30][..], &[1; 30]].concat().repeat(2000);
    let mut list = (names.len() as u16).to_be_bytes().to_vec();
    list.extend(names);
    let extension = [&[0, 16][..], &(list.len() as u16).to_be_bytes(), &list].concat();
    let mut handshake = Handshake::new(false);
    let mut most = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        let kind = direction as u8 + 1;
        for chunk in message(kind, &client_hello(&extension[..60_000]), 16_000).chunks(1400) {
            handshake.piece(
                direction,
                Piece::Octets {
                    octets: chunk,
                    begins: true,
                    time_ns: 1,
                },
                &mut Vec::new(),
            );
            most = most.max(handshake.octets());
        }
    }
    assert!(most > MEMORY_OCTETS / 4, "{most}");
    assert!(most <= MEMORY_OCTETS, "{most}");
}
