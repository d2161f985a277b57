//! What this node tells the others: a CiliumNode for itself and a CiliumEndpoint for each of its pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::cilium::{
    AddressPair, CiliumEndpoint, CiliumNode, EncryptionKey, EndpointIdentity, EndpointNetworking,
    EndpointStatus, ExternalIdentifiers, HealthAddresses, IpamSpec, NamedPort, NodeAddressEntry,
    NodeResourceSpec,
};
use api::kubernetes::{ObjectMeta, OwnerReference};
use futures::{StreamExt, stream};
use ipnet::IpNet;
use model::endpoint::{EndpointRow, PodName};
use model::node::{IpPair, NodeObject};
use reconcile::{
    Backoff, Fetched, Options, Reconciler, StatusReader, Step, Table, TableWriter, Target,
};
use serde_json::json;
use store::{Client, Error};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::{Config, Ipam};
use crate::inputs::{RemoteEndpoint, announced_row, heard_of};
use crate::node::Addressing;
use crate::view::ViewReader;

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// What is said of one pod; the uid ties the object to its pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    /// uid of the pod.
    pub pod_uid: Arc<str>,
    /// The object's status.
    pub status: EndpointStatus,
}

/// CiliumEndpoints of this node.
pub struct Endpoints {
    client: Client,
    /// Address by which the others know this node.
    node: String,
    /// Endpoints of all nodes, as every agent hears of them.
    heard: Table<PodName, RemoteEndpoint>,
    /// Objects of this node as they were last read or written. No table: steps that run at once write it, and nobody follows it.
    known: Mutex<BTreeMap<PodName, Announced>>,
}

impl Target for Endpoints {
    type Key = PodName;
    type Value = Announced;
    type Cursor = ();
    type Error = Error;

    /// No list: that would be all endpoints of the cluster for each of its nodes. What is heard of anyway names those of this
    /// node, and only those are read of which something else is heard than was last read or written.
    async fn fetch(&self, _: Option<()>) -> Result<Fetched<PodName, Announced, ()>, Error> {
        let heard = self.heard.until_initialized().await;
        let (mut entries, mut doubtful) = (Vec::new(), Vec::new());
        {
            let known = self.known();
            let is_ours = |row: &RemoteEndpoint| {
                let node = row.node.map(|address| address.to_string());
                node.is_some_and(|node| node == self.node)
            };
            let own = heard.iter().filter(|(_, row)| is_ours(row));
            let names: BTreeSet<&PodName> = own.map(|(name, _)| name).chain(known.keys()).collect();
            for name in names {
                let same = |of: &&Announced| heard_of(&of.status).as_ref() == heard.get(name);
                match known.get(name).filter(same) {
                    Some(value) => entries.push((name.clone(), value.clone())),
                    None => doubtful.push(name.clone()),
                }
            }
        }
        let mut reads = stream::iter(doubtful)
            .map(|name| self.read(name))
            .buffer_unordered(AT_ONCE);
        while let Some(found) = reads.next().await {
            entries.extend(found?);
        }
        Ok(Fetched {
            entries,
            next: None,
        })
    }

    async fn apply(&self, step: &Step<PodName, Announced>) -> Result<(), Error> {
        let key = step.key();
        // What fails may have had its effect.
        self.known().remove(key);
        let Some(value) = step.to() else {
            let namespace = Some(&*key.namespace);
            return self
                .client
                .delete::<CiliumEndpoint>(namespace, &key.name)
                .await;
        };
        self.write(key, value).await?;
        self.known().insert(key.clone(), Announced::clone(value));
        Ok(())
    }
}

impl Endpoints {
    fn known(&self) -> MutexGuard<'_, BTreeMap<PodName, Announced>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of that name, if it is of this node.
    async fn read(&self, name: PodName) -> Result<Option<(PodName, Announced)>, Error> {
        self.known().remove(&name);
        let found = self
            .client
            .get::<CiliumEndpoint>(Some(&name.namespace), &name.name)
            .await;
        let object = match found {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        let networking = object.status.networking.as_ref();
        if networking.is_none_or(|of| of.node != self.node) {
            return Ok(None);
        }
        let owner = object.metadata.owner_references.first();
        let announced = Announced {
            pod_uid: owner.map_or("", |owner| &owner.uid).into(),
            status: object.status,
        };
        self.known().insert(name.clone(), announced.clone());
        Ok(Some((name, announced)))
    }

    async fn write(&self, key: &PodName, value: &Announced) -> Result<(), Error> {
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: key.name.to_string(),
            uid: value.pod_uid.to_string(),
            ..OwnerReference::default()
        };
        let object = CiliumEndpoint {
            metadata: ObjectMeta {
                name: key.name.to_string(),
                namespace: key.namespace.to_string(),
                owner_references: vec![owner],
                ..ObjectMeta::default()
            },
            status: value.status.clone(),
            ..CiliumEndpoint::default()
        };
        match self.client.create(&object).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => {
                // It is there already: of this pod before a change, or of a former pod of the same name.
                let patch = json!({ "metadata": { "ownerReferences": object.metadata.owner_references }, "status": value.status });
                self.client
                    .merge::<CiliumEndpoint>(Some(&key.namespace), &key.name, None, &patch)
                    .await
                    .map(|_| ())
            }
            Err(error) => Err(error),
        }
    }
}

