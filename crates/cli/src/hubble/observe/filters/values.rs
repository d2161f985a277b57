//! Values of filter flags as fields of a filter.

use anyhow::{Context, bail};
use api::hubble::flow::{
    DropReason, EventTypeFilter, FlowFilter, HttpHeader, IpVersion, NetworkInterface, TcpFlags,
    TrafficDirection, Verdict, Workload, flow_filter::Experimental,
};
use model::identity::Reserved;

use super::{End, Event, Kind};
use hubble::records::POINTS;

/// Sets a field about the flow itself.
pub(super) fn event(event: Event, value: &str, filter: &mut FlowFilter) -> anyhow::Result<()> {
    let text = || value.to_owned();
    match event {
        Event::Uuid => filter.uuid.push(text()),
        Event::NodeName => filter.node_name.push(text()),
        Event::NodeLabel => filter.node_labels.push(text()),
        Event::Protocol => filter.protocol.push(text()),
        Event::TcpFlags => filter.tcp_flags.push(tcp_flags(value)?),
        Event::Type => filter.event_type.push(event_type(value)?),
        Event::Verdict => {
            let verdict = Verdict::from_str_name(value).context("no verdict")?;
            filter.verdict.push(verdict.into());
        }
        Event::DropReason => {
            let reason = DropReason::from_str_name(value).context("no drop reason")?;
            filter.drop_reason_desc.push(reason.into());
        }
        Event::HttpStatus => filter.http_status_code.push(text()),
        Event::HttpMethod => filter.http_method.push(text()),
        Event::HttpPath => filter.http_path.push(text()),
        Event::HttpUrl => filter.http_url.push(text()),
        Event::HttpHeader => {
            let (key, value) = value.split_once(':').context("expected name:value")?;
            filter.http_header.push(HttpHeader {
                key: key.into(),
                value: value.into(),
            });
        }
        Event::TraceId => filter.trace_id.push(text()),
        Event::IpTraceId => filter.ip_trace_id.push(value.parse().context("no number")?),
        Event::SnatIp => filter.source_ip_xlated.push(text()),
        Event::IpVersion => filter.ip_version.push(ip_version(value)?.into()),
        Event::TrafficDirection => filter.traffic_direction.push(direction(value)?.into()),
        Event::Cel => filter
            .experimental
            .get_or_insert_with(Experimental::default)
            .cel_expression
            .push(text()),
        Event::Interface => filter.interface.push(NetworkInterface {
            index: 0,
            name: text(),
        }),
        Event::Encrypted => filter.encrypted.push(switch(value)?),
        Event::Unencrypted => filter.encrypted.push(!switch(value)?),
    }
    Ok(())
}

/// Sets a field about one end, which is not [`End::Either`].
pub(super) fn end(
    kind: Kind,
    end: End,
    value: &str,
    filter: &mut FlowFilter,
) -> anyhow::Result<()> {
    let f = filter;
    let source = end == End::Source;
    let texts = match (kind, source) {
        (Kind::Cluster, true) => &mut f.source_cluster_name,
        (Kind::Cluster, false) => &mut f.destination_cluster_name,
        (Kind::Fqdn, true) => &mut f.source_fqdn,
        (Kind::Fqdn, false) => &mut f.destination_fqdn,
        (Kind::Ip, true) => &mut f.source_ip,
        (Kind::Ip, false) => &mut f.destination_ip,
        (Kind::Pod | Kind::Namespace | Kind::AllNamespaces, true) => &mut f.source_pod,
        (Kind::Pod | Kind::Namespace | Kind::AllNamespaces, false) => &mut f.destination_pod,
        (Kind::Label, true) => &mut f.source_label,
        (Kind::Label, false) => &mut f.destination_label,
        (Kind::Service, true) => &mut f.source_service,
        (Kind::Service, false) => &mut f.destination_service,
        (Kind::Port, true) => &mut f.source_port,
        (Kind::Port, false) => &mut f.destination_port,
        (Kind::Workload, true) => {
            f.source_workload.push(workload(value));
            return Ok(());
        }
        (Kind::Workload, false) => {
            f.destination_workload.push(workload(value));
            return Ok(());
        }
        (Kind::Identity, true) => {
            f.source_identity.push(identity(value)?);
            return Ok(());
        }
        (Kind::Identity, false) => {
            f.destination_identity.push(identity(value)?);
            return Ok(());
        }
    };
    texts.push(value.to_owned());
    Ok(())
}

