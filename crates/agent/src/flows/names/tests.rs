use model::ipam::Family;
use model::service::{
    Algorithm, Backend, BackendAddress, BackendState, Protocol, Reach, Row, RowKey,
    ServiceName as Key,
};
use reconcile::Table;

use super::*;
use crate::view;

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
