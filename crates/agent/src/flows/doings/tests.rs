use model::endpoint::{Event, LifeCycle, Mac};
use model::identity::Identity;
use model::ipcache::{Row, Source};
use model::labels::LabelSet;
use model::node::IpPair;
use model::policy::cidr::Cover;
use model::policy::{Change, ParseOptions, Settings, Snapshot, parse_policy};
use serde_json::json;

use super::*;

fn pod(id: u16, name: &str) -> EndpointRow {
    EndpointRow {
        id: EndpointId(id),
        pod: Some(PodName {
            namespace: "shop".into(),
            name: name.into(),
        }),
        pod_uid: None,
        container_id: "c".into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair::default(),
        mac: Mac::default(),
        host_mac: Mac::default(),
        ifname: "lxc".into(),
        ifindex: 7,
        labels: LabelSet::parse(["k8s:app=web"]).unwrap(),
        identity: None,
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 0,
        life: LifeCycle::created(),
    }
}

fn object(name: &str, port: &str) -> Arc<PolicyObject> {
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "shop", "name": name },
        "spec": { "endpointSelector": {}, "ingress": [{ "toPorts": [{ "ports": [{ "port": port }] }] }] },
    });
    Arc::new(parse_policy(&object, &ParseOptions::default()).unwrap())
}

fn view(revision: u64, endpoints: Vec<EndpointRow>, objects: &[&Arc<PolicyObject>]) -> View {
    let mut policy = Snapshot::new(Settings::default());
    for object in objects {
        policy.apply(Change::Object(Arc::clone(object)));
    }
    View {
        revision,
        endpoints,
        policy,
        waiting_for: Vec::new(),
        ..View::default()
    }
}

/// An endpoint with its identity and its policy in force.
fn ready(id: u16, name: &str, identity: u32, policy_revision: u64) -> EndpointRow {
    let mut life = LifeCycle::created();
    for event in [
        Event::IdentityKnown,
        Event::BuildStarted,
        Event::BuildSucceeded,
    ] {
        life.apply(event);
    }
    EndpointRow {
        identity: Some(Identity(identity)),
        policy_revision,
        life,
        ..pod(id, name)
    }
}

/// An address of an identity; a hop that is not 0 is as that of another run.
fn known(identity: u32, location: Location, hop: u32) -> Known {
    Known {
        row: Row {
            identity: Identity(identity),
            cover: Cover::default(),
            location,
            encryption_key: 0,
            source: Source::CustomResource,
        },
        peer: identity,
        hop,
    }
}

fn behind(node: &str) -> Location {
    Location::RemoteEndpoint {
        node: node.parse().unwrap(),
    }
}

fn with_addresses<'a>(view: &View, rows: impl IntoIterator<Item = (&'a str, Known)>) -> View {
    let mut view = view.clone();
    let rows = rows.into_iter();
    view.addresses
        .extend(rows.map(|(net, known)| (net.parse::<IpNet>().unwrap(), known)));
    view
}

