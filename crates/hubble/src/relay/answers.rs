//! The rows of all nodes, asked for at once; who does not answer in time is named.

use std::time::Duration;

use api::hubble::answers::answers_client::AnswersClient;
use api::hubble::answers::{Part, Question};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryStreamExt};
use reconcile::Table;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::link::Link;
use super::pool::Peer;
use crate::answers::{Gathered, Rows};

/// How long a node may take for its rows.
const LIMIT: Duration = Duration::from_secs(5);

/// All nodes.
pub(super) struct Nodes {
    peers: Table<String, Peer>,
}

impl Nodes {
    /// The nodes of a table.
    pub(super) const fn new(peers: Table<String, Peer>) -> Self {
        Self { peers }
    }

    /// All nodes, and the connections to those that can be asked.
    pub(super) fn links(&self) -> Vec<(String, Option<Link>)> {
        let peers = self.peers.snapshot();
        let links = peers
            .iter()
            .map(|(name, peer)| (name.clone(), peer.link().cloned()));
        links.collect()
    }
}

impl Rows for Nodes {
    async fn rows(&self, question: Question, _: &MetadataMap) -> Result<Gathered, Status> {
        let peers = self.peers.snapshot();
        let mut answers: FuturesUnordered<_> = peers
            .iter()
            .map(|(name, peer)| {
                let asked = peer.link().cloned().map(|link| ask(link, question.clone()));
                let name = name.clone();
                async move {
                    let answer = match asked {
                        None => Err(Status::unavailable("not connected")),
                        Some(asked) => {
                            tokio::time::timeout(LIMIT, asked)
                                .await
                                .unwrap_or_else(|_| {
                                    Err(Status::deadline_exceeded("no answer in time"))
                                })
                        }
                    };
                    (name, answer)
                }
                .boxed()
            })
            .collect();
        let mut gathered = Gathered::default();
        while let Some((name, answer)) = answers.next().await {
            match answer {
                Ok(parts) => {
                    gathered.nodes += 1;
                    for part in parts {
                        gathered.add(part);
                    }
                }
                Err(status) => {
                    tracing::warn!(peer = name, %status, "its rows are missing");
                    gathered.missing.push(name);
                }
            }
        }
        gathered.missing.sort();
        Ok(gathered)
    }
}

/// The rows of one server: of a node, or of a relay.
pub(super) async fn ask(link: Link, question: Question) -> Result<Vec<Part>, Status> {
    let origin = link.origin();
    let mut client = AnswersClient::with_origin(link, origin);
    let parts = client.get_rows(question).await?.into_inner();
    parts.try_collect().await
}
