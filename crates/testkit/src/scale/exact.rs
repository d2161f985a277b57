//! Whether what the agents have is exactly what the store has: addresses with identities in the kernel, identities, policies, nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kernel::{Maps, PinDirectory};
use serde_json::Value;

use super::crowd::range_of;
use super::requests::Requests;
use crate::cluster::{Cluster, Node};

/// Numbers of identities that are in the store; those of a node's own are above, reserved ones below.
const SHARED: std::ops::Range<u64> = 256..65_536;

/// What the store has.
#[derive(Debug)]
pub(super) struct Expected {
    /// Addresses of endpoints.
    endpoints: BTreeMap<Ipv4Addr, u32>,
    /// Addresses of nodes and ways into their ranges.
    nodes: BTreeSet<Ipv4Addr>,
    identities: BTreeSet<u64>,
    policies: BTreeSet<String>,
}

impl Expected {
    fn read(requests: &Requests<'_>) -> anyhow::Result<Self> {
        let mut endpoints = BTreeMap::new();
        for found in requests.list("/apis/cilium.io/v2/ciliumendpoints")? {
            let address = text(&found, "/status/networking/addressing/0/ipv4")?.parse()?;
            let identity = found.pointer("/status/identity/id").and_then(Value::as_u64);
            let identity = u32::try_from(identity.context("no identity")?)?;
            ensure!(
                endpoints.insert(address, identity).is_none(),
                "{address} is given twice"
            );
        }
        let nodes = requests.list("/apis/cilium.io/v2/ciliumnodes")?;
        ranges_are_apart(&nodes)?;
        let nodes = nodes.iter().flat_map(addresses_of).collect();
        let identities = requests.list("/apis/cilium.io/v2/ciliumidentities")?;
        let identities = identities
            .iter()
            .map(|of| Ok(text(of, "/metadata/name")?.parse()?))
            .collect::<anyhow::Result<_>>()?;
        let mut policies = BTreeSet::new();
        for (path, kind) in [
            (
                "/apis/cilium.io/v2/ciliumnetworkpolicies",
                "CiliumNetworkPolicy",
            ),
            (
                "/apis/networking.k8s.io/v1/networkpolicies",
                "NetworkPolicy",
            ),
        ] {
            for of in requests.list(path)? {
                let (namespace, name) = (
                    text(&of, "/metadata/namespace")?,
                    text(&of, "/metadata/name")?,
                );
                policies.insert(format!("{kind} {namespace}/{name}"));
            }
        }
        Ok(Self {
            endpoints,
            nodes,
            identities,
            policies,
        })
    }

    /// How much there is.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} endpoints, {} identities, {} policies, {} addresses of nodes",
            self.endpoints.len(),
            self.identities.len(),
            self.policies.len(),
            self.nodes.len()
        )
    }
}

fn text<'a>(of: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let found = of.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no {pointer} in {of}"))
}

fn addresses_of(node: &Value) -> Vec<Ipv4Addr> {
    let all = node.pointer("/spec/addresses").and_then(Value::as_array);
    let of = |entry: &Value| entry.get("ip")?.as_str()?.parse().ok();
    all.into_iter().flatten().filter_map(of).collect()
}

/// Each node has a range, and no two the same.
fn ranges_are_apart(nodes: &[Value]) -> anyhow::Result<()> {
    let mut ranges = BTreeSet::new();
    for node in nodes {
        let name = text(node, "/metadata/name")?;
        let range = range_of(node).with_context(|| format!("{name} has no range"))?;
        ensure!(ranges.insert(range), "{range} is given twice");
    }
    Ok(())
}

/// Waits until each agent has exactly that; how long it took, and what it is.
pub(super) fn wait(
    cluster: &Cluster,
    requests: &Requests<'_>,
    limit: Duration,
) -> anyhow::Result<(Duration, Expected)> {
    let begun = Instant::now();
    loop {
        // Collections go on, so the store is read anew.
        let expected = Expected::read(requests)?;
        let differences: Vec<String> = cluster
            .nodes
            .iter()
            .map(|node| differences(node, &expected))
            .collect::<anyhow::Result<Vec<_>>>()?
            .concat();
        if differences.is_empty() {
            return Ok((begun.elapsed(), expected));
        }
        if begun.elapsed() > limit {
            bail!("after {limit:?}: {}", differences.join("; "));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn differences(node: &Node, expected: &Expected) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let name = node.machine.name();
    let mut compare = |what: &str, missing: usize, extra: usize, example: Option<String>| {
        if missing + extra > 0 {
            let example = example.unwrap_or_default();
            found.push(format!(
                "{name}: of {what} {missing} missing, {extra} too many, such as {example}"
            ));
        }
    };
    let rows = addresses(node)?;
    let wanted = &expected.endpoints;
    let wrong: Vec<_> = wanted
        .iter()
        .filter(|(address, identity)| rows.get(address) != Some(identity))
        .collect();
    let known =
        |address: &Ipv4Addr| wanted.contains_key(address) || expected.nodes.contains(address);
    let extra: Vec<_> = rows.keys().filter(|address| !known(address)).collect();
    let example = wrong.first().map(|of| format!("{of:?}"));
    let example = example.or_else(|| extra.first().map(|of| format!("{of:?}")));
    compare("addresses of endpoints", wrong.len(), extra.len(), example);
    let missing: Vec<_> = expected
        .nodes
        .iter()
        .filter(|of| !rows.contains_key(of))
        .collect();
    let example = missing.first().map(ToString::to_string);
    compare("addresses of nodes", missing.len(), 0, example);
    let of = |all: &BTreeSet<String>, wanted: &BTreeSet<String>| {
        let (missing, extra) = (wanted - all, all - wanted);
        let example = missing.first().or(extra.first()).cloned();
        (missing.len(), extra.len(), example)
    };
    let texts = |all: &BTreeSet<u64>| all.iter().map(ToString::to_string).collect();
    let (missing, extra, example) = of(&texts(&identities(node)?), &texts(&expected.identities));
    compare("identities", missing, extra, example);
    let (missing, extra, example) = of(&policies(node)?, &expected.policies);
    compare("policies", missing, extra, example);
    Ok(found)
}

/// Single addresses in the kernel's table, with their identities.
fn addresses(node: &Node) -> anyhow::Result<BTreeMap<Ipv4Addr, u32>> {
    let pins = PinDirectory::new(&node.machine.directory().join("bpf"));
    let maps = Maps::open_any_capacity(&pins)?;
    let rows = maps.addresses.dump()?;
    let of = |key: &datapath::abi::ipcache::AddressKey| match IpAddr::from(key.address) {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let rows = rows
        .iter()
        .filter_map(|(key, row)| Some((of(key)?, row.identity)));
    Ok(rows.collect())
}

fn identities(node: &Node) -> anyhow::Result<BTreeSet<u64>> {
    let all: Vec<Value> = node.client().get("/v1/identity")?;
    let numbers = all.iter().filter_map(|of| of.get("id")?.as_u64());
    Ok(numbers.filter(|number| SHARED.contains(number)).collect())
}

fn policies(node: &Node) -> anyhow::Result<BTreeSet<String>> {
    let answer: Value = node.client().get("/v1/policy")?;
    let all: Vec<Value> = serde_json::from_str(text(&answer, "/policy")?)?;
    let name = |of: &Value| {
        ensure!(of.get("refused").is_none(), "refused: {of}");
        Ok(text(of, "/policy")?.to_owned())
    };
    all.iter().map(name).collect()
}
