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
