//! Policies in the kernel: an index for each, rows under a version, one word that says which version is in force.
//!
//! A change that could show a packet a mixture is written under new versions and switched by one store. Rows of a version that
//! is no longer in force are removed a second later, when no program that read the old word still runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use datapath::abi::policy::{
    self as abi, PeerKey, PolicyHead, PortKey, PortVerdict, flags, verdict,
};
use kernel::{Map, MapError, Maps};
use model::policy::{Audit, Enforcing, Fit, MatchType, PolicyKey, PolicyRows, Verdict};

/// How long rows outlive their version.
const GRACE: Duration = Duration::from_secs(1);

/// What a change of a policy means for connections that it admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed.
    None,
    /// Only what was unknown until now has verdicts.
    Addition,
    /// Verdicts may differ: decisions are to be made again.
    Verdicts,
}

struct Installed {
    index: u32,
    head: PolicyHead,
    peers: BTreeMap<u32, u32>,
    ports: BTreeMap<model::policy::PortKey, PortVerdict>,
}

struct Retired {
    at: Instant,
    peers: Vec<PeerKey>,
    ports: Vec<PortKey>,
    /// An index that is free once the rows are gone.
    index: Option<u32>,
}

/// The tables `policies`, `policy_peers` and `policy_ports`.
pub struct PolicyTables {
    heads: Map<u32, PolicyHead>,
    peer_rows: Map<PeerKey, u32>,
    port_rows: Map<PortKey, PortVerdict>,
    installed: BTreeMap<PolicyKey, Installed>,
    used: BTreeSet<u32>,
    /// Highest versions that an index ever had.
    versions: BTreeMap<u32, (u32, u32)>,
    retired: Vec<Retired>,
    /// Indices that a former agent left.
    inherited: BTreeSet<u32>,
    next: u32,
}

impl PolicyTables {
    /// Reads which indices and versions are in use. They are not given to others until [`Self::drop_inherited`].
    pub fn open(maps: &Maps) -> Result<Self, MapError> {
        let mut tables = Self {
            heads: maps.policies.clone(),
            peer_rows: maps.policy_peers.clone(),
            port_rows: maps.policy_ports.clone(),
            installed: BTreeMap::new(),
            used: BTreeSet::new(),
            versions: BTreeMap::new(),
            retired: Vec::new(),
            inherited: BTreeSet::new(),
            next: 1,
        };
        for (index, head) in tables.heads.dump()? {
            if head != PolicyHead::default() {
                tables.inherited.insert(index);
                tables.used.insert(index);
                tables
                    .versions
                    .insert(index, (head.peers_version(), head.ports_version()));
            }
        }
        // A former agent may have died between writing rows and their head.
        for (key, _) in tables.peer_rows.dump()? {
            let seen = tables.versions.entry(key.policy).or_default();
            seen.0 = seen.0.max(key.version);
        }
        for (key, _) in tables.port_rows.dump()? {
            let seen = tables.versions.entry(u32::from(key.policy)).or_default();
            seen.1 = seen.1.max(key.version);
        }
        Ok(tables)
    }

    /// Rule ids that the tables name.
    pub fn rules(&self) -> Result<BTreeSet<u32>, MapError> {
        Ok(self
            .port_rows
            .dump()?
            .into_iter()
            .map(|(_, verdict)| verdict.rule)
            .collect())
    }

    /// The index of a policy that is in the tables.
    pub fn index(&self, key: &PolicyKey) -> Option<u16> {
        self.installed
            .get(key)
            .and_then(|installed| u16::try_from(installed.index).ok())
    }

    /// The policy of an index.
    pub fn key_of(&self, index: u16) -> Option<&PolicyKey> {
        self.installed
            .iter()
            .find(|(_, installed)| installed.index == u32::from(index))
            .map(|(key, _)| key)
    }

    /// Number of policies in the tables.
    pub fn len(&self) -> usize {
        self.installed.len()
    }

    /// Whether there is no policy in the tables.
    pub fn is_empty(&self) -> bool {
        self.installed.is_empty()
    }

