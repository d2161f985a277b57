//! `monitor`: follow what the data plane sees, from the node's flow server, in the words of a monitor.

use std::collections::BTreeSet;
use std::io::Write;

use api::hubble::flow::{
    Endpoint, EventTypeFilter, Flow, FlowFilter, TrafficDirection, Verdict, layer4,
};
use api::hubble::observer::GetFlowsRequest;
use datapath::abi::Drop;
use hubble::flow::event_type;
use serde_json::{Value, json};

use super::context::{Context, Outcome};
use crate::flows::{self, Told};
use crate::hubble::connect::ConnectArgs;
use crate::output::visible;

#[derive(clap::Args, Debug)]
pub(super) struct MonitorArgs {
    /// drop, trace, policy-verdict or l7; may be given several times
    #[arg(short = 't', long = "type", value_delimiter = ',', value_name = "TYPE")]
    types: Vec<Kind>,
    /// Only what this endpoint sends
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    from: Vec<u32>,
    /// Only what this endpoint receives
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    to: Vec<u32>,
    /// Only what this endpoint sends or receives
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    related_to: Vec<u32>,
    /// Also the names of both ends
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// One JSON object per line
    #[arg(short, long)]
    json: bool,
    /// Bytes of packets; there are none, connections are told once and not packet by packet
    #[arg(short = 'x', long, hide = true)]
    hex: bool,
}

/// Types of events that there are.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Drop,
    Trace,
    PolicyVerdict,
    L7,
}

impl Kind {
    const fn number(self) -> i32 {
        match self {
            Self::Drop => event_type::DROP,
            Self::Trace => event_type::TRACE,
            Self::PolicyVerdict => event_type::POLICY_VERDICT,
            Self::L7 => event_type::ACCESS_LOG,
        }
    }
}

pub(super) fn run(context: &mut Context<'_>, args: &MonitorArgs) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        !args.hex,
        "--hex: packets are not captured; events carry addresses, ports and verdicts"
    );
    let server = ConnectArgs::to(context.flows.clone());
    let wanted = Wanted::of(args);
    let out = &mut *context.out;
    writeln!(out, "Listening for events at {}", context.flows)?;
    out.flush()?;
    crate::program::block_on(flows::ask(server, request(&args.types), |told| {
        match told {
            Told::Lost(count) => writeln!(out, "CPU ??: Lost {count} events")?,
            Told::Flow(flow) if wanted.has(&flow) && args.json => {
                writeln!(out, "{}", line_json(&flow))?;
            }
            Told::Flow(flow) if wanted.has(&flow) => write_line(out, &flow, args.verbose)?,
            Told::Flow(_) => {}
        }
        Ok(out.flush()?)
    }))?;
    Ok(Outcome::Good)
}

fn request(types: &[Kind]) -> GetFlowsRequest {
    let types = types.iter().map(|kind| EventTypeFilter {
        r#type: kind.number(),
        ..EventTypeFilter::default()
    });
    let filter = FlowFilter {
        event_type: types.collect(),
        ..FlowFilter::default()
    };
    let whitelist = if filter.event_type.is_empty() {
        Vec::new()
    } else {
        vec![filter]
    };
    GetFlowsRequest {
        follow: true,
        whitelist,
        ..GetFlowsRequest::default()
    }
}

/// Endpoints that are asked for; empty sets ask for all.
struct Wanted {
    from: BTreeSet<u32>,
    to: BTreeSet<u32>,
    either: BTreeSet<u32>,
}

impl Wanted {
    fn of(args: &MonitorArgs) -> Self {
        let set = |all: &[u32]| all.iter().copied().collect();
        Self {
            from: set(&args.from),
            to: set(&args.to),
            either: set(&args.related_to),
        }
    }

    fn has(&self, flow: &Flow) -> bool {
        let (from, to) = (
            endpoint(flow.source.as_ref()),
            endpoint(flow.destination.as_ref()),
        );
        let fits = |set: &BTreeSet<u32>, ids: &[u32]| {
            set.is_empty() || ids.iter().any(|id| set.contains(id))
        };
        fits(&self.from, &[from]) && fits(&self.to, &[to]) && fits(&self.either, &[from, to])
    }
}

fn endpoint(of: Option<&Endpoint>) -> u32 {
    of.map_or(0, |end| end.id)
}

fn name_of(number: i32) -> &'static str {
    match number {
        event_type::DROP => "drop",
        event_type::TRACE => "trace",
        event_type::POLICY_VERDICT => "policy-verdict",
        event_type::ACCESS_LOG => "l7",
        _ => "unknown",
    }
}

