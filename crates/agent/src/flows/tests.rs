use datapath::abi::Address;
use datapath::abi::connection::action;
use datapath::abi::event::hook;
use hubble::records::Point;
use kernel::Maps;
use kernel::fake::Faults;

use super::*;

const INDEX: u32 = 17;
const INCARNATION: u8 = 3;

/// Where a close is told to have been seen, of a connection that went to a hop; `now` is what the table holds.
fn point_of_close(now: Hop, destination_identity: u32, destination_endpoint: u16) -> Point {
    let maps = Maps::in_memory(&kernel::Config::default(), &Faults::none()).unwrap();
    maps.hops.set(&INDEX, &now).unwrap();
    let (web, api) = (Address::v4([10, 0, 1, 2]), Address::v4([10, 0, 2, 3]));
    let (key, low) = ConnectionKey::of((&web, 40000u16.to_be()), (&api, 8080u16.to_be()), 6, 0);
    let connection = Connection {
        forward: Decision::new(action::FORWARD, INDEX | (u32::from(INCARNATION) << 16), 1),
        flags: if low { flags::INITIATOR_LOW } else { 0 },
        source_endpoint: 7,
        destination_identity,
        destination_endpoint,
        hook: hook::FROM_CONTAINER,
        protocol: 6,
        ..Connection::default()
    };
    let hop = kind_of_hop(&maps.hops, connection.forward);
    match closed(&key, &connection, hop).unwrap().what {
        What::Closed { point, .. } => point,
        other => panic!("unexpected: {other:?}"),
    }
}

fn hop(kind: u8) -> Hop {
    Hop {
        kind,
        incarnation: INCARNATION,
        ..Hop::default()
    }
}

#[test]
fn a_close_is_seen_where_the_first_packet_was() {
    assert_eq!(
        point_of_close(hop(hop_kind::TUNNEL), 1001, 0),
        Point::ToOverlay
    );
    assert_eq!(point_of_close(hop(hop_kind::ROUTE), 2, 0), Point::ToNetwork);
    assert_eq!(point_of_close(hop(hop_kind::STACK), 1, 0), Point::ToHost);
    assert_eq!(
        point_of_close(hop(hop_kind::LOCAL), 1001, 8),
        Point::ToEndpoint
    );
}

#[test]
fn a_hop_that_is_another_one_by_now_says_nothing_of_a_close() {
    let next = Hop {
        incarnation: INCARNATION + 1,
        ..hop(hop_kind::TUNNEL)
    };
    assert_eq!(point_of_close(next, 1001, 0), Point::ToStack);
    assert_eq!(point_of_close(next, 1001, 8), Point::ToEndpoint);
}

/// The record of a connection between `one` (its initiator) and `other`.
fn ended(
    one: (Address, u16),
    other: (Address, u16),
    protocol: u8,
    connection: Connection,
) -> Record {
    let (key, low) = ConnectionKey::of(
        (&one.0, one.1.to_be()),
        (&other.0, other.1.to_be()),
        protocol,
        0,
    );
    let initiator = if low { flags::INITIATOR_LOW } else { 0 };
    let connection = Connection {
        flags: connection.flags | initiator,
        protocol,
        ..connection
    };
    closed(&key, &connection, hop_kind::LOCAL).unwrap()
}

#[test]
fn a_close_of_icmp_is_told_as_the_echo_request_that_began_it() {
    let v6 = |last| Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    for (one, other, protocol, echo_request) in [
        (Address::v4([10, 0, 1, 2]), Address::v4([10, 0, 2, 3]), 1, 8),
        (v6(1), v6(2), 58, 128),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let record = ended((one, 77), (other, 0), protocol, Connection::default());
            assert_eq!(record.tcp_flags_or_icmp_type, echo_request);
            assert_eq!(record.icmp_code, 0);
            assert_eq!(record.source.address, IpAddr::from(one));
            assert_eq!(
                (record.source.port, record.destination.port),
                (0, 0),
                "the identifier is no port"
            );
        }
    }
}

#[test]
fn a_close_names_what_was_asked_what_answered_and_the_translated_source() {
    let record = ended(
        (Address::v4([10, 0, 1, 2]), 40000),
        (Address::v4([10, 96, 0, 1]), 80),
        6,
        Connection {
            flags: flags::DESTINATION_NAT | flags::SOURCE_NAT,
            to: Address::v4([10, 0, 2, 3]),
            to_port: 8080u16.to_be(),
            from: Address::v4([192, 0, 2, 1]),
            ..Connection::default()
        },
    );
    assert_eq!(record.asked, Some(SocketAddr::from(([10, 96, 0, 1], 80))));
    assert_eq!(
        (record.destination.address, record.destination.port),
        (IpAddr::from([10, 0, 2, 3]), 8080)
    );
    assert_eq!(record.source.address, IpAddr::from([10, 0, 1, 2]));
    assert_eq!(record.translated_source, Some(IpAddr::from([192, 0, 2, 1])));
    let plain = ended(
        (Address::v4([10, 0, 1, 2]), 40000),
        (Address::v4([10, 0, 2, 3]), 8080),
        6,
        Connection::default(),
    );
    assert_eq!((plain.asked, plain.translated_source), (None, None));
}
