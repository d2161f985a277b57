//! Metrics of packets and verdicts: flow, drop, policy, tcp, icmp, port-distribution, flows-to-world.

use api::hubble::flow::{
    DropReason, Flow, IpVersion, Layer4, TrafficDirection, Verdict, layer4::Protocol,
};
use prometheus_client::metrics::counter::Counter;

use super::{
    At, Context, Flags, Handler, Kept, Label, Told, Turn,
    words::{parser, point, policy_match, protocol, verdict},
};
use crate::flow::{event_type, icmpv4, icmpv6};

/// Numbers of monitor events that only others than us send.
const CAPTURE: i32 = 3;

/// The identity of the node itself.
const HOST: u32 = 1;

fn event(flow: &Flow) -> i32 {
    flow.event_type.as_ref().map_or(0, |event| event.r#type)
}

fn is_forwarded(flow: &Flow) -> bool {
    flow.verdict == i32::from(Verdict::Forwarded) || flow.verdict == i32::from(Verdict::Redirected)
}

fn is_dropped(flow: &Flow) -> bool {
    flow.verdict == i32::from(Verdict::Dropped)
}

/// Whether it is a reply; none when that is not known.
fn is_reply(flow: &Flow) -> Option<bool> {
    flow.is_reply.as_ref().map(|is_reply| is_reply.value)
}

fn layer4(flow: &Flow) -> Option<&Protocol> {
    flow.l4.as_ref()?.protocol.as_ref()
}

/// All flows.
pub(super) struct Flows(Told<Counter>);

impl Flows {
    pub(super) fn new(context: &Context) -> Self {
        Self(Told::new(
            "hubble_flows_processed",
            "Flows that were seen",
            &["protocol", "type", "subtype", "verdict"].map(Label::few),
            context,
        ))
    }
}

impl Handler for Flows {
    fn flow(&self, flow: &Flow, at: &mut At) {
        let number;
        let (kind, sub) = match event(flow) {
            event_type::ACCESS_LOG => ("L7", flow.l7.as_ref().and_then(parser).unwrap_or("")),
            event_type::DROP => ("Drop", ""),
            CAPTURE => ("Capture", ""),
            event_type::TRACE => {
                let sub_type = flow.event_type.as_ref().map_or(0, |event| event.sub_type);
                ("Trace", point(sub_type))
            }
            event_type::POLICY_VERDICT => ("PolicyVerdict", ""),
            other => {
                number = other.to_string();
                ("Unknown", number.as_str())
            }
        };
        let own = [protocol(flow), kind, sub, verdict(flow)];
        self.0.of(flow, Turn::AsSeen, &own, at).inc();
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.0.family]
    }
}

/// Flows that were dropped.
pub(super) struct Drops(Told<Counter>);

impl Drops {
    pub(super) fn new(context: &Context) -> Self {
        Self(Told::new(
            "hubble_drop",
            "Flows that were dropped",
            &["reason", "protocol"].map(Label::few),
            context,
        ))
    }
}

impl Handler for Drops {
    fn flow(&self, flow: &Flow, at: &mut At) {
        if !is_dropped(flow) {
            return;
        }
        let number;
        let reason = if let Ok(known) = DropReason::try_from(flow.drop_reason_desc) {
            known.as_str_name()
        } else {
            number = flow.drop_reason_desc.to_string();
            &number
        };
        self.0
            .of(flow, Turn::AsSeen, &[reason, protocol(flow)], at)
            .inc();
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.0.family]
    }
}

/// What policies said.
pub(super) struct Policy(Told<Counter>);

impl Policy {
    pub(super) fn new(context: &Context) -> Self {
        Self(Told::new(
            "hubble_policy_verdicts",
            "Verdicts of network policies",
            &["direction", "match", "action"].map(Label::few),
            context,
        ))
    }
}

impl Handler for Policy {
    fn flow(&self, flow: &Flow, at: &mut At) {
        let matched = match event(flow) {
            event_type::POLICY_VERDICT => {
                // The node may always talk to its pods, so that is no verdict.
                if flow.source.as_ref().is_some_and(|end| end.identity == HOST) {
                    return;
                }
                policy_match(flow.policy_match_type)
            }
            event_type::ACCESS_LOG => match flow.l7.as_ref().and_then(parser) {
                Some("DNS") => "l7/dns",
                Some("HTTP") => "l7/http",
                Some("Kafka") => "l7/kafka",
                _ => "l7/",
            },
            _ => return,
        };
        let direction = match TrafficDirection::try_from(flow.traffic_direction) {
            Ok(TrafficDirection::Ingress) => "ingress",
            Ok(TrafficDirection::Egress) => "egress",
            _ => "traffic_direction_unknown",
        };
        let action = verdict(flow).to_ascii_lowercase();
        self.0
            .of(flow, Turn::AsSeen, &[direction, matched, &action], at)
            .inc();
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.0.family]
    }
}

/// TCP flags.
pub(super) struct Tcp(Told<Counter>);

impl Tcp {
    pub(super) fn new(context: &Context) -> Self {
        Self(Told::new(
            "hubble_tcp_flags",
            "TCP flags that were seen",
            &["flag", "family"].map(Label::few),
            context,
        ))
    }
}

