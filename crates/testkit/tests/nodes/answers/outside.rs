//! Who comes from outside by a node on which the pod is not: the first node leads him on, from its own address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testkit::cluster::{Cluster, underlay_v4};

use super::{FRESH, PORT, ask, ends, fail, failure, now, number, talk};
use crate::cases::within;
use crate::services::clients::Kind;
use crate::services::{node_port, service};

/// Connections to the pod that answers, and to the one that is silent.
const ANSWERED: u64 = 7;
const SILENT: u64 = 2;

/// Makes the connections, and asks.
pub(super) fn told_of(cluster: &Cluster) {
    // Both are pods of the second node.
    let [front, numb] = ["c", "numb"].map(|app| {
        let ports = json!([{ "name": "t", "port": 80, "targetPort": PORT, "protocol": "TCP" }]);
        let spec = json!({ "type": "NodePort", "ports": ports });
        let made = service(cluster, &format!("{app}-outside"), app, &spec);
        SocketAddr::new(IpAddr::V4(underlay_v4(11)), node_port(&made, Kind::Tcp))
    });
    let outside = cluster.outside.namespace();
    within(Duration::from_secs(20), || talk(outside, front)).expect("the first node leads on");
    let since = now();
    for _ in 0..ANSWERED {
        talk(outside, front).expect("it is answered");
    }
    for _ in 0..SILENT {
        fail(outside, numb, "UNANSWERED");
    }
    let told = within(FRESH, || {
        is_of_the_world(&ask(cluster, "map", &since)?)?;
        is_the_silent_pods_fault(&ask(cluster, "failing", &since)?)
    });
    told.expect("the answers tell of the world, and of nobody of a node");
}

fn is_of_the_world(map: &Value) -> anyhow::Result<()> {
    let mut edges = map["edges"].as_array().context("edges")?.iter();
    let is_it = |of: &&Value| ends(of) == ("world".into(), "c".into(), PORT);
    let edge = edges
        .clone()
        .find(is_it)
        .context("the edge is on the map")?;
    for counter in ["opened", "led_on", "answered", "closed"] {
        let count = number(&edge["counters"][counter]);
        ensure!(count == ANSWERED, "{counter} {count}: {edge}");
    }
    let by_a_node = edges.find(|of| ends(of).0 == "remote-node" && ends(of).2 == PORT);
    ensure!(by_a_node.is_none(), "{by_a_node:?}");
    Ok(())
}

fn is_the_silent_pods_fault(failing: &Value) -> anyhow::Result<()> {
    let failures = failing["failures"].as_array().context("failures")?;
    let [one] = &failures[..] else {
        anyhow::bail!("{} failures: {failing}", failures.len());
    };
    let [from, to, cause, fault] =
        ["world", "numb", "UNANSWERED", "FAULT_SERVER"].map(str::to_owned);
    ensure!(
        failure(one) == (from, to, PORT, cause, fault, SILENT),
        "{one}"
    );
    Ok(())
}
