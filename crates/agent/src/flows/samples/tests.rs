use datapath::abi::Address;
use kernel::fake::Faults;
use kernel::operations::Operation;
use kernel::{Config, Maps};
use l7::record::{DnsOutcome, Seen};

use datapath::abi::connection::flags;
use hubble::records::Party;

use super::*;

const CLIENT: [u8; 4] = [10, 0, 1, 5];
const SERVICE: [u8; 4] = [10, 96, 0, 10];
const BACKEND: [u8; 4] = [10, 0, 2, 7];
const PRIVATE: [u8; 4] = [10, 0, 2, 9];
const REQUEST: &[u8] = b"GET /users/17 HTTP/1.1\r\nHost: shop\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";

/// A node's ring and table, and who listens.
struct Node {
    listener: Listener,
    followed: Map<ConnectionKey, u32>,
    key: ConnectionKey,
    backend: [u8; 4],
    flags: u16,
    mode: u8,
    next: [u32; 2],
    time_ns: u64,
}

impl Node {
    /// A client's connection to a service's port, that leads to a backend.
    fn new(protocol: u8, port: u16) -> Self {
        let maps = Maps::in_memory(&Config::default(), &Faults::none()).unwrap();
        let (client, service) = (Address::v4(CLIENT), Address::v4(SERVICE));
        let (key, low) = ConnectionKey::of(
            (&client, 40_000_u16.to_be()),
            (&service, port.to_be()),
            protocol,
            0,
        );
        Self {
            listener: Listener::new(Box::new(|address| address == IpAddr::from(PRIVATE))),
            followed: maps.followed,
            key,
            backend: BACKEND,
            flags: flags::DESTINATION_NAT | if low { flags::INITIATOR_LOW } else { 0 },
            mode: mode::UNDECIDED,
            next: [100, 500],
            time_ns: 1_000,
        }
    }

    fn sample(&mut self, way: u8, tcp_flags: u8, octets: &[u8]) {
        self.time_ns += 1_000;
        let sequence = self.next[usize::from(way)];
        let sample = Sample {
            time_ns: self.time_ns,
            key: self.key,
            to: Address::v4(self.backend),
            to_port: 8080_u16.to_be(),
            sequence,
            expected: sequence,
            payload: octets.len() as u32,
            ends: self.next,
            source_identity: 2001,
            destination_identity: 2002,
            service: 3,
            source_endpoint: 101,
            flags: self.flags,
            captured: octets.len() as u16,
            way,
            tcp_flags,
            marks: if tcp_flags & SYN == 0 {
                marks::EXPECTED
            } else {
                0
            },
            mode: self.mode,
            ..Sample::default()
        };
        self.listener.take(&sample, octets);
        self.next[usize::from(way)] += octets.len() as u32 + u32::from(tcp_flags & SYN != 0);
    }

    fn opens(&mut self) {
        self.sample(0, SYN, b"");
        self.sample(1, SYN | ACK, b"");
    }

    fn ends(&mut self) {
        let sample = Sample {
            key: self.key,
            flags: self.flags,
            marks: marks::CLOSED,
            ends: self.next,
            mode: self.mode,
            ..Sample::default()
        };
        self.listener.take(&sample, b"");
    }

    /// What the kernel would find.
    fn told(&mut self) -> Option<u8> {
        self.listener.tell(&self.followed).unwrap();
        self.followed.get(&self.key).unwrap().map(|mode| mode as u8)
    }
}

#[test]
fn a_request_and_its_answer_are_one_record_of_who_asked_whom() {
    let mut node = Node::new(protocol::TCP, 80);
    node.opens();
    node.sample(0, ACK, REQUEST);
    assert!(node.listener.records.is_empty());
    node.sample(1, ACK, ANSWER);
    let [(connection, Record::Http(http))] = &node.listener.records[..] else {
        panic!("{:?}", node.listener.records);
    };
    assert_eq!(http.method, Seen::Known("GET".to_owned()));
    assert_eq!(http.template, Seen::Known("/users/{id}".to_owned()));
    assert_eq!(http.status, Seen::Known(404));
    let party = |address: [u8; 4], port, identity, endpoint| Party {
        address: address.into(),
        port,
        identity,
        endpoint,
    };
    let expected = Ends {
        client: party(CLIENT, 40_000, 2001, 101),
        server: party(BACKEND, 8080, 2002, 0),
        asked: Some((SERVICE, 80).into()),
        protocol: protocol::TCP,
    };
    assert_eq!(connection.ends, expected);
}

#[test]
fn the_kernel_is_told_what_is_wanted_until_it_does_so() {
    let mut node = Node::new(protocol::TCP, 80);
    node.opens();
    assert_eq!(node.told(), None, "nothing was said yet");
    node.sample(0, ACK, REQUEST);
    assert_eq!(node.told(), Some(mode::HEADS));
    // Its entry went before the kernel looked.
    node.followed.remove(&node.key).unwrap();
    node.sample(1, ACK, ANSWER);
    assert_eq!(node.told(), Some(mode::HEADS));
    node.mode = mode::HEADS;
    node.followed.remove(&node.key).unwrap();
    node.sample(0, ACK, REQUEST);
    assert_eq!(node.told(), None);
}

