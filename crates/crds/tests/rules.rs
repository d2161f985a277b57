//! Validation rules in CEL are read by the API server alone: here each is compiled and asked, so that none is registered that
//! refuses what is good, or cannot be read at all.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use cel::{Context, Program, Value as Answer};
use serde_json::{Value, json};

/// A rule, and the way from the root to what it is about; `[]` stands for every item.
struct Rule {
    path: Vec<String>,
    text: String,
}

fn rules(schema: &Value, path: &[String], into: &mut Vec<Rule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        into.push(Rule {
            path: path.to_vec(),
            text: rule["rule"].as_str().unwrap().to_owned(),
        });
    }
    let below = |name: &str| [path, &[name.to_owned()]].concat();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        rules(schema, &below(name), into);
    }
    if let Some(items) = schema.get("items") {
        rules(items, &below("[]"), into);
    }
}

/// All values that a way leads to.
fn values<'a>(object: &'a Value, path: &[String]) -> Vec<&'a Value> {
    let Some((name, rest)) = path.split_first() else {
        return vec![object];
    };
    let below: Vec<&Value> = match name.as_str() {
        "[]" => object.as_array().into_iter().flatten().collect(),
        name => object.get(name).into_iter().collect(),
    };
    below
        .into_iter()
        .flat_map(|value| values(value, rest))
        .collect()
}

/// Whether a rule holds for a value, which was `old` before.
fn holds(rule: &Rule, value: &Value, old: &Value) -> bool {
    let program =
        Program::compile(&rule.text).unwrap_or_else(|error| panic!("{}: {error}", rule.text));
    let mut context = Context::default();
    context.add_variable("self", value.clone()).unwrap();
    context.add_variable("oldSelf", old.clone()).unwrap();
    match program.execute(&context) {
        Ok(Answer::Bool(answer)) => answer,
        other => panic!("{} on {value}: {other:?}", rule.text),
    }
}

/// Rules of a kind that do not hold for an object, which was `old` before.
fn broken(kind: &str, version: usize, object: &Value, old: &Value) -> Vec<String> {
    let definition = crds::definitions()
        .into_iter()
        .find(|one| one.spec["names"]["kind"] == kind);
    let definition = definition.unwrap_or_else(|| panic!("{kind} is not a kind"));
    let mut all = Vec::new();
    rules(
        &definition.spec["versions"][version]["schema"]["openAPIV3Schema"],
        &[],
        &mut all,
    );
    let mut broken = Vec::new();
    for rule in &all {
        let (new, old) = (values(object, &rule.path), values(old, &rule.path));
        for (new, old) in new.iter().zip(old) {
            if !holds(rule, new, old) {
                broken.push(rule.text.clone());
            }
        }
    }
    broken
}

#[test]
fn the_rules_hold_for_the_example_of_every_kind() {
    let examples: Vec<Value> = serde_yaml_ng::from_str(include_str!("examples.yaml")).unwrap();
    for example in &examples {
        let object = &example["object"];
        let kind = object["kind"].as_str().unwrap();
        assert_eq!(
            broken(kind, 0, object, object),
            Vec::<String>::new(),
            "{kind}"
        );
    }
}

fn spec(spec: &Value) -> Value {
    json!({"spec": spec})
}

fn all_broken(kind: &str, version: usize, cases: &[(Value, usize)]) {
    for (object, count) in cases {
        assert_eq!(
            broken(kind, version, object, object).len(),
            *count,
            "{object}"
        );
    }
}

#[test]
fn an_advertisement_has_what_belongs_to_its_type_and_nothing_else() {
    let of = |advertisement: &Value| spec(&json!({"advertisements": [advertisement]}));
    let service = json!({"addresses": ["ClusterIP"]});
    let cases = [
        (
            of(&json!({"advertisementType": "Service", "service": service})),
            0,
        ),
        (of(&json!({"advertisementType": "Service"})), 1),
        (
            of(&json!({"advertisementType": "PodCIDR", "service": service})),
            1,
        ),
        (
            of(&json!({"advertisementType": "PodCIDR", "selector": {}})),
            1,
        ),
        (
            of(&json!({"advertisementType": "PodCIDR", "service": service, "selector": {}})),
            2,
        ),
        (
            of(&json!({"advertisementType": "CiliumPodIPPool", "selector": {}})),
            0,
        ),
    ];
    all_broken("CiliumBGPAdvertisement", 0, &cases);
    all_broken("CiliumBGPAdvertisement", 1, &cases);
    let interfaces = [
        (of(&json!({"advertisementType": "Interface"})), 1),
        (
            of(&json!({"advertisementType": "Interface", "interface": {"name": "lo"}})),
            0,
        ),
        (
            of(&json!({"advertisementType": "PodCIDR", "interface": {"name": "lo"}})),
            1,
        ),
    ];
    all_broken("CiliumBGPAdvertisement", 0, &interfaces);
}

#[test]
fn a_peer_is_given_up_no_sooner_than_it_shows_signs_of_life() {
    let of = |hold: u32, keep: u32| {
        spec(&json!({"timers": {"holdTimeSeconds": hold, "keepAliveTimeSeconds": keep}}))
    };
    all_broken(
        "CiliumBGPPeerConfig",
        0,
        &[(of(90, 30), 0), (of(30, 30), 0), (of(30, 31), 1)],
    );
}

#[test]
fn an_egress_gateway_has_an_interface_or_an_address() {
    let of = |gateway: &Value| {
        spec(&json!({"egressGateway": gateway, "egressGateways": [gateway, {"nodeSelector": {}}]}))
    };
    all_broken(
        "CiliumEgressGatewayPolicy",
        0,
        &[
            (of(&json!({"nodeSelector": {}})), 0),
            (of(&json!({"nodeSelector": {}, "interface": "eth0"})), 0),
            (of(&json!({"nodeSelector": {}, "egressIP": "192.0.2.1"})), 0),
            (
                of(&json!({"nodeSelector": {}, "interface": "eth0", "egressIP": "192.0.2.1"})),
                2,
            ),
        ],
    );
}

#[test]
fn a_local_redirect_cannot_be_turned_to_something_else() {
    let old = spec(&json!({
        "redirectFrontend": {"serviceMatcher": {"serviceName": "a", "namespace": "n"}},
        "redirectBackend": {"localEndpointSelector": {}, "toPorts": [{"port": "53", "protocol": "UDP"}]},
        "skipRedirectFromBackend": false,
        "description": "x",
    }));
    for (path, value, count) in [
        (
            "/spec/redirectFrontend/serviceMatcher/serviceName",
            json!("b"),
            1,
        ),
        ("/spec/redirectBackend/toPorts/0/port", json!("54"), 1),
        ("/spec/skipRedirectFromBackend", json!(true), 1),
        ("/spec/description", json!("y"), 0),
    ] {
        let mut new = old.clone();
        *new.pointer_mut(path).unwrap() = value;
        assert_eq!(
            broken("CiliumLocalRedirectPolicy", 0, &new, &old).len(),
            count,
            "{path}"
        );
    }
}
