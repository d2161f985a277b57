//! Tests that look back: what was dropped, what was logged, and what the health programs say.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;
use store::LogPart;

use super::catalog::Check;
use super::lab::Lab;
use super::report::Outcome;
use crate::cluster::pod::{Pod, list, number, text};
use crate::cluster::{AGENT_CONTAINER, Cluster, each};

/// Reasons for which packets may be dropped while the tests run. The list is upstream's, but for the last two: what each pod's
/// IPv6 stack says to its link by itself, reports of its groups (RFC 3810) and router solicitations (RFC 4861), ends at the pod's
/// device here, and is counted.
const EXPECTED: &[&str] = &[
    "Success",
    "Policy denied",
    "Policy denied by denylist",
    "Unsupported L2 protocol",
    "Unsupported L3 protocol",
    "Stale or unroutable IP",
    "Authentication required",
    "Service backend not found",
    "Unsupported protocol for NAT masquerade",
    "Invalid source ip",
    "Unknown L3 target address",
    "Host datapath not ready",
    "Unknown ICMPv4 code",
    "Unknown ICMPv6 code",
    "Forbidden ICMPv6 message",
    "No egress gateway found",
    "Multicast handled",
    "Unknown ICMPv6 type",
];

/// Logs that are read, in bytes for each container.
const LOG: u64 = 16 << 20;
/// Complaints about one container; the first ones tell it all.
const COMPLAINTS: usize = 10;

/// Packets by reason and direction.
pub(super) type Drops = BTreeMap<(String, String), i64>;

/// How it was when the run began.
pub(super) struct Baseline {
    began: Instant,
    /// By agent's pod.
    drops: BTreeMap<String, Drops>,
}

impl Baseline {
    /// As it is now.
    pub(super) async fn take(cluster: &Cluster) -> anyhow::Result<Self> {
        let agents = cluster.agents().await?;
        let counted = each(&agents, |agent| drops(cluster, agent)).await;
        let mut all = BTreeMap::new();
        for (agent, drops) in agents.iter().zip(counted) {
            // An agent that cannot say is complained about when it is looked at.
            if let Ok(drops) = drops {
                all.insert(agent.name.clone(), drops);
            }
        }
        Ok(Self {
            began: Instant::now(),
            drops: all,
        })
    }
}

/// Makes one of the tests.
pub(super) async fn look(lab: &Lab, check: Check, baseline: &Baseline) -> anyhow::Result<Outcome> {
    if check == Check::Health && !probes(lab).await? {
        let reason = "the agents say that they do not probe each other";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let per_agent = match check {
        Check::Drops => each(&lab.agents, |agent| unexpected(lab, agent, baseline)).await,
        Check::Logs => return logs(lab, baseline).await.map(Outcome::Looked),
        Check::Health => each(&lab.agents, |agent| health(lab, agent)).await,
    };
    let mut wrong = Vec::new();
    for (agent, found) in lab.agents.iter().zip(per_agent) {
        match found {
            Ok(found) => wrong.extend(found.into_iter().map(|of| format!("{}: {of}", agent.node))),
            Err(error) => wrong.push(format!("{}: {error:#}", agent.node)),
        }
    }
    Ok(Outcome::Looked(wrong))
}

async fn drops(cluster: &Cluster, agent: &Pod) -> anyhow::Result<Drops> {
    let all = cluster
        .agent_json(agent, &["bpf", "metrics", "list", "-o", "json"])
        .await?;
    let rows = list(&all, "").iter();
    let mut drops = Drops::new();
    for row in rows {
        let key = (
            text(row, "/reason").to_owned(),
            text(row, "/direction").to_owned(),
        );
        *drops.entry(key).or_default() += number(row, "/packets");
    }
    Ok(drops)
}

async fn unexpected(lab: &Lab, agent: &Pod, baseline: &Baseline) -> anyhow::Result<Vec<String>> {
    let now = drops(&lab.cluster, agent).await?;
    let nothing = Drops::new();
    let before = baseline.drops.get(&agent.name).unwrap_or(&nothing);
    Ok(unexpected_of(before, &now))
}

/// Drops since the run began for reasons that are none.
pub(super) fn unexpected_of(before: &Drops, now: &Drops) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((reason, direction), packets) in now {
        let key = (reason.clone(), direction.clone());
        let more = packets - before.get(&key).copied().unwrap_or_default();
        if more > 0 && !EXPECTED.contains(&reason.as_str()) {
            wrong.push(format!(
                "{more} packets were dropped ({direction}): {reason}"
            ));
        }
    }
    wrong
}

