//! Commands that upstream's node client has and this one answers with one sentence: why there is nothing to do.

use std::ffi::OsString;

use anyhow::anyhow;

/// Command, and why it does nothing here.
const REASONS: &[(&str, &str)] = &[
    (
        "bgp",
        "this agent announces no routes: there is no BGP in this version",
    ),
    (
        "bpf auth",
        "there is no mutual authentication in this version, and so no table of it",
    ),
    (
        "bpf bandwidth",
        "pod bandwidth is not limited in this version, and so there is no table of it",
    ),
    (
        "bpf egress",
        "there are no egress gateways in this version, and so no table of them",
    ),
    (
        "bpf endpoint delete",
        "endpoints are written by the agent only; delete the pod, or `endpoint disconnect`",
    ),
    (
        "bpf ipcache delete",
        "addresses are written by the agent only, which would put the row back; see `ip list` for what it wants",
    ),
    (
        "bpf ipcache update",
        "addresses are written by the agent only; see `ip list` for what it wants",
    ),
    (
        "bpf lb maglev",
        "backends are not chosen by Maglev in this version; `bpf lb list` shows the slots of a service",
    ),
    (
        "bpf lb update-maintenance",
        "backends are set by the agent only, from EndpointSlices",
    ),
    ("bpf multicast", "there is no multicast in this version"),
    (
        "bpf nodeid",
        "this data plane knows nodes by address and gives them no numbers",
    ),
    (
        "bpf policy add",
        "policies are written by the agent only; create a policy object",
    ),
    (
        "bpf policy delete",
        "policies are written by the agent only; delete the policy object",
    ),
    ("bpf recorder", "there is no packet recorder"),
    (
        "bpf sha",
        "programs are compiled ahead of time, none per endpoint",
    ),
    ("bpf srv6", "there is no segment routing in this version"),
    (
        "bpf vtep",
        "there are no VXLAN tunnel end points outside the cluster in this version",
    ),
    (
        "cgroups",
        "pods are told apart by their interfaces and not by cgroups, so nothing is kept of those",
    ),
    ("cleanup", "the command is called post-uninstall-cleanup"),
    (
        "encrypt",
        "traffic between nodes is not encrypted in this version",
    ),
    (
        "endpoint regenerate",
        "nothing is compiled per endpoint, and what differs is written at once; `reconcile` shows whether anything does",
    ),
    ("envoy", "there is no L7 proxy in this version"),
    (
        "fqdn",
        "there is no DNS proxy in this version, and so no cache of names",
    ),
    (
        "kvstore",
        "objects are read from the API server; there is no key-value store",
    ),
    (
        "loadinfo",
        "the agent does not log the machine's load; see /proc/loadavg",
    ),
    (
        "lrp",
        "there are no local redirect policies in this version",
    ),
    (
        "map events",
        "the agent does not keep the history of its tables; `reconcile` shows what is left to do",
    ),
    ("metrics", "the agent has no metrics on its REST API"),
    (
        "nodeid",
        "this data plane knows nodes by address and gives them no numbers",
    ),
    (
        "policy delete",
        "policies are objects of the API server: delete them there",
    ),
    (
        "policy import",
        "policies are objects of the API server: `axoneme apply -f FILE` creates them",
    ),
    (
        "policy validate",
        "faulty policies are named by `policy get`, with the field",
    ),
    ("prefilter", "there is no XDP prefilter in this version"),
    (
        "preflight fqdn-poller",
        "there is no DNS proxy in this version whose names could be looked up ahead",
    ),
    (
        "preflight migrate-identity",
        "identities move between the API server and etcd while agents run: identity-allocation-mode=doublewrite-…",
    ),
    ("recorder", "there is no packet recorder"),
    (
        "service delete",
        "services are objects of the API server: delete them there",
    ),
    (
        "service update",
        "services are objects of the API server: change them there",
    ),
    (
        "shell",
        "the agent has no shell; `reconcile`, `map` and `bpf` show its tables",
    ),
    (
        "statedb",
        "the agent has no database of tables to query; `reconcile`, `map` and `bpf` show them",
    ),
    (
        "sysdump",
        "this is one node: `debuginfo` collects it, and `axoneme sysdump` a whole cluster from outside",
    ),
    (
        "troubleshoot",
        "there is no other cluster and no key-value store to look into",
    ),
];

/// The error for a command that is not built: its reason, or that there is none of that name.
pub(super) fn refuse(parent: &str, words: &[OsString]) -> anyhow::Error {
    let first = words
        .first()
        .map(|word| word.to_string_lossy())
        .unwrap_or_default();
    let command = if parent.is_empty() {
        first.to_string()
    } else {
        format!("{parent} {first}")
    };
    match REASONS.iter().find(|(name, _)| *name == command) {
        Some((_, reason)) => anyhow!("{command}: {reason}"),
        None => anyhow!("there is no command '{command}'; --help lists those that there are"),
    }
}

#[cfg(test)]
mod tests;
