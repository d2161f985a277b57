//! What most pods are in the eyes of a policy: those have no rows.

use super::{ActiveKey, ActivePeer, Peer, Scope, Snapshot, signature};

impl Snapshot {
    /// What most pods are in the eyes of a policy; the bare one, if no kind of them is more than half.
    pub(super) fn usual(&self, key: &ActiveKey) -> &ActivePeer {
        let bare = &self.bare[Scope::Cluster as usize];
        let pods = || {
            let all = self.peers.range(Peer(Peer::FIXED)..);
            all.filter(|(peer, _)| Scope::of(**peer) == Scope::Cluster)
                .map(|(_, of)| of)
        };
        // Boyer and Moore's vote: what is more than half of them is left over in the end.
        let (mut usual, mut lead) = (bare, 0_usize);
        for of in pods() {
            if lead == 0 {
                (usual, lead) = (of, 1);
            } else if are_alike(key, of, usual) {
                lead += 1;
            } else {
                lead -= 1;
            }
        }
        let number = |kind: &ActivePeer| pods().filter(|of| are_alike(key, of, kind)).count();
        if number(usual) > number(bare) {
            usual
        } else {
            bare
        }
    }

    /// Peers that policies have to know although nobody told of them.
    pub(super) fn untold(&self) -> impl Iterator<Item = (Peer, &ActivePeer)> {
        let fixed = (0..Peer::FIXED).map(Peer);
        fixed
            .filter(|peer| !self.peers.contains_key(peer))
            .map(|peer| (peer, &self.bare[Scope::of(peer) as usize]))
    }
}

/// Whether a policy sees no difference between two peers.
pub(super) fn are_alike(key: &ActiveKey, one: &ActivePeer, other: &ActivePeer) -> bool {
    let unnamed = |of: &ActivePeer| key.names.is_empty() || of.facts.named_ports.is_empty();
    let named_alike = (unnamed(one) && unnamed(other))
        || signature(key, one).named == signature(key, other).named;
    named_alike
        && key
            .parts
            .iter()
            .all(|part| one.is_on(*part) == other.is_on(*part))
}
