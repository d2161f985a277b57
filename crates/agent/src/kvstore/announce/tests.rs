use model::endpoint::{EndpointId, PodName};
use model::labels::{Label, LabelSet};

use super::*;
use crate::view::{View, channel};

fn name() -> Name {
    Name {
        node: "node1".into(),
        address: "172.30.0.11".parse().unwrap(),
        addresses: Addresses::new(&super::super::values::tests::addressing(), &[]),
        own: (
            "cilium/state/nodes/v1/default/node1".into(),
            values::OwnNode::default(),
        ),
        numbers: 256..=65535,
    }
}

fn labels(app: &str) -> LabelSet {
    std::iter::once(Label::k8s("app", app)).collect()
}

fn endpoint(id: u16, app: &str, identity: u32) -> EndpointRow {
    EndpointRow {
        id: EndpointId(id),
        pod: Some(PodName {
            namespace: "default".into(),
            name: app.into(),
        }),
        ips: model::node::IpPair {
            v4: format!("10.0.1.{id}").parse().ok(),
            v6: None,
        },
        labels: labels(app),
        identity: Some(Identity(identity)),
        ..super::super::values::tests::endpoint()
    }
}

fn complete(endpoints: Vec<EndpointRow>) -> View {
    View {
        endpoints,
        waiting_for: Vec::new(),
        ..View::default()
    }
}

fn keys(rows: &BTreeMap<Arc<str>, Own>) -> Vec<String> {
    let line = |(key, own): (&Arc<str>, &Own)| match own {
        Own::Leased(value) if key.contains("/nodes/") => {
            let (_, row) = values::node_row(value.as_bytes()).unwrap();
            format!("{key} health {:?}", row.health.v4)
        }
        Own::Leased(value) if key.contains("/ip/") => format!("{key} … {}", value.len() > 10),
        Own::Leased(value) => format!("{key} {value}"),
        Own::Protected(value) => format!("{key} {value} protected"),
    };
    rows.iter().map(line).collect()
}

#[test]
fn a_node_says_who_it_is_where_its_pods_are_and_which_identities_it_uses() {
    let endpoints = [
        endpoint(2, "web", 300),
        endpoint(3, "web", 300),
        endpoint(4, "init", 5),
        EndpointRow {
            pod: None,
            ..endpoint(9, "health", Reserved::Health.id().0)
        },
    ];
    let held = BTreeMap::from([
        ("k8s:app=soon;".to_owned(), Identity(301)),
        ("k8s:app=web;".to_owned(), Identity(999)),
    ]);
    let all = keys(&rows(&endpoints, &held, &[], &name()));
    assert_eq!(
        all,
        [
            "cilium/state/identities/v1/id/300 k8s:app=web; protected",
            "cilium/state/identities/v1/id/301 k8s:app=soon; protected",
            "cilium/state/identities/v1/id/999 k8s:app=web; protected",
            "cilium/state/identities/v1/value/k8s:app=soon;/172.30.0.11 301",
            "cilium/state/identities/v1/value/k8s:app=web;/172.30.0.11 300",
            "cilium/state/ip/v1/default/10.0.1.2 … true",
            "cilium/state/ip/v1/default/10.0.1.3 … true",
            "cilium/state/ip/v1/default/10.0.1.4 … true",
            "cilium/state/nodes/v1/default/node1 health Some(10.0.1.9)",
        ]
    );
}

#[tokio::test]
async fn an_identity_that_was_asked_for_is_kept_until_it_is_used_or_nobody_came() {
    let (writer, view) = channel();
    let time = Duration::from_millis(1500);
    let holds = Holds::lasting(time);
    let (rows, table) = reconcile::Table::new("keys", &["endpoints"]);
    let stop = CancellationToken::new();
    let followed = tokio::spawn(follow(view, holds.clone(), name(), rows, stop.clone()));
    writer.publish(complete(Vec::new()));
    table.until_initialized().await;
    let usage: Arc<str> = "cilium/state/identities/v1/value/k8s:app=web;/172.30.0.11".into();
    holds.hold("k8s:app=web;", Identity(300));
    tokio::time::sleep(time / 2).await;
    assert!(table.get(&usage).is_some());
    writer.publish(complete(vec![endpoint(2, "web", 300)]));
    tokio::time::sleep(time * 2).await;
    assert!(table.get(&usage).is_some(), "an endpoint has it");
    writer.publish(complete(Vec::new()));
    tokio::time::sleep(time / 2).await;
    assert!(table.get(&usage).is_none());
    holds.hold("k8s:app=web;", Identity(300));
    tokio::time::sleep(time * 2).await;
    assert!(table.get(&usage).is_none(), "nobody came");
    stop.cancel();
    followed.await.unwrap();
}
