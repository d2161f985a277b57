//! What each agent tells of its node, command by command.

use super::Item;
use crate::cluster::pod::Pod;
use crate::cluster::{AGENT_CONTAINER, Cluster};

/// Name of the file, and the command.
const COMMANDS: &[(&str, &str)] = &[
    ("status.json", "cilium-dbg status -o json"),
    ("status.txt", "cilium-dbg status --verbose"),
    ("version.json", "cilium-dbg version -o json"),
    ("config.json", "cilium-dbg config -o json"),
    ("endpoints.json", "cilium-dbg endpoint list -o json"),
    ("identities.json", "cilium-dbg identity list -o json"),
    ("ip.json", "cilium-dbg ip list -o json"),
    ("policy.json", "cilium-dbg policy get -o json"),
    ("selectors.json", "cilium-dbg policy selectors -o json"),
    ("services.json", "cilium-dbg service list -o json"),
    ("nodes.json", "cilium-dbg node list -o json"),
    ("maps.json", "cilium-dbg map list -o json"),
    ("debuginfo.txt", "cilium-dbg debuginfo"),
    ("reconcile.txt", "cilium-dbg reconcile"),
    ("features.txt", "cilium-dbg features"),
    ("bpf-endpoints.json", "cilium-dbg bpf endpoint list -o json"),
    ("bpf-ipcache.json", "cilium-dbg bpf ipcache list -o json"),
    ("bpf-lb.json", "cilium-dbg bpf lb list -o json"),
    ("bpf-policy.json", "cilium-dbg bpf policy get --all -o json"),
    ("bpf-ct.json", "cilium-dbg bpf ct list global -o json"),
    ("bpf-nat.json", "cilium-dbg bpf nat list -o json"),
    ("bpf-metrics.json", "cilium-dbg bpf metrics list -o json"),
    (
        "hubble-status.json",
        "hubble status --server SERVER -o json",
    ),
    ("health.json", "cilium-health status -o json"),
];

/// All that an agent is asked.
pub(super) fn items<'a>(cluster: &'a Cluster, agent: &'a Pod, flows: u32) -> Vec<Item<'a>> {
    let mut all: Vec<(&str, String)> = COMMANDS
        .iter()
        .map(|(name, command)| (*name, command.replace("SERVER", crate::dbg::FLOW_SOCKET)))
        .collect();
    let server = crate::dbg::FLOW_SOCKET;
    all.push((
        "flows.json",
        format!("hubble observe --server {server} --last {flows} -o jsonpb"),
    ));
    let path = |name: &str| format!("agents/{}/{name}", agent.node);
    all.into_iter()
        .map(|(name, command)| Item::new(path(name), said(cluster, agent, command)))
        .collect()
}

/// What it says; if it fails, how, below that: half an answer is better than none.
async fn said(cluster: &Cluster, agent: &Pod, command: String) -> anyhow::Result<Vec<u8>> {
    let words: Vec<&str> = command.split(' ').collect();
    let done = cluster.tell(agent, AGENT_CONTAINER, &words).await?;
    let mut said = done.stdout;
    if done.code != 0 {
        said.extend(format!("\n`{command}` ended with {}\n", done.code).bytes());
        said.extend(done.stderr);
    }
    Ok(said)
}