    /// Brings the rows of a policy into force.
    pub fn set(&mut self, rows: &PolicyRows, now: Instant) -> Result<Effect, MapError> {
        let peers: BTreeMap<u32, u32> = rows
            .peers
            .iter()
            .map(|(peer, class)| (peer.0, u32::from(class.0)))
            .collect();
        let ports: BTreeMap<_, _> = rows
            .ports
            .iter()
            .map(|(key, verdict)| (*key, port_verdict(*verdict)))
            .collect();
        let bits = head_flags(rows);
        match self.installed.remove(&rows.key) {
            None => self
                .install(rows.key.clone(), bits, peers, ports)
                .map(|()| Effect::Verdicts),
            Some(old) => {
                let (new, effect) = match self.update(&old, bits, &peers, &ports, now) {
                    Ok(done) => done,
                    Err(error) => {
                        self.installed.insert(rows.key.clone(), old);
                        return Err(error);
                    }
                };
                self.installed.insert(
                    rows.key.clone(),
                    Installed {
                        index: old.index,
                        head: new,
                        peers,
                        ports,
                    },
                );
                Ok(effect)
            }
        }
    }

    fn install(
        &mut self,
        key: PolicyKey,
        bits: u8,
        peers: BTreeMap<u32, u32>,
        ports: BTreeMap<model::policy::PortKey, PortVerdict>,
    ) -> Result<(), MapError> {
        let index = self.free_index();
        let seen = self.versions.get(&index).copied().unwrap_or_default();
        let head = PolicyHead::new(bits, seen.0.wrapping_add(1), seen.1.wrapping_add(1));
        self.write_rows(index, head, &peers, &ports)?;
        self.heads.set(&index, &head)?;
        self.used.insert(index);
        self.note_versions(index, head);
        self.installed.insert(
            key,
            Installed {
                index,
                head,
                peers,
                ports,
            },
        );
        Ok(())
    }

    fn update(
        &mut self,
        old: &Installed,
        bits: u8,
        peers: &BTreeMap<u32, u32>,
        ports: &BTreeMap<model::policy::PortKey, PortVerdict>,
        now: Instant,
    ) -> Result<(PolicyHead, Effect), MapError> {
        let same_flags = old.head.flags() == bits;
        if same_flags && only_new_classes(&old.ports, ports) {
            let effect = self.update_peers(old, peers, ports)?;
            return Ok((old.head, effect));
        }
        let seen = self.versions.get(&old.index).copied().unwrap_or_default();
        let head = PolicyHead::new(bits, seen.0.wrapping_add(1), seen.1.wrapping_add(1));
        self.write_rows(old.index, head, peers, ports)?;
        self.heads.set(&old.index, &head)?;
        self.note_versions(old.index, head);
        self.retire(old, None, now);
        Ok((head, Effect::Verdicts))
    }

    /// Writes peers one by one into the version in force: each is judged by its old class or by its new one, and the rows of
    /// new classes are there before anybody is in them.
    fn update_peers(
        &mut self,
        old: &Installed,
        peers: &BTreeMap<u32, u32>,
        ports: &BTreeMap<model::policy::PortKey, PortVerdict>,
    ) -> Result<Effect, MapError> {
        let new_ports: Vec<(PortKey, PortVerdict)> = ports
            .iter()
            .filter(|(key, _)| !old.ports.contains_key(key))
            .map(|(key, value)| (port_key(old.index, old.head.ports_version(), *key), *value))
            .collect();
        self.port_rows.set_all(&new_ports)?;
        let mut effect = if new_ports.is_empty() {
            Effect::None
        } else {
            Effect::Addition
        };
        for (peer, class) in peers {
            match old.peers.get(peer) {
                Some(before) if before == class => continue,
                // A peer that leaves the default class may have been known before.
                _ => effect = Effect::Verdicts,
            }
            self.peer_rows.set(&peer_key(old, *peer), class)?;
        }
        for peer in old.peers.keys().filter(|peer| !peers.contains_key(peer)) {
            self.peer_rows.remove(&peer_key(old, *peer))?;
            effect = Effect::Verdicts;
        }
        Ok(effect)
    }

    fn write_rows(
        &self,
        index: u32,
        head: PolicyHead,
        peers: &BTreeMap<u32, u32>,
        ports: &BTreeMap<model::policy::PortKey, PortVerdict>,
    ) -> Result<(), MapError> {
        let ports: Vec<_> = ports
            .iter()
            .map(|(key, value)| (port_key(index, head.ports_version(), *key), *value))
            .collect();
        self.port_rows.set_all(&ports)?;
        let version = head.peers_version();
        let peers: Vec<_> = peers
            .iter()
            .map(|(peer, class)| {
                (
                    PeerKey {
                        policy: index,
                        version,
                        peer: *peer,
                    },
                    *class,
                )
            })
            .collect();
        self.peer_rows.set_all(&peers)
    }

