use super::*;

#[test]
fn keys_are_named_as_upstream_names_them() {
    let labels = "k8s:app.kubernetes.io/name=shop;k8s:io.kubernetes.pod.namespace=default;";
    assert_eq!(identity(1234), "cilium/state/identities/v1/id/1234");
    assert_eq!(
        usage(labels, "10.0.0.1"),
        "cilium/state/identities/v1/value/k8s:app.kubernetes.io/name=shop;k8s:io.kubernetes.pod.namespace=default;/10.0.0.1"
    );
    assert_eq!(
        lock("k8s:a=b;"),
        "cilium/state/identities/v1/locks/k8s:a=b;"
    );
    assert_eq!(address("10.1.2.3"), "cilium/state/ip/v1/default/10.1.2.3");
    assert_eq!(
        node("default", "worker-1"),
        "cilium/state/nodes/v1/default/worker-1"
    );
}

#[test]
fn what_is_in_a_key_is_read_back_and_slashes_in_labels_are_part_of_them() {
    let labels = "k8s:app.kubernetes.io/name=shop;";
    assert_eq!(labels_of(&usage(labels, "fd00::1")), Some(labels));
    assert_eq!(number_of(&identity(65535)), Some(65535));
    assert_eq!(number_of("cilium/state/identities/v1/id/x"), None);
    assert_eq!(labels_of("cilium/state/identities/v1/id/1"), None);
}