/// Logs of agents, operator and relay since the run began.
async fn logs(lab: &Lab, baseline: &Baseline) -> anyhow::Result<Vec<String>> {
    let namespace = &lab.cluster.namespace;
    let mut pods = lab.cluster.agents().await?;
    pods.extend(
        lab.cluster
            .pods(namespace, "io.cilium%2Fapp=operator")
            .await?,
    );
    pods.extend(lab.cluster.pods(namespace, "k8s-app=hubble-relay").await?);
    let part = LogPart {
        bytes: LOG,
        seconds: baseline.began.elapsed().as_secs() + 1,
        ..LogPart::default()
    };
    let containers: Vec<(&Pod, &str)> = pods
        .iter()
        .flat_map(|pod| {
            pod.containers
                .iter()
                .filter(|of| of.running)
                .map(move |of| (pod, of.name.as_str()))
        })
        .collect();
    let read = each(&containers, |(pod, container)| {
        lab.cluster
            .client
            .log(&pod.namespace, &pod.name, container, part)
    })
    .await;
    let mut wrong = Vec::new();
    for ((pod, container), log) in containers.iter().zip(read) {
        let log = log?;
        let found = errors_of(&String::from_utf8_lossy(&log));
        wrong.extend(
            found
                .into_iter()
                .map(|line| format!("{}/{container}: {line}", pod.name)),
        );
    }
    Ok(wrong)
}

/// Lines that say that a program met what it should not.
pub(super) fn errors_of(log: &str) -> Vec<String> {
    let bad = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        let level = line.contains(" ERROR ")
            || line.starts_with("ERROR ")
            || lower.contains("level=error")
            || lower.contains("level=fatal")
            || lower.contains("\"level\":\"error\"");
        let end = [
            "panicked at",
            "panic:",
            "deadlock",
            "segmentation fault",
            "sigsegv",
            "data race",
        ];
        level || end.iter().any(|word| lower.contains(word))
    };
    log.lines()
        .filter(bad)
        .take(COMPLAINTS)
        .map(str::to_owned)
        .collect()
}

/// Whether the health program runs, as the agents say.
async fn probes(lab: &Lab) -> anyhow::Result<bool> {
    let ask = |agent| lab.cluster.agent_json(agent, &["status", "-o", "json"]);
    let mut on = true;
    for status in each(&lab.agents, ask).await {
        let state = status?;
        on &= !matches!(text(&state, "/cluster/ciliumHealth/state"), "" | "Disabled");
    }
    Ok(on)
}

async fn health(lab: &Lab, agent: &Pod) -> anyhow::Result<Vec<String>> {
    let command = ["cilium-health", "status", "--probe", "-o", "json"];
    let done = lab.cluster.tell(agent, AGENT_CONTAINER, &command).await?;
    let said = String::from_utf8_lossy(&done.stderr);
    let status: Value = serde_json::from_slice(&done.stdout).map_err(|_| {
        anyhow::anyhow!(
            "cilium-health ended with {} and said: {}",
            done.code,
            said.trim()
        )
    })?;
    Ok(unreached(&status))
}

/// Who cannot be reached, by what a health program says.
pub(super) fn unreached(status: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let nodes = list(status, "/nodes");
    if nodes.is_empty() {
        wrong.push("its health program knows no node".to_owned());
    }
    for node in nodes {
        for (what, pointer) in [
            ("the node", "/host/primary-address"),
            ("its endpoint", "/health-endpoint/primary-address"),
        ] {
            let Some(path) = node.pointer(pointer) else {
                continue;
            };
            for protocol in ["icmp", "http"] {
                let state = text(path, &format!("/{protocol}/status"));
                if !state.is_empty() {
                    wrong.push(format!(
                        "{}: {what} is not reached by {protocol}: {state}",
                        text(node, "/name")
                    ));
                }
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests;
