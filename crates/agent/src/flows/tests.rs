use datapath::abi::Address;
use datapath::abi::connection::action;
use datapath::abi::event::hook;
use hubble::records::Point;
use kernel::Maps;
use kernel::fake::Faults;
use model::ipam::Family;
use model::service::{
    Algorithm, Backend, BackendAddress, BackendState, Protocol, Reach, Row, RowKey,
    ServiceName as Key,
};
use reconcile::Table;

use super::*;
use crate::view;

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

fn no_inputs() -> Inputs {
    macro_rules! empty {
        ($($field:ident)+) => {
            Inputs { $($field: Table::new(stringify!($field), &["store"]).1,)+ }
        };
    }
    empty!(pods namespaces nodes announced_nodes identities endpoints services slices network_policies cilium_policies
        clusterwide_policies groups)
}

const BACKEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 2, 3));

/// A port of a service whose one backend is the one that all tests ask for.
fn port(service: &str, port: &str) -> crate::engine::ServiceRow {
    let key = RowKey {
        service: Key {
            namespace: "shop".into(),
            name: service.into(),
        },
        port: port.into(),
        protocol: Protocol::Tcp,
        family: Family::Ipv4,
        reach: Reach::All,
    };
    let backend = Backend {
        state: BackendState::Active,
        address: BackendAddress {
            address: BACKEND,
            port: 8080,
            protocol: Protocol::Tcp,
        },
    };
    let row = Row {
        frontends: Vec::new(),
        backends: vec![backend],
        affinity_seconds: None,
        algorithm: Algorithm::Random,
    };
    (key, 1, row)
}

fn behind(names: &NamesNow, port: u16, protocol: u8) -> Option<String> {
    let service = names.service_behind(BACKEND, port, protocol)?;
    Some(format!("{}/{}", service.namespace, service.name))
}

#[test]
fn a_backend_has_the_name_of_the_one_service_that_leads_to_it() {
    let of = |services: Vec<_>| {
        let (writer, reader) = view::channel();
        writer.publish(View {
            services,
            ..View::default()
        });
        NamesNow::new(reader, no_inputs(), "default")
    };
    let one = of(vec![port("api", "http"), port("api", "admin")]);
    assert_eq!(behind(&one, 8080, 6).as_deref(), Some("shop/api"));
    assert_eq!(behind(&one, 8081, 6), None);
    assert_eq!(behind(&one, 8080, 17), None);
    // Which of several was asked for cannot be told.
    let shared = of(vec![
        port("api", "http"),
        port("old", "http"),
        port("api", "admin"),
    ]);
    assert_eq!(behind(&shared, 8080, 6), None);
}

#[test]
fn names_are_those_of_the_view_of_now_wherever_it_lies_in_memory() {
    let (writer, reader) = view::channel();
    let names = NamesNow::new(reader, no_inputs(), "default");
    for number in 0..64 {
        let name = format!("api-{number}");
        writer.publish(View {
            services: vec![port(&name, "http")],
            ..View::default()
        });
        assert_eq!(behind(&names, 8080, 6), Some(format!("shop/{name}")));
        // Nobody looks at this one, after which the next may lie where the last that was looked at did.
        writer.publish(View::default());
    }
}
