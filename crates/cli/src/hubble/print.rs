//! Flows, losses, node states and agent events as lines, blocks, columns or JSON.

mod columns;
pub(super) mod text;

use std::io::{self, Write};

use api::hubble::{
    flow::{Flow, LostEvent, LostEventSource},
    observer::{GetAgentEventsResponse, GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::{NodeState, NodeStatusEvent},
};
use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::time::TimeFormat;
use crate::output::visible;
pub(super) use columns::columns;
use text::Paint;

/// How many names of nodes are printed before the rest is only counted.
const NODE_NAMES: usize = 50;
/// After how many rows a table is printed and its columns are measured anew.
const TABLE_ROWS: usize = 256;
const SEPARATOR: &str = "------------";

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One line per flow
    #[default]
    Compact,
    /// Each flow as lines of KEY: VALUE
    Dict,
    /// Responses as canonical JSON, one per line
    Json,
    /// The same as json
    Jsonpb,
    /// Aligned columns
    Table,
}

impl Format {
    /// Whether it prints whole responses.
    pub(super) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonpb)
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Whether a part of the output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl From<bool> for Show {
    fn from(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}

/// How addresses are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// By the names of pods, services and DNS, where there are any.
    Translated,
    /// As they are.
    Addresses,
}

/// What JSON lines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// The whole response.
    Response,
    /// The flow alone, as clients before 0.10 expect it.
    FlowOnly,
}

/// How to print.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    pub(super) color: Show,
    pub(super) names: Names,
    pub(super) node_name: Show,
    pub(super) policy_names: Show,
    pub(super) time: TimeFormat,
    pub(super) zone: TimeZone,
    pub(super) envelope: Envelope,
    /// Whether nodes that joined are told of.
    pub(super) debug: Show,
}

/// Prints responses one after the other.
pub(super) struct Printer<'a, O: Write, E: Write> {
    style: Style,
    out: &'a mut O,
    err: &'a mut E,
    rows: Vec<Vec<String>>,
    printed: u64,
}

impl<'a, O: Write, E: Write> Printer<'a, O, E> {
    pub(super) fn new(style: Style, out: &'a mut O, err: &'a mut E) -> Self {
        Self {
            style,
            out,
            err,
            rows: Vec::new(),
            printed: 0,
        }
    }