impl Handler for Tcp {
    fn flow(&self, flow: &Flow, at: &mut At) {
        if !is_forwarded(flow) {
            return;
        }
        let (Some(ip), Some(Protocol::Tcp(tcp))) = (&flow.ip, layer4(flow)) else {
            return;
        };
        let Some(flags) = &tcp.flags else {
            return;
        };
        let family = IpVersion::try_from(ip.ip_version)
            .unwrap_or(IpVersion::IpNotUsed)
            .as_str_name();
        let syn = if flags.ack { "SYN-ACK" } else { "SYN" };
        for (is_set, flag) in [(flags.fin, "FIN"), (flags.syn, syn), (flags.rst, "RST")] {
            if is_set {
                self.0.of(flow, Turn::AsSeen, &[flag, family], at).inc();
            }
        }
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.0.family]
    }
}

/// ICMP messages.
pub(super) struct Icmp(Told<Counter>);

impl Icmp {
    pub(super) fn new(context: &Context) -> Self {
        Self(Told::new(
            "hubble_icmp",
            "ICMP messages that were seen",
            // 65536 types and codes for each family: whoever sends chooses.
            &[Label::few("family"), Label::open("type")],
            context,
        ))
    }
}

impl Handler for Icmp {
    fn flow(&self, flow: &Flow, at: &mut At) {
        let number = |wide: u32| u8::try_from(wide).unwrap_or(u8::MAX);
        let (family, kind) = match layer4(flow) {
            Some(Protocol::IcmPv4(icmp)) => {
                ("IPv4", icmpv4(number(icmp.r#type), number(icmp.code)))
            }
            Some(Protocol::IcmPv6(icmp)) => {
                ("IPv6", icmpv6(number(icmp.r#type), number(icmp.code)))
            }
            _ => return,
        };
        self.0.of(flow, Turn::AsSeen, &[family, &kind], at).inc();
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.0.family]
    }
}

/// Flows by the port that they go to.
pub(super) struct Ports(Told<Counter>);

impl Ports {
    pub(super) fn new(context: &Context) -> Self {
        Self(Told::new(
            "hubble_port_distribution",
            "Flows by the port that they go to",
            &[Label::few("protocol"), Label::open("port")],
            context,
        ))
    }
}

impl Handler for Ports {
    fn flow(&self, flow: &Flow, at: &mut At) {
        // The port of a reply is one that the client's system chose; of a flow that may be one, nothing is counted.
        if !is_forwarded(flow) || is_reply(flow) != Some(false) || layer4(flow).is_none() {
            return;
        }
        let port = port(flow.l4.as_ref()).map_or_else(|| "0".to_owned(), |port| port.to_string());
        // What is asked on layer 7 goes over a port all the same.
        let plain = l4_name(flow);
        self.0.of(flow, Turn::AsSeen, &[plain, &port], at).inc();
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.0.family]
    }
}

fn port(l4: Option<&Layer4>) -> Option<u32> {
    match l4?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some(tcp.destination_port),
        Protocol::Udp(udp) => Some(udp.destination_port),
        Protocol::Sctp(sctp) => Some(sctp.destination_port),
        _ => None,
    }
}

fn l4_name(flow: &Flow) -> &'static str {
    match layer4(flow) {
        Some(Protocol::Tcp(_)) => "TCP",
        Some(Protocol::Udp(_)) => "UDP",
        Some(Protocol::Sctp(_)) => "SCTP",
        Some(Protocol::IcmPv4(_)) => "ICMPv4",
        Some(Protocol::IcmPv6(_)) => "ICMPv6",
        Some(Protocol::Vrrp(_)) => "VRRP",
        Some(Protocol::Igmp(_)) => "IGMP",
        None => "Unknown L4",
    }
}

/// Flows that leave the cluster.
pub(super) struct ToWorld {
    told: Told<Counter>,
    any_drop: bool,
    port: bool,
    syn_only: bool,
}

impl ToWorld {
    pub(super) fn new(context: &Context, flags: &Flags<'_>) -> Self {
        let port = flags.has("port");
        let mut labels = vec![Label::few("protocol"), Label::few("verdict")];
        if port {
            labels.push(Label::open("port"));
        }
        let name = "hubble_flows_to_world";
        Self {
            told: Told::new(name, "Flows to outside of the cluster", &labels, context),
            any_drop: flags.has("any-drop"),
            port,
            syn_only: flags.has("syn-only"),
        }
    }

    fn counts(&self, flow: &Flow) -> bool {
        const WORLD: [&str; 3] = [
            "reserved:world",
            "reserved:world-ipv4",
            "reserved:world-ipv6",
        ];
        let to_world = flow.destination.as_ref().is_some_and(|end| {
            let mut labels = end.labels.iter();
            labels.any(|label| WORLD.contains(&label.as_str()))
        });
        if !to_world || flow.event_type.is_none() || flow.l4.is_none() {
            return false;
        }
        let is_reply = is_reply(flow) == Some(true);
        if self.syn_only {
            let syn = match layer4(flow) {
                Some(Protocol::Tcp(tcp)) => tcp.flags.as_ref().is_some_and(|flags| flags.syn),
                _ => false,
            };
            if !syn || is_reply {
                return false;
            }
        }
        if is_dropped(flow) {
            let by_policy = flow.drop_reason_desc == i32::from(DropReason::PolicyDenied);
            self.any_drop || by_policy
        } else {
            !is_reply
        }
    }
}

impl Handler for ToWorld {
    fn flow(&self, flow: &Flow, at: &mut At) {
        if !self.counts(flow) {
            return;
        }
        let (protocol, verdict) = (protocol(flow), verdict(flow));
        let series = if self.port {
            let port = port(flow.l4.as_ref()).map_or_else(String::new, |port| port.to_string());
            let own = [protocol, verdict, &port];
            self.told.of(flow, Turn::AsSeen, &own, at)
        } else {
            self.told.of(flow, Turn::AsSeen, &[protocol, verdict], at)
        };
        series.inc();
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.told.family]
    }
}
