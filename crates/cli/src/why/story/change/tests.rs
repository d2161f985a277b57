use super::*;

const WEB: &str = "k8s:app=web,k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop,k8s:io.cilium.k8s.policy.cluster=default,k8s:io.kubernetes.pod.namespace=shop";

fn fragment(peer: &str, change: &str, verdict: &str) -> Option<String> {
    let reason = Reason {
        verdict: verdict.to_owned(),
        change: change.to_owned(),
        ..Reason::default()
    };
    let change = Change {
        direction: "arriving",
        peer,
        port: "8080/TCP",
    };
    change.fragment(&reason)
}

#[test]
fn labels_are_those_that_people_gave() {
    assert_eq!(short(WEB), "app=web");
    assert_eq!(short("k8s:app=web,k8s:tier=front"), "app=web,tier=front");
    assert_eq!(short("reserved:world"), "reserved:world");
    let noise = "k8s:io.kubernetes.pod.namespace=shop";
    assert_eq!(short(noise), noise);
}

#[test]
fn the_change_is_a_rule_that_can_be_pasted() {
    let words = "add an ingress rule for … to CiliumNetworkPolicy shop/api";
    let yaml = fragment(WEB, words, "denied-by-default").unwrap();
    let rule: serde_json::Value = serde_yaml_ng::from_str(&yaml).unwrap();
    let expected = serde_json::json!({ "ingress": [{
        "fromEndpoints": [{ "matchLabels": { "app": "web", "io.kubernetes.pod.namespace": "shop" } }],
        "toPorts": [{ "ports": [{ "port": "8080", "protocol": "TCP" }] }],
    }] });
    assert_eq!(rule, expected);
    let yaml = fragment("reserved:world", words, "denied-by-default").unwrap();
    let rule: serde_json::Value = serde_yaml_ng::from_str(&yaml).unwrap();
    assert_eq!(rule["ingress"][0]["fromEntities"][0], "world");
}

#[test]
fn there_is_no_fragment_where_one_would_not_help() {
    assert_eq!(fragment(WEB, "take it out", "denied"), None);
    let words = "add an ingress rule for … to NetworkPolicy shop/api";
    assert_eq!(fragment(WEB, words, "denied-by-default"), None);
}
