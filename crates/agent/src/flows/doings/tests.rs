use model::endpoint::{LifeCycle, Mac, PodName};
use model::labels::LabelSet;
use model::node::IpPair;
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
        ..View::default()
    }
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
            other => panic!("{other:?}"),
        };
        format!("{} {of}", event.r#type().as_str_name())
    };
    between(old, new).iter().map(text).collect()
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
fn the_start_has_its_time() {
    let event = started();
    assert_eq!(event.r#type(), AgentEventType::AgentStarted);
    let Some(Notification::AgentStart(TimeNotification { time: Some(time) })) = event.notification
    else {
        panic!("{event:?}")
    };
    assert!(time.seconds > 1_700_000_000);
}
