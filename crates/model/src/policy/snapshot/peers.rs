//! Peers as inputs: which peer lists they are on, and which policies treat them differently than before.

use std::sync::Arc;

use super::{ActivePeer, Peer, PeerFacts, Scope, Snapshot, Touched, are_alike};
use crate::policy::parts::PartId;

impl Snapshot {
    pub(super) fn set_peer(&mut self, peer: Peer, facts: PeerFacts, touched: &mut Touched) {
        let old = self.peers.get(&peer).cloned();
        if old.as_ref().is_some_and(|old| *old.facts == facts) {
            return;
        }
        let new = ActivePeer {
            parts: self.parts.matching(&facts),
            facts: Arc::new(facts),
        };
        self.touch_peer(peer, old.as_ref(), Some(&new), touched);
        self.peers.insert(peer, new);
    }

    pub(super) fn remove_peer(&mut self, peer: Peer, touched: &mut Touched) {
        let old = self.peers.remove(&peer);
        self.touch_peer(peer, old.as_ref(), None, touched);
    }

    /// A policy that sees no difference is not touched. A pod that comes or goes may be another than what most pods are to a policy,
    /// which only its rows know; any other that is not there counts as its scope's bare one.
    fn touch_peer(
        &self,
        peer: Peer,
        old: Option<&ActivePeer>,
        new: Option<&ActivePeer>,
        touched: &mut Touched,
    ) {
        let scope = Scope::of(peer);
        let bare = &self.bare[scope as usize];
        let any = scope == Scope::Cluster && !peer.is_fixed() && old.is_some() != new.is_some();
        let (old, new) = (old.unwrap_or(bare), new.unwrap_or(bare));
        for (key, active) in &self.keys {
            if any || !are_alike(active, old, new) {
                touched.peer(key, peer);
            }
        }
    }

    /// Puts all peers on a new list that they match.
    pub(super) fn match_part(&mut self, part: PartId) {
        let Some(list) = self.parts.get(part).cloned() else {
            return;
        };
        let on: Vec<Peer> = self
            .peers
            .iter()
            .filter(|(_, of)| list.matches(&of.facts))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in on {
            if let Some(of) = self.peers.get_mut(&peer) {
                of.parts = with(&of.parts, part);
            }
        }
        for of in self.bare.iter_mut().filter(|of| list.matches(&of.facts)) {
            of.parts = with(&of.parts, part);
        }
    }

    /// Takes all peers off a list that is gone.
    pub(super) fn unmatch_part(&mut self, part: PartId) {
        let on: Vec<Peer> = self
            .peers
            .iter()
            .filter(|(_, of)| of.parts.binary_search(&part).is_ok())
            .map(|(peer, _)| *peer)
            .collect();
        for peer in on {
            if let Some(of) = self.peers.get_mut(&peer) {
                of.parts = without(&of.parts, part);
            }
        }
        for of in &mut self.bare {
            of.parts = without(&of.parts, part);
        }
    }
}

fn with(parts: &[PartId], part: PartId) -> Arc<[PartId]> {
    let mut parts = parts.to_vec();
    if let Err(at) = parts.binary_search(&part) {
        parts.insert(at, part);
    }
    parts.into()
}

fn without(parts: &[PartId], part: PartId) -> Arc<[PartId]> {
    parts
        .iter()
        .filter(|other| **other != part)
        .copied()
        .collect()
}
