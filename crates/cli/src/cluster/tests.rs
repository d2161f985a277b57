use serde_json::json;

use super::forward::target_port;
use super::pod::Pod;

#[test]
fn the_relays_port_is_a_number_a_name_or_that_of_its_service() {
    let pod = json!({ "spec": { "containers": [{ "ports": [{ "name": "grpc", "containerPort": 4245 }] }] } });
    let service = |port: &serde_json::Value| json!({ "spec": { "ports": [port] } });
    let of = |port: serde_json::Value| target_port(&service(&port), &pod);
    assert_eq!(of(json!({ "port": 80, "targetPort": "grpc" })), Some(4245));
    assert_eq!(of(json!({ "port": 80, "targetPort": 4246 })), Some(4246));
    assert_eq!(of(json!({ "port": 4247 })), Some(4247));
    assert_eq!(of(json!({ "port": 80, "targetPort": "other" })), None);
}

#[test]
fn a_pod_says_why_it_is_not_ready() {
    let trouble = |object: serde_json::Value| Pod::of(&object).trouble();
    let waits = json!({ "status": { "phase": "Pending", "containerStatuses": [{ "name": "a", "restartCount": 3,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } } }] },
        "spec": { "containers": [{ "name": "a" }] } });
    assert_eq!(
        trouble(waits),
        "a: CrashLoopBackOff: back-off 40s (3 restarts)"
    );
    let nowhere = json!({ "status": { "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "message": "0/2 nodes are available" }] } });
    assert_eq!(
        trouble(nowhere),
        "cannot be scheduled: 0/2 nodes are available"
    );
    assert_eq!(
        trouble(json!({ "status": { "phase": "Running" } })),
        "not ready"
    );
    assert_eq!(
        trouble(json!({ "metadata": { "deletionTimestamp": "x" } })),
        "is being deleted"
    );
}

#[test]
fn a_pod_has_its_addresses_by_either_field() {
    let pod = Pod::of(
        &json!({ "status": { "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }] } }),
    );
    assert_eq!(pod.addresses.len(), 2);
    assert_eq!(
        Pod::of(&json!({ "status": { "podIP": "10.0.0.1" } }))
            .addresses
            .len(),
        1
    );
}
