use serde_json::{Value, json};

use super::{Ranges, assign, release};
use crate::config::HistoryLimit;
use crate::error::ApiError;
use crate::kinds::Registry;
use crate::store::{Durable, Store};

struct Bench {
    store: Store,
    ranges: Ranges,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new(addresses: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            directory.path(),
            HistoryLimit {
                events: 10,
                bytes: 1 << 20,
            },
        )
        .await
        .unwrap();
        let addresses = addresses
            .iter()
            .map(|range| range.parse().unwrap())
            .collect();
        Self {
            store,
            ranges: Ranges {
                addresses,
                node_ports: 30000..=30001,
            },
            _directory: directory,
        }
    }

    async fn assign(&self, name: &str, old: Option<Value>, spec: Value) -> Result<Value, ApiError> {
        let ranges = self.ranges.clone();
        let mut new = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        let write = self.store.write(Durable::Yes, move |transaction| {
            let kind = Registry::new([]).find("", "v1", "services").unwrap();
            assign(transaction, &ranges, &kind, old.as_ref(), &mut new)?;
            let key = crate::store::Key::new(
                "services".into(),
                "shop",
                super::object::meta(&new, "name"),
            );
            transaction.put(key, new.clone(), old.as_ref())?;
            Ok(new)
        });
        write.await
    }

    async fn remove(&self, old: Value) {
        let write = self.store.write(Durable::Yes, move |transaction| {
            release(transaction, &old);
            let key = crate::store::Key::new(
                "services".into(),
                "shop",
                super::object::meta(&old, "name"),
            );
            transaction.remove(key, old)
        });
        write.await.unwrap();
    }
}

fn field(error: &ApiError) -> String {
    error.status().details.as_ref().unwrap().causes[0]
        .field
        .clone()
}

#[tokio::test]
async fn families_follow_the_policy() {
    let bench = Bench::new(&["10.0.0.0/24", "fd00::/112"]).await;
    for (spec, families, policy) in [
        (json!({}), json!(["IPv4"]), "SingleStack"),
        (
            json!({"ipFamilies": ["IPv6"]}),
            json!(["IPv6"]),
            "SingleStack",
        ),
        (
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            json!(["IPv4", "IPv6"]),
            "PreferDualStack",
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            json!(["IPv6", "IPv4"]),
            "RequireDualStack",
        ),
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            json!(["IPv4", "IPv6"]),
            "RequireDualStack",
        ),
        (
            json!({"clusterIP": "fd00::7"}),
            json!(["IPv6"]),
            "SingleStack",
        ),
    ] {
        let service = bench.assign("s", None, spec.clone()).await.unwrap();
        assert_eq!(service["spec"]["ipFamilies"], families, "{spec}");
        assert_eq!(service["spec"]["ipFamilyPolicy"], policy, "{spec}");
        let addresses = service["spec"]["clusterIPs"].as_array().unwrap();
        assert_eq!(addresses.len(), families.as_array().unwrap().len());
        assert_eq!(service["spec"]["clusterIP"], addresses[0]);
        for (address, family) in addresses.iter().zip(families.as_array().unwrap()) {
            let address: std::net::IpAddr = address.as_str().unwrap().parse().unwrap();
            assert_eq!(address.is_ipv4(), family == "IPv4");
        }
        bench.remove(service).await;
    }
}

#[tokio::test]
async fn one_family_alone_prefers_itself_and_refuses_to_require_both() {
    let bench = Bench::new(&["10.0.0.0/24"]).await;
    let service = bench
        .assign("a", None, json!({"ipFamilyPolicy": "PreferDualStack"}))
        .await
        .unwrap();
    assert_eq!(service["spec"]["ipFamilies"], json!(["IPv4"]));
    for (spec, expected) in [
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "spec.ipFamilyPolicy",
        ),
        (json!({"ipFamilies": ["IPv6"]}), "spec.ipFamilies[0]"),
        (json!({"clusterIP": "10.1.0.1"}), "spec.clusterIPs[0]"),
        (json!({"clusterIP": "nonsense"}), "spec.clusterIPs[0]"),
        (
            json!({"clusterIP": service["spec"]["clusterIP"]}),
            "spec.clusterIPs[0]",
        ),
        (json!({"type": "Strange"}), "spec.type"),
        (
            json!({"ports": [{"port": 80, "nodePort": 30000}]}),
            "spec.ports[0].nodePort",
        ),
    ] {
        assert_eq!(
            field(&bench.assign("b", None, spec).await.unwrap_err()),
            expected
        );
    }
}

