//! Rows of what is seen of connections and requests: what it costs packets and the agent, and what records, disk and answers do.

mod answers;
mod records;

use std::time::Duration;

use anyhow::Context;

use super::lane::Lane;
use super::load::Kind;
use super::pair::{Baseline, Contender, compare};
use super::statistics::{Target, median};
use super::table::Row;
use super::{Bench, Group, machine, traffic};
use crate::cluster::{Cluster, Options};
use crate::topology::Process;

/// Two nodes that see everything, beside two that see nothing.
pub(super) const TRAFFIC: Group = Group {
    name: "observe, traffic",
    rows: &[
        "observe, throughput per CPU-second",
        "observe, request-response",
        "observe, connect-request-close",
        "observe, 2,000 connections a second",
        "observe, requests over HTTP/1",
        "observe, CPU of both agents per 1,000 requests over HTTP/1",
        "observe, CPU of both agents per 1,000 connections",
        "observe, agent RSS after the load",
        "observe, maps",
    ],
    run: traffic,
};
/// What user space does with records, without a node.
pub(super) const RECORDS: Group = Group {
    name: "observe, records",
    rows: records::ROWS,
    run: records::records,
};
/// Answers about a day.
pub(super) const ANSWERS: Group = Group {
    name: "observe, answers",
    rows: answers::ROWS,
    run: answers::answers,
};

/// On over off: at most 2 % of a stream and of requests, at most 5 % of connections.
const KINDS: [(Kind, &str, &str, f64); 5] = [
    (
        Kind::Throughput,
        "throughput per CPU-second",
        "Gbit/CPU-s",
        0.98,
    ),
    (Kind::RequestResponse, "request-response", "1/s", 0.98),
    (
        Kind::ConnectRequestClose,
        "connect-request-close",
        "1/s",
        0.95,
    ),
    (
        Kind::PacedConnections,
        "2,000 connections a second",
        "1/s",
        0.95,
    ),
    (Kind::Http, "requests over HTTP/1", "1/s", 0.98),
];
/// What both agents do for 1,000 of a kind, and at most how many milliseconds that may take: 100,000 requests and 150,000 connections
/// a second of a processor, each of which makes a record on each node.
const WORK: [(Kind, &str, f64); 2] = [
    (Kind::Http, "requests over HTTP/1", 20.0),
    (Kind::PacedConnections, "connections", 14.0),
];
/// MiB of an agent, and of its maps.
const MEMORY: f64 = 100.0;

/// A cluster of two nodes, and the lane between a pod of each.
struct Two {
    cluster: Cluster,
    lane: Lane,
}

impl Two {
    fn start(letter: char, sees: bool) -> anyhow::Result<Self> {
        let options = Options {
            nodes: 2,
            ipv6: false,
            records: sees,
            ..Options::named(&Bench::topology(letter))
        };
        let options = options
            .with("bpf-ct-global-tcp-max", traffic::CONNECTIONS)
            .with("enable-hubble", &sees.to_string());
        let cluster = Cluster::start(options)?;
        let (a, b) = (
            traffic::pod(&cluster, 0, "a")?,
            traffic::pod(&cluster, 1, "b")?,
        );
        let lane = traffic::between(&cluster, (0, &a), (1, &b))?;
        // The pods live as long as their cluster.
        std::mem::forget((a, b));
        Ok(Self { cluster, lane })
    }

    fn agents(&mut self) -> anyhow::Result<Vec<u32>> {
        let nodes = self.cluster.nodes.iter_mut();
        nodes
            .map(|node| node.agent().map(|agent: &mut Process| agent.pid()))
            .collect()
    }
}

fn traffic(bench: &mut Bench) -> anyhow::Result<()> {
    let mut on = Two::start('o', true)?;
    let mut off = Two::start('p', false)?;
    for (kind, what, unit, target) in KINDS {
        let name = format!("observe, {what}");
        if !bench.wants(&name) {
            continue;
        }
        let window = bench.window;
        let measure = |lane| {
            move || {
                // What is still being told of one round must not slow down the other.
                machine::settle(Duration::from_secs(2))?;
                traffic::value(lane, kind, window)
            }
        };
        let rows = compare(
            bench.limits(),
            &mut Baseline {
                name: "off".into(),
                unit,
                measure: Box::new(measure(&off.lane)),
            },
            &mut [Contender {
                name,
                target: Some(Target::AtLeast(target)),
                measure: Box::new(measure(&on.lane)),
            }],
        )?;
        bench.add(rows);
    }
    processors(bench, &mut on, &mut off)?;
    memory(bench, &mut on)
}

/// Seconds that all of them had of the processors.
fn worked(pids: &[u32]) -> anyhow::Result<f64> {
    let all = pids.iter().map(|pid| machine::worked(*pid));
    all.sum()
}

/// Milliseconds of both agents for each 1,000 of a kind within a window, and what they still do for them.
fn spent(two: &mut Two, kind: Kind, window: Duration) -> anyhow::Result<f64> {
    let agents = two.agents()?;
    machine::settle(Duration::from_secs(2))?;
    let before = worked(&agents)?;
    let done = two.lane.make(kind, window)?;
    std::thread::sleep(Duration::from_millis(500));
    let spent = worked(&agents)? - before;
    Ok(spent * 1e3 / (done.units as f64 / 1e3))
}

fn processors(bench: &mut Bench, on: &mut Two, off: &mut Two) -> anyhow::Result<()> {
    // An agent's time is told in hundredths of a second.
    let window = bench.window * 6;
    let rounds = if bench.options.quick { 2 } else { 7 };
    for (kind, what, most) in WORK {
        let name = format!("observe, CPU of both agents per 1,000 {what}");
        if !bench.wants(&name) {
            continue;
        }
        let mut differences = Vec::new();
        for _ in 0..rounds {
            let idle = spent(off, kind, window)?;
            differences.push(spent(on, kind, window)? - idle);
        }
        let value = median(&differences).context("no round")?;
        let row = Row::figure(name, value, "ms", differences.len());
        bench.add([row.wanted(Target::AtMost(most))]);
    }
    Ok(())
}

fn memory(bench: &mut Bench, on: &mut Two) -> anyhow::Result<()> {
    machine::settle(Duration::from_secs(2))?;
    let agents = on.agents()?;
    let pid = *agents.first().context("no agent")?;
    let resident = machine::resident_mib(pid)?;
    let maps = machine::maps_mib(pid)?;
    bench.add([
        Row::figure("observe, agent RSS after the load", resident, "MiB", 1)
            .wanted(Target::AtMost(MEMORY)),
        Row::figure("observe, maps", maps, "MiB", 1),
    ]);
    Ok(())
}
