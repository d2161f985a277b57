//! `bpf policy get`: the verdicts in the maps, per endpoint and direction, class by class.

use std::collections::BTreeMap;

use datapath::abi::endpoint::Endpoint;
use datapath::abi::ipcache::Scope;
use datapath::abi::policy::{PeerKey, PolicyHead, PortKey, PortVerdict, flags, verdict};
use kernel::Maps;
use serde_json::{Value, json};

use super::shown::protocol;
use crate::output::Table;

/// The policy tables as dumped.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) heads: BTreeMap<u32, PolicyHead>,
    pub(super) peers: Vec<(PeerKey, u32)>,
    pub(super) ports: Vec<(PortKey, PortVerdict)>,
}

/// One verdict: for a class of peers and some ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) endpoint: u16,
    pub(super) policy: &'static str,
    pub(super) direction: &'static str,
    /// Numbers of peers, or words for a default class.
    pub(super) peers: Vec<Peer>,
    pub(super) ports: String,
    pub(super) proxy_port: u16,
    pub(super) bits: u32,
    pub(super) rule: u32,
}

/// Whom a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A number of the ipcache.
    Number(u32),
    /// All of a scope that have no class of their own, or everybody.
    Others(&'static str),
}

impl Tables {
    pub(super) fn read(maps: &Maps) -> anyhow::Result<Self> {
        Ok(Self {
            heads: maps
                .policies
                .dump()?
                .into_iter()
                .filter(|(_, head)| head.0 != 0)
                .collect(),
            peers: maps.policy_peers.dump()?,
            ports: maps.policy_ports.dump()?,
        })
    }

    /// What is in force for an endpoint.
    pub(super) fn lines(&self, endpoint: &Endpoint) -> Vec<Line> {
        let sides = [
            ("Ingress", endpoint.ingress_policy),
            ("Egress", endpoint.egress_policy),
        ];
        sides
            .into_iter()
            .flat_map(|(direction, index)| self.side(endpoint.id, direction, index))
            .collect()
    }

    fn side(&self, endpoint: u16, direction: &'static str, index: u16) -> Vec<Line> {
        let line = |policy, who, ports: &str| Line {
            endpoint,
            policy,
            direction,
            peers: vec![Peer::Others(who)],
            ports: ports.to_owned(),
            proxy_port: 0,
            bits: 0,
            rule: 0,
        };
        let head = self.heads.get(&index.into()).copied().unwrap_or_default();
        let has = |flag| head.flags() & flag != 0;
        if !has(flags::INSTALLED) {
            return vec![line("Deny", "everybody: not installed", "ANY")];
        }
        if has(flags::LOCKDOWN) {
            return vec![line("Deny", "everybody: does not fit its tables", "ANY")];
        }
        if !has(flags::ENFORCED) {
            return vec![line("Allow", "everybody: nothing is enforced", "ANY")];
        }
        let audit = has(flags::AUDIT);
        let of_policy = |key: &PortKey| key.policy == index && key.version == head.ports_version();
        let mut rows: Vec<_> = self
            .ports
            .iter()
            .filter(|(key, _)| of_policy(key))
            .collect();
        rows.sort_by_key(|(key, _)| {
            (
                key.class,
                key.protocol,
                u16::from_be(key.port),
                key.prefix_len,
            )
        });
        let mut lines: Vec<Line> = rows
            .into_iter()
            .map(|(key, value)| Line {
                policy: self::verdict(value.verdict),
                peers: self.peers_of(index, head, key.class),
                ports: ports(key),
                proxy_port: u16::from_be(value.proxy_port),
                bits: key.prefix_len.saturating_sub(PortKey::FIXED_BITS),
                rule: value.rule,
                ..line("", "", "")
            })
            .collect();
        lines.push(line(
            if audit { "Audit" } else { "Deny" },
            "everybody else",
            "ANY",
        ));
        lines
    }

    fn peers_of(&self, index: u16, head: PolicyHead, class: u16) -> Vec<Peer> {
        let is = |key: &PeerKey, of: u32| {
            key.policy == u32::from(index)
                && key.version == head.peers_version()
                && of == u32::from(class)
        };
        let mut numbers: Vec<u32> = self
            .peers
            .iter()
            .filter(|(key, of)| is(key, *of))
            .map(|(key, _)| key.peer)
            .collect();
        numbers.sort_unstable();
        let default = [
            (Scope::Cluster, "other pods"),
            (Scope::World, "other addresses of the world"),
            (Scope::Node, "other nodes"),
        ];
        let default = default
            .into_iter()
            .find(|(scope, _)| *scope as u16 == class)
            .map(|(_, name)| Peer::Others(name));
        numbers
            .into_iter()
            .map(Peer::Number)
            .chain(default)
            .collect()
    }
}

/// The word for a verdict.
pub(super) fn verdict(number: u8) -> &'static str {
    match number {
        verdict::ALLOW => "Allow",
        verdict::REDIRECT => "Redirect",
        verdict::DEFAULT_DENY => "DefaultDeny",
        _ => "Deny",
    }
}

/// Ports and protocol of a row: `80/TCP`, `8080-8087/TCP`, `ANY`, `type 8/ICMP`.
pub(super) fn ports(key: &PortKey) -> String {
    let bits = key.prefix_len.saturating_sub(PortKey::FIXED_BITS).min(16);
    let protocol_name = protocol(key.protocol);
    if bits == 0 {
        return protocol_name;
    }
    let first = u16::from_be(key.port);
    if matches!(key.protocol, 1 | 58) && bits <= 8 {
        return format!("type {}/{protocol_name}", first >> 8);
    }
    let last = first | (u16::MAX.checked_shr(bits).unwrap_or(0));
    if first == last {
        format!("{first}/{protocol_name}")
    } else {
        format!("{first}-{last}/{protocol_name}")
    }
}

/// The table in upstream's columns. Packets are counted per connection and per denial, never per allowing row.
pub(super) fn table(lines: &[Line], label: impl Fn(u32) -> Vec<String>) -> Table {
    let columns = [
        "ENDPOINT",
        "POLICY",
        "DIRECTION",
        "LABELS (source:key[=value])",
        "PORT/PROTO",
        "PROXY PORT",
        "AUTH TYPE",
        "BYTES",
        "PACKETS",
        "PREFIX",
        "RULE",
    ];
    let mut table = Table::new(&columns);
    for line in lines {
        let labels: Vec<String> = line
            .peers
            .iter()
            .flat_map(|peer| match peer {
                Peer::Number(number) => label(*number),
                Peer::Others(who) => vec![format!("<{who}>")],
            })
            .collect();
        let proxy = if line.proxy_port == 0 {
            "NONE".to_owned()
        } else {
            line.proxy_port.to_string()
        };
        let cells = vec![
            line.endpoint.to_string(),
            line.policy.to_owned(),
            line.direction.to_owned(),
            String::new(),
            line.ports.clone(),
            proxy,
            "disabled".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            line.bits.to_string(),
            line.rule.to_string(),
        ];
        table.tall_row(cells, 3, &labels);
    }
    table
}

pub(super) fn json(lines: &[Line]) -> Value {
    let all = lines.iter().map(|line| {
        let peers = line.peers.iter().map(|peer| match peer {
            Peer::Number(number) => json!(number),
            Peer::Others(who) => json!(who),
        });
        json!({
            "endpoint": line.endpoint,
            "policy": line.policy,
            "direction": line.direction,
            "peers": peers.collect::<Vec<_>>(),
            "port": line.ports,
            "proxy-port": line.proxy_port,
            "prefix": line.bits,
            "rule": line.rule,
        })
    });
    Value::Array(all.collect())
}
