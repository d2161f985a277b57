//! The nodes that are not here, with all they have in the store; and how they change.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::Size;
use super::objects::{self, Endpoint, Kind, NAMESPACES, Simulated};
use super::policies::Policy;
use super::requests::Requests;

/// The operator gives all ranges within this time.
const RANGES: Duration = Duration::from_mins(3);
/// Addresses of a range that pods can have.
const ADDRESSES: usize = 250;

/// What is in the store.
pub(super) struct Crowd {
    pub nodes: Vec<Simulated>,
    endpoints: Vec<Endpoint>,
    /// Their addresses.
    used: BTreeSet<Ipv4Addr>,
    policies: Vec<Policy>,
    per_node: usize,
    /// Pods so far: each has another name, and another place in its node's range.
    pods: usize,
    /// The first kind of pod that there never was.
    fresh: usize,
    random: StdRng,
}

impl Crowd {
    /// A crowd of that size, none of it in the store yet.
    pub(super) fn new(size: &Size) -> Self {
        let node = |number| Simulated {
            number,
            range: None,
        };
        let policy = |number| Policy { number, version: 0 };
        Self {
            nodes: (0..size.nodes).map(node).collect(),
            endpoints: Vec::new(),
            used: BTreeSet::new(),
            policies: (0..size.policies).map(policy).collect(),
            per_node: size.per_node,
            pods: 0,
            fresh: size.identities,
            random: StdRng::seed_from_u64(1000),
        }
    }

    /// Namespaces, policies, identities and nodes; then, when the operator has given ranges, endpoints. How long all ranges took.
    pub(super) fn fill(&mut self, requests: &Requests<'_>) -> anyhow::Result<Duration> {
        let namespaces = (0..NAMESPACES).map(|number| objects::namespace(&format!("ns{number}")));
        requests.create_all(&namespaces.collect::<Vec<_>>())?;
        let policies = self.policies.iter().map(|policy| policy.object());
        requests.create_all(&policies.collect::<Vec<_>>())?;
        let kinds = (0..self.fresh).map(Kind);
        requests.create_all(&kinds.map(Kind::identity_object).collect::<Vec<_>>())?;
        let begun = Instant::now();
        let nodes = self.nodes.iter().flat_map(Simulated::objects);
        requests.create_all(&nodes.collect::<Vec<_>>())?;
        self.await_ranges(requests)?;
        let took = begun.elapsed();
        for node in &self.nodes {
            requests.merge(&path_of(node), &node.announcement().context("no range")?)?;
        }
        let per_node = self.per_node;
        let kinds = self.fresh;
        let places = (0..self.nodes.len()).flat_map(|node| (0..per_node).map(move |_| node));
        let made: Vec<Endpoint> = places
            .enumerate()
            .map(|(number, node)| self.endpoint(node, Kind(number % kinds)))
            .collect::<anyhow::Result<_>>()?;
        let objects = made.iter().flat_map(|of| [of.pod(), of.announcement()]);
        requests.create_all(&objects.collect::<Vec<_>>())?;
        self.endpoints = made;
        Ok(took)
    }

