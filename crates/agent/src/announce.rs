//! What this node tells the others: a CiliumNode for itself and a CiliumEndpoint for each of its pods.

mod endpoints;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{CiliumNode, HealthAddresses, IpamSpec, NodeAddressEntry, NodeResourceSpec};
use api::kubernetes::{ObjectMeta, OwnerReference};
use ipnet::IpNet;
use model::node::{IpPair, NodeObject};
use reconcile::{Backoff, Table};
use store::{Client, Error};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::{Config, Ipam};
use crate::inputs::announced_row;
use crate::node::Addressing;

pub use endpoints::{Announced, Endpoints, endpoints, follow};

/// How long after an announcement it is looked whether it is still there.
const PAUSE: Duration = Duration::from_secs(1);
/// Pauses after announcements that failed.
const RETRY: Backoff = Backoff::new(PAUSE, Duration::from_secs(15));

/// The same, after one that changed ranges of pools: pods may wait for the answer.
const GATHER: Duration = Duration::from_millis(100);
/// How often the operator's answer is looked at while a pod waits for an address, at first and at last.
const LOOK: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(15));
/// How often it is looked whether ranges of pools are idle.
const IDLE: Duration = Duration::from_secs(5);

/// Where the ranges of a node's pods come from.
#[derive(Clone)]
pub enum Origin {
    /// From its Node, to be repeated.
    Node,
    /// The operator writes them.
    Operator,
    /// The operator writes what is asked for there.
    Pools(Box<Addresses>),
}

impl Origin {
    /// As the configuration says; with pools, those of `addresses`.
    pub fn of(config: &Config, addresses: &Addresses) -> Self {
        match config.ipam {
            Ipam::Kubernetes => Self::Node,
            Ipam::ClusterPool => Self::Operator,
            Ipam::MultiPool => Self::Pools(Box::new(addresses.clone())),
        }
    }

    fn pools(&self) -> Option<&Addresses> {
        match self {
            Self::Pools(addresses) => Some(addresses),
            Self::Node | Self::Operator => None,
        }
    }

    /// Whether what is announced has the ranges that it should have.
    fn agrees(&self, found: &NodeObject, wanted: &NodeObject) -> bool {
        match self {
            Self::Node => found.pod_cidrs == wanted.pod_cidrs,
            Self::Operator => true,
            Self::Pools(addresses) => {
                let there: BTreeSet<IpNet> = found.pod_cidrs.iter().copied().collect();
                there == addresses.said().into_iter().collect()
            }
        }
    }

    /// Brings the ranges of an object that is there into line.
    fn write(&self, object: &CiliumNode, there: &mut CiliumNode) {
        let (ours, theirs) = (&object.spec.ipam, &mut there.spec.ipam);
        match self {
            Self::Node => theirs.pod_cidrs.clone_from(&ours.pod_cidrs),
            Self::Operator => {}
            Self::Pools(addresses) => theirs.pools = addresses.wish(theirs.pools.as_ref()),
        }
    }
}

