//! Addresses and prefixes: whose they are, and by which peers policies know them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use model::identity::{Identity, Reserved, cidr_labels};
use model::ipcache::{self, Location, Row};
use model::policy::cidr::{Cover, Owner};
use model::policy::{Change, Peer, PeerFacts, Touched};

use super::Engine;
use super::compose::{address_key, net_of, prefix_key};
use crate::config::Routing;
use crate::forwarding::{Failure, HopTarget};
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
            self.departing.extend(self.prefixes.get(&net));
            self.prefixes.release(&net);
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
        let nets = std::mem::take(&mut self.stale.nets).into_iter();
        let rows: Vec<(IpNet, Option<Row>)> = nets
            .map(|net| {
                let cidrs = self.policy.cidrs();
                (net, self.ipcache.row(net, cidrs, &mut self.covers))
            })
            .collect();
        self.move_wholes(&rows, touched);
        let mut before = Vec::new();
        let mut again = BTreeSet::new();
        for (net, row) in rows {
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
            let unused = self.peers.release(&known.row, known.peer);
            self.departing.extend(unused);
        }
        self.stale.nets = again;
        self.tell_usual(touched);
    }

    /// Tells what covers identities of which no address is known, when that changed.
    fn tell_usual(&mut self, touched: &mut Touched) {
        let usual = self.peers.usual_cover();
        if usual == self.usual {
            return;
        }
        let all = self.policy.peers().map(|(peer, _)| Identity(peer.0));
        let bare = all.filter(|identity| self.peers.is_bare(*identity));
        let bare: Vec<Identity> = bare.collect();
        self.usual = usual;
        for identity in bare {
            self.tell_part(identity.0, identity, self.peers.cover_of(identity), touched);
        }
    }

    /// Where all addresses that an identity's number stands for are covered by other selectors now, the number moves with them.
    fn move_wholes(&mut self, rows: &[(IpNet, Option<Row>)], touched: &mut Touched) {
        let mut moved: BTreeMap<Identity, (usize, Option<Cover>)> = BTreeMap::new();
        for (net, row) in rows {
            let Some(before) = self.addresses.get(net) else {
                continue;
            };
            let identity = before.row.identity;
            if before.peer != identity.0 {
                continue;
            }
            let now = row.as_ref().filter(|row| row.identity == identity);
            let cover = now.map(|row| &row.cover);
            let (count, common) = moved.entry(identity).or_insert_with(|| (0, cover.cloned()));
            *count += 1;
            if common.as_ref() != cover {
                *common = None;
            }
        }
        for (identity, (count, cover)) in moved {
            let Some(cover) = cover else { continue };
            if self.peers.move_whole(identity, count, &cover) {
                self.tell_part(identity.0, identity, cover, touched);
            }
        }
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
        let held = self.held(net);
        let peer = match self.peers.acquire(&row, held.map(|(_, peer)| peer)) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::error!(address = %net, %error, "an address has no peer number and is left out");
                if let Some(target) = self.target_of(&row) {
                    self.forwarding.hops.release(target);
                }
                return None;
            }
        };
        if let Some((identity, held)) = held
            && held != peer
            && !self.peers.is_used(held)
            && !self.departing.contains(&held)
        {
            // Until the address has its row, policies are asked about the number that it had.
            self.tell_part(held, identity, row.cover.clone(), touched);
            self.departing.insert(held);
        }
        if row.location.owner() != Owner::World {
            self.tell_part(peer, row.identity, row.cover.clone(), touched);
        }
        Some(Known { row, peer, hop })
    }

    /// The part of an identity that the tables of a former run have at an address of which this one knows nothing yet.
    fn held(&self, net: IpNet) -> Option<(Identity, u32)> {
        if self.addresses.contains_key(&net) {
            return None;
        }
        let row = if net.prefix_len() == net.max_prefix_len() {
            self.forwarding.addresses.rows().get(&address_key(&net))
        } else {
            self.forwarding.cidrs.rows().get(&prefix_key(&net))
        };
        let row = row.filter(|row| row.peer != row.identity && row.peer >> 24 > 1)?;
        Some((Identity(row.identity), row.peer))
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
        if self.policy.peer(Peer(number)) != Some(&facts) {
            self.tell_policy(Change::Peer(Peer(number), facts), touched);
        }
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

    /// Takes numbers from policies that no row of an address names any more: first nobody is known by them, then they have no class.
    /// Only now, and after a commit that failed at nothing: a packet of theirs would else be judged as those are whom no row tells
    /// apart. Says whether another commit is needed.
    pub(super) fn depart(&mut self, failures: &mut Vec<Failure>) -> bool {
        let mut touched = Touched::default();
        for number in std::mem::take(&mut self.departing) {
            if !self.is_unused(number) {
                continue;
            }
            if let Err(error) = self.forwarding.forget_peer(number) {
                failures.push(Failure::of(&number, &error));
                self.departing.insert(number);
                continue;
            }
            self.prefixes.forget(number);
            self.peers.forget(number);
            touched.merge(self.policy.apply(Change::PeerGone(Peer(number))));
        }
        let left = self.peers.settle();
        for identity in &left {
            self.tell_part(
                identity.0,
                *identity,
                self.peers.cover_of(*identity),
                &mut touched,
            );
        }
        let cut = |identity: &Identity| self.peers.parts_of(*identity).next().is_some();
        let left: BTreeSet<Identity> = left.into_iter().filter(cut).collect();
        if !left.is_empty() {
            let all = self.addresses.iter();
            let of_them = all.filter(|(_, known)| left.contains(&known.row.identity));
            self.stale.nets.extend(of_them.map(|(net, _)| *net));
        }
        let again = !touched.policies.is_empty() || !left.is_empty();
        self.settle(touched);
        again
    }

    /// Whether nobody is known by a number any more.
    fn is_unused(&self, number: u32) -> bool {
        let used = match number >> 24 {
            0 => self.inputs.identities.get(&Identity(number)).is_some(),
            1 => self.prefixes.is_used(number),
            _ => self.peers.is_used(number),
        };
        !used
    }

    /// Takes over the numbers of prefixes that the kernel's tables hold, and gives none that stands for a part of an
    /// identity to another: a row from before a restart may be read with a policy from after it.
    pub(super) fn recover_peers(&mut self) {
        let prefixes = self.forwarding.cidrs.rows().iter();
        let named = prefixes.filter_map(|(key, row)| Some((row.identity, net_of(key)?)));
        self.prefixes.restore(named);
        let rows = self.forwarding.addresses.rows().values();
        let peers = rows.chain(self.forwarding.cidrs.rows().values());
        self.peers.begin_after(peers.map(|row| row.peer));
    }

    /// Tells the policies about identities whose numbers never change.
    pub(super) fn know_reserved_peers(&mut self) {
        for reserved in Reserved::ALL {
            let facts = PeerFacts {
                labels: reserved.labels(),
                ..PeerFacts::default()
            };
            let change = Change::Peer(Peer(reserved.id().0), facts);
            self.tell_policy(change, &mut Touched::default());
        }
    }
}
