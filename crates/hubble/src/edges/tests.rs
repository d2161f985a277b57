use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::enrich::enrich;
use crate::names::{Names, NoNames, PolicyOrigin, ServiceName};
use crate::sample::{Shop, opened};

#[test]
fn a_pod_is_called_by_what_owns_it() {
    for (pod, owner) in [
        ("web-7d9f8b6c5d-x2x4q", "web"),
        ("shop-web-7d9f8b6c5d-x2x4q", "shop-web"),
        ("agent-x2x4q", "agent"),
        ("kube-proxy-zzzzz", "kube-proxy"),
        ("db-0", "db"),
        ("db-12", "db"),
        ("backup-28012345-zx9k2", "backup-28012345"),
        ("web", "web"),
        ("web-1a", "web-1a"),
        ("web-abcde", "web-abcde"),
        ("-x2x4q", "-x2x4q"),
        ("web-", "web-"),
        ("2024-10101", "2024-10101"),
        ("", ""),
    ] {
        assert_eq!(workload(pod), owner, "{pod}");
    }
}

#[test]
fn an_edge_has_the_names_of_its_moment_and_the_service_that_was_asked_for() {
    let made = edge(&enrich(opened(), &Shop));
    assert_eq!(shown(made.source.as_ref().unwrap()), "shop/web");
    assert_eq!(shown(made.destination.as_ref().unwrap()), "shop/api");
    assert_eq!(made.service, "shop/api");
    assert_eq!((made.port, made.protocol), (8080, 6));
    assert_eq!(made.side(), Side::Client);
}

#[test]
fn an_edge_is_found_by_what_is_borrowed_from_a_record() {
    let enriched = enrich(opened(), &Shop);
    let nameless = enrich(opened(), &NoNames);
    for of in [&enriched, &nameless] {
        let made = edge(of);
        assert_eq!(EdgeKey::from(&made), EdgeKey::from(of));
        assert_eq!(EdgeKey::from(&made).into_edge(), made);
    }
    assert_ne!(EdgeKey::from(&enriched), EdgeKey::from(&nameless));
}

#[test]
fn what_another_node_sees_as_the_clients_is_the_servers_side_here() {
    let mut record = opened();
    record.source.endpoint = 0;
    assert_eq!(edge(&enrich(record, &Shop)).side(), Side::Server);
    // Nobody else sees what comes from who is no pod.
    assert_eq!(edge(&enrich(record, &NoNames)).side(), Side::Client);
}

#[test]
fn who_comes_through_a_service_of_another_node_is_of_the_world_and_seen_there() {
    struct Nodes;
    impl Names for Nodes {
        fn endpoint(&self, address: IpAddr, identity: u32) -> Option<Arc<EndpointNames>> {
            Shop.endpoint(address, identity)
        }
        fn is_node(&self, address: IpAddr) -> bool {
            address == NODE
        }
        fn service(&self, _: IpAddr, _: u16) -> Option<Arc<ServiceName>> {
            None
        }
        fn service_behind(&self, _: IpAddr, _: u16, _: u8) -> Option<Arc<ServiceName>> {
            None
        }
        fn fqdns(&self, _: u16, _: IpAddr) -> Vec<Arc<str>> {
            Vec::new()
        }
        fn rule(&self, _: u32) -> Vec<Arc<PolicyOrigin>> {
            Vec::new()
        }
        fn interface(&self, _: u32) -> Option<Arc<str>> {
            None
        }
    }
    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 11));
    let mut record = opened();
    (record.source.address, record.source.endpoint) = (NODE, 0);
    for (identity, name, side) in [
        (2, "world", Side::Server),
        (9, "world", Side::Server),
        // That node itself.
        (6, "remote-node", Side::Client),
    ] {
        record.source.identity = identity;
        let made = edge(&enrich(record, &Nodes));
        let source = made.source.as_ref().map(|of| of.name.as_str());
        assert_eq!((source, made.side()), (Some(name), side));
    }
    // Outside, and with an address of his own.
    (record.source.identity, record.source.address) = (2, IpAddr::from([198, 51, 100, 9]));
    assert_eq!(edge(&enrich(record, &Nodes)).side(), Side::Client);
}

#[test]
fn who_is_no_pod_is_an_entity_or_an_address() {
    let mut record = opened();
    for (identity, name, kind) in [
        (1, "host", PartyKind::Entity),
        (2, "world", PartyKind::Entity),
        (9, "world", PartyKind::Entity),
        (10, "world", PartyKind::Entity),
        (6, "remote-node", PartyKind::Entity),
        (5000, "10.0.0.2", PartyKind::Address),
    ] {
        record.destination.identity = identity;
        let made = edge(&enrich(record, &NoNames)).destination.unwrap();
        assert_eq!((made.name.as_str(), made.kind()), (name, kind));
    }
}

#[test]
fn the_api_server_is_called_by_its_name_wherever_it_is() {
    let mut record = opened();
    record.destination.identity = 1;
    let mut enriched = enrich(record, &NoNames);
    for place in ["host", "remote-node", "world"] {
        let mut labels: Vec<Arc<str>> = vec![
            format!("reserved:{place}").into(),
            "reserved:kube-apiserver".into(),
        ];
        labels.sort();
        enriched.destination = Some(Arc::new(EndpointNames {
            labels,
            ..EndpointNames::default()
        }));
        let made = edge(&enriched).destination.unwrap();
        assert_eq!(made.name, "kube-apiserver", "{place}");
    }
}

#[test]
fn parties_are_meant_by_name_namespace_or_both() {
    let made = edge(&enrich(opened(), &Shop));
    let web = made.source.as_ref();
    for wanted in ["", "web", "shop/", "shop/web"] {
        assert!(is_meant(web, wanted), "{wanted}");
    }
    for wanted in ["shop", "api", "other/", "shop/api", "other/web"] {
        assert!(!is_meant(web, wanted), "{wanted}");
    }
}
