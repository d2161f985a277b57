//! What the data plane last saw of the parties: connections in the maps, flows of this node and of the peer's.

use std::net::IpAddr;
use std::path::Path;

use api::hubble::flow::{EventTypeFilter, Flow};
use jiff::tz::TimeZone;
use kernel::{Maps, PinDirectory};
use serde::Serialize;
use serde_json::Value;

use super::party::Question;
use super::peer::{self, Servers};
use crate::dbg::bpf::ct::{self, Entry, State};
use crate::flows::{self, Told};
use crate::hubble::connect::ConnectArgs;
use crate::output::visible;

/// Flows that are asked for of each server.
const FLOWS: u64 = 5;
/// Kinds of flows that are asked for, by the numbers of upstream: drops and traces. Verdicts would tell each of them twice.
const EVENTS: [i32; 2] = [1, 4];
/// Connections that are told.
const CONNECTIONS: usize = 5;

/// A part of the answer: what was found, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Half {
    /// One sentence each; none says that nothing was seen.
    Known(Vec<String>),
    /// Why it could not be asked.
    Unknown(String),
}

/// What was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Seen {
    /// Entries of this node's connection tables.
    pub(crate) connections: Half,
    /// Flows of this node.
    pub(crate) flows: Half,
    /// Flows of the other node; nothing where both are here.
    pub(crate) peer: Option<Half>,
}

impl Half {
    pub(super) fn of(found: anyhow::Result<Vec<String>>) -> Self {
        found.map_or_else(
            |error| Self::Unknown(crate::program::causes(&error)),
            Self::Known,
        )
    }
}

impl Seen {
    /// Looks into the maps and asks the flow servers. What cannot be asked is told as unknown and never fails the command.
    pub(crate) fn look(bpf_root: &Path, servers: &Servers, question: &Question) -> Self {
        Self {
            connections: Half::of(connections(bpf_root, question)),
            flows: Half::of(asked(servers.local(), question)),
            peer: peer::ask(servers, question),
        }
    }
}

fn targets(question: &Question) -> Vec<IpAddr> {
    let frontend = question
        .service
        .as_ref()
        .and_then(|service| service.frontend.parse::<std::net::SocketAddr>().ok());
    let mut all: Vec<IpAddr> = question
        .targets
        .iter()
        .map(|(to, _)| to.address)
        .chain(frontend.map(|frontend| frontend.ip()))
        .collect();
    all.dedup();
    all
}

fn connections(bpf_root: &Path, question: &Question) -> anyhow::Result<Vec<String>> {
    let maps = Maps::open_any_capacity(&PinDirectory::new(bpf_root))?;
    Ok(matching(
        &ct::read(&maps)?,
        question.from.address,
        &targets(question),
    ))
}

/// The connections between two groups, whoever began them.
pub(super) fn matching(all: &[Entry], from: IpAddr, to: &[IpAddr]) -> Vec<String> {
    let between = |entry: &&Entry| {
        let ends = |one: IpAddr, other: IpAddr| one == from && to.contains(&other);
        let real = entry.rewritten_to().unwrap_or(entry.to).ip();
        ends(entry.from.ip(), entry.to.ip())
            || ends(entry.from.ip(), real)
            || ends(entry.to.ip(), entry.from.ip())
    };
    let mut found: Vec<&Entry> = all.iter().filter(between).collect();
    found.sort_by_key(|entry| std::cmp::Reverse(entry.connection.created_ns));
    found.into_iter().take(CONNECTIONS).map(sentence).collect()
}

fn sentence(entry: &Entry) -> String {
    let of = &entry.connection;
    let translated = entry
        .rewritten_to()
        .map(|to| format!(", translated to {to}"))
        .unwrap_or_default();
    let answer = match entry.state {
        State::Opening => "no answer yet".to_owned(),
        State::Answered => format!(
            "{} packets ({} bytes) back",
            of.received.packets, of.received.bytes
        ),
    };
    format!(
        "{} → {}{translated}: {} packets ({} bytes) out, {answer}",
        entry.from, entry.to, of.sent.packets, of.sent.bytes
    )
}

/// The last flows between the parties, of one server.
pub(super) fn asked(server: ConnectArgs, question: &Question) -> anyhow::Result<Vec<String>> {
    let to: Vec<String> = targets(question).iter().map(ToString::to_string).collect();
    let mut request = flows::between(&[question.from.address.to_string()], &to, FLOWS);
    for filter in &mut request.whitelist {
        filter.event_type = EVENTS.map(event_type).to_vec();
    }
    let mut told = Vec::new();
    crate::program::block_on(flows::ask(server, request, |what| {
        if let Told::Flow(flow) = what {
            told.push(visible(&line(&flow)).into_owned());
        }
        Ok(())
    }))?;
    Ok(told)
}

fn event_type(number: i32) -> EventTypeFilter {
    EventTypeFilter {
        r#type: number,
        ..EventTypeFilter::default()
    }
}

/// Time, verdict, direction and text of a flow, from its JSON form.
pub(super) fn line(flow: &Flow) -> String {
    let value = serde_json::to_value(flow).unwrap_or_default();
    let text = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let ends = value.get("IP").map(|ip| {
        let end = |name: &str| {
            ip.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        format!("{} → {}", end("source"), end("destination"))
    });
    let parts = [
        when(flow),
        text("verdict"),
        text("drop_reason_desc"),
        text("traffic_direction"),
        ends.unwrap_or_default(),
        text("Summary"),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// To the second, with the zone's offset; nothing where there is no time.
fn when(flow: &Flow) -> String {
    flow.time
        .and_then(|time| jiff::Timestamp::new(time.seconds, 0).ok())
        .map(|time| time.to_zoned(TimeZone::system()))
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
