use std::collections::HashMap;

use api::hubble::answers::{Counters, HttpCounters, Row, Side, TlsCounters};

use super::super::pairs::pairs;
use super::*;

fn workload(name: &str) -> Party {
    Party {
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    }
}

fn entity(name: &str) -> Party {
    Party {
        name: name.into(),
        kind: PartyKind::Entity.into(),
        ..Party::default()
    }
}

/// Connections that were answered, from one to the other, of which the client's node tells.
fn row((source, destination): (Party, Party), port: u32, answered: u64) -> Row {
    Row {
        edge: Some(Edge {
            source: Some(source),
            destination: Some(destination),
            port,
            protocol: 6,
            ..Edge::default()
        }),
        counters: Some(Counters {
            answered,
            ..Counters::default()
        }),
        ..Row::default()
    }
}

fn tls(server_name: &str, handshakes: u64) -> TlsCounters {
    TlsCounters {
        server_name: server_name.into(),
        handshakes,
        ..TlsCounters::default()
    }
}

fn told(rows: Vec<Row>) -> Vec<Unread> {
    let rows: HashMap<Edge, Row> = rows
        .into_iter()
        .map(|row| (row.edge.clone().unwrap(), row))
        .collect();
    unread(&pairs(&rows))
}

/// Destination, connections, and of them the encrypted, other ones, and those between nodes.
fn short(all: &[Unread]) -> Vec<(String, u64, [u64; 3])> {
    let of = |of: &Unread| {
        let destination = of.destination.as_ref().map(crate::edges::shown);
        let kinds = [of.encrypted, of.other, of.host_network];
        (destination.unwrap_or_default(), of.connections, kinds)
    };
    all.iter().map(of).collect()
}

#[test]
fn what_is_encrypted_has_its_share_and_names_of_all_who_ask() {
    let web = Row {
        tls: vec![tls("pay.example.com", 60), tls("", 8)],
        ..row((workload("web"), workload("pay")), 443, 70)
    };
    let mail = Row {
        tls: vec![tls("pay.example.com", 20), tls("old.example.com", 4)],
        ..row((workload("mail"), workload("pay")), 443, 30)
    };
    let all = told(vec![web, mail]);
    assert_eq!(short(&all), [("shop/pay".into(), 100, [92, 0, 0])]);
    let names = all[0].server_names.iter();
    let names: Vec<_> = names.map(|of| (of.name.as_str(), of.count)).collect();
    assert_eq!(names, [("pay.example.com", 80), ("old.example.com", 4)]);
}

#[test]
fn what_is_read_is_not_named_and_what_nobody_understands_is() {
    let http = Row {
        http: vec![HttpCounters {
            requests: 1,
            ..HttpCounters::default()
        }],
        ..row((workload("web"), workload("api")), 80, 50)
    };
    let database = row((workload("api"), workload("db")), 5432, 9);
    let unanswered = row((workload("api"), workload("gone")), 80, 0);
    let mut datagrams = row((workload("api"), workload("log")), 514, 7);
    datagrams.edge.as_mut().unwrap().protocol = 17;
    let all = told(vec![http, database, unanswered, datagrams]);
    assert_eq!(short(&all), [("shop/db".into(), 9, [0, 9, 0])]);
}

#[test]
fn what_passes_between_networks_of_nodes_is_named_so() {
    let all = told(vec![
        row((entity("host"), entity("remote-node")), 9100, 12),
        row((entity("remote-node"), workload("db")), 5432, 3),
        row((entity("world"), entity("host")), 22, 2),
        row((workload("web"), entity("world")), 443, 1),
    ]);
    assert_eq!(
        short(&all),
        [
            ("remote-node".into(), 12, [0, 0, 12]),
            ("shop/db".into(), 3, [0, 3, 0]),
            ("host".into(), 2, [0, 0, 2]),
            ("world".into(), 1, [0, 1, 0]),
        ]
    );
}

#[test]
fn what_the_client_s_node_did_not_hear_the_other_node_tells() {
    let own = row((workload("web"), workload("pay")), 443, 10);
    let mut other = own.clone();
    other.tls = vec![tls("pay", 10)];
    other.edge.as_mut().unwrap().side = Side::Server.into();
    let all = told(vec![own, other]);
    assert_eq!(short(&all), [("shop/pay".into(), 10, [10, 0, 0])]);
}

#[test]
fn there_are_no_more_encrypted_connections_than_connections() {
    let early = Row {
        tls: vec![tls("pay", 5)],
        ..row((workload("web"), workload("pay")), 443, 4)
    };
    assert_eq!(
        short(&told(vec![early])),
        [("shop/pay".into(), 4, [4, 0, 0])]
    );
}
