//! The other node's half: which flow server has it, and what that one saw.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use api::hubble::peer::{ChangeNotification, NotifyRequest, peer_client::PeerClient};

use super::party::{Place, Question};
use super::seen::{Half, asked};
use crate::dbg::FLOW_SOCKET;
use crate::hubble::connect::ConnectArgs;

/// Port of flow servers where nothing else is said.
const PORT: u16 = 4244;
/// How long the local server may take to name its peers; it names all of them at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Flags that say which flow servers are asked, and how.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Servers {
    /// Flow server of the other node: host:port, tls://host:port or unix:///path [default: as the server of this node names it,
    /// else the node's address and port 4244]
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    pub(super) peer_server: Option<String>,
    /// `--server` is that of this node; what encrypts the connection is for both, and not for unix sockets.
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

impl Servers {
    /// The flow server of this node.
    pub(super) fn local(&self) -> ConnectArgs {
        match &self.connect.server {
            None => ConnectArgs::to(FLOW_SOCKET.to_owned()),
            Some(server) if server.starts_with("unix://") => ConnectArgs::to(server.clone()),
            Some(_) => self.connect.clone(),
        }
    }
}

/// A flow server of another node.
struct Server {
    /// How the node is called, for sentences.
    node: String,
    address: String,
    /// Name in its certificate, when it is known to have one.
    certificate: Option<String>,
}

/// What the other node's server saw; nothing where no party is elsewhere.
pub(super) fn ask(servers: &Servers, question: &Question) -> Option<Half> {
    let elsewhere = elsewhere(question);
    let server = match (&servers.peer_server, elsewhere) {
        (Some(address), elsewhere) => Server {
            node: elsewhere.map_or_else(|| "the other node".to_owned(), |(node, _)| called(&node)),
            address: address.clone(),
            certificate: None,
        },
        (None, Some((node, address))) => match announced(servers.local(), &node) {
            Some(peer) => Server {
                node: called(&node),
                address: peer.address,
                certificate: peer.tls.map(|tls| tls.server_name),
            },
            None => Server {
                node: called(&node),
                address: SocketAddr::new(address, PORT).to_string(),
                certificate: None,
            },
        },
        (None, None) => return None,
    };
    Some(Half::of(ask_server(servers, &server, question)))
}

fn called(node: &str) -> String {
    format!("node {node}")
}

fn ask_server(
    servers: &Servers,
    server: &Server,
    question: &Question,
) -> anyhow::Result<Vec<String>> {
    let mut args = crate::hubble::completed(servers.connect.clone())?;
    let has_certificates =
        args.tls_client_cert_file.is_some() || !args.tls_ca_cert_files.is_empty();
    anyhow::ensure!(
        server.certificate.is_none() || has_certificates,
        "the flow server of {} at {} wants TLS: name --tls-ca-cert-files, --tls-client-cert-file and --tls-client-key-file",
        server.node,
        server.address
    );
    args.server = Some(server.address.clone());
    if has_certificates && args.tls.is_none() {
        args.tls = Some(true);
    }
    args.tls_server_name = args.tls_server_name.or_else(|| server.certificate.clone());
    asked(args, question)
        .with_context(|| format!("the flow server of {} at {}", server.node, server.address))
}

/// The node that is not this one, and an address of it.
fn elsewhere(question: &Question) -> Option<(String, IpAddr)> {
    let parties = question.targets.iter().map(|(to, _)| to);
    parties
        .chain([&question.from])
        .find_map(|party| match &party.place {
            Place::There { node, address } => Some((node.clone(), address.parse().ok()?)),
            _ => None,
        })
}

/// What the local server tells of a node; nothing when it does not answer or does not know it.
fn announced(local: ConnectArgs, node: &str) -> Option<ChangeNotification> {
    let notified = crate::program::block_on(async {
        let connection = crate::hubble::connection(local).await?;
        let peers = PeerClient::new(connection).notify(NotifyRequest {}).await?;
        let mut peers = peers.into_inner();
        while let Ok(Some(peer)) = tokio::time::timeout(PATIENCE, peers.message()).await? {
            // A node of another cluster than the default one is called CLUSTER/NODE.
            if peer.name == node || peer.name.ends_with(&format!("/{node}")) {
                return Ok(peer);
            }
        }
        anyhow::bail!("the server ended")
    });
    notified.ok().filter(|peer| !peer.address.is_empty())
}

#[cfg(test)]
mod tests;