    /// Prints a response of GetFlows.
    pub(super) fn response(&mut self, response: &GetFlowsResponse) -> io::Result<()> {
        if self.style.format.is_json() {
            return self.json_response(response);
        }
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => self.flow(flow),
            Some(ResponseTypes::LostEvents(lost)) => self.lost(lost, response),
            Some(ResponseTypes::NodeStatus(status)) => self.node_status(status, response),
            None => Ok(()),
        }
    }

    /// Prints a response of GetAgentEvents.
    pub(super) fn agent_event(&mut self, response: &GetAgentEventsResponse) -> io::Result<()> {
        if self.style.format.is_json() {
            return self.json(response);
        }
        let Some(event) = &response.agent_event else {
            return Ok(());
        };
        let time = self.style.time.print(response.time, &self.style.zone);
        let kind = event.r#type().as_str_name();
        let details = text::agent_event(event, &self.style);
        let details = visible(&details).into_owned();
        let node = visible(&response.node_name).into_owned();
        match self.style.format {
            Format::Table => self.row(&["TYPE", "DETAILS"], time, node, vec![kind.into(), details]),
            Format::Dict => self.block(&time, &node, &[("TYPE", kind), ("DETAILS", &details)]),
            _ => {
                let node = self.node_suffix(&node);
                writeln!(self.out, "{time}{node}: {kind} ({details})")
            }
        }
    }

    /// Prints what has been held back, and lets the reader see it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.rows.is_empty() {
            write!(self.out, "{}", columns(&std::mem::take(&mut self.rows)))?;
        }
        self.out.flush()
    }

    fn json_response(&mut self, response: &GetFlowsResponse) -> io::Result<()> {
        match (&response.response_types, self.style.envelope) {
            (Some(ResponseTypes::Flow(flow)), Envelope::FlowOnly) => self.json(flow),
            (Some(ResponseTypes::NodeStatus(status)), _) if self.is_quiet(status) => Ok(()),
            _ => self.json(response),
        }
    }

    fn json(&mut self, message: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, message)?;
        writeln!(self.out)
    }

    fn flow(&mut self, flow: &Flow) -> io::Result<()> {
        let paint = Paint(self.style.color);
        let time = self.style.time.print(flow.time, &self.style.zone);
        let (source, destination) = text::hosts(flow, &self.style);
        let kind = text::kind(flow);
        let verdict = text::verdict(flow, &self.style);
        let summary = text::summary(flow);
        match self.style.format {
            Format::Table => {
                let header = ["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"];
                let row = vec![
                    source.plain(),
                    destination.plain(),
                    kind,
                    verdict.plain(),
                    summary,
                ];
                self.row(&header, time, visible(&flow.node_name).into_owned(), row)
            }
            Format::Dict => self.block(
                &time,
                &visible(&flow.node_name),
                &[
                    ("SOURCE", &source.painted(paint)),
                    ("DESTINATION", &destination.painted(paint)),
                    ("TYPE", &kind),
                    ("VERDICT", &verdict.painted(paint)),
                    ("SUMMARY", &summary),
                ],
            ),
            _ => {
                let (from, from_id) = text::end(&source, flow.source.as_ref(), &self.style);
                let (to, to_id) = text::end(&destination, flow.destination.as_ref(), &self.style);
                let ends = match flow.is_reply.as_ref().map(|reply| reply.value) {
                    None => format!("{from} {from_id} <> {to} {to_id}"),
                    Some(false) => format!("{from} {from_id} -> {to} {to_id}"),
                    // The initiator stands on the left of both directions.
                    Some(true) => format!("{to} {to_id} <- {from} {from_id}"),
                };
                let node = self.node_suffix(&visible(&flow.node_name));
                let verdict = verdict.painted(paint);
                writeln!(
                    self.out,
                    "{time}{node}: {ends} {kind} {verdict} ({summary})"
                )
            }
        }
    }

    fn lost(&mut self, lost: &LostEvent, response: &GetFlowsResponse) -> io::Result<()> {
        let source = LostEventSource::try_from(lost.source)
            .map_or_else(|_| lost.source.to_string(), |s| s.as_str_name().to_owned());
        let time = self
            .style
            .time
            .print(response.time.or(lost.first), &self.style.zone);
        let cpu = lost.cpu.as_ref().map_or(0, |cpu| cpu.value);
        let summary = format!("CPU({cpu}) - {}", lost.num_events_lost);
        let node = visible(&response.node_name).into_owned();
        match self.style.format {
            Format::Table => {
                let header = ["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"];
                let row = vec![
                    source,
                    "-".into(),
                    "EVENTS LOST".into(),
                    "-".into(),
                    summary,
                ];
                self.row(&header, time, node, row)
            }
            Format::Dict => self.block(
                &time,
                &node,
                &[
                    ("SOURCE", source.as_str()),
                    ("TYPE", "EVENTS LOST"),
                    ("VERDICT", "-"),
                    ("SUMMARY", &summary),
                ],
            ),
            _ => {
                let node = self.node_suffix(&node);
                let count = lost.num_events_lost;
                let span = match (lost.first, lost.last) {
                    (Some(first), Some(last)) => format!(
                        " (first: {}, last: {})",
                        self.style.time.print(Some(first), &self.style.zone),
                        self.style.time.print(Some(last), &self.style.zone)
                    ),
                    _ => String::new(),
                };
                writeln!(
                    self.out,
                    "{time}{node} EVENTS LOST: {source} CPU({cpu}) {count}{span}"
                )
            }
        }
    }

    fn is_quiet(&self, status: &NodeStatusEvent) -> bool {
        status.state_change == i32::from(NodeState::NodeConnected) && self.style.debug == Show::No
    }

    /// States of nodes go to standard error: they are about the answer, not part of it.
    fn node_status(
        &mut self,
        status: &NodeStatusEvent,
        response: &GetFlowsResponse,
    ) -> io::Result<()> {
        if self.is_quiet(status) {
            return Ok(());
        }
        let names = joined(&status.node_names);
        let count = status.node_names.len();
        let nodes = if count == 1 {
            "1 node".to_owned()
        } else {
            format!("{count} nodes")
        };
        let time = self.style.time.print(response.time, &self.style.zone);
        let what = match NodeState::try_from(status.state_change) {
            Ok(NodeState::NodeConnected) => format!("Receiving flows from {nodes}: {names}"),
            Ok(NodeState::NodeUnavailable) => format!("{nodes} unavailable: {names}"),
            Ok(NodeState::NodeGone) => format!("{nodes} removed from cluster: {names}"),
            Ok(NodeState::NodeError) => format!("Error {:?} on {nodes}: {names}", status.message),
            _ => format!("Unknown state {} of {nodes}: {names}", status.state_change),
        };
        writeln!(
            self.err,
            "{time} [{}]: {what}",
            visible(&response.node_name)
        )
    }

    fn node_suffix(&self, node: &str) -> String {
        match self.style.node_name {
            Show::Yes => format!(" [{node}]"),
            Show::No => String::new(),
        }
    }

    fn block(&mut self, time: &str, node: &str, pairs: &[(&str, &str)]) -> io::Result<()> {
        if self.printed > 0 {
            writeln!(self.out, "{SEPARATOR}")?;
        }
        self.printed += 1;
        let mut all = vec![("TIMESTAMP", time)];
        if self.style.node_name == Show::Yes {
            all.push(("NODE", node));
        }
        all.extend(pairs);
        all.into_iter()
            .try_for_each(|(key, value)| writeln!(self.out, "{key:>11}: {value}"))
    }

    fn row(
        &mut self,
        header: &[&str],
        time: String,
        node: String,
        cells: Vec<String>,
    ) -> io::Result<()> {
        let with_node = |first: String, node: String, rest: Vec<String>| {
            let node = (self.style.node_name == Show::Yes).then_some(node);
            std::iter::once(first)
                .chain(node)
                .chain(rest)
                .collect::<Vec<_>>()
        };
        if self.printed == 0 {
            let rest = header.iter().map(ToString::to_string).collect();
            self.rows
                .push(with_node("TIMESTAMP".into(), "NODE".into(), rest));
        }
        self.rows.push(with_node(time, node, cells));
        self.printed += 1;
        if self.rows.len() >= TABLE_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }
}

fn joined(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(NODE_NAMES)
        .map(|name| visible(name))
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(NODE_NAMES) {
        0 => shown,
        more => format!("{shown} (and {more} more)"),
    }
}

#[cfg(test)]
mod tests;