/// `KIND namespace/pod` or `KIND policy@revision` of each event.
fn told(old: &View, new: &View) -> Vec<String> {
    let text = |event: &AgentEvent| {
        let of = match event.notification.as_ref().unwrap() {
            Notification::EndpointUpdate(of) => format!("{}/{}", of.namespace, of.pod_name),
            Notification::PolicyUpdate(of) => {
                let name = of
                    .labels
                    .iter()
                    .find_map(|label| label.strip_prefix("k8s:io.cilium.k8s.policy.name="));
                format!("{}@{} of {}", name.unwrap(), of.revision, of.rule_count)
            }
            Notification::EndpointRegenerate(of) => format!("{} {}", of.id, of.error),
            Notification::IpcacheUpdate(of) => {
                let before = of.old_identity.as_ref().map(|old| old.value);
                let hosts = format!("{}<{}", of.host_ip, of.old_host_ip);
                let (id, pod) = (of.identity, &of.pod_name);
                format!("{} {id}<{before:?} at {hosts} {pod}", of.cidr)
            }
            Notification::Unknown(of) => of.notification.clone(),
            other => panic!("{other:?}"),
        };
        format!("{} {of}", event.r#type().as_str_name())
    };
    let pod_at = |address: IpAddr| {
        (address.to_string() == "10.0.2.9").then(|| PodName {
            namespace: "shop".into(),
            name: "far".into(),
        })
    };
    between(old, new, pod_at).iter().map(text).collect()
}

#[test]
fn endpoints_that_came_and_went_are_told_once() {
    let old = view(1, vec![pod(7, "a"), pod(8, "b")], &[]);
    let new = view(1, vec![pod(8, "b"), pod(9, "c")], &[]);
    assert_eq!(
        told(&old, &new),
        ["ENDPOINT_DELETED shop/a", "ENDPOINT_CREATED shop/c"]
    );
    assert_eq!(told(&new, &new), [""; 0]);
}

#[test]
fn policies_are_told_when_they_come_change_and_go() {
    let (kept, gone) = (object("kept", "80"), object("gone", "80"));
    let (before, after) = (object("changed", "80"), object("changed", "81"));
    let added = object("added", "80");
    let old = view(3, Vec::new(), &[&kept, &gone, &before]);
    let new = view(4, Vec::new(), &[&kept, &after, &added]);
    assert_eq!(
        told(&old, &new),
        [
            "POLICY_DELETED gone@4 of 1",
            "POLICY_UPDATED added@4 of 1",
            "POLICY_UPDATED changed@4 of 1",
        ]
    );
}

#[test]
fn a_policy_in_force_is_told_with_its_endpoint_once_and_anew_for_another_revision_or_identity() {
    let created = view(1, vec![pod(7, "a")], &[]);
    let first = view(1, vec![ready(7, "a", 1001, 1)], &[]);
    let later = view(2, vec![ready(7, "a", 1001, 2)], &[]);
    let relabelled = view(2, vec![ready(7, "a", 1002, 2)], &[]);
    assert_eq!(
        told(&View::default(), &created),
        ["ENDPOINT_CREATED shop/a"],
        "nothing is built yet"
    );
    let success = ["ENDPOINT_REGENERATE_SUCCESS 7 "];
    assert_eq!(told(&created, &first), success);
    assert_eq!(told(&first, &first), [""; 0]);
    assert_eq!(told(&first, &later), success);
    assert_eq!(told(&later, &relabelled), success);
}

#[test]
fn a_policy_that_is_refused_is_told_once_and_so_is_its_healing() {
    let good = view(1, vec![ready(7, "a", 1001, 1), ready(8, "b", 1002, 1)], &[]);
    let mut bad = view(2, vec![ready(7, "a", 1001, 2), ready(8, "b", 1002, 2)], &[]);
    bad.refused.insert(EndpointId(7), "no room".into());
    assert_eq!(
        told(&good, &bad),
        [
            "ENDPOINT_REGENERATE_FAILURE 7 no room",
            "ENDPOINT_REGENERATE_SUCCESS 8 ",
        ]
    );
    assert_eq!(
        told(&bad, &bad),
        [""; 0],
        "a try that fails again is no news"
    );
    let healed = view(2, bad.endpoints.clone(), &[]);
    assert_eq!(told(&bad, &healed), ["ENDPOINT_REGENERATE_SUCCESS 7 "]);
}

#[test]
fn an_endpoint_whose_build_failed_is_told_with_the_error_of_the_commit() {
    let mut row = ready(7, "a", 1001, 1);
    let before = view(1, vec![row.clone()], &[]);
    for event in [
        Event::BuildRequested,
        Event::BuildStarted,
        Event::BuildFailed,
    ] {
        row.life.apply(event);
    }
    let mut failed = view(2, vec![row], &[]);
    failed.error = Some("1 entries refused".into());
    assert_eq!(
        told(&before, &failed),
        ["ENDPOINT_REGENERATE_FAILURE 7 1 entries refused"]
    );
}

#[test]
fn addresses_are_told_when_they_come_mean_something_else_and_go() {
    let base = view(1, vec![pod(7, "a")], &[]);
    let local = Location::LocalEndpoint {
        id: EndpointId(7),
        ifindex: 4,
    };
    let kept = ("10.0.2.1/32", known(1003, behind("192.0.2.2"), 1));
    let old = with_addresses(
        &base,
        [
            kept.clone(),
            ("10.0.2.9/32", known(1001, behind("192.0.2.2"), 1)),
            ("203.0.113.0/24", known(16_777_217, Location::World, 0)),
        ],
    );
    let mut new = with_addresses(
        &base,
        [
            // Only its number is another.
            (kept.0, known(1003, behind("192.0.2.2"), 2)),
            ("10.0.2.9/32", known(1002, behind("192.0.2.3"), 2)),
            ("10.0.1.7/32", known(1001, local, 3)),
        ],
    );
    assert_eq!(
        told(&old, &new),
        [
            "IPCACHE_UPSERTED 10.0.1.7/32 1001<None at < a",
            "IPCACHE_UPSERTED 10.0.2.9/32 1002<Some(1001) at 192.0.2.3<192.0.2.2 far",
            "IPCACHE_DELETED 203.0.113.0/24 16777217<None at < ",
        ]
    );
    new.endpoints.clear();
    new.addresses.remove(&"10.0.1.7/32".parse().unwrap());
    let before = with_addresses(&base, [("10.0.1.7/32", known(1001, local, 3))]);
    let after = view(1, Vec::new(), &[]);
    assert_eq!(
        told(&before, &after),
        [
            "ENDPOINT_DELETED shop/a",
            "IPCACHE_DELETED 10.0.1.7/32 1001<None at < a",
        ],
        "with the name that the pod had"
    );
}

#[test]
fn addresses_of_the_first_complete_state_are_no_events_and_many_at_once_are_counted() {
    let nets: Vec<String> = (0..10_000_u32)
        .map(|n| format!("10.1.{}.{}/32", n / 256, n % 256))
        .collect();
    let all = |view: &View| {
        let row = |net: &String| {
            (
                net.parse::<IpNet>().unwrap(),
                known(1001, behind("192.0.2.2"), 1),
            )
        };
        let mut view = view.clone();
        view.addresses.extend(nets.iter().map(row));
        view
    };
    let empty = view(1, Vec::new(), &[]);
    let full = all(&empty);
    assert_eq!(told(&View::default(), &full), [""; 0]);
    let partly = View {
        waiting_for: vec!["pods"],
        ..empty.clone()
    };
    assert_eq!(told(&partly, &full), [""; 0]);
    let events = told(&empty, &full);
    assert_eq!(events.len(), MOST + 1);
    assert_eq!(
        events.last().unwrap(),
        "AGENT_EVENT_UNKNOWN 9744 more addresses changed at once"
    );
    let one = with_addresses(
        &full,
        [("10.9.9.9/32", known(1001, behind("192.0.2.2"), 1))],
    );
    assert_eq!(told(&full, &one).len(), 1);
}

#[test]
fn the_start_has_its_time() {
    let event = started();
    assert_eq!(event.r#type(), AgentEventType::AgentStarted);
    let Some(Notification::AgentStart(TimeNotification { time: Some(time) })) = event.notification
    else {
        panic!("{event:?}")
    };
    assert!(time.seconds > 1_700_000_000);
}