#[tokio::test]
async fn an_update_keeps_what_it_does_not_mention_and_may_not_change_the_address() {
    let bench = Bench::new(&["10.0.0.0/24", "fd00::/112"]).await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let old = bench.assign("a", None, spec.clone()).await.unwrap();
    let port = &old["spec"]["ports"][0]["nodePort"];
    assert!((30000..=30001).contains(&port.as_u64().unwrap()));
    let same = bench.assign("a", Some(old.clone()), spec).await.unwrap();
    assert_eq!(same, old);
    let moved = bench
        .assign("a", Some(old.clone()), json!({"clusterIP": "10.0.0.3"}))
        .await
        .unwrap_err();
    assert_eq!(field(&moved), "spec.clusterIPs[0]");
    let both = bench
        .assign(
            "a",
            Some(old.clone()),
            json!({"ipFamilyPolicy": "PreferDualStack"}),
        )
        .await
        .unwrap();
    assert_eq!(both["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert_eq!(both["spec"]["clusterIPs"].as_array().unwrap().len(), 2);
    let single = bench
        .assign(
            "a",
            Some(both.clone()),
            json!({"ipFamilyPolicy": "SingleStack"}),
        )
        .await
        .unwrap();
    assert_eq!(
        single["spec"]["clusterIPs"],
        json!([old["spec"]["clusterIP"]])
    );
    let freed = bench
        .assign(
            "b",
            None,
            json!({"clusterIP": both["spec"]["clusterIPs"][1]}),
        )
        .await
        .unwrap();
    assert_eq!(
        freed["spec"]["clusterIPs"],
        json!([both["spec"]["clusterIPs"][1]])
    );
}

#[tokio::test]
async fn a_full_range_is_used_to_the_last_and_refuses_then() {
    let bench = Bench::new(&["10.0.0.0/29"]).await;
    let mut taken = std::collections::BTreeSet::new();
    let mut last = Value::Null;
    for index in 0..6 {
        last = bench
            .assign(&format!("s{index}"), None, json!({}))
            .await
            .unwrap();
        assert!(taken.insert(last["spec"]["clusterIP"].to_string()));
    }
    assert!(!taken.contains("\"10.0.0.0\"") && !taken.contains("\"10.0.0.7\""));
    assert_eq!(
        field(&bench.assign("x", None, json!({})).await.unwrap_err()),
        "spec.clusterIPs"
    );
    bench.remove(last.clone()).await;
    let again = bench.assign("x", None, json!({})).await.unwrap();
    assert_eq!(again["spec"]["clusterIP"], last["spec"]["clusterIP"]);
}

#[tokio::test]
async fn node_ports_are_unique_per_protocol_and_given_back() {
    let bench = Bench::new(&["10.0.0.0/24"]).await;
    let spec = json!({"type": "NodePort", "ports": [
        {"name": "a", "port": 80}, {"name": "b", "port": 81}, {"name": "c", "port": 80, "protocol": "UDP"}]});
    let service = bench.assign("a", None, spec).await.unwrap();
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert_ne!(ports[0]["nodePort"], ports[1]["nodePort"]);
    let one = json!({"type": "NodePort", "ports": [{"port": 80}]});
    assert_eq!(
        field(&bench.assign("b", None, one.clone()).await.unwrap_err()),
        "spec.ports[0].nodePort"
    );
    let plain = json!({"type": "ClusterIP", "ports": service["spec"]["ports"]});
    let plain = bench.assign("a", Some(service), plain).await.unwrap();
    assert_eq!(plain["spec"]["ports"][0].get("nodePort"), None);
    bench.assign("b", None, one).await.unwrap();
}

#[tokio::test]
async fn headless_and_external_services_get_no_address() {
    let bench = Bench::new(&["10.0.0.0/24", "fd00::/112"]).await;
    let headless = bench
        .assign("a", None, json!({"clusterIP": "None"}))
        .await
        .unwrap();
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    assert_eq!(headless["spec"]["ipFamilies"], json!(["IPv4"]));
    let external = bench
        .assign(
            "b",
            None,
            json!({"type": "ExternalName", "externalName": "x.test"}),
        )
        .await
        .unwrap();
    assert_eq!(external["spec"].get("clusterIP"), None);
}

#[tokio::test]
async fn a_local_load_balancer_gets_a_health_port() {
    let bench = Bench::new(&["10.0.0.0/24"]).await;
    let spec =
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let service = bench.assign("a", None, spec).await.unwrap();
    assert_ne!(
        service["spec"]["healthCheckNodePort"],
        service["spec"]["ports"][0]["nodePort"]
    );
    assert!(service["spec"]["healthCheckNodePort"].is_u64());
}
