//! `GET /metrics`: the pool's connections, the calls, the process.

use std::{fmt::Write as _, fs, sync::Arc};

use axum::{Router, http::header, routing::get};
use reconcile::Table;

use super::{
    calls::Calls,
    pool::{Peer, State},
};

/// States of a connection as they are named in the metric; always all of them.
const STATES: [&str; 6] = [
    "IDLE",
    "CONNECTING",
    "READY",
    "TRANSIENT_FAILURE",
    "SHUTDOWN",
    "NIL_CONNECTION",
];

fn name(state: &State) -> &'static str {
    match state {
        State::Unreachable => "NIL_CONNECTION",
        State::Connecting => "CONNECTING",
        State::Ready(_) => "READY",
        State::Failed(_) => "TRANSIENT_FAILURE",
    }
}

/// The routes of the metrics server.
pub(super) fn routes(peers: Table<String, Peer>, calls: Arc<Calls>) -> Router {
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    Router::new().route(
        "/metrics",
        get(move || {
            let text = text(&peers, &calls);
            async move { (content_type, text) }
        }),
    )
}

fn text(peers: &Table<String, Peer>, calls: &Calls) -> String {
    const STATUS: &str = "hubble_relay_pool_peer_connection_status";
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# HELP {STATUS} Peers by the state of their connection."
    );
    let _ = writeln!(out, "# TYPE {STATUS} gauge");
    let peers = peers.snapshot();
    for wanted in STATES {
        let count = peers
            .iter()
            .filter(|(_, peer)| name(&peer.state) == wanted)
            .count();
        let _ = writeln!(out, "{STATUS}{{status=\"{wanted}\"}} {count}");
    }
    calls.write(&mut out);
    process(&mut out);
    out
}

/// What the kernel says of this process; left out where it does not.
fn process(out: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let files = fs::read_dir("/proc/self/fd").map(|files| files.count() as u64);
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            kib("VmRSS:").map(|kib| kib * 1024),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            kib("VmSize:").map(|kib| kib * 1024),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            files.ok(),
        ),
    ] {
        if let Some(value) = value {
            let _ = writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
            );
        }
    }
}
