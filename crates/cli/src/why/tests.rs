use super::party::{Typed, typed};
use super::*;

#[test]
fn parties_are_addresses_or_names_with_or_without_ports() {
    let address = |text: &str, port| Typed::Address(text.parse().unwrap(), port);
    let name = |text: &str, port| Typed::Name(text.to_owned(), port);
    assert_eq!(typed("10.0.0.1").unwrap(), address("10.0.0.1", None));
    assert_eq!(typed("10.0.0.1:80").unwrap(), address("10.0.0.1", Some(80)));
    assert_eq!(typed("fd00::1").unwrap(), address("fd00::1", None));
    assert_eq!(typed("[fd00::1]:80").unwrap(), address("fd00::1", Some(80)));
    assert_eq!(typed("shop/web:80").unwrap(), name("shop/web", Some(80)));
    assert_eq!(typed("web").unwrap(), name("default/web", None));
    assert!(
        typed("shop/web:http")
            .unwrap_err()
            .to_string()
            .contains("\"http\" is not a port")
    );
}

#[test]
fn a_port_is_a_number_and_a_protocol() {
    assert_eq!("53/udp".parse::<Port>().unwrap().to_string(), "53/UDP");
    assert_eq!("80".parse::<Port>().unwrap().to_string(), "80/TCP");
    assert!("x".parse::<Port>().is_err());
    assert!("80/quic".parse::<Port>().unwrap_err().contains("tcp, udp"));
}

/// Two pods here, shop/web with both families and shop/batch with one, and a service.
fn facts() -> Facts {
    let endpoint = |id: i64, pod: &str, addressing: serde_json::Value| {
        serde_json::json!({ "id": id, "status": {
            "external-identifiers": { "pod-name": pod },
            "identity": { "id": 1000 + id },
            "networking": { "addressing": [addressing], "interface-name": format!("lxc{id}") },
        } })
    };
    let endpoints = serde_json::json!([
        endpoint(
            9,
            "shop/web",
            serde_json::json!({ "ipv4": "10.0.0.10", "ipv6": "fd00::10" })
        ),
        endpoint(7, "shop/batch", serde_json::json!({ "ipv4": "10.0.0.9" })),
    ]);
    let frontend = |port| {
        serde_json::json!({ "spec": {
            "id": port,
            "frontend-address": { "ip": "10.96.0.20", "protocol": "TCP", "port": port },
            "backend-addresses": [{ "ip": "10.0.0.10", "protocol": "TCP", "port": 8080, "state": "active" }],
            "flags": { "type": "ClusterIP", "name": "web", "namespace": "front" },
        } })
    };
    Facts {
        endpoints: serde_json::from_value(endpoints).unwrap(),
        services: serde_json::from_value(serde_json::json!([frontend(80), frontend(443)])).unwrap(),
        ..Facts::default()
    }
}

fn question(facts: &Facts, from: &str, to: &str) -> anyhow::Result<party::Question> {
    party::Question::read(facts, from, to, party::Protocol::Tcp)
}

#[test]
fn both_ends_are_of_one_family() {
    let question = question(&facts(), "shop/web", "[fd00::99]:80").unwrap();
    assert_eq!(question.from.address.to_string(), "fd00::10");
    assert_eq!(question.targets[0].0.place, party::Place::World);
    let question = self::question(&facts(), "shop/web", "shop/batch:80").unwrap();
    assert_eq!(question.from.address.to_string(), "10.0.0.10");
    assert_eq!(question.targets[0].0.address.to_string(), "10.0.0.9");
    assert_eq!(question.targets[0].1.to_string(), "80/TCP");
}

#[test]
fn a_service_is_found_by_name_or_address_and_leads_to_its_backends() {
    for to in ["front/web:80", "10.96.0.20:80"] {
        let question = question(&facts(), "shop/batch", to).unwrap();
        assert_eq!(question.service.unwrap().name, "front/web");
        let targets: Vec<_> = question
            .targets
            .iter()
            .map(|(to, port)| (to.name.as_str(), port.number))
            .collect();
        assert_eq!(targets, [("shop/web", 8080)]);
    }
    let error = question(&facts(), "shop/batch", "front/web")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "front/web has several ports, name one as front/web:PORT: 443/TCP, 80/TCP"
    );
}

#[test]
fn a_pod_of_another_node_is_known_by_the_address_that_the_api_server_told() {
    let mut facts = facts();
    facts
        .remote_pods
        .insert("shop/api".to_owned(), vec!["10.0.1.2".parse().unwrap()]);
    let question = question(&facts, "shop/batch", "shop/api:8080").unwrap();
    assert_eq!(question.targets[0].0.name, "shop/api");
    assert_eq!(question.targets[0].0.address.to_string(), "10.0.1.2");
}

#[test]
fn a_port_tells_whether_the_service_or_the_pod_of_one_name_is_meant() {
    let mut facts = facts();
    facts
        .remote_pods
        .insert("front/web".to_owned(), vec!["10.0.1.2".parse().unwrap()]);
    let service = question(&facts, "shop/batch", "front/web:80").unwrap();
    assert_eq!(service.service.unwrap().name, "front/web");
    let pod = question(&facts, "shop/batch", "front/web:8080").unwrap();
    assert!(pod.service.is_none());
    let (to, port) = &pod.targets[0];
    assert_eq!(
        (to.address.to_string(), port.number),
        ("10.0.1.2".to_owned(), 8080)
    );
}
