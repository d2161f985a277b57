//! A relay over nodes in this process, with counts and flows that are made up: what the web interface is tried on.
//!
//! `relay_over_rows [--crowd] [--missing] [--quiet]` prints the address of its web interface and that of its flow server, and serves until it
//! is killed. `--crowd`: 1,000 workloads and 5,000 edges. `--missing`: a node that does not answer, and records that were lost. `--quiet`: nothing happens.

mod flows;
mod rows;
mod said;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::hubble::answers::answers_server::AnswersServer;
use api::hubble::observer::observer_server::ObserverServer;
use api::hubble::peer::peer_server::PeerServer;
use hubble::answers::Answers;
use hubble::intake::Intake;
use hubble::names::NoNames;
use hubble::observer::{Config as ObserverConfig, Observer};
use hubble::peer::{PeerConfig, PeerNode, PeerService, PeerTls, Prefer};
use hubble::relay::config::{Config, Given};
use hubble::relay::wiring::Relay;
use hubble::ring::{Capacity, Ring};
use rows::{Rate, Told};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

const NODES: u8 = 3;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let says = |word: &str| words.iter().any(|of| of == word);
    let rates = match (says("--quiet"), says("--crowd")) {
        (true, _) => Vec::new(),
        (_, true) => rows::crowd(),
        _ => rows::shop(),
    };
    tokio::runtime::Runtime::new()?.block_on(serve(rates, says("--missing")))
}

async fn serve(rates: Vec<Rate>, missing: bool) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let (announce, announced) = watch::channel(Arc::from([]));
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    for number in 2..=NODES {
        listeners.push(TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), port)).await?);
    }
    let peer = |number: u8| PeerNode {
        cluster: "default".into(),
        name: format!("node-{number}"),
        addresses: vec![Ipv4Addr::new(127, 0, 0, number).into()],
    };
    let quiet = rates.is_empty();
    for (index, listener) in listeners.into_iter().enumerate() {
        // Every node has a part of the edges.
        let own = rates.iter().skip(index).step_by(usize::from(NODES));
        let rows = Told {
            rates: own.cloned().collect(),
            lost: if missing { 120 } else { 0 },
        };
        let name = format!("node-{}", index + 1);
        let intake = Intake::new(Arc::new(Ring::new(Capacity::default())), Arc::new(NoNames));
        let peering = PeerConfig {
            port,
            prefer: Prefer::Ipv4,
            tls: PeerTls::Plain,
        };
        let peering = PeerService::new(announced.clone(), peering, stop.clone());
        let config = ObserverConfig {
            node: name.clone(),
            ..ObserverConfig::default()
        };
        let observer = Observer::new(&intake, config, stop.clone());
        let server = tonic::transport::Server::builder()
            .add_service(ObserverServer::new(observer))
            .add_service(PeerServer::new(peering))
            .add_service(AnswersServer::new(Answers::new(Arc::new(rows))))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        if !quiet {
            tokio::spawn(flows::come(intake, name, index));
        }
    }
    let last = if missing { NODES + 1 } else { NODES };
    announce.send_replace((1..=last).map(peer).collect());
    relay(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), stop).await
}

/// Serves for browsers what the nodes behind this peer service tell.
async fn relay(service: SocketAddr, stop: CancellationToken) -> anyhow::Result<()> {
    let relay = Relay::bind(config(&service.to_string())?).await?;
    let address = relay
        .web_address()
        .ok_or_else(|| anyhow::anyhow!("no web listener"))?;
    let server = relay
        .address()
        .ok_or_else(|| anyhow::anyhow!("no listener"))?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{address} {server}")?;
    out.flush()?;
    relay.run(stop).await?;
    Ok(())
}

fn config(peer_service: &str) -> anyhow::Result<Config> {
    let pairs = [
        ("peer-service", peer_service),
        ("listen-address", "127.0.0.1:0"),
        ("health-listen-address", ""),
        ("web-listen-address", "127.0.0.1:0"),
        ("disable-server-tls", "true"),
        ("disable-client-tls", "true"),
    ];
    Ok(Config::new(&Given::from_pairs(pairs))?)
}
