//! Class rows: one policy of one direction as the data plane holds it, and the compiler that makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ids::RuleId;
use super::parts::PartId;
use super::resolve::{Audit, DefaultVerdict, PolicyKey};
use super::rule::{NamedPorts, Protocol};

mod decide;

pub(crate) use decide::{Decider, Ranked, port_names};

/// Who a packet's other side is, in the eyes of policies: its identity, or a number of this node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u32);

impl Peer {
    /// Peers below this number are there for every policy, told of or not: the data plane does not ask whether they are known.
    pub const FIXED: u32 = 16;

    /// Whether the peer is one of those below [`Self::FIXED`].
    pub const fn is_fixed(self) -> bool {
        self.0 < Self::FIXED
    }
}

/// Peers that a policy treats alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u16);

/// Where a peer stands; its number is the default class of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Pods, and everything else that the cluster manages.
    Cluster = 0,
    /// Outside the cluster.
    World = 1,
    /// Nodes, this one included.
    Node = 2,
}

impl Scope {
    /// All of them, in the order of their classes.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::World, Self::Node];

    /// The scope of a peer, from its number alone; the data plane does the same.
    pub const fn of(peer: Peer) -> Self {
        match (peer.0 >> 24, peer.0) {
            (0, 2 | 9 | 10) | (1, _) => Self::World,
            (0, 1 | 6 | 7) | (2, _) => Self::Node,
            _ => Self::Cluster,
        }
    }

    /// The class of its peers that have no row.
    pub const fn default_class(self) -> Class {
        Class(self as u16)
    }
}

/// The first class that is not a scope's default.
const FIRST_CLASS: u16 = Scope::ALL.len() as u16;

/// What becomes of a packet that opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// No rule allows it.
    DefaultDeny,
    /// A rule allows it, or nothing forbids it.
    Allow,
    /// A rule denies it.
    Deny,
}

/// How specific the rule was that decided, in the numbers of Hubble's policy match type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchType {
    /// No rule did.
    None = 0,
    /// By peer.
    Peer = 1,
    /// By peer and port.
    PeerAndPort = 2,
    /// By port.
    Port = 3,
    /// It matches everything.
    All = 4,
    /// By peer and protocol.
    PeerAndProtocol = 5,
    /// By protocol.
    Protocol = 6,
}

/// The value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortVerdict {
    /// What happens.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: RuleId,
    /// How it matched.
    pub matched: MatchType,
}

/// The key of a row: some ports of one protocol for one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// Class of the peer.
    pub class: Class,
    /// Protocol; [`Protocol::OTHER`] is every protocol that has no rows of its own in this class.
    pub protocol: Protocol,
    /// The prefix's bits, the rest zero. For ICMP the type is in the high octet.
    pub port: u16,
    /// 0 to 16.
    pub prefix_len: u8,
}

/// Whether a policy does anything at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcing {
    /// It does not: everything passes, unknown peers included.
    No,
    /// It does: a peer that is not known to it is dropped.
    Yes,
}

/// Whether the rows are the policy, or what stands in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They are.
    Whole,
    /// There would be more rows, or classes, than the quota admits: everything is denied.
    Lockdown {
        /// How many rows the policy would need.
        needed: usize,
        /// How many it may have.
        quota: usize,
    },
}

/// What makes two peers alike: the peer lists they are on, and what the names of ports mean for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signature {
    pub(crate) parts: Box<[PartId]>,
    pub(crate) named: NamedPorts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ClassEntry {
    class: Class,
    peers: usize,
}