fn line_json(flow: &Flow) -> Value {
    let kind = flow.event_type.as_ref().map_or(0, |event| event.r#type);
    json!({ "type": name_of(kind), "flow": flow })
}

/// Addresses, ports, protocol and flags.
fn packet(flow: &Flow) -> String {
    let ip = flow.ip.clone().unwrap_or_default();
    let end = |address: &str, port: u32| match (port, address.contains(':')) {
        (0, _) => address.to_owned(),
        (port, true) => format!("[{address}]:{port}"),
        (port, false) => format!("{address}:{port}"),
    };
    let (from, to, words) = match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(layer4::Protocol::Tcp(tcp)) => {
            let flags = tcp.flags.unwrap_or_default();
            let names = [
                (flags.syn, "SYN"),
                (flags.ack, "ACK"),
                (flags.fin, "FIN"),
                (flags.rst, "RST"),
            ];
            let set: Vec<&str> = names
                .into_iter()
                .filter(|(set, _)| *set)
                .map(|(_, name)| name)
                .collect();
            (
                tcp.source_port,
                tcp.destination_port,
                format!("tcp {}", set.join(", ")),
            )
        }
        Some(layer4::Protocol::Udp(udp)) => {
            (udp.source_port, udp.destination_port, "udp".to_owned())
        }
        Some(layer4::Protocol::Sctp(sctp)) => {
            (sctp.source_port, sctp.destination_port, "sctp".to_owned())
        }
        Some(layer4::Protocol::IcmPv4(icmp)) => (
            0,
            0,
            format!("icmp type {} code {}", icmp.r#type, icmp.code),
        ),
        Some(layer4::Protocol::IcmPv6(icmp)) => (
            0,
            0,
            format!("icmpv6 type {} code {}", icmp.r#type, icmp.code),
        ),
        _ => (0, 0, String::new()),
    };
    format!(
        "{} -> {} {words}",
        end(&ip.source, from),
        end(&ip.destination, to)
    )
    .trim_end()
    .to_owned()
}

fn write_line(out: &mut dyn Write, flow: &Flow, verbose: u8) -> std::io::Result<()> {
    let event = flow.event_type.unwrap_or_default();
    let line = match event.r#type {
        event_type::DROP => drop_line(flow, event.sub_type),
        event_type::POLICY_VERDICT => verdict_line(flow),
        event_type::TRACE => trace_line(flow),
        other => format!(">> {} {}", name_of(other), packet(flow)),
    };
    write!(out, "{}", visible(&line))?;
    if verbose > 0 {
        let name = |end: Option<&Endpoint>| end.map_or_else(|| "-".to_owned(), pod);
        let (source, destination) = (name(flow.source.as_ref()), name(flow.destination.as_ref()));
        write!(out, " ({} -> {})", visible(&source), visible(&destination))?;
    }
    writeln!(out)
}

/// Identities of both ends, `source->destination`, and the interface.
fn path(flow: &Flow) -> (u32, u32, u32) {
    let identity = |end: Option<&Endpoint>| end.map_or(0, |end| end.identity);
    let interface = flow.interface.as_ref().map_or(0, |of| of.index);
    (
        identity(flow.source.as_ref()),
        identity(flow.destination.as_ref()),
        interface,
    )
}

fn drop_line(flow: &Flow, number: i32) -> String {
    let known = u8::try_from(number).ok().and_then(Drop::from_number);
    let reason = known.map_or_else(|| number.to_string(), |reason| reason.text().to_owned());
    let (source, destination, interface) = path(flow);
    let to = endpoint(flow.destination.as_ref());
    format!(
        "xx drop ({reason}) to endpoint {to}, ifindex {interface}, identity {source}->{destination}: {}",
        packet(flow)
    )
}

fn verdict_line(flow: &Flow) -> String {
    let (source, destination, _) = path(flow);
    let (local, remote, side) = if flow.traffic_direction() == TrafficDirection::Ingress {
        (endpoint(flow.destination.as_ref()), source, "ingress")
    } else {
        (endpoint(flow.source.as_ref()), destination, "egress")
    };
    let action = match flow.verdict() {
        Verdict::Dropped => "deny",
        Verdict::Audit => "audit",
        _ => "allow",
    };
    format!(
        "Policy verdict log: local EP ID {local}, remote ID {remote}, {side}, action {action}, {}",
        packet(flow)
    )
}

fn trace_line(flow: &Flow) -> String {
    let (source, destination, interface) = path(flow);
    let point = flow.trace_observation_point().as_str_name().to_lowercase();
    let is_reply = flow.is_reply.as_ref().is_some_and(|reply| reply.value);
    let state = if is_reply { "reply" } else { "new" };
    format!(
        "-> {} endpoint {}, identity {source}->{destination} state {state} ifindex {interface}: {}",
        point.replace('_', "-"),
        endpoint(flow.destination.as_ref()),
        packet(flow)
    )
}

fn pod(of: &Endpoint) -> String {
    if of.pod_name.is_empty() {
        "-".to_owned()
    } else {
        format!("{}/{}", of.namespace, of.pod_name)
    }
}

#[cfg(test)]
mod tests;
