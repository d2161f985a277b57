//! Random policies: valid, small, and close to every edge that the languages have.

use serde_json::{Map, Value, json};

use super::{APPS, NAMESPACES};
use crate::oracle::random::Dice;

const CIDRS: [&str; 18] = [
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.0.0.0/24",
    "10.0.0.0/28",
    "10.0.0.16/28",
    "10.0.0.4/30",
    "10.0.0.7/32",
    "192.168.0.0/24",
    "192.168.0.0/31",
    "203.0.113.0/24",
    "203.0.113.128/25",
    "203.0.113.200/32",
    "1.1.1.1/32",
    "2001:db8::/32",
    "fd00::/64",
    "fd00::/124",
    "fd00::4/126",
];

fn text(dice: &mut Dice, list: &[&str]) -> String {
    (*dice.pick(list)).to_owned()
}

fn chosen<'a>(dice: &mut Dice, list: &[&'a str]) -> Vec<&'a str> {
    let kept: Vec<&str> = list.iter().filter(|_| dice.chance(50)).copied().collect();
    if kept.is_empty() {
        vec![*dice.pick(list)]
    } else {
        kept
    }
}

/// A key and the values that it may have.
type KeyWithValues = (&'static str, &'static [&'static str]);

fn expression(dice: &mut Dice, (key, values): KeyWithValues) -> Value {
    match dice.below(4) {
        0 => json!({"key": key, "operator": "In", "values": chosen(dice, values)}),
        1 => json!({"key": key, "operator": "NotIn", "values": chosen(dice, values)}),
        2 => json!({"key": key, "operator": "Exists"}),
        _ => json!({"key": key, "operator": "DoesNotExist"}),
    }
}

fn selector(dice: &mut Dice, keys: &[KeyWithValues]) -> Value {
    let mut selector = Map::new();
    if dice.chance(60) {
        let mut labels = Map::new();
        for _ in 0..dice.below(3) {
            let (key, values) = *dice.pick(keys);
            labels.insert(key.to_owned(), json!(dice.pick(values)));
        }
        selector.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if dice.chance(35) {
        let key = *dice.pick(keys);
        selector.insert(
            "matchExpressions".to_owned(),
            json!([expression(dice, key)]),
        );
    }
    if dice.chance(5) {
        selector.insert("matchExpressions".to_owned(), Value::Null);
    }
    Value::Object(selector)
}

fn pod_selector(dice: &mut Dice) -> Value {
    selector(
        dice,
        &[
            ("app", &APPS),
            ("app", &APPS),
            ("tier", &["1", "2", ""]),
            ("io.cilium.k8s.policy.serviceaccount", &["root"]),
        ],
    )
}

fn namespace_selector(dice: &mut Dice) -> Value {
    selector(
        dice,
        &[
            ("team", &["red", "blue"]),
            ("kubernetes.io/metadata.name", &NAMESPACES),
        ],
    )
}

fn cilium_selector(dice: &mut Dice) -> Value {
    let plain: &[KeyWithValues] = &[
        ("app", &APPS),
        ("k8s:app", &APPS),
        ("any:tier", &["1", "2", ""]),
    ];
    let special: &[KeyWithValues] = &[
        ("app", &APPS),
        ("k8s:io.kubernetes.pod.namespace", &NAMESPACES),
        ("io.kubernetes.pod.namespace", &NAMESPACES),
        ("k8s:io.cilium.k8s.namespace.labels.team", &["red", "blue"]),
        (
            "k8s:io.cilium.k8s.policy.cluster",
            &["default", "east", "west"],
        ),
        ("k8s:io.cilium.k8s.policy.serviceaccount", &["root", "app"]),
        ("reserved:host", &[""]),
        ("reserved:health", &[""]),
        ("reserved:init", &[""]),
        ("node:app", &APPS),
    ];
    if dice.chance(70) {
        selector(dice, plain)
    } else {
        selector(dice, special)
    }
}

/// A prefix inside another, or the same.
fn narrowed(dice: &mut Dice, cidr: &str) -> String {
    let (address, length) = cidr.split_once('/').unwrap_or((cidr, "32"));
    let length: u8 = length.parse().unwrap_or(32);
    let inner: Vec<&str> = CIDRS
        .iter()
        .filter(|inner| {
            let (start, inner_length) = inner.split_once('/').unwrap_or((inner, "32"));
            let deeper = inner_length
                .parse::<u8>()
                .is_ok_and(|inner_length| inner_length >= length);
            deeper
                && start
                    .parse()
                    .is_ok_and(|start| crate::oracle::matching::inside(cidr, start))
        })
        .copied()
        .collect();
    if inner.is_empty() {
        format!("{address}/{length}")
    } else {
        text(dice, &inner)
    }
}

fn with_except(dice: &mut Dice, cidr: &str) -> Value {
    let mut block = json!({"cidr": cidr});
    if dice.chance(50) {
        let except: Vec<String> = (0..dice.below(3)).map(|_| narrowed(dice, cidr)).collect();
        block["except"] = json!(except);
    }
    block
}

fn kubernetes_peer(dice: &mut Dice) -> Value {
    match dice.below(4) {
        0 => json!({"podSelector": pod_selector(dice)}),
        1 => json!({"namespaceSelector": namespace_selector(dice)}),
        2 => {
            json!({"podSelector": pod_selector(dice), "namespaceSelector": namespace_selector(dice)})
        }
        _ => {
            let cidr = text(dice, &CIDRS);
            json!({"ipBlock": with_except(dice, &cidr)})
        }
    }
}

/// A range as (first, last), often over an edge of prefixes.
fn range(dice: &mut Dice) -> (u16, u16) {
    *dice.pick(&[
        (79, 81),
        (80, 80),
        (1, 65535),
        (1, 1),
        (1023, 1025),
        (1024, 65535),
        (32767, 32768),
        (65535, 65535),
        (8080, 8081),
        (53, 54),
    ])
}

fn kubernetes_port(dice: &mut Dice) -> Value {
    let mut port = Map::new();
    if dice.chance(70) {
        port.insert(
            "protocol".to_owned(),
            json!(dice.pick(&["TCP", "UDP", "SCTP"])),
        );
    }
    let (first, last) = range(dice);
    match dice.below(5) {
        0 => {}
        1 => {
            port.insert(
                "port".to_owned(),
                json!(dice.pick(&["http", "dns", "absent"])),
            );
        }
        2 => {
            port.insert("port".to_owned(), json!(first));
        }
        _ => {
            port.insert("port".to_owned(), json!(first));
            port.insert("endPort".to_owned(), json!(last));
        }
    }
    Value::Object(port)
}

/// A list of `count` items, or no list, or null, or an empty one: four different texts.
fn list(
    dice: &mut Dice,
    into: &mut Map<String, Value>,
    name: &str,
    most: usize,
    item: impl Fn(&mut Dice) -> Value,
) {
    let value = match dice.below(10) {
        0 => return,
        1 => Value::Null,
        2 => json!([]),
        _ => (0..=dice.below(most)).map(|_| item(dice)).collect(),
    };
    into.insert(name.to_owned(), value);
}

fn network_policy(dice: &mut Dice, name: &str) -> Value {
    let mut spec = Map::new();
    if !dice.chance(10) {
        spec.insert("podSelector".to_owned(), pod_selector(dice));
    }
    if dice.chance(70) {
        spec.insert(
            "policyTypes".to_owned(),
            json!(dice.pick(&[&["Ingress"][..], &["Egress"], &["Ingress", "Egress"], &[]])),
        );
    }
    for (field, peers) in [("ingress", "from"), ("egress", "to")] {
        list(dice, &mut spec, field, 2, |dice| {
            let mut entry = Map::new();
            list(dice, &mut entry, peers, 3, kubernetes_peer);
            list(dice, &mut entry, "ports", 3, kubernetes_port);
            Value::Object(entry)
        });
    }
    let namespace = *dice.pick(&NAMESPACES);
    json!({"kind": "NetworkPolicy", "metadata": {"name": name, "namespace": namespace, "uid": name}, "spec": spec})
}

fn cilium_port(dice: &mut Dice) -> Value {
    let mut port = Map::new();
    if dice.chance(70) {
        port.insert(
            "protocol".to_owned(),
            json!(dice.pick(&["TCP", "UDP", "SCTP", "ANY"])),
        );
    }
    let (first, last) = range(dice);
    match dice.below(6) {
        0 => {}
        1 => {
            port.insert("port".to_owned(), json!("0"));
        }
        2 => {
            port.insert(
                "port".to_owned(),
                json!(dice.pick(&["http", "HTTP", "dns"])),
            );
        }
        3 => {
            port.insert("port".to_owned(), json!(first.to_string()));
        }
        _ => {
            port.insert("port".to_owned(), json!(first.to_string()));
            port.insert("endPort".to_owned(), json!(last));
        }
    }
    Value::Object(port)
}

fn icmp_field(dice: &mut Dice) -> Value {
    match dice.below(6) {
        0 => json!({"type": 8}),
        1 => json!({"type": "EchoRequest", "family": "IPv4"}),
        2 => json!({"type": "EchoRequest", "family": "IPv6"}),
        3 => json!({"type": "0", "family": "IPv4"}),
        4 => json!({"type": 135, "family": "IPv6"}),
        _ => json!({"type": "PacketTooBig", "family": "IPv6"}),
    }
}

fn cidr_rule(dice: &mut Dice) -> Value {
    let cidr = text(dice, &CIDRS);
    let mut rule = match dice.below(4) {
        0 => json!({"cidrGroupRef": dice.pick(&["group-0", "group-1", "group-9"])}),
        1 => json!({"cidrGroupSelector": selector(dice, &[("zone", &["x", "y"])])}),
        _ => return with_except(dice, &cidr),
    };
    if dice.chance(40) {
        rule["except"] = json!([cidr]);
    }
    rule
}

fn cilium_entry(dice: &mut Dice, prefix: &str) -> Value {
    let entities = [
        "all",
        "world",
        "cluster",
        "host",
        "init",
        "ingress",
        "unmanaged",
        "remote-node",
        "health",
        "none",
        "kube-apiserver",
        "world-ipv4",
        "world-ipv6",
    ];
    let mut entry = Map::new();
    match dice.below(9) {
        0..=2 => list(
            dice,
            &mut entry,
            &format!("{prefix}Endpoints"),
            2,
            cilium_selector,
        ),
        3 => list(dice, &mut entry, &format!("{prefix}CIDR"), 2, |dice| {
            let cidr = text(dice, &CIDRS);
            match cidr.strip_suffix("/32").filter(|_| dice.chance(50)) {
                Some(bare) => json!(bare),
                None => json!(cidr),
            }
        }),
        4 | 5 => list(dice, &mut entry, &format!("{prefix}CIDRSet"), 2, cidr_rule),
        6 | 7 => list(dice, &mut entry, &format!("{prefix}Entities"), 2, |dice| {
            json!(dice.pick(&entities))
        }),
        _ => {}
    }
    match dice.below(6) {
        0..=2 => list(dice, &mut entry, "toPorts", 2, |dice| {
            let mut rule = Map::new();
            list(dice, &mut rule, "ports", 3, cilium_port);
            Value::Object(rule)
        }),
        3 => list(dice, &mut entry, "icmps", 2, |dice| {
            let mut rule = Map::new();
            list(dice, &mut rule, "fields", 2, icmp_field);
            Value::Object(rule)
        }),
        _ => {}
    }
    Value::Object(entry)
}

fn section(dice: &mut Dice, clusterwide: bool) -> Value {
    let mut section = Map::new();
    if clusterwide && dice.chance(20) {
        section.insert("nodeSelector".to_owned(), selector(dice, &[("app", &APPS)]));
    } else {
        section.insert("endpointSelector".to_owned(), cilium_selector(dice));
    }
    for (field, prefix) in [
        ("ingress", "from"),
        ("ingressDeny", "from"),
        ("egress", "to"),
        ("egressDeny", "to"),
    ] {
        if dice.chance(if field.ends_with("Deny") { 30 } else { 60 }) {
            list(dice, &mut section, field, 2, |dice| {
                cilium_entry(dice, prefix)
            });
        }
    }
    let rules = ["ingress", "ingressDeny", "egress", "egressDeny"];
    if rules.iter().all(|field| {
        section
            .get(*field)
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
    }) {
        section.insert("ingress".to_owned(), json!([cilium_entry(dice, "from")]));
    }
    if dice.chance(30) {
        let mut said = Map::new();
        for direction in ["ingress", "egress"] {
            if dice.chance(60) {
                said.insert(direction.to_owned(), json!(dice.chance(40)));
            }
        }
        section.insert("enableDefaultDeny".to_owned(), Value::Object(said));
    }
    Value::Object(section)
}

/// A CiliumCIDRGroup, possibly without members.
pub(super) fn random_group(dice: &mut Dice, at: usize) -> Value {
    let members: Vec<String> = (0..dice.below(4)).map(|_| text(dice, &CIDRS)).collect();
    json!({
        "kind": "CiliumCIDRGroup",
        "metadata": {"name": format!("group-{at}"), "labels": {"zone": dice.pick(&["x", "y"])}},
        "spec": {"externalCIDRs": members},
    })
}

/// A policy of any kind.
pub(super) fn random_object(dice: &mut Dice, at: usize) -> Value {
    let name = format!("p{at}");
    if dice.chance(40) {
        return network_policy(dice, &name);
    }
    let clusterwide = dice.chance(35);
    let mut object = json!({"metadata": {"name": name, "uid": name}});
    object["kind"] = json!(if clusterwide {
        "CiliumClusterwideNetworkPolicy"
    } else {
        "CiliumNetworkPolicy"
    });
    if !clusterwide {
        object["metadata"]["namespace"] = json!(dice.pick(&NAMESPACES));
    }
    if dice.chance(75) {
        object["spec"] = section(dice, clusterwide);
    }
    if object["spec"].is_null() || dice.chance(20) {
        object["specs"] = (0..=dice.below(2))
            .map(|_| section(dice, clusterwide))
            .collect();
    }
    object
}
