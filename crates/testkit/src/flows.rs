//! What the agents' flow servers saw: asked over their unix sockets, counted per pair of talkers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use api::hubble::flow::{self, Flow, Verdict, layer4::Protocol};
use api::hubble::observer::get_flows_response::ResponseTypes;
use api::hubble::observer::{GetFlowsRequest, observer_client::ObserverClient};
use tonic::transport::{Channel, Endpoint, Uri};

const LIMIT: Duration = Duration::from_secs(5);

/// Flows kept by one server, the newest `number`, oldest first.
pub fn get(socket: &Path, number: u64) -> anyhow::Result<Vec<Flow>> {
    let newest = GetFlowsRequest {
        number,
        ..GetFlowsRequest::default()
    };
    answer(socket, newest)
}

/// Flows that one server has from a time on, oldest first.
pub fn since(socket: &Path, time: api::hubble::Timestamp) -> anyhow::Result<Vec<Flow>> {
    let all = GetFlowsRequest {
        since: Some(time),
        ..GetFlowsRequest::default()
    };
    answer(socket, all)
}

fn answer(socket: &Path, request: GetFlowsRequest) -> anyhow::Result<Vec<Flow>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, ask(socket, request))
            .await
            .with_context(|| format!("{}: no answer", socket.display()))?
    })
}

async fn ask(socket: &Path, request: GetFlowsRequest) -> anyhow::Result<Vec<Flow>> {
    let mut client = ObserverClient::new(
        connect(socket)
            .await
            .with_context(|| format!("connect to {}", socket.display()))?,
    );
    let mut stream = client
        .get_flows(request)
        .await
        .context("get flows")?
        .into_inner();
    let mut flows = Vec::new();
    while let Some(response) = stream.message().await.context("read flows")? {
        if let Some(ResponseTypes::Flow(flow)) = response.response_types {
            flows.push(flow);
        }
    }
    Ok(flows)
}

async fn connect(socket: &Path) -> anyhow::Result<Channel> {
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move {
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(
                tokio::net::UnixStream::connect(path).await?,
            ))
        }
    });
    Ok(Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await?)
}

/// One kind of talk: who asked whom, where, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Talk {
    /// Name of who opened it.
    pub from: String,
    /// Name of who was asked.
    pub to: String,
    /// `TCP:8080`, `UDP:53`.
    pub port: String,
    /// Whether it was forwarded or dropped.
    pub outcome: Outcome,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its packets went on.
    Forwarded,
    /// Its packets were dropped.
    Dropped,
}

/// What is known of a kind of talk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Different connections, by both addresses and ports.
    pub connections: BTreeSet<(String, String, u32)>,
    /// Why they were dropped, and the policies that decided.
    pub because: BTreeSet<String>,
    /// Names of nodes that saw it.
    pub nodes: BTreeSet<String>,
}

/// Counts connections per kind of talk; replies are part of the connection they answer.
pub fn tally<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> BTreeMap<Talk, Tally> {
    let mut talks: BTreeMap<Talk, Tally> = BTreeMap::new();
    for flow in flows {
        let outcome = match flow.verdict() {
            Verdict::Forwarded => Outcome::Forwarded,
            Verdict::Dropped => Outcome::Dropped,
            _ => continue,
        };
        // Replies belong to the connection they answer; multicast is what stacks tell their link, and nobody's talk.
        let to_many = |ip: &flow::Ip| {
            ip.destination
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_multicast())
        };
        if flow.is_reply.is_some_and(|reply| reply.value) || flow.ip.as_ref().is_some_and(to_many) {
            continue;
        }
        let Some((port, source_port)) = ports(flow) else {
            continue;
        };
        let ip = flow.ip.clone().unwrap_or_default();
        let talk = Talk {
            from: name(flow.source.as_ref(), &ip.source),
            to: name(flow.destination.as_ref(), &ip.destination),
            port,
            outcome,
        };
        let tally = talks.entry(talk).or_default();
        tally
            .connections
            .insert((ip.source, ip.destination, source_port));
        tally.nodes.insert(
            flow.node_name
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
        );
        if outcome == Outcome::Dropped {
            tally.because.insert(reason(flow));
        }
    }
    talks
}

/// The pod, else what is reserved for it, else the address.
fn name(endpoint: Option<&flow::Endpoint>, address: &str) -> String {
    let Some(endpoint) = endpoint else {
        return address.to_owned();
    };
    if !endpoint.pod_name.is_empty() {
        return endpoint.pod_name.clone();
    }
    match endpoint
        .labels
        .iter()
        .find_map(|label| label.strip_prefix("reserved:"))
    {
        Some(reserved) => format!("{reserved} ({address})"),
        None => address.to_owned(),
    }
}

fn ports(flow: &Flow) -> Option<(String, u32)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some((format!("TCP:{}", tcp.destination_port), tcp.source_port)),
        Protocol::Udp(udp) => Some((format!("UDP:{}", udp.destination_port), udp.source_port)),
        Protocol::IcmPv4(icmp) => Some((format!("ICMP:{}", icmp.r#type), 0)),
        Protocol::IcmPv6(icmp) => Some((format!("ICMPv6:{}", icmp.r#type), 0)),
        _ => None,
    }
}

/// The reason's name and the policies, as `kind namespace/name`.
fn reason(flow: &Flow) -> String {
    let mut policies: Vec<String> = flow
        .ingress_denied_by
        .iter()
        .chain(&flow.egress_denied_by)
        .map(|policy| {
            let place = if policy.namespace.is_empty() {
                policy.name.clone()
            } else {
                format!("{}/{}", policy.namespace, policy.name)
            };
            format!("{} {place}", policy.kind).trim().to_owned()
        })
        .collect();
    policies.sort();
    policies.dedup();
    let reason = flow
        .drop_reason_desc()
        .as_str_name()
        .to_lowercase()
        .replace('_', " ");
    if policies.is_empty() {
        reason
    } else {
        format!("{reason}, by {}", policies.join(", "))
    }
}

/// The talks as aligned text, one arrow each: `web ── 12 ──▶ api TCP:8080` in ASCII.
pub fn picture(talks: &BTreeMap<Talk, Tally>) -> String {
    let width =
        |text: fn(&Talk) -> &str| talks.keys().map(|talk| text(talk).len()).max().unwrap_or(0);
    let (from, to, port) = (
        width(|talk| &talk.from),
        width(|talk| &talk.to),
        width(|talk| &talk.port),
    );
    let count = talks
        .values()
        .map(|tally| tally.connections.len().to_string().len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (talk, tally) in talks {
        let number = tally.connections.len();
        let arrow = match talk.outcome {
            Outcome::Forwarded => format!("---- {number:>count$} --->"),
            Outcome::Dropped => format!("-xx- {number:>count$} -xx|"),
        };
        let because: Vec<&str> = tally.because.iter().map(String::as_str).collect();
        let line = format!(
            "{:>from$} {arrow} {:<to$} {:<port$} {}",
            talk.from,
            talk.to,
            talk.port,
            because.join("; ")
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
