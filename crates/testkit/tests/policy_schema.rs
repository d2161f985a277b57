//! The schemas of policies against the parser: what the API server would refuse, the parser refuses too, so no policy that we
//! understand is kept from us; and what we do not act on yet is taken.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::too_many_lines, reason = "a table reads best in one piece")]

use model::policy::{ExtendedProtocols, ParseOptions, parse_cidr_group, parse_policy};
use serde_json::{Map, Value, json};
use testkit::oracle::{Dice, Schemas, random_world};

/// The most that the parser takes.
fn options() -> ParseOptions {
    ParseOptions {
        extended_protocols: ExtendedProtocols::On,
        ..ParseOptions::default()
    }
}

const KIND: &str = "CiliumNetworkPolicy";

fn policy(spec: &Value) -> Value {
    json!({"kind": KIND, "metadata": {"name": "p", "namespace": "shop"}, "spec": spec})
}

fn entry(list: &str, entry: &Value) -> Value {
    policy(&json!({"endpointSelector": {}, list: [entry]}))
}

fn port(port: &Value) -> Value {
    entry("ingress", &json!({"toPorts": [{"ports": [port]}]}))
}

#[test]
fn random_policies_and_groups_are_taken() {
    let schemas = Schemas::new();
    let mut taken = 0;
    for seed in 0..2_000 {
        let world = random_world(&mut Dice::new(seed));
        for object in &world.objects {
            let kind = object["kind"].as_str().unwrap();
            if kind == "NetworkPolicy" {
                continue;
            }
            assert!(parse_policy(object, &options()).is_ok(), "{object}");
            assert_eq!(schemas.refusal(kind, object), None, "{object}");
            taken += 1;
        }
        for group in &world.groups {
            assert_eq!(schemas.refusal("CiliumCIDRGroup", group), None, "{group}");
        }
    }
    assert!(taken > 2_000, "{taken}");
}

