use serde_json::{Value, json};

use super::super::pod::Pod;
use super::gather::{Facts, Found, Said};
use super::*;

fn pod(name: &str, node: &str) -> Pod {
    Pod::of(
        &json!({ "metadata": { "namespace": "kube-system", "name": name }, "spec": { "nodeName": node,
        "containers": [{ "name": "cilium-agent", "image": "axoneme:1" }] },
        "status": { "phase": "Running", "podIPs": [{ "ip": "10.0.0.9" }], "conditions": [{ "type": "Ready", "status": "True" }] } }),
    )
}

fn daemon_set(desired: i64, ready: i64, updated: i64) -> Value {
    json!({ "metadata": { "generation": 1 }, "status": { "observedGeneration": 1, "desiredNumberScheduled": desired,
        "numberReady": ready, "updatedNumberScheduled": updated } })
}

fn said(value: &Value) -> Said {
    let status = serde_json::from_value(value.clone());
    status.map(Box::new).map_err(|error| error.to_string())
}

fn well() -> Value {
    json!({ "cilium": { "state": "Ok", "msg": "1.0" }, "kubernetes": { "state": "Ok", "msg": "1.37" },
        "ipam": { "status": "IPv4: 3/254 allocated" }, "controllers": [{ "name": "sync", "status": {} }] })
}

/// Two nodes on which all is well.
fn facts() -> Facts {
    let operator = json!({ "metadata": { "generation": 1 }, "spec": { "replicas": 1 },
        "status": { "observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1 } });
    let agents = [pod("cilium-a", "n1"), pod("cilium-b", "n2")];
    let mut web = pod("web", "n1");
    web.namespace = "shop".to_owned();
    Facts {
        parts: vec![
            Found {
                object: Some(daemon_set(2, 2, 2)),
                pods: agents.to_vec(),
            },
            Found {
                object: Some(operator),
                pods: vec![pod("cilium-operator-x", "n1")],
            },
            Found::default(),
            Found::default(),
        ],
        agents: agents
            .into_iter()
            .map(|agent| (agent, said(&well())))
            .collect(),
        pods: vec![web],
        endpoints: Some(["shop/web".to_owned()].into()),
    }
}

fn problems(facts: &Facts) -> (Vec<String>, Vec<String>) {
    let report = judge::report(facts);
    let text = |all: &[judge::Problem]| all.iter().map(ToString::to_string).collect();
    (text(&report.errors), text(&report.warnings))
}

#[test]
fn a_cluster_that_is_well_has_no_complaint() {
    assert_eq!(problems(&facts()), (vec![], vec![]));
}

#[test]
fn agents_that_are_not_there_are_an_error_and_so_is_an_operator() {
    let mut facts = facts();
    facts.parts[0] = Found::default();
    facts.parts[1] = Found::default();
    let (errors, _) = problems(&facts);
    assert_eq!(
        errors[0],
        "DaemonSet cilium: is not there; is another --namespace meant?"
    );
    assert_eq!(
        errors[1],
        "Deployment cilium-operator: is not there; is another --namespace meant?"
    );
}

#[test]
fn a_pod_that_is_not_ready_is_named_with_its_reason() {
    let mut facts = facts();
    facts.parts[0].object = Some(daemon_set(2, 1, 2));
    facts.parts[0].pods[1].ready = false;
    facts.agents[1] = (facts.parts[0].pods[1].clone(), Err("refused".to_owned()));
    let (errors, _) = problems(&facts);
    assert_eq!(
        errors,
        [
            "DaemonSet cilium: 1 of 2 pods are ready",
            "pod cilium-b on n2: not ready"
        ]
    );
}

#[test]
fn a_rollout_that_is_not_over_is_a_warning() {
    let mut facts = facts();
    facts.parts[0].object = Some(daemon_set(2, 2, 1));
    let (errors, warnings) = problems(&facts);
    assert_eq!(
        (errors.len(), warnings[0].as_str()),
        (0, "DaemonSet cilium: 1 of 2 pods are of the newest kind")
    );
}

#[test]
fn what_an_agent_complains_about_is_told_with_its_node() {
    let mut facts = facts();
    let bad = json!({ "cilium": { "state": "Failure", "msg": "no policy" }, "hubble": { "state": "Warning", "msg": "slow" },
        "stale": { "kvstore": "yesterday" },
        "controllers": [{ "name": "sync", "status": { "consecutive-failure-count": 3, "last-failure-msg": "no route" } }] });
    facts.agents[0].1 = said(&bad);
    facts.agents[1].1 = Err("no such container".to_owned());
    let (errors, warnings) = problems(&facts);
    assert_eq!(
        errors,
        [
            "agent cilium-a on n1: agent: no policy",
            "agent cilium-a on n1: controller sync failed 3 times in a row: no route",
            "agent cilium-a on n1: kvstore gives no answer since yesterday",
            "agent cilium-b on n2: its status is not known: no such container",
        ]
    );
    assert_eq!(warnings, ["agent cilium-a on n1: Hubble: slow"]);
}

#[test]
fn pods_outside_of_the_network_are_a_warning_and_those_of_nodes_are_none() {
    let mut facts = facts();
    let mut old = pod("old", "n1");
    old.namespace = "shop".to_owned();
    let host = Pod {
        host_network: true,
        ..old.clone()
    };
    let done = Pod {
        phase: "Succeeded".to_owned(),
        ..old.clone()
    };
    facts.pods.extend([old, host, done]);
    let (_, warnings) = problems(&facts);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("cluster: 1 of 2 pods are not in this network"),
        "{}",
        warnings[0]
    );
    let mut starting = pod("new", "n1");
    (starting.phase, starting.addresses) = ("Pending".to_owned(), Vec::new());
    facts.pods.push(starting);
    let (_, warnings) = problems(&facts);
    let wanted = [
        "cluster: 1 of 3 pods are not in this network; those from before the installation have to be restarted",
        "cluster: 1 of 3 pods have no address yet; their events say why",
    ];
    assert_eq!(warnings, wanted);
    facts.endpoints = None;
    assert!(problems(&facts).0[0].contains("CiliumEndpoint is not registered"));
}

#[test]
fn a_person_sees_the_verdict_the_parts_and_what_is_wrong() {
    let shown = |facts: &Facts, verbose| {
        let mut out = Vec::new();
        show::write(&judge::report(facts), Paint::Plain, verbose, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let mut facts = facts();
    let good = shown(&facts, true);
    let failing = json!({ "cilium": { "state": "Failure", "msg": "no policy" } });
    facts.agents[0].1 = said(&failing);
    facts.parts[0].pods[1].containers[0].image = "axoneme:2".to_owned();
    facts.endpoints = Some([].into());
    insta::assert_snapshot!(format!("{good}\n----\n\n{}", shown(&facts, false)));
}