/// One policy of one direction, as rows.
///
/// Looked up in two steps: the peer's class, or the default class of its scope; then, for the packet's protocol, or
/// for [`Protocol::OTHER`] if the class has no row of that protocol, the longest prefix of the port. Every class that
/// can be found has a row of length 0 for [`Protocol::OTHER`], so that the second step always succeeds.
#[derive(Clone, Debug)]
pub struct PolicyRows {
    /// Which policy.
    pub key: PolicyKey,
    /// See [`Enforcing`].
    pub enforcing: Enforcing,
    /// Whether what would be denied passes, and is reported.
    pub audit: Audit,
    /// See [`Fit`].
    pub fit: Fit,
    /// The classes of peers, where they differ from the default of their scope.
    pub peers: BTreeMap<Peer, Class>,
    /// The verdicts.
    pub ports: BTreeMap<PortKey, PortVerdict>,
    classes: BTreeMap<Arc<Signature>, ClassEntry>,
    /// The same the other way round.
    signatures: BTreeMap<Class, Arc<Signature>>,
    defaults: [Arc<Signature>; 3],
    decider: Arc<Decider>,
    quota: usize,
    /// Class numbers of the version before, which are not given to other classes.
    reserved: BTreeSet<Class>,
    classes_run_out: bool,
    /// How many peers had rows when the defaults were chosen.
    rows_at_choice: usize,
    /// Whether a row came, went or changed in this round.
    changed: bool,
}

/// What became of rows that were brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// No endpoint uses the policy any more.
    Gone,
    /// They are as they were.
    Same,
    /// They are others.
    Changed,
}

/// Peers that may have rows before it is asked again which class spares the most of them.
const FEW_ROWS: usize = 64;

impl PolicyRows {
    /// Rows without peers. The classes of `before` keep their numbers.
    pub(crate) fn new(
        key: PolicyKey,
        decider: Decider,
        defaults: [Signature; 3],
        quota: usize,
        before: Option<&Self>,
    ) -> Self {
        let enforcing = if key.rules.is_empty() && key.default == DefaultVerdict::Allow {
            Enforcing::No
        } else {
            Enforcing::Yes
        };
        let mut rows = Self {
            enforcing,
            audit: key.audit,
            key,
            fit: Fit::Whole,
            peers: BTreeMap::new(),
            ports: BTreeMap::new(),
            classes: before
                .map(|before| before.classes.clone())
                .unwrap_or_default(),
            signatures: before
                .map(|before| before.signatures.clone())
                .unwrap_or_default(),
            defaults: defaults.map(Arc::new),
            decider: Arc::new(decider),
            quota,
            reserved: before
                .map(|before| before.signatures.keys().copied().collect())
                .unwrap_or_default(),
            classes_run_out: false,
            rows_at_choice: 0,
            changed: true,
        };
        rows.classes.values_mut().for_each(|entry| entry.peers = 0);
        for scope in Scope::ALL {
            let signature = rows.defaults[scope as usize].clone();
            rows.write_ports(scope.default_class(), &signature);
        }
        rows
    }

    fn write_ports(&mut self, class: Class, signature: &Signature) {
        for (protocol, port, prefix_len, verdict) in self.decider.rows(signature) {
            self.ports.insert(
                PortKey {
                    class,
                    protocol,
                    port,
                    prefix_len,
                },
                verdict,
            );
        }
    }

    fn drop_ports(&mut self, class: Class) {
        let first = PortKey {
            class,
            protocol: Protocol::OTHER,
            port: 0,
            prefix_len: 0,
        };
        let keys: Vec<PortKey> = self
            .ports
            .range(first..)
            .map(|(key, _)| *key)
            .take_while(|key| key.class == class)
            .collect();
        for key in keys {
            self.ports.remove(&key);
        }
    }

    /// Puts a peer where it belongs, or takes it out; at most one peer row changes, and the rows of a class that
    /// comes or goes with it.
    pub(crate) fn set_peer(&mut self, peer: Peer, signature: Option<Signature>) {
        let signature = signature.filter(|new| *new != *self.defaults[Scope::of(peer) as usize]);
        let old = self.peers.get(&peer).copied();
        let kept = match (old, &signature) {
            (Some(class), Some(new)) => self.signature(class) == Some(new),
            (None, None) => true,
            _ => false,
        };
        if kept {
            return;
        }
        self.changed = true;
        if let Some(class) = old {
            self.peers.remove(&peer);
            self.leave(class);
        }
        if let Some(class) = signature.and_then(|signature| self.join(signature)) {
            self.peers.insert(peer, class);
        }
    }

    fn signature(&self, class: Class) -> Option<&Signature> {
        self.defaults
            .get(usize::from(class.0))
            .or_else(|| self.signatures.get(&class))
            .map(|signature| &**signature)
    }

