//! Connections: `bpf ct` and `bpf nat`, from the tables of answered and unanswered connections.

use std::net::SocketAddr;

use datapath::abi::connection::{Connection, ConnectionKey, flags};
use kernel::Maps;
use serde_json::{Value, json};

use super::shown::{bits, protocol, socket};

/// Which table a connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Both sides were seen.
    Answered,
    /// Only its initiator was.
    Opening,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) protocol: u8,
    pub(crate) from: SocketAddr,
    /// As the initiator calls it, before any rewrite.
    pub(crate) to: SocketAddr,
    pub(crate) state: State,
    pub(crate) connection: Connection,
}

const FLAGS: [(u16, &str); 7] = [
    (flags::INITIATOR_LOW, "InitiatorLow"),
    (flags::DESTINATION_NAT, "DestinationNAT"),
    (flags::SOURCE_NAT, "SourceNAT"),
    (flags::AUDITED, "Audited"),
    (flags::HAIRPIN, "Loopback"),
    (flags::OVERLAY, "Overlay"),
    (flags::UNENFORCED, "Unenforced"),
];

impl Entry {
    /// An entry of a map.
    pub(crate) fn new(key: &ConnectionKey, connection: &Connection, state: State) -> Self {
        let low = socket(key.low, key.low_port);
        let high = socket(key.high, key.high_port);
        let (from, to) = if connection.flags & flags::INITIATOR_LOW == 0 {
            (high, low)
        } else {
            (low, high)
        };
        Self {
            protocol: key.protocol,
            from,
            to,
            state,
            connection: *connection,
        }
    }

    /// The destination after the rewrite.
    pub(crate) fn rewritten_to(&self) -> Option<SocketAddr> {
        let of = &self.connection;
        (of.flags & flags::DESTINATION_NAT != 0).then(|| socket(of.to, of.to_port))
    }

    /// The source after the rewrite.
    pub(crate) fn rewritten_from(&self) -> Option<SocketAddr> {
        let of = &self.connection;
        (of.flags & flags::SOURCE_NAT != 0).then(|| socket(of.from, of.from_port))
    }

    /// Whether an endpoint of this node takes part; 0 means any.
    pub(super) fn is_of(&self, endpoint: u16) -> bool {
        endpoint == 0
            || [
                self.connection.source_endpoint,
                self.connection.destination_endpoint,
            ]
            .contains(&endpoint)
    }

    fn side(&self) -> &'static str {
        if self.connection.source_endpoint == 0 {
            "IN"
        } else {
            "OUT"
        }
    }

    pub(super) fn line(&self) -> String {
        let state = match self.state {
            State::Answered => "answered",
            State::Opening => "opening",
        };
        format!(
            "{} {} {} -> {} State={state} {}",
            protocol(self.protocol),
            self.side(),
            self.from,
            self.to,
            facts(&self.connection)
        )
    }

    pub(super) fn json(&self) -> Value {
        let of = &self.connection;
        json!({
            "protocol": protocol(self.protocol),
            "direction": self.side(),
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "state": if self.state == State::Answered { "answered" } else { "opening" },
            "translated-to": self.rewritten_to().map(|to| to.to_string()),
            "translated-from": self.rewritten_from().map(|from| from.to_string()),
            "sent": { "packets": of.sent.packets, "bytes": of.sent.bytes, "tcp-flags": of.sent.tcp_flags },
            "received": { "packets": of.received.packets, "bytes": of.received.bytes, "tcp-flags": of.received.tcp_flags },
            "source-identity": of.source_identity,
            "destination-identity": of.destination_identity,
            "source-endpoint": of.source_endpoint,
            "destination-endpoint": of.destination_endpoint,
            "egress-rule": of.egress_rule,
            "ingress-rule": of.ingress_rule,
            "service": of.service,
            "backend": of.backend,
            "flags": of.flags,
        })
    }

    /// The rewrites of this connection as `bpf nat list` prints them, forth and back.
    pub(super) fn rewrites(&self) -> Vec<String> {
        let protocol = protocol(self.protocol);
        let mut lines = Vec::new();
        let to = self.rewritten_to().unwrap_or(self.to);
        if let Some(source) = self.rewritten_from() {
            lines.push(format!(
                "{protocol} OUT {} -> {to} XLATE_SRC {source}",
                self.from
            ));
            lines.push(format!(
                "{protocol} IN {to} -> {source} XLATE_DST {}",
                self.from
            ));
        }
        if let Some(destination) = self.rewritten_to() {
            lines.push(format!(
                "{protocol} OUT {} -> {} XLATE_DST {destination}",
                self.from, self.to
            ));
        }
        lines
    }
}

/// Counters, flags and numbers of a connection.
pub(super) fn facts(of: &Connection) -> String {
    format!(
        "Packets={} Bytes={} TxFlagsSeen={:#04x} ReplyPackets={} ReplyBytes={} RxFlagsSeen={:#04x} Flags={:#06x} [ {} ] \
         RevNAT={} SourceSecurityID={} DestinationSecurityID={} BackendID={} NatPort={} EgressRule={} IngressRule={}",
        of.sent.packets,
        of.sent.bytes,
        of.sent.tcp_flags,
        of.received.packets,
        of.received.bytes,
        of.received.tcp_flags,
        of.flags,
        bits(of.flags, &FLAGS.map(|(bit, name)| (bit, name))),
        of.service,
        of.source_identity,
        of.destination_identity,
        of.backend,
        u16::from_be(of.from_port),
        of.egress_rule,
        of.ingress_rule,
    )
}

/// All connections, sorted.
pub(crate) fn read(maps: &Maps) -> anyhow::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for (map, state) in [
        (&maps.connections, State::Answered),
        (&maps.openings, State::Opening),
    ] {
        all.extend(
            map.dump()?
                .iter()
                .map(|(key, value)| Entry::new(key, value, state)),
        );
    }
    all.sort_by_key(|entry| (entry.protocol, entry.from, entry.to));
    Ok(all)
}

/// Removes connections, and what leads to them; says how many.
pub(super) fn flush(maps: &Maps, is: impl Fn(&Entry) -> bool) -> anyhow::Result<usize> {
    let mut count = 0;
    for (map, state) in [
        (&maps.connections, State::Answered),
        (&maps.openings, State::Opening),
    ] {
        let dump = map.dump()?;
        let keys: Vec<ConnectionKey> = dump
            .iter()
            .filter(|(key, value)| is(&Entry::new(key, value, state)))
            .map(|(key, _)| *key)
            .collect();
        // Aliases first: one without its primary would only hold a port.
        let aliases = maps.aliases.dump()?;
        let orphans: Vec<ConnectionKey> = aliases
            .iter()
            .filter(|(_, alias)| keys.contains(&alias.primary))
            .map(|(key, _)| *key)
            .collect();
        maps.aliases.remove_all(&orphans)?;
        map.remove_all(&keys)?;
        count += keys.len();
    }
    Ok(count)
}
