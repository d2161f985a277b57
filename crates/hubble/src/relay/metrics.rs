//! `GET /metrics`: the pool's connections, the calls, the process.

use std::sync::Arc;

use daemon::metrics::Process;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};
use reconcile::Table;

use super::pool::{Peer, State};
use crate::calls::Calls;

/// States of a connection as they are named in the metric; always all of them.
const STATES: [&str; 6] = [
    "IDLE",
    "CONNECTING",
    "READY",
    "TRANSIENT_FAILURE",
    "SHUTDOWN",
    "NIL_CONNECTION",
];

fn state(peer: &Peer) -> &'static str {
    match peer.state {
        State::Unreachable => "NIL_CONNECTION",
        State::Connecting => "CONNECTING",
        State::Ready(_) => "READY",
        State::Failed(_) => "TRANSIENT_FAILURE",
    }
}

/// What is shown to scrapers.
pub(super) fn registry(peers: Table<String, Peer>, calls: Arc<Calls>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Connections(peers)));
    registry.register_collector(Box::new(calls));
    registry.register_collector(Box::new(Process));
    registry
}

/// Peers by the state of their connection.
struct Connections(Table<String, Peer>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) = (
            "hubble_relay_pool_peer_connection_status",
            "Peers by the state of their connection.",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let peers = self.0.snapshot();
        for wanted in STATES {
            let of = peers.iter().filter(|(_, peer)| state(peer) == wanted);
            let number = ConstGauge::new(of.count());
            number.encode(family.encode_family(&[("status", wanted)])?)?;
        }
        Ok(())
    }
}
