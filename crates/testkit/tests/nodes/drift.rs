//! Settings of the cluster's objects that a running agent does not have.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testkit::cluster::{Cluster, underlay_v4};
use testkit::scrape::fetch;

use crate::cases::within;
use crate::scraped::PORT;

const PATIENCE: Duration = Duration::from_secs(20);

fn map(data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": { "name": "cilium-config", "namespace": "kube-system" } })
}

fn of_nodes(name: &str, node: &str, defaults: &Value) -> Value {
    let selector = json!({ "matchLabels": { "kubernetes.io/hostname": node } });
    json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNodeConfig",
        "metadata": { "name": name, "namespace": "kube-system" },
        "spec": { "nodeSelector": selector, "defaults": defaults } })
}

/// What the init step does, and a start of the agent with that.
fn restart(cluster: &mut Cluster) {
    let directory = cluster.nodes[0].machine.directory().join("settings");
    let directory = directory.display().to_string();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let words = [
        "dbg",
        "build-config",
        "--node-name=n1",
        "--dest",
        &directory,
        "--k8s-kubeconfig-path",
        &kubeconfig,
    ];
    cluster.ask("build-config", &words).expect("settings");
    let node = &mut cluster.nodes[0];
    node.kill_agent().expect("kill");
    node.set("config-dir", &directory);
    node.start_agent().expect("start");
    node.wait_ready(PATIENCE).expect("ready");
}

/// Metric, status and `/v1/config` name exactly these.
fn differ(cluster: &Cluster, keys: &[&str]) {
    let machine = &cluster.nodes[0].machine;
    let client = cluster.nodes[0].client();
    within(PATIENCE, || {
        let page = fetch(machine.namespace(), underlay_v4(11).into(), PORT)?;
        let line = format!("cilium_drift_checker_config_delta {}", keys.len());
        let shown: Vec<_> = page
            .lines()
            .filter(|shown| shown.contains("drift_checker"))
            .collect();
        ensure!(shown.contains(&&*line), "no {line} in {shown:?}");
        let health: Value = client.get("/v1/healthz")?;
        let message = health.pointer("/cilium/msg").and_then(Value::as_str);
        let message = message.context("no message")?;
        let said = message.split_once("settings that a restart would change: ");
        let said = said.map(|(_, said)| said);
        let wanted = format!("{} ({})", keys.len(), keys.join(", "));
        let wanted = (!keys.is_empty()).then_some(&*wanted);
        ensure!(said == wanted, "{message}");
        let config: Value = client.get("/v1/config")?;
        let listed = config.pointer("/status/daemonConfigurationMap/Drifted");
        ensure!(listed == Some(&json!(keys)), "{config}");
        Ok(())
    })
    .expect("shown");
}

pub(crate) fn shown(cluster: &mut Cluster) {
    let first = json!({ "policy-audit-mode": "false", "hubble-event-buffer-capacity": "1023",
        "identity-gc-interval": "15m" });
    cluster.apply(&map(&first)).expect("a ConfigMap");
    let own = of_nodes(
        "own",
        "n1",
        &json!({ "hubble-event-buffer-capacity": "255" }),
    );
    cluster.apply(&own).expect("a CiliumNodeConfig");
    restart(cluster);
    differ(cluster, &[]);

    // What only operators read, what flags say, and what is for another node is no difference.
    let mut second = first.clone();
    second["identity-gc-interval"] = "1m".into();
    second["socket-path"] = "/nowhere".into();
    second["policy-audit-mode"] = "true".into();
    cluster.apply(&map(&second)).expect("a ConfigMap");
    let other = of_nodes("other", "n2", &json!({ "labels": "k8s:app" }));
    cluster.apply(&other).expect("a CiliumNodeConfig");
    differ(cluster, &["policy-audit-mode"]);

    let changed = of_nodes(
        "own",
        "n1",
        &json!({ "hubble-event-buffer-capacity": "511", "enable-hubble": "false" }),
    );
    cluster.apply(&changed).expect("a CiliumNodeConfig");
    differ(
        cluster,
        &[
            "enable-hubble",
            "hubble-event-buffer-capacity",
            "policy-audit-mode",
        ],
    );
    // What is known stays while nobody answers.
    cluster.kill_apiserver().expect("kill");
    differ(
        cluster,
        &[
            "enable-hubble",
            "hubble-event-buffer-capacity",
            "policy-audit-mode",
        ],
    );
    cluster.start_apiserver().expect("start");
    restart(cluster);
    differ(cluster, &[]);
    the_node_itself(cluster, &changed);
}

/// An annotation of the node is the last word.
fn the_node_itself(cluster: &Cluster, of_nodes: &Value) {
    let path = "/api/v1/nodes/n1";
    let mut node: Value = cluster.api.get(path).expect("a node");
    node["metadata"]["annotations"] = json!({ "config.cilium.io/policy-audit-mode": "false" });
    let _: Value = cluster.api.put(path, &node).expect("a node");
    differ(cluster, &["policy-audit-mode"]);
    cluster.delete(of_nodes).expect("deleted");
    differ(
        cluster,
        &[
            "enable-hubble",
            "hubble-event-buffer-capacity",
            "policy-audit-mode",
        ],
    );
}
