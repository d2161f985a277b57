//! What the agents' flow servers saw of the attempts, held against what came of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::action::{Action, Probe, Scenario};
use super::lab::{Lab, Role};
use super::verdict::{Expect, PORTS, agent_of};
use crate::cluster::pod::{Pod, number, text};
use crate::cluster::{AGENT_CONTAINER, each};

/// Flows of a record come when it is told of: within that time, or they are missed.
const PATIENCE: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_secs(1);

/// An attempt, as far as its flows are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried<'a> {
    pub(super) action: &'a Action,
    pub(super) expect: Expect,
    /// First of its source ports.
    pub(super) source_port: u16,
}

/// What was seen of an attempt, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its flows, a line each.
    pub(super) lines: Vec<String>,
    /// Nothing, if they are as expected.
    pub(super) fault: Option<String>,
}

/// Looks at the flows of attempts until all are as expected, or time is up.
pub(super) async fn look(lab: &Lab, tried: &[Tried<'_>], began: Instant) -> Vec<Seen> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let flows = read(lab, began).await;
        let seen: Vec<Seen> = tried.iter().map(|tried| seen(lab, tried, &flows)).collect();
        let done = seen.iter().all(|seen| seen.fault.is_none());
        if done || Instant::now() >= deadline {
            return seen;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Flows by the name of the agent's pod, or why they cannot be read.
type Flows = BTreeMap<String, Result<Vec<Value>, String>>;

async fn read(lab: &Lab, began: Instant) -> Flows {
    // Relative to the server's own clock. Flows are told apart by ports, so a few more do no harm.
    let since = format!("{}s", began.elapsed().as_secs() + 2);
    let of = |agent| of_agent(lab, agent, &since);
    let names = lab.agents.iter().map(|agent| agent.name.clone());
    names.zip(each(&lab.agents, of).await).collect()
}

async fn of_agent(lab: &Lab, agent: &Pod, since: &str) -> Result<Vec<Value>, String> {
    let server = crate::dbg::FLOW_SOCKET;
    let command = [
        "hubble", "observe", "--server", server, "--since", since, "-o", "jsonpb",
    ];
    let done = lab.cluster.tell(agent, AGENT_CONTAINER, &command).await;
    let done = done.map_err(|error| error.to_string())?;
    if done.code != 0 {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned());
    }
    Ok(parse(&String::from_utf8_lossy(&done.stdout)))
}

/// The flows of JSON lines; lines of other kinds, as of lost events, are passed over.
pub(super) fn parse(text: &str) -> Vec<Value> {
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|mut line| line.get_mut("flow").map(Value::take))
        .collect()
}

fn seen(lab: &Lab, tried: &Tried<'_>, flows: &Flows) -> Seen {
    if tried.action.scenario == Scenario::PodToItself {
        // Translated at the socket, it does not leave the pod.
        return Seen::default();
    }
    let source = &tried.action.source.pod;
    let Some(agent) = agent_of(&lab.agents, source) else {
        return Seen {
            fault: Some(format!("no agent runs on {}", source.node)),
            ..Seen::default()
        };
    };
    if let Some(Err(error)) = flows.get(&agent.name) {
        return Seen {
            fault: Some(format!("flows of {} cannot be read: {error}", source.node)),
            ..Seen::default()
        };
    }
    let all: Vec<&Value> = flows
        .values()
        .flatten()
        .flatten()
        .filter(|flow| is_of(tried, flow))
        .collect();
    judge(tried.expect, &all)
}

/// Whether a flow is of an attempt, in the direction of its request. Source ports of requests are ours alone.
fn is_of(tried: &Tried<'_>, flow: &Value) -> bool {
    let address = |pointer| text(flow, pointer).parse::<IpAddr>().ok();
    let source = &tried.action.source;
    let there = address("/IP/destination") == tried.action.host.parse().ok();
    // A node speaks to pods of other nodes by an address of its own inside of the cluster.
    let from_here = address("/IP/source").is_some_and(|of| source.pod.addresses.contains(&of))
        || (source.role == Role::Host && there);
    match tried.action.probe {
        Probe::Http => {
            let port = number(flow, "/l4/TCP/source_port");
            let first = i64::from(tried.source_port);
            from_here && (first..first + i64::from(PORTS)).contains(&port)
        }
        Probe::Ping => {
            let icmp = flow.pointer("/l4/ICMPv4").or(flow.pointer("/l4/ICMPv6"));
            from_here && there && icmp.is_some()
        }
    }
}

/// Whether the flows of an attempt are those of what is expected.
pub(super) fn judge(expect: Expect, flows: &[&Value]) -> Seen {
    let dropped = |flow: &&&Value| text(flow, "/verdict") == "DROPPED";
    let fault = match expect.reason() {
        None => match flows.iter().find(dropped) {
            Some(drop) => Some(format!(
                "a packet of it was dropped: {}",
                text(drop, "/drop_reason_desc")
            )),
            None if flows
                .iter()
                .any(|flow| text(flow, "/verdict") == "FORWARDED") =>
            {
                None
            }
            None => Some("no flow says that it was forwarded".to_owned()),
        },
        Some((reason, side)) => {
            let direction = side.direction();
            let right = |flow: &&Value| {
                text(flow, "/drop_reason_desc") == reason
                    && text(flow, "/traffic_direction") == direction
            };
            let mut drops = flows.iter().filter(dropped);
            let missing =
                || format!("no flow says that it was dropped with {reason} at {direction}");
            (!drops.any(right)).then(missing)
        }
    };
    Seen {
        lines: flows.iter().map(|flow| line(flow)).collect(),
        fault,
    }
}

/// A flow in one line.
fn line(flow: &Value) -> String {
    let protocol = |name: &str| flow.pointer(&format!("/l4/{name}"));
    let ports = protocol("TCP").or(protocol("UDP"));
    let end = |side: &str| {
        let address = text(flow, &format!("/IP/{side}"));
        match ports.map(|ports| number(ports, &format!("/{side}_port"))) {
            Some(port) if address.contains(':') => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
            None => address.to_owned(),
        }
    };
    let fields = [
        text(flow, "/node_name").to_owned(),
        text(flow, "/traffic_direction").to_owned(),
        format!("{} -> {}", end("source"), end("destination")),
        text(flow, "/verdict").to_owned(),
        text(flow, "/drop_reason_desc").to_owned(),
    ];
    let fields: Vec<String> = fields
        .into_iter()
        .filter(|field| !field.is_empty())
        .collect();
    fields.join(" ")
}

#[cfg(test)]
mod tests;
