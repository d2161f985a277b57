//! Addresses and prefixes: whose they are, and by which peers policies know them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use model::identity::{Identity, cidr_labels};
use model::ipcache::{self, Location, Row};
use model::policy::cidr::Cover;
use model::policy::{Change, Peer, PeerFacts, Touched};

use super::Engine;
use crate::config::Routing;
use crate::forwarding::HopTarget;
use crate::view::Known;

impl Engine {
    /// Takes in what a resource says of addresses.
    pub(super) fn claim(
        &mut self,
        resource: &ipcache::Resource,
        claims: Vec<(IpNet, ipcache::Claim)>,
    ) {
        let nets = self.ipcache.apply(resource, claims);
        self.stale.nets.extend(nets);
    }

    /// Gives every prefix that policies name an identity of its own; the world's own covers what is left.
    pub(super) fn claim_prefixes(&mut self, touched: &mut Touched) {
        let partition = self.policy.cidrs().partition();
        let gone: Vec<IpNet> = self
            .claimed
            .iter()
            .copied()
            .filter(|net| !partition.contains_key(net))
            .collect();
        for net in gone {
            self.claimed.remove(&net);
            self.claim(&ipcache::Resource::Prefix(net), Vec::new());
            let number = self.prefixes.get(&net);
            self.prefixes.release(&net);
            if let Some(number) = number {
                self.tell_policy(Change::PeerGone(Peer(number)), touched);
                self.prefixes.forget(number);
            }
        }
        self.claim_partition(partition, touched);
    }

    fn claim_partition(&mut self, partition: BTreeMap<IpNet, Cover>, touched: &mut Touched) {
        let stack = self.stack();
        for (net, cover) in partition {
            let identity = if net.prefix_len() == 0 {
                model::identity::world_of(&net, stack).id()
            } else {
                let known = self
                    .prefixes
                    .get(&net)
                    .filter(|_| self.claimed.contains(&net));
                match known.map_or_else(|| self.prefixes.acquire(&net), Ok) {
                    Ok(number) => Identity(number),
                    Err(error) => {
                        tracing::error!(prefix = %net, %error, "a prefix has no identity, it stays the world's");
                        continue;
                    }
                }
            };
            let facts = PeerFacts {
                labels: cidr_labels(&net, stack),
                cover,
                ..PeerFacts::default()
            };
            self.tell_policy(Change::Peer(Peer(identity.0), facts), touched);
            if net.prefix_len() > 0 && self.claimed.insert(net) {
                let claims = ipcache::prefix_claims(net, identity);
                self.claim(&ipcache::Resource::Prefix(net), claims);
            }
        }
    }

    /// Rows of the addresses that changed, with the peers by which policies know them. An address for which there is no number
    /// left is tried again each time.
    pub(super) fn refresh_addresses(&mut self, touched: &mut Touched) {
        let nets = std::mem::take(&mut self.stale.nets);
        let mut before = Vec::new();
        let mut again = BTreeSet::new();
        for net in nets {
            let row = self.ipcache.row(net, self.policy.cidrs());
            let known = row.and_then(|row| {
                let known = self.know(net, row, touched);
                if known.is_none() {
                    again.insert(net);
                }
                known
            });
            before.extend(match known {
                Some(known) => self.addresses.insert(net, known),
                None => self.addresses.remove(&net),
            });
            self.stale.addresses.insert(net);
        }
        // What old and new rows share is never without a use.
        for known in before {
            if let Some(target) = self.target_of(&known.row) {
                self.forwarding.hops.release(target);
                self.stale.hops.insert(target);
            }
            if let Some(number) = self.peers.release(&known.row) {
                self.tell_policy(Change::PeerGone(Peer(number)), touched);
                self.peers.forget(number);
            }
        }
        self.stale.nets = again;
    }

    /// Takes uses of the numbers that a row needs.
    fn know(&mut self, net: IpNet, row: Row, touched: &mut Touched) -> Option<Known> {
        let hop = match (self.target_of(&row), row.location) {
            (Some(target), _) => {
                let Some(hop) = self.forwarding.hops.hold(target) else {
                    tracing::error!(address = %net, "an address has no hop and is left out");
                    return None;
                };
                self.stale.hops.insert(target);
                hop
            }
            (None, Location::LocalNode) => datapath::abi::endpoint::HOP_STACK,
            (None, _) => datapath::abi::endpoint::HOP_ROUTE,
        };
        let peer = match self.peers.acquire(&row) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::error!(address = %net, %error, "an address has no peer number and is left out");
                if let Some(target) = self.target_of(&row) {
                    self.forwarding.hops.release(target);
                }
                return None;
            }
        };
        if let Some(part) = row.part() {
            self.tell_part(peer, part.identity, part.cover, touched);
        }
        Some(Known { row, peer, hop })
    }

    /// What a row's way leads to, if it is not one that is always there.
    fn target_of(&self, row: &Row) -> Option<HopTarget> {
        match (row.location, self.config.datapath.routing) {
            (Location::LocalEndpoint { ifindex, .. }, _) => Some(HopTarget::Local(ifindex)),
            (Location::RemoteEndpoint { node }, Routing::Tunnel) => Some(HopTarget::Node(node)),
            _ => None,
        }
    }

    /// A part of an identity is what the identity is, and covered by its own selectors. One whose identity is not known yet is told
    /// with it.
    fn tell_part(&mut self, number: u32, identity: Identity, cover: Cover, touched: &mut Touched) {
        let Some(whole) = self.policy.peer(Peer(identity.0)) else {
            return;
        };
        let facts = PeerFacts {
            cover,
            ..whole.clone()
        };
        self.tell_policy(Change::Peer(Peer(number), facts), touched);
    }

    /// Tells the policies about the parts of an identity that changed.
    pub(super) fn tell_parts_of(&mut self, identity: Identity, touched: &mut Touched) {
        let parts: Vec<(u32, Cover)> = self
            .peers
            .parts_of(identity)
            .map(|(number, part)| (number, part.cover.clone()))
            .collect();
        for (number, cover) in parts {
            self.tell_part(number, identity, cover, touched);
        }
    }
}
