//! Rows of a policy as the kernel's tables hold them.

use std::collections::{BTreeMap, BTreeSet};

use datapath::abi::policy::{PeerKey, PolicyHead, PortKey, PortVerdict, flags, verdict};
use model::policy::{Audit, Enforcing, Fit, MatchType, PolicyRows, Verdict};

/// Rows as the tables hold them, without index and version.
#[derive(Clone, Default)]
pub(super) struct Rows {
    /// Flags of the head.
    pub(super) bits: u8,
    /// Class by peer.
    pub(super) peers: BTreeMap<u32, u32>,
    /// Verdict by class, protocol and ports.
    pub(super) ports: BTreeMap<model::policy::PortKey, PortVerdict>,
}

impl Rows {
    pub(super) fn of(rows: &PolicyRows) -> Self {
        Self {
            bits: head_flags(rows),
            peers: rows
                .peers
                .iter()
                .map(|(peer, class)| (peer.0, u32::from(class.0)))
                .collect(),
            ports: rows
                .ports
                .iter()
                .map(|(key, verdict)| (*key, port_verdict(*verdict)))
                .collect(),
        }
    }

    /// The keys that they have under the versions of `head`.
    pub(super) fn keys(&self, index: u32, head: PolicyHead) -> (Vec<PeerKey>, Vec<PortKey>) {
        let peers = self.peers.keys().map(|peer| peer_key(index, head, *peer));
        let ports = self.ports.keys().map(|key| port_key(index, head, *key));
        (peers.collect(), ports.collect())
    }
}

pub(super) fn peer_key(policy: u32, head: PolicyHead, peer: u32) -> PeerKey {
    PeerKey {
        policy,
        version: head.peers_version(),
        peer,
    }
}

pub(super) fn port_key(index: u32, head: PolicyHead, key: model::policy::PortKey) -> PortKey {
    PortKey {
        prefix_len: PortKey::FIXED_BITS + u32::from(key.prefix_len),
        version: head.ports_version(),
        policy: index as u16,
        class: key.class.0,
        protocol: key.protocol.0,
        pad: 0,
        port: key.port.to_be(),
    }
}

fn port_verdict(from: model::policy::PortVerdict) -> PortVerdict {
    let verdict = match from.verdict {
        Verdict::Allow => verdict::ALLOW,
        Verdict::Deny => verdict::DENY,
        Verdict::DefaultDeny => verdict::DEFAULT_DENY,
    };
    PortVerdict {
        verdict,
        match_type: match_number(from.matched),
        proxy_port: 0,
        rule: from.rule.0,
    }
}

fn match_number(of: MatchType) -> u8 {
    of as u8
}

fn head_flags(rows: &PolicyRows) -> u8 {
    let mut bits = flags::INSTALLED;
    if rows.enforcing == Enforcing::Yes {
        bits |= flags::ENFORCED;
    }
    if rows.audit == Audit::On {
        bits |= flags::AUDIT;
    }
    if matches!(rows.fit, Fit::Lockdown { .. }) {
        bits |= flags::LOCKDOWN;
    }
    bits
}

/// Whether `new` has every row of `old` unchanged, and more only for classes that `old` does not know.
pub(super) fn only_new_classes(
    old: &BTreeMap<model::policy::PortKey, PortVerdict>,
    new: &BTreeMap<model::policy::PortKey, PortVerdict>,
) -> bool {
    let classes: BTreeSet<u16> = old.keys().map(|key| key.class.0).collect();
    old.iter().all(|(key, value)| new.get(key) == Some(value))
        && new
            .keys()
            .all(|key| old.contains_key(key) || !classes.contains(&key.class.0))
}