fn workload(value: &str) -> Workload {
    match value.split_once('/') {
        Some((kind, name)) => Workload {
            name: name.into(),
            kind: kind.into(),
        },
        None => Workload {
            name: value.into(),
            kind: String::new(),
        },
    }
}

fn identity(value: &str) -> anyhow::Result<u32> {
    if let Ok(number) = value.parse() {
        return Ok(number);
    }
    let names = Reserved::ALL.map(Reserved::name).join(", ");
    Reserved::from_name(value)
        .map(|reserved| reserved.id().0)
        .with_context(|| format!("expected a number or one of {names}"))
}

fn ip_version(value: &str) -> anyhow::Result<IpVersion> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "none" => IpVersion::IpNotUsed,
        "v4" | "4" | "ipv4" => IpVersion::IPv4,
        "v6" | "6" | "ipv6" => IpVersion::IPv6,
        _ => bail!("expected none, v4 or v6"),
    })
}

fn direction(value: &str) -> anyhow::Result<TrafficDirection> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "ingress" => TrafficDirection::Ingress,
        "egress" => TrafficDirection::Egress,
        _ => bail!("expected ingress or egress"),
    })
}

fn switch(value: &str) -> anyhow::Result<bool> {
    value.parse().context("expected true or false")
}

fn tcp_flags(value: &str) -> anyhow::Result<TcpFlags> {
    let mut flags = TcpFlags::default();
    for name in value.split(',') {
        let flag = match name.trim().to_ascii_uppercase().as_str() {
            "FIN" => &mut flags.fin,
            "SYN" => &mut flags.syn,
            "RST" => &mut flags.rst,
            "PSH" => &mut flags.psh,
            "ACK" => &mut flags.ack,
            "URG" => &mut flags.urg,
            "ECE" => &mut flags.ece,
            "CWR" => &mut flags.cwr,
            "NS" => &mut flags.ns,
            _ => bail!("unknown TCP flag {name:?}"),
        };
        *flag = true;
    }
    Ok(flags)
}

/// Names of event types with their numbers.
const TYPES: [(&str, i32); 8] = [
    ("drop", 1),
    ("debug", 2),
    ("capture", 3),
    ("trace", 4),
    ("policy-verdict", 5),
    ("trace-sock", 7),
    ("l7", 129),
    ("agent", 130),
];

fn event_type(value: &str) -> anyhow::Result<EventTypeFilter> {
    let (kind, sub_type) = match value.split_once(':') {
        Some((kind, sub_type)) => (kind, Some(sub_type)),
        None => (value, None),
    };
    let number = |text: &str| text.parse::<u8>().ok().map(i32::from);
    let named = TYPES
        .iter()
        .find(|(name, _)| *name == kind)
        .map(|(_, number)| *number);
    let r#type = named.or_else(|| number(kind)).with_context(|| {
        format!(
            "unknown type {kind:?}, known are {}",
            TYPES.map(|(name, _)| name).join(", ")
        )
    })?;
    let Some(sub_type) = sub_type else {
        return Ok(EventTypeFilter {
            r#type,
            match_sub_type: false,
            sub_type: 0,
        });
    };
    let point = POINTS
        .iter()
        .position(|name| *name == sub_type && kind == "trace");
    let sub_type = point
        .and_then(|position| i32::try_from(position).ok())
        .or_else(|| number(sub_type))
        .with_context(|| {
            format!(
                "unknown subtype {sub_type:?}, known are {}",
                POINTS.join(", ")
            )
        })?;
    Ok(EventTypeFilter {
        r#type,
        match_sub_type: true,
        sub_type,
    })
}