#[test]
fn every_way_to_write_a_policy_that_the_parser_knows_is_taken() {
    let schemas = Schemas::new();
    for object in [
        entry("ingress", &json!({})),
        entry(
            "egress",
            &json!({"toCIDR": ["10.0.0.1", "::1", "10.0.0.0/8", "fd00::/64"]}),
        ),
        entry("ingress", &json!({"fromEndpoints": null, "toPorts": []})),
        entry("ingress", &json!({"fromEndpoints": []})),
        entry("ingress", &json!({"fromRequires": []})),
        entry("ingress", &json!({"authentication": {"mode": "disabled"}})),
        entry("ingress", &json!({"toPorts": [{"rules": {}}]})),
        entry("ingress", &json!({"toPorts": [{"rules": {"http": null}}]})),
        entry(
            "ingress",
            &json!({"fromEntities": ["all", "world-ipv4", "world-ipv6", "kube-apiserver", "remote-node"]}),
        ),
        entry(
            "ingressDeny",
            &json!({"fromCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["10.1.2.3", "10.2.0.0/16"]}]}),
        ),
        entry(
            "egressDeny",
            &json!({"toCIDRSet": [{"cidrGroupRef": "a.b-c", "except": []}, {"cidrGroupSelector": {}}]}),
        ),
        entry(
            "ingress",
            &json!({"fromEndpoints": [{"matchLabels": {"k8s:app": "", "reserved:host": ""},
            "matchExpressions": [{"key": "any:a/b", "operator": "In", "values": ["x"]}, {"key": "b", "operator": "Exists"}]}]}),
        ),
        port(&json!({})),
        port(&json!({"port": "", "protocol": ""})),
        port(&json!({"port": "00080", "protocol": "tcp", "endPort": 65535})),
        port(&json!({"port": "65535", "endPort": 0, "protocol": "Any"})),
        port(&json!({"port": "x-9-y", "protocol": "SCTP"})),
        port(&json!({"port": "0", "protocol": "VRRP"})),
        entry(
            "ingress",
            &json!({"icmps": [{"fields": [{"type": 0}, {"type": 255, "family": ""}, {"type": "007"},
            {"type": "ExtendedEcho Reply"}, {"type": "PacketTooBig", "family": "IPv6"}]}, {}]}),
        ),
        policy(
            &json!({"endpointSelector": {}, "nodeSelector": null, "ingress": [{}], "egress": null,
            "enableDefaultDeny": {"ingress": false}, "labels": [{"key": "a"}], "description": "x", "log": {"value": "\u{200b}é"}}),
        ),
        json!({"kind": KIND, "metadata": {"name": "p", "namespace": "shop"}, "specs": [{"endpointSelector": {}, "egress": [{}]}]}),
    ] {
        parse_policy(&object, &options()).unwrap_or_else(|error| panic!("{object}: {error}"));
        assert_eq!(schemas.refusal(KIND, &object), None, "{object}");
    }
}

#[test]
fn what_is_not_acted_on_yet_is_taken_and_left_to_the_status() {
    let schemas = Schemas::new();
    let on = |port: Value| entry("egress", &json!({"toPorts": [port]}));
    for object in [
        on(
            json!({"ports": [{"port": "80"}], "rules": {"http": [{"method": "GET", "path": "/.*", "host": "a", "headers": ["A: b"],
            "headerMatches": [{"name": "X", "value": "y", "secret": {"name": "s"}, "mismatch": "LOG"}]}]}}),
        ),
        on(
            json!({"rules": {"dns": [{"matchName": "a.b."}, {"matchPattern": "**.b.c"}, {"matchPattern": "*"}]}}),
        ),
        on(json!({"rules": {"kafka": [{"role": "produce", "topic": "t"}]}})),
        on(json!({"rules": {"l7proto": "x", "l7": [{"a": "b"}]}})),
        on(
            json!({"serverNames": ["a.b", "*.b", "**.c"], "terminatingTLS": {"secret": {"name": "s", "namespace": "n"}},
            "originatingTLS": {"secret": {"name": "s"}, "trustedCA": "ca"}}),
        ),
        on(
            json!({"listener": {"envoyConfig": {"kind": "CiliumEnvoyConfig", "name": "e"}, "name": "l", "priority": 100}}),
        ),
        entry(
            "egress",
            &json!({"toFQDNs": [{"matchName": "a.b"}, {"matchPattern": "*.b"}]}),
        ),
        entry(
            "egress",
            &json!({"toServices": [{"k8sService": {"serviceName": "s", "namespace": "n"}},
            {"k8sServiceSelector": {"selector": {"matchLabels": {"a": "b"}}, "namespace": "n"}}]}),
        ),
        entry(
            "egress",
            &json!({"toNodes": [{}], "authentication": {"mode": "required"}}),
        ),
        entry(
            "ingress",
            &json!({"fromNodes": [{}], "fromGroups": [{"aws": {"region": "r", "labels": {"a": "b"},
            "securityGroupsIds": ["i"], "securityGroupsNames": ["n"]}}]}),
        ),
    ] {
        assert!(parse_policy(&object, &options()).is_err(), "{object}");
        assert_eq!(schemas.refusal(KIND, &object), None, "{object}");
    }
}

#[test]
fn what_is_wrong_is_refused_by_field() {
    let schemas = Schemas::new();
    for (object, why) in [
        (policy(&json!({"endpointSelector": {}})), ".spec: anyOf"),
        (policy(&json!({"ingress": [{}]})), ".spec: oneOf"),
        (
            policy(&json!({"endpointSelector": {}, "nodeSelector": {}, "ingress": [{}]})),
            ".spec: oneOf",
        ),
        (entry("ingress", &json!("x")), ".spec.ingress[0]: type"),
        (entry("ingress", &Value::Null), ".spec.ingress[0]: type"),
        (
            entry("ingress", &json!({"fromCIDR": ["10.0.0.0/33"]})),
            ".spec.ingress[0].fromCIDR[0]: anyOf",
        ),
        (
            entry("ingress", &json!({"fromRequires": [{}]})),
            ".spec.ingress[0].fromRequires: number of items",
        ),
        (
            entry("ingress", &json!({"fromEntities": ["everyone"]})),
            ".spec.ingress[0].fromEntities[0]: enum",
        ),
        (
            entry("ingress", &json!({"fromCIDRSet": [{}]})),
            ".spec.ingress[0].fromCIDRSet[0]: oneOf",
        ),
        (
            entry(
                "ingress",
                &json!({"fromEndpoints": [{"matchLabels": {"a": "-"}}]}),
            ),
            ".spec.ingress[0].fromEndpoints[0].matchLabels.a: pattern",
        ),
        (
            port(&json!({"port": 80})),
            ".spec.ingress[0].toPorts[0].ports[0].port: type",
        ),
        (
            port(&json!({"port": "65536"})),
            ".spec.ingress[0].toPorts[0].ports[0].port: pattern",
        ),
        (
            port(&json!({"port": "a--b"})),
            ".spec.ingress[0].toPorts[0].ports[0].port: pattern",
        ),
        (
            port(&json!({"protocol": "ICMP"})),
            ".spec.ingress[0].toPorts[0].ports[0].protocol: pattern",
        ),
        (
            port(&json!({"port": "1", "endPort": 65536})),
            ".spec.ingress[0].toPorts[0].ports[0].endPort: range",
        ),
        (
            entry("ingress", &json!({"icmps": [{"fields": [{"type": 256}]}]})),
            ".spec.ingress[0].icmps[0].fields[0].type: range",
        ),
        (
            entry(
                "ingress",
                &json!({"icmps": [{"fields": [{"type": "256"}]}]}),
            ),
            ".spec.ingress[0].icmps[0].fields[0].type: pattern",
        ),
        (
            entry("ingress", &json!({"icmps": [{"fields": [{}]}]})),
            ".spec.ingress[0].icmps[0].fields[0]: type is required",
        ),
        (
            policy(&json!({"endpointSelector": {}, "ingress": [{}], "log": {"value": "a\u{1b}"}})),
            ".spec.log.value: pattern",
        ),
        (
            policy(
                &json!({"endpointSelector": {}, "ingress": [{}], "log": {"value": "x".repeat(33)}}),
            ),
            ".spec.log.value: length",
        ),
        (
            entry(
                "egress",
                &json!({"toPorts": [{"rules": {"http": [], "dns": []}}]}),
            ),
            ".spec.egress[0].toPorts[0].rules: oneOf",
        ),
        (
            entry("egress", &json!({"toFQDNs": [{}]})),
            ".spec.egress[0].toFQDNs[0]: oneOf",
        ),
        (
            entry("egress", &json!({"toPorts": [{"serverNames": ["a", "a"]}]})),
            ".spec.egress[0].toPorts[0].serverNames: \"a\" is there twice",
        ),
    ] {
        assert_eq!(
            schemas.refusal(KIND, &object).as_deref(),
            Some(why),
            "{object}"
        );
        assert!(parse_policy(&object, &options()).is_err(), "{object}");
    }
}

#[test]
fn the_example_of_every_kind_is_taken() {
    let schemas = Schemas::new();
    let examples = include_str!("../../crds/tests/examples.yaml");
    let examples: Vec<Value> = serde_yaml_ng::from_str(examples).unwrap();
    for example in &examples {
        let object = &example["object"];
        let kind = object["kind"].as_str().unwrap();
        assert_eq!(schemas.refusal(kind, object), None, "{object}");
        let lost = schemas.lost(kind, object);
        assert_eq!(lost, Vec::<String>::new(), "{kind}");
    }
}

/// Values that are near what some field takes.
fn odd_value(dice: &mut Dice) -> Value {
    dice.pick(&[
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(8.0),
        json!(0.5),
        json!(255),
        json!(65536),
        json!(""),
        json!("TCP"),
        json!("aNy"),
        json!("icmp"),
        json!("http"),
        json!("a-"),
        json!("A.b"),
        json!("0000443"),
        json!("70000"),
        json!("10.0.0.1"),
        json!("10.0.0.0/08"),
        json!("010.0.0.0/8"),
        json!("::ffff:1.2.3.4/96"),
        json!("fe80::1%eth0"),
        json!("world"),
        json!("IPv6"),
        json!("In"),
        json!("Echo"),
        json!("x".repeat(64)),
        json!("x\u{85}"),
        json!([]),
        json!([null]),
        json!(["a"]),
        json!([{}]),
        json!({}),
        json!({"a": "b"}),
        json!({"matchLabels": {"k8s:a": "b"}}),
        json!({"cidr": "10.0.0.0/8"}),
        json!({"mode": "disabled"}),
    ])
    .clone()
}

/// Names of fields, so that what is put in has a meaning somewhere.
const NAMES: &[&str] = &[
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "ingress",
    "egress",
    "ingressDeny",
    "nodeSelector",
    "fromEndpoints",
    "toEndpoints",
    "fromCIDR",
    "toCIDR",
    "fromCIDRSet",
    "fromEntities",
    "toPorts",
    "icmps",
    "fields",
    "ports",
    "port",
    "endPort",
    "protocol",
    "type",
    "family",
    "cidr",
    "except",
    "cidrGroupRef",
    "cidrGroupSelector",
    "rules",
    "http",
    "authentication",
    "log",
    "value",
    "labels",
    "description",
    "enableDefaultDeny",
    "fromRequires",
    "specs",
    "a",
];

/// Changes one value somewhere below.
fn disturb(dice: &mut Dice, value: &mut Value) {
    let deeper = dice.chance(80);
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let names: Vec<String> = map.keys().cloned().collect();
            if let Some(below) = map.get_mut(dice.pick(&names)) {
                disturb(dice, below);
            }
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let at = dice.below(list.len());
            disturb(dice, &mut list[at]);
        }
        Value::Object(map) => disturb_fields(dice, map),
        Value::Array(list) => match dice.below(3) {
            0 => list.clear(),
            1 => list.push(odd_value(dice)),
            _ => list.extend(list.first().cloned()),
        },
        Value::Number(number) if dice.chance(80) => {
            *number = (*dice.pick(&[-1, 0, 1, 255, 256, 65535, 65536])).into();
        }
        Value::String(text) if dice.chance(50) => match dice.below(5) {
            0 => text.push(*dice.pick(&['a', '-', '0', '.', 'é', '\n'])),
            1 => text.insert(0, *dice.pick(&['a', '-', '0', '.', ' '])),
            2 => *text = text.to_uppercase(),
            3 => *text = text.to_lowercase(),
            _ => drop(text.pop()),
        },
        other => *other = odd_value(dice),
    }
}

