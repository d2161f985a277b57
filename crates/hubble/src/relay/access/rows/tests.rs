use api::hubble::answers::{
    DnsCounters, NameCount, Outsider, PartyKind, PolicyRef, Sample, TlsCounters,
};

use super::*;

fn pod(namespace: &str, name: &str) -> Party {
    Party {
        namespace: namespace.into(),
        name: name.into(),
        ..Party::default()
    }
}

fn world() -> Party {
    Party {
        name: "world".into(),
        kind: PartyKind::Entity.into(),
        ..Party::default()
    }
}

fn tally(kind: CauseKind, direction: Direction, name: &str, count: u64) -> Tally {
    Tally {
        cause: Some(Cause {
            kind: kind.into(),
            direction: direction.into(),
            name: name.into(),
            policies: vec![PolicyRef {
                name: "p".into(),
                ..PolicyRef::default()
            }],
            ..Cause::default()
        }),
        count,
        first_ns: count,
        last_ns: count,
        samples: vec![Sample::default()],
        ..Tally::default()
    }
}

/// A row that says all that a row can.
fn full(source: Party, destination: Party) -> Row {
    let http = |path: &str| HttpCounters {
        method: "GET".into(),
        path: path.into(),
        requests: 2,
        ..HttpCounters::default()
    };
    let dns = |name: &str| DnsCounters {
        name: name.into(),
        questions: 3,
        addresses: vec!["10.0.0.1".into()],
        ..DnsCounters::default()
    };
    Row {
        edge: Some(Edge {
            source: Some(source),
            destination: Some(destination),
            port: 80,
            ..Edge::default()
        }),
        failures: vec![
            tally(CauseKind::HttpError, Direction::Unknown, "GET /secret", 1),
            tally(CauseKind::HttpError, Direction::Unknown, "GET /other", 4),
            tally(CauseKind::DeniedByRule, Direction::Egress, "", 1),
            tally(CauseKind::DeniedByRule, Direction::Ingress, "", 1),
            tally(CauseKind::DnsTimeout, Direction::Unknown, "a.example", 1),
        ],
        http: vec![http("/secret"), http("/other")],
        dns: vec![dns("a.example"), dns("b.example")],
        kafka: vec![KafkaCounters {
            topic: "orders".into(),
            produces: 5,
            groups: vec![NameCount {
                name: "a-consumer".into(),
                count: 1,
            }],
            ..KafkaCounters::default()
        }],
        tls: vec![TlsCounters {
            server_name: "a.example".into(),
            handshakes: 7,
            ..TlsCounters::default()
        }],
        outsiders: vec![Outsider::default()],
        ..Row::default()
    }
}

fn seen() -> BTreeMap<String, bool> {
    [("shop".to_owned(), true), ("bank".to_owned(), false)].into()
}

fn veiled(row: Row) -> Row {
    let mut rows = vec![row];
    assert_eq!(veil(&mut rows, &seen()), 0);
    rows.remove(0)
}

#[test]
fn what_is_of_namespaces_that_may_be_seen_stays_as_it_is() {
    for (source, destination) in [
        (pod("shop", "web"), pod("shop", "api")),
        (pod("shop", "web"), world()),
        (world(), pod("shop", "web")),
    ] {
        let row = full(source, destination);
        assert_eq!(veiled(row.clone()), row);
    }
}

#[test]
fn what_neither_begins_nor_ends_there_is_left_out_and_counted_once() {
    let mut rows = vec![
        full(pod("bank", "desk"), pod("bank", "vault")),
        full(pod("bank", "desk"), pod("bank", "vault")),
        full(world(), pod("bank", "vault")),
        full(world(), world()),
        full(pod("nobody-asked", "x"), world()),
        Row::default(),
        full(pod("shop", "web"), pod("shop", "api")),
    ];
    if let Some(edge) = &mut rows[1].edge {
        edge.side = 1;
    }
    assert_eq!(veil(&mut rows, &seen()), 5);
    assert_eq!(rows, [full(pod("shop", "web"), pod("shop", "api"))]);
}

#[test]
fn of_who_is_asked_elsewhere_the_name_and_the_counts_are_left() {
    let row = veiled(full(pod("shop", "web"), pod("bank", "vault")));
    let text = format!("{row:?}");
    for hidden in [
        "secret",
        "/other",
        "orders",
        "a-consumer",
        "Sample",
        "server_name: \"a",
    ] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert_eq!((row.http.len(), row.http[0].requests), (1, 4));
    assert_eq!((row.kafka[0].produces, row.tls[0].handshakes), (5, 7));
    // What the own side asked of a DNS server it knows.
    assert_eq!(row.dns.len(), 2);
    let causes: Vec<_> = row
        .failures
        .iter()
        .map(|of| {
            let cause = of.cause.as_ref().unwrap();
            (
                cause.kind(),
                cause.direction(),
                cause.policies.len(),
                cause.name.as_str(),
                of.count,
            )
        })
        .collect();
    assert_eq!(
        causes,
        [
            (CauseKind::HttpError, Direction::Unknown, 0, "", 5),
            (CauseKind::DeniedByRule, Direction::Egress, 1, "", 1),
            (CauseKind::DeniedByRule, Direction::Ingress, 0, "", 1),
            (CauseKind::DnsTimeout, Direction::Unknown, 0, "a.example", 1),
        ]
    );
}

#[test]
fn of_who_asks_from_elsewhere_the_name_and_the_counts_are_left() {
    let row = veiled(full(pod("bank", "desk"), pod("shop", "api")));
    let text = format!("{row:?}");
    for hidden in ["secret", "orders", "a.example", "10.0.0.1", "Sample"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert_eq!((row.dns.len(), row.dns[0].questions), (1, 6));
    let own = row.failures.iter().filter_map(|of| {
        let cause = of.cause.as_ref()?;
        (!cause.policies.is_empty()).then(|| cause.direction())
    });
    assert_eq!(own.collect::<Vec<_>>(), [Direction::Ingress]);
}
