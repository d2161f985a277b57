use serde_json::json;

use super::Findings;

#[test]
fn policies_that_agents_would_refuse_are_named_with_the_field() {
    let mut findings = Findings::default();
    findings.judge(
        "CiliumNetworkPolicy",
        json!({ "metadata": { "namespace": "shop", "name": "good" },
                "spec": { "endpointSelector": {}, "ingress": [{}] } }),
    );
    findings.judge(
        "CiliumNetworkPolicy",
        json!({ "metadata": { "namespace": "shop", "name": "vrrp" },
                "spec": { "endpointSelector": {}, "ingress": [{ "toPorts": [{ "ports": [{ "protocol": "VRRP" }] }] }] } }),
    );
    findings.judge(
        "CiliumClusterwideNetworkPolicy",
        json!({ "metadata": { "name": "bad" },
                "spec": { "endpointSelector": {}, "ingress": [{ "fromCIDR": ["10.0.0.0/99"] }] } }),
    );
    assert_eq!(findings.policies, 3);
    let [bad] = &findings.refused[..] else {
        panic!("{findings:?}");
    };
    assert_eq!((bad.namespace.as_str(), bad.name.as_str()), ("", "bad"));
    assert!(bad.error.contains("fromCIDR[0]"), "{}", bad.error);
}

#[test]
fn an_object_without_a_name_is_refused_all_the_same() {
    let mut findings = Findings::default();
    findings.judge("CiliumNetworkPolicy", json!({ "spec": {} }));
    assert_eq!(findings.refused.len(), 1);
}
