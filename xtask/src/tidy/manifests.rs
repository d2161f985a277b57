//! Rules on `Cargo.toml`: who may depend on whom, and that the workspace's lints apply.

use toml::{Table, Value};

use super::{Finding, Source};

/// Which of our crates a crate may use. The arrows of the layout; one that is not listed may use none.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "agent",
        &[
            "api",
            "daemon",
            "datapath",
            "hubble",
            "kernel",
            "l7",
            "local-api",
            "model",
            "netlink",
            "reconcile",
            "store",
        ],
    ),
    ("apiserver", &["api", "crds"]),
    (
        "cli",
        &[
            "hubble",
            "api",
            "datapath",
            "kernel",
            "local-api",
            "model",
            "netlink",
            "store",
        ],
    ),
    ("cni", &["local-api", "netlink"]),
    ("crds", &["api"]),
    ("datapath-ebpf", &["datapath"]),
    ("fuzz", &["api", "cni", "datapath", "hubble", "l7", "model"]),
    (
        "hubble",
        &[
            "api",
            "daemon",
            "datapath",
            "l7",
            "model",
            "reconcile",
            "store",
        ],
    ),
    ("kernel", &["datapath", "model", "netlink", "reconcile"]),
    (
        "operator",
        &["api", "crds", "daemon", "model", "reconcile", "store"],
    ),
    ("proxy", &["local-api", "model"]),
    ("store", &["api", "model", "reconcile"]),
    (
        "testkit",
        &[
            "agent",
            "api",
            "apiserver",
            "cli",
            "cni",
            "crds",
            "daemon",
            "datapath",
            "hubble",
            "kernel",
            "local-api",
            "model",
            "netlink",
            "operator",
            "proxy",
            "reconcile",
            "store",
        ],
    ),
    ("xtask", &["testkit"]),
];

const OURS: &[&str] = &[
    "agent",
    "api",
    "apiserver",
    "cli",
    "cni",
    "crds",
    "daemon",
    "datapath",
    "datapath-ebpf",
    "fuzz",
    "hubble",
    "kernel",
    "l7",
    "local-api",
    "model",
    "netlink",
    "operator",
    "proxy",
    "reconcile",
    "store",
    "testkit",
    "xtask",
];

/// Crates of others that only some of ours may use: beginning of the name, who may, why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "aya",
        &["kernel", "datapath-ebpf"],
        "only kernel calls bpf()",
    ),
    (
        "netlink-",
        &["netlink", "kernel"],
        "only netlink and kernel open netlink",
    ),
    (
        "rtnetlink",
        &["netlink"],
        "only netlink and kernel open netlink",
    ),
    ("kube", &["store"], "only store knows the Kubernetes client"),
    ("etcd", &["store"], "only store knows etcd"),
];

/// Crates of others that a crate must not use: ours, beginning of the name, why.
const BANNED: &[(&str, &[&str], &str)] = &[
    (
        "model",
        &[
            "tokio", "hyper", "axum", "tonic", "mio", "socket2", "libc", "rustix", "async-",
        ],
        "model is pure",
    ),
    (
        "l7",
        &[
            "tokio", "hyper", "axum", "tonic", "mio", "socket2", "libc", "rustix", "async-",
        ],
        "l7 is pure",
    ),
    (
        "netlink",
        &["tokio", "async-", "futures"],
        "netlink has no async runtime",
    ),
    (
        "cni",
        &["tokio", "async-", "futures", "hyper"],
        "the plugin has no async runtime",
    ),
    (
        "local-api",
        &["tokio", "async-", "hyper", "axum"],
        "the plugin links it, and has no async runtime",
    ),
    (
        "api",
        &["tokio", "hyper", "axum"],
        "api holds types, no logic",
    ),
];

const KINDS: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let manifest: Table = match source.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            let why = error.to_string().replace('\n', " ");
            findings.push(Finding::new(source, 1, "manifest", why));
            return;
        }
    };
    if !manifest.contains_key("package") {
        return;
    }
    lints(source, &manifest, findings);
    for kind in KINDS {
        let Some(Value::Table(dependencies)) = manifest.get(*kind) else {
            continue;
        };
        for name in dependencies.keys() {
            if let Some((rule, why)) = forbidden(source.member(), name, kind) {
                findings.push(Finding::new(source, line_of(source, name), rule, why));
            }
        }
    }
}

/// Rule and reason against a dependency, if there is one.
fn forbidden(member: &str, name: &str, kind: &str) -> Option<(&'static str, String)> {
    // Its own tests take it with its feature for tests.
    if member == "datapath" && !(name == member && kind == "dev-dependencies") {
        return Some((
            "datapath-is-alone",
            format!("datapath depends on nothing, not even on {name}"),
        ));
    }
    // Tests may use the test kit, and what the test kit uses, without an arrow in the product.
    if kind == "dev-dependencies" {
        return None;
    }
    if OURS.contains(&name) {
        let may = MAY_USE
            .iter()
            .find(|(user, _)| *user == member)
            .map_or(&[][..], |(_, may)| may);
        return (!may.contains(&name)).then(|| {
            (
                "dependency-direction",
                format!("{member} may not use {name}"),
            )
        });
    }
    // The test kit plays every part: server, client and kernel.
    if member == "testkit" {
        return None;
    }
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let reserved = RESERVED
        .iter()
        .find(|(start, users, _)| name.starts_with(start) && !users.contains(&member));
    let banned = BANNED
        .iter()
        .find(|(user, starts, _)| *user == member && begins(starts));
    let why = reserved
        .map(|(_, _, why)| why)
        .or(banned.map(|(_, _, why)| why))?;
    Some(("reserved-dependency", format!("{name}: {why}")))
}

fn lints(source: &Source, manifest: &Table, findings: &mut Vec<Finding>) {
    // No member, for it is built for another target.
    if source.member() == "datapath-ebpf" {
        return;
    }
    let workspace = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if workspace != Some(&Value::Boolean(true)) {
        findings.push(Finding::new(
            source,
            1,
            "workspace-lints",
            "say `[lints] workspace = true`",
        ));
    }
}

fn line_of(source: &Source, name: &str) -> usize {
    let begins = |line: &str| line.trim_start().trim_start_matches('"').starts_with(name);
    source
        .text
        .lines()
        .position(begins)
        .map_or(1, |index| index + 1)
}