    /// Takes policies out of the tables that `keep` refuses. No endpoint may name them any more.
    pub fn retain(
        &mut self,
        keep: impl Fn(&PolicyKey) -> bool,
        now: Instant,
    ) -> Result<(), MapError> {
        let gone: Vec<PolicyKey> = self
            .installed
            .keys()
            .filter(|key| !keep(key))
            .cloned()
            .collect();
        for key in gone {
            if let Some(old) = self.installed.remove(&key) {
                self.heads.set(&old.index, &PolicyHead::default())?;
                self.retire(&old, Some(old.index), now);
            }
        }
        Ok(())
    }

    /// Gives up what a former agent left and no endpoint names any more.
    pub fn drop_inherited(&mut self, now: Instant) -> Result<(), MapError> {
        let indices = std::mem::take(&mut self.inherited);
        for index in &indices {
            self.heads.set(index, &PolicyHead::default())?;
        }
        let ours = |policy: u32, peers: Option<u32>, ports: Option<u32>| {
            self.installed.values().any(|of| {
                of.index == policy
                    && peers.is_none_or(|version| version == of.head.peers_version())
                    && ports.is_none_or(|version| version == of.head.ports_version())
            })
        };
        let peers = self.peer_rows.dump()?.into_iter().map(|(key, _)| key);
        let peers = peers
            .filter(|key| !ours(key.policy, Some(key.version), None))
            .collect();
        let ports = self.port_rows.dump()?.into_iter().map(|(key, _)| key);
        let ports = ports
            .filter(|key| !ours(u32::from(key.policy), None, Some(key.version)))
            .collect();
        self.retired.push(Retired {
            at: now,
            peers,
            ports,
            index: None,
        });
        self.retired
            .extend(indices.into_iter().map(|index| Retired {
                at: now,
                peers: vec![],
                ports: vec![],
                index: Some(index),
            }));
        Ok(())
    }

    /// Removes rows whose time is over.
    pub fn sweep(&mut self, now: Instant) -> Result<(), MapError> {
        while let Some(position) = self
            .retired
            .iter()
            .position(|retired| now.duration_since(retired.at) >= GRACE)
        {
            let Some(retired) = self.retired.get(position) else {
                break;
            };
            self.peer_rows.remove_all(&retired.peers)?;
            self.port_rows.remove_all(&retired.ports)?;
            if let Some(index) = retired.index {
                self.used.remove(&index);
            }
            self.retired.swap_remove(position);
        }
        Ok(())
    }

    /// Whether rows wait for their removal.
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    fn retire(&mut self, old: &Installed, index: Option<u32>, now: Instant) {
        let peers = old.peers.keys().map(|peer| peer_key(old, *peer)).collect();
        let ports = old
            .ports
            .keys()
            .map(|key| port_key(old.index, old.head.ports_version(), *key))
            .collect();
        self.retired.push(Retired {
            at: now,
            peers,
            ports,
            index,
        });
    }

    fn note_versions(&mut self, index: u32, head: PolicyHead) {
        self.versions
            .insert(index, (head.peers_version(), head.ports_version()));
    }

    fn free_index(&mut self) -> u32 {
        let start = self.next.clamp(1, abi::POLICIES - 1);
        let free = (start..abi::POLICIES)
            .chain(1..start)
            .find(|index| !self.used.contains(index))
            .unwrap_or(start);
        self.next = free + 1;
        free
    }
}

fn peer_key(of: &Installed, peer: u32) -> PeerKey {
    PeerKey {
        policy: of.index,
        version: of.head.peers_version(),
        peer,
    }
}

fn port_key(index: u32, version: u32, key: model::policy::PortKey) -> PortKey {
    PortKey {
        prefix_len: PortKey::FIXED_BITS + u32::from(key.prefix_len),
        version,
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
fn only_new_classes(
    old: &BTreeMap<model::policy::PortKey, PortVerdict>,
    new: &BTreeMap<model::policy::PortKey, PortVerdict>,
) -> bool {
    let classes: BTreeSet<u16> = old.keys().map(|key| key.class.0).collect();
    old.iter().all(|(key, value)| new.get(key) == Some(value))
        && new
            .keys()
            .all(|key| old.contains_key(key) || !classes.contains(&key.class.0))
}
