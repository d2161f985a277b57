use api::kubernetes::{EndpointSlice, Pod, Service};
use proptest::prelude::*;
use serde_json::json;

use super::desired::{Plan, SERVICE_NAME, plan};

fn service(selector: &str, ports: &serde_json::Value) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"team": "a"}},
        "spec": {"selector": {"app": selector}, "ports": ports, "ipFamilies": ["IPv4", "IPv6"], "clusterIP": "10.0.0.1"}
    }))
    .unwrap()
}

fn pod(name: &str, number: u8, ready: bool) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8000 + u16::from(number % 2)}]}]},
        "status": {"phase": "Running", "podIP": format!("10.1.0.{number}"),
                   "podIPs": [{"ip": format!("10.1.0.{number}")}, {"ip": format!("fd00::{number:x}")}],
                   "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}
    }))
    .unwrap()
}

fn apply(mut slices: Vec<EndpointSlice>, plan: Plan) -> Vec<EndpointSlice> {
    slices.retain(|slice| {
        !plan.remove.contains(&slice.metadata.name)
            && plan
                .write
                .iter()
                .all(|new| new.metadata.name != slice.metadata.name)
    });
    slices.extend(plan.write);
    slices
}

fn settle(service: &Service, pods: &[Pod], slices: Vec<EndpointSlice>) -> Vec<EndpointSlice> {
    let pods: Vec<&Pod> = pods.iter().collect();
    let next = plan(service, &pods, &slices.iter().collect::<Vec<_>>());
    let slices = apply(slices, next);
    let again = plan(service, &pods, &slices.iter().collect::<Vec<_>>());
    assert_eq!(
        again,
        Plan::default(),
        "a plan that was applied leaves nothing to do"
    );
    slices
}

fn addresses(slices: &[EndpointSlice], family: &str) -> Vec<String> {
    let endpoints = slices
        .iter()
        .filter(|slice| slice.address_type == family)
        .flat_map(|slice| &slice.endpoints);
    let mut addresses: Vec<String> = endpoints
        .flat_map(|endpoint| endpoint.addresses.clone())
        .collect();
    addresses.sort();
    addresses
}

#[test]
fn ready_pods_are_endpoints_of_both_families_with_node_target_and_ports() {
    let service = service(
        "web",
        &json!([{"name": "h", "port": 80, "targetPort": 8080}, {"name": "d", "port": 53, "protocol": "UDP"}]),
    );
    let slices = settle(
        &service,
        &[pod("a", 1, true), pod("b", 2, false)],
        Vec::new(),
    );
    assert_eq!(slices.len(), 2);
    assert_eq!(addresses(&slices, "IPv6"), ["fd00::1", "fd00::2"]);
    let v4 = slices
        .iter()
        .find(|slice| slice.address_type == "IPv4")
        .unwrap();
    assert!(v4.metadata.name.starts_with("web-"));
    assert_eq!(v4.metadata.labels[SERVICE_NAME], "web");
    assert_eq!(v4.metadata.labels["team"], "a");
    let ports: Vec<_> = v4
        .ports
        .iter()
        .map(|port| (port.name.as_str(), port.protocol.as_str(), port.port))
        .collect();
    assert_eq!(ports, [("d", "UDP", Some(53)), ("h", "TCP", Some(8080))]);
    let first = &v4.endpoints[0];
    assert_eq!(first.node_name.as_deref(), Some("n1"));
    assert_eq!(first.target_ref.as_ref().unwrap().name, "a");
    let states: Vec<_> = v4
        .endpoints
        .iter()
        .map(|e| {
            (
                e.conditions.ready,
                e.conditions.serving,
                e.conditions.terminating,
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (Some(true), Some(true), Some(false)),
            (Some(false), Some(false), Some(false))
        ]
    );
}

#[test]
fn a_terminating_pod_serves_but_is_not_ready() {
    let mut leaving = pod("a", 1, true);
    leaving.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".into());
    let slices = settle(
        &service("web", &json!([{"port": 80}])),
        &[leaving.clone()],
        Vec::new(),
    );
    let conditions = &slices[0].endpoints[0].conditions;
    assert_eq!(
        (conditions.ready, conditions.serving, conditions.terminating),
        (Some(false), Some(true), Some(true))
    );
    let mut publishing = service("web", &json!([{"port": 80}]));
    publishing.spec.publish_not_ready_addresses = Some(true);
    let slices = settle(&publishing, &[leaving], slices);
    assert_eq!(slices[0].endpoints[0].conditions.ready, Some(true));
}

#[test]
fn named_ports_that_differ_between_pods_make_groups() {
    let service = service(
        "web",
        &json!([{"name": "h", "port": 80, "targetPort": "http"}]),
    );
    let slices = settle(
        &service,
        &[pod("a", 1, true), pod("b", 2, true)],
        Vec::new(),
    );
    let mut ports: Vec<_> = slices
        .iter()
        .map(|slice| (slice.address_type.as_str(), slice.ports[0].port.unwrap()))
        .collect();
    ports.sort_unstable();
    assert_eq!(
        ports,
        [
            ("IPv4", 8000),
            ("IPv4", 8001),
            ("IPv6", 8000),
            ("IPv6", 8001)
        ]
    );
}

#[test]
fn without_pods_an_empty_slice_per_family_states_it() {
    let service = service("web", &json!([{"port": 80}]));
    let empty = settle(&service, &[], Vec::new());
    assert_eq!(empty.len(), 2);
    assert!(empty.iter().all(|slice| slice.endpoints.is_empty()));
    let filled = settle(&service, &[pod("a", 1, true)], empty);
    assert_eq!(filled.len(), 2);
    let mut done = pod("a", 1, true);
    done.status.phase = "Succeeded".into();
    let emptied = settle(&service, &[done], filled);
    assert!(emptied.iter().all(|slice| slice.endpoints.is_empty()));
}

proptest! {
    #[test]
    fn every_pod_is_in_one_slice_whatever_came_before(
        first in proptest::collection::btree_set(1_u8..=250, 0..220),
        second in proptest::collection::btree_set(1_u8..=250, 0..220),
    ) {
        let service = service("web", &json!([{"port": 80, "targetPort": 8080}]));
        let pods = |numbers: &std::collections::BTreeSet<u8>| -> Vec<Pod> {
            numbers.iter().map(|&number| pod(&format!("p{number}"), number, true)).collect()
        };
        let before = settle(&service, &pods(&first), Vec::new());
        let after = settle(&service, &pods(&second), before.clone());
        let mut expected: Vec<String> = second.iter().map(|number| format!("10.1.0.{number}")).collect();
        expected.sort();
        prop_assert_eq!(addresses(&after, "IPv4"), expected);
        prop_assert!(after.iter().all(|slice| slice.endpoints.len() <= 100));
        // Who stays, stays in the same slice.
        for old in &before {
            for endpoint in &old.endpoints {
                let name = &endpoint.target_ref.as_ref().unwrap().name;
                let family = &old.address_type;
                let holder = after.iter().find(|slice| slice.address_type == *family
                    && slice.endpoints.iter().any(|e| e.target_ref.as_ref().unwrap().name == *name));
                prop_assert!(holder.is_none_or(|holder| holder.metadata.name == old.metadata.name));
            }
        }
    }
}
