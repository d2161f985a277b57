//! The service `peer.Peer`: which nodes serve flows, fed by a watch of nodes.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use api::hubble::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, Tls, peer_server,
};
use futures::Stream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// A node as peers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNode {
    /// Cluster of the node.
    pub cluster: String,
    /// Name of the node.
    pub name: String,
    /// Addresses of the node, at most one of each family is used.
    pub addresses: Vec<IpAddr>,
}

/// Which family of a node's addresses is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// IPv4 if there is one.
    #[default]
    Ipv4,
    /// IPv6 if there is one.
    Ipv6,
}

/// Whether the port of the peers speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerTls {
    /// It does not.
    Plain,
    /// It does, and certificates carry names made of node and cluster.
    Named,
}

/// How peers are reached.
#[derive(Clone, Copy, Debug)]
pub struct PeerConfig {
    /// TCP port of the observer on every node.
    pub port: u16,
    /// Preferred family.
    pub prefer: Prefer,
    /// Whether it is served with TLS.
    pub tls: PeerTls,
}

/// Name of a node in flows, peers and lists: without its cluster when that is the default one.
pub fn peer_name(cluster: &str, node: &str) -> String {
    match cluster {
        "" | "default" => node.to_owned(),
        cluster => format!("{cluster}/{node}"),
    }
}

/// Name in the certificate of a node's server.
pub fn server_name(cluster: &str, node: &str) -> String {
    let cluster = if cluster.is_empty() {
        "default"
    } else {
        cluster
    };
    format!(
        "{}.{}.hubble-grpc.cilium.io",
        node.replace('.', "-"),
        cluster.replace('.', "-")
    )
}

/// Tells of nodes, and of their changes.
#[derive(Clone)]
pub struct PeerService {
    nodes: watch::Receiver<Arc<[PeerNode]>>,
    config: PeerConfig,
    shutdown: CancellationToken,
}

impl PeerService {
    /// A service that follows `nodes`; its streams end when `shutdown` is cancelled.
    pub fn new(
        nodes: watch::Receiver<Arc<[PeerNode]>>,
        config: PeerConfig,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            nodes,
            config,
            shutdown,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    address: String,
    server_name: Option<String>,
}

impl PeerConfig {
    fn peers(self, nodes: &[PeerNode]) -> BTreeMap<String, Peer> {
        nodes
            .iter()
            .map(|node| {
                let preferred = |address: &&IpAddr| match self.prefer {
                    Prefer::Ipv4 => address.is_ipv4(),
                    Prefer::Ipv6 => address.is_ipv6(),
                };
                let address = node
                    .addresses
                    .iter()
                    .find(preferred)
                    .or_else(|| node.addresses.first());
                let peer = Peer {
                    address: address
                        .map(|address| SocketAddr::new(*address, self.port).to_string())
                        .unwrap_or_default(),
                    server_name: (self.tls == PeerTls::Named)
                        .then(|| server_name(&node.cluster, &node.name)),
                };
                (peer_name(&node.cluster, &node.name), peer)
            })
            .collect()
    }
}

/// What to tell one client. The state of the watch is compared with what the client knows, so a slow client skips
/// states but never misses the last one.
struct Notifications {
    service: PeerService,
    known: BTreeMap<String, Peer>,
    pending: VecDeque<ChangeNotification>,
}

impl Notifications {
    fn compare(&mut self) {
        let now = {
            let nodes = self.service.nodes.borrow_and_update();
            self.service.config.peers(&nodes)
        };
        for (name, peer) in &self.known {
            if !now.contains_key(name) {
                self.pending.push_back(notification(
                    name,
                    peer,
                    ChangeNotificationType::PeerDeleted,
                ));
            }
        }
        for (name, peer) in &now {
            let kind = match self.known.get(name) {
                None => ChangeNotificationType::PeerAdded,
                Some(known) if known != peer => ChangeNotificationType::PeerUpdated,
                Some(_) => continue,
            };
            self.pending.push_back(notification(name, peer, kind));
        }
        self.known = now;
    }

    async fn next(&mut self) -> Option<ChangeNotification> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Some(change);
            }
            tokio::select! {
                changed = self.service.nodes.changed() => changed.ok()?,
                () = self.service.shutdown.cancelled() => return None,
            }
            self.compare();
        }
    }
}

fn notification(name: &str, peer: &Peer, kind: ChangeNotificationType) -> ChangeNotification {
    ChangeNotification {
        name: name.to_owned(),
        address: peer.address.clone(),
        r#type: kind.into(),
        tls: peer
            .server_name
            .clone()
            .map(|server_name| Tls { server_name }),
    }
}

#[tonic::async_trait]
impl peer_server::Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let mut notifications = Notifications {
            service: self.clone(),
            known: BTreeMap::new(),
            pending: VecDeque::new(),
        };
        notifications.compare();
        let stream = futures::stream::unfold(notifications, |mut notifications| async move {
            let change = notifications.next().await?;
            Some((Ok(change), notifications))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

#[cfg(test)]
mod tests;
