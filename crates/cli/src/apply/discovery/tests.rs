use serde_json::json;

use super::*;

#[test]
fn a_kind_is_found_by_its_name_and_never_as_a_subresource() {
    let list = json!({ "resources": [
        { "name": "services/status", "kind": "Service", "namespaced": true },
        { "name": "services", "singularName": "service", "kind": "Service", "namespaced": true },
        { "name": "ciliumnodes", "singularName": "", "kind": "CiliumNode", "namespaced": false },
    ] });
    let service = kind_in(&list, "/api/v1", "v1", "Service").unwrap();
    assert_eq!(
        (
            service.plural.as_str(),
            service.full_name().as_str(),
            service.namespaced
        ),
        ("services", "service", true)
    );
    let node = kind_in(&list, "/apis/cilium.io/v2", "cilium.io/v2", "CiliumNode").unwrap();
    assert_eq!(node.full_name(), "ciliumnode.cilium.io");
    assert_eq!(kind_in(&list, "/api/v1", "v1", "Pod"), None);
}

#[test]
fn groups_are_below_apis_and_the_core_below_api() {
    assert_eq!(root_of("v1"), "/api/v1");
    assert_eq!(
        root_of("networking.k8s.io/v1"),
        "/apis/networking.k8s.io/v1"
    );
}