    fn join(&mut self, signature: Signature) -> Option<Class> {
        // A signature equal to another scope's default shares that class.
        if let Some(scope) = Scope::ALL
            .into_iter()
            .find(|scope| *self.defaults[*scope as usize] == signature)
        {
            return Some(scope.default_class());
        }
        if let Some(entry) = self.classes.get_mut(&signature) {
            entry.peers += 1;
            let (class, first) = (entry.class, entry.peers == 1);
            if first {
                self.write_ports(class, &signature);
            }
            return Some(class);
        }
        let Some(class) = self.free_class() else {
            self.classes_run_out = true;
            return None;
        };
        let signature = Arc::new(signature);
        self.classes
            .insert(signature.clone(), ClassEntry { class, peers: 1 });
        self.signatures.insert(class, signature.clone());
        self.write_ports(class, &signature);
        Some(class)
    }

    fn leave(&mut self, class: Class) {
        let Some(signature) = self.signatures.get(&class) else {
            return;
        };
        let Some(entry) = self.classes.get_mut(signature) else {
            return;
        };
        entry.peers = entry.peers.saturating_sub(1);
        if entry.peers == 0 {
            self.drop_ports(class);
        }
    }

    /// The lowest number that no class has, or had in the version before.
    fn free_class(&self) -> Option<Class> {
        let mut taken = self
            .signatures
            .keys()
            .copied()
            .chain([Class(u16::MAX)])
            .peekable();
        let mut free = FIRST_CLASS;
        loop {
            while taken.next_if(|class| class.0 < free).is_some() {}
            match (taken.peek(), self.reserved.contains(&Class(free))) {
                _ if free == u16::MAX => return None,
                (Some(class), _) if class.0 == free => free += 1,
                (_, true) => free += 1,
                _ => return Some(Class(free)),
            }
        }
    }

    /// Whether other defaults could help: there are no classes left, no room, or many more peers with rows than at the choice.
    pub(crate) fn wants_other_defaults(&self) -> bool {
        self.fit != Fit::Whole || self.peers.len() > 2 * self.rows_at_choice + FEW_ROWS
    }

    /// Ends the making of rows under newly chosen defaults.
    pub(crate) fn finish_whole(&mut self) {
        self.rows_at_choice = self.peers.len();
        self.finish();
    }

    /// Whether a row changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Refreshed {
        if std::mem::take(&mut self.changed) {
            Refreshed::Changed
        } else {
            Refreshed::Same
        }
    }

    /// Ends a round of changes: forgets classes without peers and checks the quota.
    pub(crate) fn finish(&mut self) {
        self.reserved = self.signatures.keys().copied().collect();
        self.classes.retain(|_, entry| entry.peers > 0);
        self.signatures
            .retain(|_, signature| self.classes.contains_key(signature));
        let needed = self.peers.len() + self.ports.len();
        self.fit = if self.classes_run_out || needed > self.quota {
            Fit::Lockdown {
                needed,
                quota: self.quota,
            }
        } else {
            Fit::Whole
        };
    }

    /// The class of a peer.
    pub fn class(&self, peer: Peer) -> Class {
        self.peers
            .get(&peer)
            .copied()
            .unwrap_or(Scope::of(peer).default_class())
    }

    /// The verdict on a peer, protocol and port (or ICMP type, see [`Protocol::icmp_port`]), found as the data plane
    /// finds it.
    pub fn look_up(&self, peer: Peer, protocol: Protocol, port: u16) -> PortVerdict {
        let lockdown = PortVerdict {
            verdict: Verdict::Deny,
            rule: RuleId::LOCKDOWN,
            matched: MatchType::All,
        };
        if self.fit != Fit::Whole {
            return lockdown;
        }
        let class = self.class(peer);
        let longest = |protocol: Protocol| {
            (0..=16u8).rev().find_map(|prefix_len| {
                let mask = u16::MAX
                    .checked_shl(u32::from(16 - prefix_len))
                    .unwrap_or(0);
                self.ports
                    .get(&PortKey {
                        class,
                        protocol,
                        port: port & mask,
                        prefix_len,
                    })
                    .copied()
            })
        };
        longest(protocol)
            .or_else(|| longest(Protocol::OTHER))
            .unwrap_or(lockdown)
    }
}

#[cfg(test)]
mod tests;
