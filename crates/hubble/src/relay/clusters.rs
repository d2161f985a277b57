//! Other clusters: their relays are asked for rows. What they are asked is of their own cluster, so that nobody asks in circles.

use std::sync::Arc;
use std::time::Duration;

use api::hubble::answers::{Edge, Party, PartyKind, Question};
use futures::future::join_all;
use reconcile::{Table, TaskGroup};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::answers::{Nodes, ask};
use super::link::{ClientFiles, Dialer};
use super::pool::{Announced, Peer, Pool, Times};
use crate::answers::{Gathered, Rows};

/// How long another relay may take: longer than it lets its own nodes.
const LIMIT: Duration = Duration::from_secs(8);
/// Asks for the rows of all clusters.
const ALL: &str = "all";

/// The relay of another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Name of the cluster.
    pub name: String,
    /// Address of its relay.
    pub address: String,
}

/// The relays of other clusters, and the certificates towards them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClustersConfig {
    /// Each name once.
    pub relays: Vec<Cluster>,
    /// None for plain text.
    pub client: Option<ClientFiles>,
}

/// The name that the certificate of a cluster's relay must have.
fn server_name(cluster: &str) -> String {
    format!("{cluster}.hubble-relay.cilium.io")
}

/// Keeps a connection to each of the relays.
pub(super) fn connect(
    config: ClustersConfig,
    dialer: Dialer,
    times: Times,
    tasks: &TaskGroup,
) -> Table<String, Peer> {
    let (mut announcing, announced) = Table::new("relays of clusters", &[]);
    let (keeping, relays) = Table::new("connections to clusters", &[]);
    let encrypted = dialer.is_encrypted();
    for Cluster { name, address } in config.relays {
        let server_name = encrypted.then(|| server_name(&name));
        announcing.set(
            name,
            Announced {
                address,
                server_name,
            },
        );
    }
    let pool = Pool::new(announced, keeping, Arc::new(dialer), times, tasks.clone());
    tasks.spawn("clusters", move |stop| async move {
        // The pool ends with its table.
        let _announcing = announcing;
        pool.run(stop).await;
    });
    relays
}

/// The nodes of this cluster, and other clusters.
pub(super) struct Clusters {
    /// Name of this one.
    own: String,
    nodes: Arc<Nodes>,
    relays: Table<String, Peer>,
}

impl Clusters {
    /// This cluster is called `own`.
    pub(super) const fn new(own: String, nodes: Arc<Nodes>, relays: Table<String, Peer>) -> Self {
        Self { own, nodes, relays }
    }

    async fn of_own(&self, question: Question, asker: &MetadataMap) -> Result<Gathered, Status> {
        let mut gathered = self.nodes.rows(question, asker).await?;
        mark(&mut gathered, &self.own);
        Ok(gathered)
    }

    /// What another cluster has; one that does not answer is named.
    async fn of_other(&self, name: &str, question: Question) -> Gathered {
        let peer = self.relays.snapshot().get(&name.to_owned()).cloned();
        let answer = match peer.as_ref().and_then(|peer| peer.link()) {
            None => Err(Status::unavailable("not connected")),
            Some(link) => tokio::time::timeout(LIMIT, ask(link.clone(), question))
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))),
        };
        let mut gathered = Gathered::default();
        match answer {
            Ok(parts) => {
                for mut part in parts {
                    gathered.nodes = gathered.nodes.saturating_add(part.nodes);
                    let missing = part.missing.drain(..);
                    gathered
                        .missing
                        .extend(missing.map(|node| format!("{name}/{node}")));
                    gathered.add(part);
                }
                mark(&mut gathered, name);
            }
            Err(status) => {
                tracing::warn!(cluster = name, %status, "its rows are missing");
                gathered.missing_clusters.push(name.to_owned());
            }
        }
        gathered
    }
}

impl Rows for Clusters {
    async fn rows(&self, question: Question, asker: &MetadataMap) -> Result<Gathered, Status> {
        let wanted = question.cluster.clone();
        let question = Question {
            cluster: String::new(),
            ..question
        };
        if wanted.is_empty() {
            return self.nodes.rows(question, asker).await;
        }
        if wanted == self.own {
            return self.of_own(question, asker).await;
        }
        let known: Vec<String> = self.relays.snapshot().keys().cloned().collect();
        if known.contains(&wanted) {
            return Ok(self.of_other(&wanted, question).await);
        }
        if wanted != ALL {
            return Err(unknown(&wanted, &self.own, &known));
        }
        let others = known
            .iter()
            .map(|name| self.of_other(name, question.clone()));
        let (own, others) = tokio::join!(self.of_own(question.clone(), asker), join_all(others));
        let mut all = own?;
        for other in others {
            all.join(other);
        }
        Ok(all)
    }
}

fn unknown(wanted: &str, own: &str, known: &[String]) -> Status {
    let mut names = vec![own.to_owned()];
    names.extend_from_slice(known);
    Status::invalid_argument(format!(
        "cluster: no relay of {wanted:?} is known here, only of {}",
        names.join(", ")
    ))
}

/// Says of each end that is of the cluster, and that its node does not say it of, that it is.
fn mark(gathered: &mut Gathered, cluster: &str) {
    let edges = gathered.rows.iter_mut().filter_map(|row| row.edge.as_mut());
    let ends = edges.flat_map(
        |Edge {
             source,
             destination,
             ..
         }| [source, destination],
    );
    for party in ends.flatten().filter(|party| is_inside(party)) {
        if party.cluster.is_empty() {
            cluster.clone_into(&mut party.cluster);
        }
    }
}

/// The world is one, and so is whoever has a DNS name; each cluster has hosts of its own.
fn is_inside(party: &Party) -> bool {
    match party.kind() {
        PartyKind::Workload => true,
        PartyKind::Entity => party.name != "world",
        PartyKind::DnsName | PartyKind::Address => false,
    }
}
