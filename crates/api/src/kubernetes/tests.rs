use serde_json::json;

use super::{EndpointSlice, IntOrString, Lease, List, Node, Pod, Resource, Service, Status};

#[test]
fn a_pod_as_the_api_server_sends_it_decodes_with_unknown_fields_and_nulls() {
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "creationTimestamp": null,
                     "annotations": null, "managedFields": [{"manager": "kubectl"}]},
        "spec": {"nodeName": "n1", "hostNetwork": true, "serviceAccountName": "web", "volumes": [],
                 "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080, "hostPort": 80, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "hostIP": "192.0.2.1", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                   "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null}]}
    }))
    .unwrap();
    assert_eq!(pod.metadata.labels["app"], "web");
    assert!(pod.spec.host_network);
    assert_eq!(pod.spec.containers[0].ports[0].host_port, Some(80));
    assert_eq!(pod.status.pod_ips[1].ip, "fd00::1");
    assert_eq!(pod.status.host_ip, "192.0.2.1");
    assert_eq!(pod.status.conditions[0].condition, "Ready");
}

#[test]
fn an_object_writes_its_type_and_reads_back_equal() {
    let mut node = Node::default();
    node.meta_mut().name = "n1".into();
    node.spec.pod_cidr = "10.1.0.0/24".into();
    node.spec.pod_cidrs = vec!["10.1.0.0/24".into(), "fd00:1::/64".into()];
    let text = serde_json::to_value(&node).unwrap();
    assert_eq!(text["apiVersion"], "v1");
    assert_eq!(text["kind"], "Node");
    assert_eq!(text["spec"]["podCIDRs"][1], "fd00:1::/64");
    assert_eq!(serde_json::from_value::<Node>(text).unwrap(), node);
}

#[test]
fn another_kind_is_refused_by_name() {
    let error = serde_json::from_value::<Lease>(json!({"apiVersion": "v1", "kind": "Pod"}))
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected coordination.k8s.io/v1"), "{error}");
    let error = serde_json::from_value::<Pod>(json!({"apiVersion": "v1", "kind": "Node"}))
        .unwrap_err()
        .to_string();
    assert!(error.contains("found Node, expected Pod"), "{error}");
}

#[test]
fn list_items_need_no_type() {
    let list: List<Service> = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ServiceList", "metadata": {"resourceVersion": "7", "continue": ""},
        "items": [{"metadata": {"name": "a"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"],
                   "ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}}]
    }))
    .unwrap();
    assert_eq!(list.metadata.resource_version, "7");
    let ports = &list.items[0].spec.ports;
    assert_eq!(
        ports[0].target_port,
        Some(IntOrString::String("http".into()))
    );
    assert_eq!(ports[1].target_port, Some(IntOrString::Int(8081)));
    let empty: List<Pod> = serde_json::from_value(json!({"metadata": {}, "items": null})).unwrap();
    assert!(empty.items.is_empty());
}

#[test]
fn a_slice_with_null_lists_is_empty() {
    let slice: EndpointSlice = serde_json::from_value(
        json!({"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": null, "ports": null}),
    )
    .unwrap();
    assert!(slice.endpoints.is_empty() && slice.ports.is_empty());
}

#[test]
fn a_status_carries_its_type_by_default() {
    let text = serde_json::to_value(Status {
        code: 404,
        reason: "NotFound".into(),
        ..Status::default()
    })
    .unwrap();
    assert_eq!(text["kind"], "Status");
    assert_eq!(text["apiVersion"], "v1");
}