fn disturb_fields(dice: &mut Dice, map: &mut Map<String, Value>) {
    let names: Vec<String> = map.keys().cloned().collect();
    if !names.is_empty() && dice.chance(40) {
        map.remove(dice.pick(&names));
    } else {
        let name = (*dice.pick(NAMES)).to_owned();
        map.insert(name, odd_value(dice));
    }
}

#[test]
fn what_the_schema_refuses_of_disturbed_policies_the_parser_refuses_too() {
    let schemas = Schemas::new();
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..10_000 {
        let mut dice = Dice::new(seed);
        let world = random_world(&mut dice);
        for object in &world.objects {
            let kind = object["kind"].as_str().unwrap();
            if kind == "NetworkPolicy" {
                continue;
            }
            let mut object = object.clone();
            let part = if object.get("specs").is_some() {
                "specs"
            } else {
                "spec"
            };
            for _ in 0..=dice.below(3) {
                disturb(&mut dice, &mut object[part]);
            }
            let parsed = parse_policy(&object, &options());
            if let Some(why) = schemas.refusal(kind, &object) {
                assert!(parsed.is_err(), "seed {seed}: {why} in {object}");
                refused += 1;
            } else if parsed.is_ok() {
                taken += 1;
            }
        }
        for group in &world.groups {
            let mut group = group.clone();
            disturb(&mut dice, &mut group["spec"]);
            if let Some(why) = schemas.refusal("CiliumCIDRGroup", &group) {
                assert!(
                    parse_cidr_group(&group).is_err(),
                    "seed {seed}: {why} in {group}"
                );
            }
        }
    }
    assert!(
        refused > 2_000 && taken > 2_000,
        "{refused} refused, {taken} taken"
    );
}