    /// Waits until each node has its range.
    fn await_ranges(&mut self, requests: &Requests<'_>) -> anyhow::Result<()> {
        let end = Instant::now() + RANGES;
        loop {
            for found in requests.list("/apis/cilium.io/v2/ciliumnodes")? {
                let name = found.pointer("/metadata/name").and_then(Value::as_str);
                let node = self
                    .nodes
                    .iter_mut()
                    .find(|node| Some(node.name().as_str()) == name);
                if let Some(node) = node {
                    node.range = range_of(&found);
                }
            }
            let without = self.nodes.iter().filter(|node| node.range.is_none());
            let without = without.count();
            if without == 0 {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("{without} nodes have no range after {RANGES:?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The next pod of a node.
    fn endpoint(&mut self, node: usize, kind: Kind) -> anyhow::Result<Endpoint> {
        let number = self.pods;
        self.pods += 1;
        let of = self.nodes.get(node).context("no such node")?;
        let range = u32::from(of.range.context("a node without a range")?);
        let places = (number..number + ADDRESSES).map(|place| (place % ADDRESSES) as u32);
        let free = places
            .map(|place| Ipv4Addr::from(range + 2 + place))
            .find(|address| !self.used.contains(address));
        let address = free.context("a range without a free address")?;
        self.used.insert(address);
        Ok(Endpoint {
            name: format!("pod{number}"),
            kind,
            node: of.address(),
            node_name: of.name(),
            address,
        })
    }

    /// One thing happens to a pod or a policy; how many objects changed.
    pub(super) fn turn(&mut self, requests: &Requests<'_>) -> anyhow::Result<u64> {
        let before = requests.changes();
        match self.random.random_range(0..20) {
            0..6 => self.come(requests)?,
            6..12 => self.go(requests)?,
            12..15 => self.relabel(requests)?,
            15..19 => self.change_policy(requests)?,
            _ => self.replace_policy(requests)?,
        }
        Ok(requests.changes() - before)
    }

    /// Labels that a pod has, or that none ever had.
    fn kind(&mut self, requests: &Requests<'_>) -> anyhow::Result<Kind> {
        if !self.random.random_bool(0.5) {
            let place = self.random.random_range(0..self.endpoints.len());
            return Ok(self.endpoints.get(place).context("no endpoint")?.kind);
        }
        loop {
            let kind = Kind(self.fresh);
            self.fresh += 1;
            // An agent may have given the number to labels of its own.
            if requests.create_new(&kind.identity_object())? {
                return Ok(kind);
            }
        }
    }

    fn come(&mut self, requests: &Requests<'_>) -> anyhow::Result<()> {
        let kind = self.kind(requests)?;
        let node = self.random.random_range(0..self.nodes.len());
        let endpoint = self.endpoint(node, kind)?;
        requests.beside(&endpoint.pod())?;
        requests.create(&endpoint.announcement())?;
        self.endpoints.push(endpoint);
        Ok(())
    }

    fn go(&mut self, requests: &Requests<'_>) -> anyhow::Result<()> {
        let place = self.random.random_range(0..self.endpoints.len());
        let endpoint = self.endpoints.swap_remove(place);
        self.used.remove(&endpoint.address);
        remove(&endpoint, requests)
    }

    /// The pod's labels change, and with them its identity.
    fn relabel(&mut self, requests: &Requests<'_>) -> anyhow::Result<()> {
        let place = self.random.random_range(0..self.endpoints.len());
        let namespace = self.endpoints.get(place).context("no endpoint")?.kind.0 % NAMESPACES;
        // Labels never seen before, of the same namespace.
        let kind = Kind(self.fresh.next_multiple_of(NAMESPACES) + namespace);
        self.fresh = kind.0 + 1;
        if !requests.create_new(&kind.identity_object())? {
            return Ok(());
        }
        let endpoint = self.endpoints.get_mut(place).context("no endpoint")?;
        endpoint.kind = kind;
        let (namespace, name) = (kind.namespace(), &endpoint.name);
        let path = format!("/apis/cilium.io/v2/namespaces/{namespace}/ciliumendpoints/{name}");
        requests.merge(
            &path,
            &json!({ "status": { "identity": endpoint.identity() } }),
        )
    }

    fn change_policy(&mut self, requests: &Requests<'_>) -> anyhow::Result<()> {
        let place = self.random.random_range(0..self.policies.len());
        let policy = self.policies.get_mut(place).context("no policy")?;
        policy.version += 1;
        requests.apply(&policy.object())
    }

    fn replace_policy(&mut self, requests: &Requests<'_>) -> anyhow::Result<()> {
        let place = self.random.random_range(0..self.policies.len());
        let policy = self.policies.get(place).context("no policy")?.object();
        requests.delete(&policy)?;
        requests.create(&policy)
    }

    /// A node goes with its pods.
    pub(super) fn node_goes(&mut self, requests: &Requests<'_>) -> anyhow::Result<Simulated> {
        let place = self.random.random_range(0..self.nodes.len());
        let mut node = self.nodes.swap_remove(place);
        let here = |of: &mut Endpoint| of.node == node.address();
        let gone: Vec<Endpoint> = self.endpoints.extract_if(.., here).collect();
        for endpoint in gone {
            self.used.remove(&endpoint.address);
            remove(&endpoint, requests)?;
        }
        for object in node.objects() {
            requests.delete(&object)?;
        }
        node.range = None;
        Ok(node)
    }

    /// It comes back, perhaps with another range, and has pods.
    pub(super) fn node_comes(
        &mut self,
        node: Simulated,
        requests: &Requests<'_>,
    ) -> anyhow::Result<()> {
        for object in node.objects() {
            requests.create(&object)?;
        }
        self.nodes.push(node);
        self.await_ranges(requests)?;
        let place = self.nodes.len() - 1;
        let node = self.nodes.get(place).context("no node")?;
        requests.merge(&path_of(node), &node.announcement().context("no range")?)?;
        for _ in 0..self.per_node {
            let other = self.random.random_range(0..self.endpoints.len());
            let kind = self.endpoints.get(other).context("no endpoint")?.kind;
            let endpoint = self.endpoint(place, kind)?;
            requests.beside(&endpoint.pod())?;
            requests.create(&endpoint.announcement())?;
            self.endpoints.push(endpoint);
        }
        Ok(())
    }
}

fn remove(endpoint: &Endpoint, requests: &Requests<'_>) -> anyhow::Result<()> {
    requests.delete(&endpoint.announcement())?;
    requests.delete_beside(&endpoint.pod())
}

fn path_of(node: &Simulated) -> String {
    format!("/apis/cilium.io/v2/ciliumnodes/{}", node.name())
}

/// The first address of a CiliumNode's range.
pub(super) fn range_of(node: &Value) -> Option<Ipv4Addr> {
    let text = node.pointer("/spec/ipam/podCIDRs/0")?.as_str()?;
    text.split('/').next()?.parse().ok()
}