/// Keeps this node's CiliumNode in the store until `stop`: who deletes or changes it cuts this node's pods off from the others.
pub async fn keep_node(
    client: Client,
    mut object: CiliumNode,
    origin: Origin,
    mut health: Told,
    announced: Table<Arc<str>, NodeObject>,
    stop: CancellationToken,
) {
    let pools = origin.pools();
    let is_there = |object: &CiliumNode, health: Option<IpPair>| {
        let (name, wanted) = announced_row(object);
        let table = announced.snapshot();
        let found = table.get(&name).is_some_and(|found| {
            found.addresses == wanted.addresses
                && origin.agrees(found, &wanted)
                && health.is_none_or(|health| found.health == health)
        });
        found || !table.is_initialized()
    };
    let mut changed = announced.subscribe();
    let mut of_pools = pools.map(Addresses::changes);
    let work = async {
        let (mut failures, mut looks) = (0, 1);
        loop {
            let told = *health.borrow_and_update();
            object.spec.health = told.and_then(health_addresses);
            // One that is made anew says what is in use, so that nobody else is given it.
            object.spec.ipam.pools = pools.and_then(|pools| pools.wish(None));
            let moved = match announce_node(&client, &object, &origin, told).await {
                Ok(there) => pools.is_some_and(|pools| pools.take_in(&there)),
                Err(error) => {
                    tracing::warn!(%error, "this node is not announced yet, trying again");
                    failures += 1;
                    let pause = RETRY.after(failures, &mut rand::rng());
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            failures = 0;
            tokio::time::sleep(if moved { GATHER } else { PAUSE }).await;
            let waiting = || pools.is_some_and(Addresses::is_waiting);
            looks = if waiting() { looks + 1 } else { 1 };
            let look = tokio::time::sleep(LOOK.after(looks, &mut rand::rng()));
            tokio::pin!(look);
            while is_there(&object, told) && *health.borrow() == told {
                if pools.is_some_and(Addresses::has_news) {
                    break;
                }
                tokio::select! {
                    _ = changed.changed() => {}
                    // Who tells it is gone only when the agent stops.
                    Ok(()) = health.changed() => {}
                    () = until_changed(&mut of_pools) => {}
                    () = &mut look, if waiting() => break,
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Returns after an address of a pool was given or given back, or after a while.
async fn until_changed(of_pools: &mut Option<watch::Receiver<()>>) {
    match of_pools {
        Some(changes) => drop(tokio::time::timeout(IDLE, changes.changed()).await),
        None => std::future::pending().await,
    }
}

/// The addresses of the node's health endpoint: none if it has none. `None` as long as it is not known; what the store has
/// stays until then.
pub type Told = watch::Receiver<Option<IpPair>>;

fn health_addresses(pair: IpPair) -> Option<HealthAddresses> {
    (!pair.is_empty()).then(|| HealthAddresses {
        ipv4: pair.v4.map(|v4| v4.to_string()).unwrap_or_default(),
        ipv6: pair.v6.map(|v6| v6.to_string()).unwrap_or_default(),
    })
}

/// This node's CiliumNode: addresses, routers, ranges.
pub fn node_object(config: &Config, addressing: &Addressing, uid: &str) -> CiliumNode {
    let entry = |kind: &str, ip: String| NodeAddressEntry {
        address_type: kind.to_owned(),
        ip,
    };
    let v4 = addressing
        .node_ipv4
        .map(|a| entry("InternalIP", a.to_string()));
    let v6 = addressing
        .node_ipv6
        .map(|a| entry("InternalIP", a.to_string()));
    let routers = addressing
        .routers()
        .map(|a| entry("CiliumInternalIP", a.to_string()));
    let ranges = addressing.pods_ipv4.map(|n| n.to_string()).into_iter();
    let ranges = ranges.chain(addressing.pods_ipv6.map(|n| n.to_string()));
    // Those of pools stand elsewhere.
    let ranges = ranges.filter(|_| config.ipam != Ipam::MultiPool);
    let spec = NodeResourceSpec {
        addresses: v4.into_iter().chain(v6).chain(routers).collect(),
        ipam: IpamSpec {
            pod_cidrs: ranges.collect(),
            ..IpamSpec::default()
        },
        ..NodeResourceSpec::default()
    };
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: config.node.clone(),
        uid: uid.into(),
        ..Default::default()
    };
    CiliumNode {
        metadata: ObjectMeta {
            name: config.node.clone(),
            owner_references: vec![owner],
            ..ObjectMeta::default()
        },
        spec,
        ..CiliumNode::default()
    }
}

/// The addresses and ranges of an object that is there already become ours; nothing is written when they are. Ranges that
/// the operator gives are told to it again only when the object is made anew.
async fn announce_node(
    client: &Client,
    object: &CiliumNode,
    origin: &Origin,
    health: Option<IpPair>,
) -> Result<CiliumNode, Error> {
    let ours = |there: &mut CiliumNode| {
        there.spec.addresses.clone_from(&object.spec.addresses);
        if health.is_some() {
            there.spec.health.clone_from(&object.spec.health);
        }
        origin.write(object, there);
    };
    client.ensure(object, ours).await
}
