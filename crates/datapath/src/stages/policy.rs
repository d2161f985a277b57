//! Policy: class of the peer, then verdict of its port. See docs/decisions/0003.

use crate::{
    Environment, Maps,
    abi::{
        Drop, connection,
        endpoint::{self, Endpoint},
        event::direction,
        ipcache::{identity, scope_of},
        policy::{PeerKey, PolicyHead, PortKey, flags, verdict},
    },
    context::{Cx, Fragment, Judged, Seams},
    environment::Feature,
};

/// Peers below this number are reserved identities, which every policy knows. Those above that are not known have no class, not
/// even the default of their scope, which is made for those that are.
pub const RESERVED: u32 = 16;

/// Judges the packet at both of its ends that are endpoints of this node: sender first. `port` is that of the responder,
/// network order; for ICMP the type in the first octet.
#[inline(never)]
pub fn judge<S: Seams>(cx: &mut Cx<'_, S>, port: u16) -> Result<(), Drop> {
    cx.env.stage("policy");
    cx.rewrite.flags |= connection::flags::UNENFORCED;
    if let Some(endpoint) = cx.sender() {
        let peer = cx.destination.peer;
        let judged = one_side(cx, endpoint, direction::EGRESS, peer, port);
        // Also of a denial: who reads of it wants to know by which rule.
        cx.source.rule = cx.judged.rule;
        judged?;
    }
    if let Some(endpoint) = cx.receiver() {
        let from_own_node =
            cx.source.identity == identity::HOST && cx.env.on(Feature::AllowLocalhost);
        if !from_own_node || endpoint.flags & endpoint::flags::NOT_READY != 0 {
            let peer = cx.source.peer;
            let judged = one_side(cx, endpoint, direction::INGRESS, peer, port);
            cx.destination.rule = cx.judged.rule;
            judged?;
        }
    }
    Ok(())
}

#[inline(always)]
fn one_side<S: Seams>(
    cx: &mut Cx<'_, S>,
    endpoint: &Endpoint,
    direction: u8,
    peer: u32,
    port: u16,
) -> Result<(), Drop> {
    let policy = if direction == direction::EGRESS {
        endpoint.egress_policy
    } else {
        endpoint.ingress_policy
    };
    cx.judged = Judged {
        endpoint: endpoint.id,
        direction,
        policy: policy.into(),
        ..Judged::default()
    };
    let head = cx.maps.policy(policy.into());
    if endpoint.flags & endpoint::flags::NOT_READY != 0 || head.flags() & flags::INSTALLED == 0 {
        return Err(Drop::EpNotReady);
    }
    if head.flags() & flags::LOCKDOWN != 0 {
        return Err(Drop::PolicyLockdown);
    }
    if head.flags() & flags::ENFORCED == 0 {
        return Ok(());
    }
    cx.rewrite.flags &= !connection::flags::UNENFORCED;
    match enforce(cx, head, peer, port) {
        Err(_) if head.flags() & flags::AUDIT != 0 => {
            cx.rewrite.flags |= connection::flags::AUDITED;
            Ok(())
        }
        result => result,
    }
}

/// The verdict of an enforced policy; [`Cx::judged`] says how it came about.
#[inline(always)]
fn enforce<S: Seams>(
    cx: &mut Cx<'_, S>,
    head: PolicyHead,
    peer: u32,
    port: u16,
) -> Result<(), Drop> {
    if matches!(cx.fragment, Fragment::Orphan) {
        return Err(Drop::FirstLogicalDatagramFragmentNotFound);
    }
    if peer >= RESERVED && !cx.maps.identity_known(peer) {
        return Err(Drop::InvalidIdentity);
    }
    let policy = cx.judged.policy;
    let class = cx
        .maps
        .policy_class(&PeerKey {
            policy,
            version: head.peers_version(),
            peer,
        })
        .unwrap_or(scope_of(peer) as u32);
    let mut key = PortKey {
        prefix_len: PortKey::FIXED_BITS + 16,
        version: head.ports_version(),
        policy: policy as u16,
        class: class as u16,
        protocol: cx.tuple.protocol,
        pad: 0,
        port,
    };
    let mut row = cx.maps.policy_port(&key);
    if row.is_none() {
        key.protocol = 0;
        row = cx.maps.policy_port(&key);
    }
    let Some(row) = row else {
        return Err(Drop::PolicyDenied);
    };
    cx.judged.rule = row.rule;
    cx.judged.match_type = row.match_type;
    match row.verdict {
        verdict::ALLOW => Ok(()),
        verdict::DENY => Err(Drop::PolicyDeny),
        verdict::REDIRECT => Err(Drop::ProxyRedirectionNotSupportedForProtocol),
        _ => Err(Drop::PolicyDenied),
    }
}