#[test]
fn what_nobody_reads_is_opaque() {
    let mut node = Node::new(protocol::TCP, 6379);
    node.opens();
    node.sample(0, ACK, b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(node.told(), Some(mode::OPAQUE));
    node.mode = mode::HEADS;
    node.followed.remove(&node.key).unwrap();
    node.sample(1, ACK, b"+PONG\r\n");
    assert_eq!(
        node.told(),
        Some(mode::OPAQUE),
        "the kernel went on by itself"
    );
}

#[test]
fn nothing_that_was_said_of_a_connection_is_left_for_the_next_one_with_its_ports() {
    let mut node = Node::new(protocol::TCP, 80);
    node.opens();
    node.sample(0, ACK, REQUEST);
    assert_eq!(node.told(), Some(mode::HEADS));
    node.ends();
    assert_eq!(node.told(), None);
    assert!(node.listener.tracker.is_empty());
    let [(_, Record::Http(http))] = &node.listener.records[..] else {
        panic!("{:?}", node.listener.records);
    };
    assert_eq!(http.status, Seen::Absent, "no answer came, for certain");
    // One whose end nobody saw.
    node.opens();
    node.sample(0, ACK, REQUEST);
    assert_eq!(node.told(), Some(mode::HEADS));
    node.next = [9000, 9000];
    node.opens();
    assert_eq!(node.told(), None);
}

#[test]
fn of_connections_that_are_over_at_once_the_kernel_is_told_nothing() {
    let mut node = Node::new(protocol::TCP, 80);
    for _ in 0..2 {
        node.opens();
        node.sample(0, ACK, REQUEST);
        node.sample(1, ACK, ANSWER);
        node.ends();
        node.next = [9000, 9000];
    }
    assert_eq!(node.told(), None);
    let operations = node.followed.operations();
    let done = [Operation::Update, Operation::Delete].map(|of| operations.of(of).0);
    assert_eq!(done, [0, 0]);
    // One of which something was said, and which is over when there would be more to say.
    node.opens();
    node.sample(0, ACK, REQUEST);
    assert_eq!(node.told(), Some(mode::HEADS));
    node.sample(1, ACK, ANSWER);
    node.ends();
    assert_eq!(node.told(), None);
}

#[test]
fn a_question_over_udp_and_its_answer_are_one_record_and_nothing_is_told() {
    let mut node = Node::new(protocol::UDP, 53);
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4];
    question.extend(*b"shop\0\0\x01\0\x01");
    let mut answer = question.clone();
    answer[2..4].copy_from_slice(&[0x81, 0x83]);
    node.sample(0, 0, &question);
    node.sample(1, 0, &answer);
    let [(connection, Record::Dns(dns))] = &node.listener.records[..] else {
        panic!("{:?}", node.listener.records);
    };
    assert_eq!(
        (
            dns.qname.as_str(),
            dns.outcome,
            dns.attempts,
            dns.latency_ns
        ),
        ("shop", DnsOutcome::Code(3), 1, Some(1_000))
    );
    assert_eq!(connection.ends.asked, Some((SERVICE, 53).into()));
    assert_eq!(node.told(), None);
}

#[test]
fn what_private_pods_say_is_not_looked_at() {
    let mut node = Node::new(protocol::TCP, 80);
    node.backend = PRIVATE;
    node.opens();
    assert_eq!(node.told(), Some(mode::OPAQUE));
    node.sample(0, ACK, REQUEST);
    node.sample(1, ACK, ANSWER);
    assert!(node.listener.tracker.is_empty() && node.listener.records.is_empty());
    node.ends();
    assert_eq!(node.told(), None);
    let mut node = Node::new(protocol::UDP, 53);
    node.backend = PRIVATE;
    node.sample(0, 0, b"whatever");
    assert!(node.listener.tracker.is_empty());
    assert_eq!(
        node.told(),
        None,
        "of datagrams the kernel remembers nothing"
    );
}

#[test]
fn samples_without_room_are_counted_and_what_waits_then_is_unknown() {
    use hubble::names::NoNames;
    use hubble::recorder::Recorder;
    use hubble::ring::{Capacity, Ring};
    use hubble::rollup::Rollup;

    let rollup = Rollup::open(None, 1).unwrap();
    let recorder = Arc::new(Recorder::new(rollup, 0));
    let ring = Arc::new(Ring::new(Capacity::default()));
    let intake = Intake::new(ring, Arc::new(NoNames)).counted_by(Arc::clone(&recorder));
    let mut node = Node::new(protocol::UDP, 53);
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4];
    question.extend(*b"shop\0\0\x01\0\x01");
    node.sample(0, 0, &question);
    node.listener.lost(3, &intake);
    let later = node.time_ns + 6_000_000_000;
    node.listener
        .tracker
        .tick(later, &mut node.listener.records);
    let [(_, Record::Dns(dns))] = &node.listener.records[..] else {
        panic!("{:?}", node.listener.records);
    };
    assert_eq!(dns.outcome, DnsOutcome::Unknown);
    assert_eq!(recorder.rollup().rows(0, u64::MAX).unwrap().lost, 3);
}