/// The reconciler of this node's CiliumEndpoints, and its status.
pub fn endpoints(
    client: Client,
    addressing: &Addressing,
    heard: Table<PodName, RemoteEndpoint>,
    desired: Table<PodName, Announced>,
) -> (Reconciler<Endpoints>, StatusReader<PodName>) {
    let target = Endpoints {
        client,
        node: node_address(addressing),
        heard,
        known: Mutex::default(),
    };
    Reconciler::new(
        "announced endpoints",
        target,
        desired,
        Options {
            concurrency: AT_ONCE,
            // No request, as long as others hear what they should.
            full_fetch_every: Duration::from_secs(30),
            // After an outage of the store other nodes wait for this to reach new pods.
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(4)),
            ..Options::default()
        },
    )
}

fn node_address(addressing: &Addressing) -> String {
    let v4 = addressing.node_ipv4.map(|a| a.to_string());
    v4.or_else(|| addressing.node_ipv6.map(|a| a.to_string()))
        .unwrap_or_default()
}

/// Keeps the desired table at what is in force, until `stop`.
pub async fn follow(
    mut view: ViewReader,
    addressing: Addressing,
    mut writer: TableWriter<PodName, Announced>,
    stop: CancellationToken,
) {
    let node = node_address(&addressing);
    let mut last: Option<Vec<EndpointRow>> = None;
    loop {
        let now = view.get();
        // Endpoints are restored before anything is published, so any state that was published is complete.
        let endpoints: Vec<EndpointRow> = now.endpoints.iter().map(without_revision).collect();
        let complete = now.revision > 0 || now.waiting_for.is_empty();
        if complete && last.as_ref() != Some(&endpoints) {
            let rows: BTreeMap<PodName, Announced> = endpoints
                .iter()
                .filter_map(|row| announced(row, &node))
                .collect();
            writer.replace(rows);
            writer.mark_initialized("endpoints");
            last = Some(endpoints);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
        }
    }
}

/// What every change of a policy changes is not announced.
fn without_revision(row: &EndpointRow) -> EndpointRow {
    EndpointRow {
        policy_revision: 0,
        ..row.clone()
    }
}

fn announced(row: &EndpointRow, node: &str) -> Option<(PodName, Announced)> {
    let pod = row.pod.clone()?;
    let identity = row.identity?;
    let text = |address: Option<String>| address.unwrap_or_default();
    let status = EndpointStatus {
        id: Some(row.id.0.into()),
        external_identifiers: Some(ExternalIdentifiers {
            container_id: row.container_id.to_string(),
            cni_attachment_id: format!("{}:{}", row.container_id, row.container_interface),
            pod_name: pod.to_string(),
            k8s_pod_name: pod.name.to_string(),
            k8s_namespace: pod.namespace.to_string(),
            ..ExternalIdentifiers::default()
        }),
        identity: Some(EndpointIdentity {
            id: identity.0.into(),
            labels: row.labels.to_texts(),
        }),
        networking: Some(EndpointNetworking {
            node: node.to_owned(),
            addressing: vec![AddressPair {
                ipv4: text(row.ips.v4.map(|a| a.to_string())),
                ipv6: text(row.ips.v6.map(|a| a.to_string())),
            }],
        }),
        encryption: Some(EncryptionKey::default()),
        named_ports: row
            .named_ports
            .iter()
            .map(|port| NamedPort {
                name: port.name.to_string(),
                port: port.port,
                protocol: port.protocol.to_string(),
            })
            .collect(),
        state: row.state().to_string(),
        service_account: row
            .service_account
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        ..EndpointStatus::default()
    };
    Some((
        pod,
        Announced {
            pod_uid: row.pod_uid.clone().unwrap_or_else(|| "".into()),
            status,
        },
    ))
}

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
