//! How long octets take on a connection that goes on, as programs in pods have one.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::bench::lane::{Lane, Place};
use testkit::bench::load::Kind;
use testkit::cluster::Cluster;

use super::{FRESH, Pods, ask, ends, now, number, told};
use crate::cases::within;

/// The port of what asks and answers on one connection.
const PORT: u16 = 7002;

/// Makes a connection that goes on for a while, and asks.
pub(super) fn told_of(cluster: &Cluster, pods: &Pods) {
    let since = now();
    make(cluster, pods);
    let told = within(FRESH, || {
        are_told(cluster, &ask(cluster, "map", &since)?, &since)
    });
    told.expect("the answers tell what the client's kernel measured");
}

/// A program of one pod asks one of another node, again and again.
fn make(cluster: &Cluster, pods: &Pods) {
    let place = |name: &str, node: usize| {
        let node = cluster.nodes.get(node).expect("the node");
        Place::pod(node, &pods[name]).expect("its namespace and cgroup")
    };
    let to = pods["c"].ipv4().expect("an IPv4 address");
    let lane = Lane::open("round trips", place("a", 0), place("c", 1), to);
    let lane = lane.expect("the server answers");
    let window = Duration::from_secs(2);
    lane.make(Kind::RequestResponse, window).expect("load");
}

/// The map has what the client's kernel measured, once, and `latency` tells it.
fn are_told(cluster: &Cluster, map: &Value, since: &str) -> anyhow::Result<()> {
    let mut edges = map["edges"].as_array().context("edges")?.iter();
    let is_it = |of: &&Value| ends(of) == ("a".into(), "c".into(), PORT);
    let edge = edges.find(is_it).context("the edge is on the map")?;
    for of in ["round_trip", "least_round_trip"] {
        let counts = edge[of]["count"].as_array().context(of)?;
        let count: u64 = counts.iter().map(number).sum();
        ensure!(count == 1, "{of} {count}: {edge}");
    }
    let text = told(
        cluster,
        &["latency", "default/a", "default/c"],
        since,
        "csv",
    )?;
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().context("a header")?;
    let port = format!("{PORT}/TCP");
    let row = rows.find(|row| row.contains(&port.as_str()));
    let row = row.with_context(|| text.clone())?;
    let cell = |name: &str| {
        let at = header.iter().position(|of| *of == name);
        at.and_then(|at| row.get(at)).copied().unwrap_or_default()
    };
    ensure!(!cell("RTT P50").is_empty(), "{text}");
    ensure!(!cell("LEAST RTT").is_empty(), "{text}");
    Ok(())
}
