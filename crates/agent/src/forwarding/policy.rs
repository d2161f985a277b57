//! Policies in the kernel: an index for each, rows under a version, one word that says which version is in force.
//!
//! A change that could show a packet a mixture is written under new versions and switched by one store. Rows of a version that
//! is no longer in force are removed a second later, when no program that read the old word still runs. A version that was
//! ever begun is not used again, so that what a failed try has left is never in force. A policy that does not fit denies all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use datapath::abi::policy::{self as abi, PeerKey, PolicyHead, PortKey, PortVerdict, flags};
use kernel::{Map, MapError, Maps};
use model::policy::{PolicyKey, PolicyRows};

use super::rows::{Rows, only_new_classes, peer_key, port_key};
use super::{Failure, TablePlan};

/// How long rows outlive their version.
const GRACE: Duration = if cfg!(test) {
    Duration::from_millis(5)
} else {
    Duration::from_secs(1)
};

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

/// What bringing a policy's rows into force did.
#[derive(Debug)]
pub struct Outcome {
    /// What it means for connections.
    pub effect: Effect,
    /// Why the rows are not, or not for sure, in force; the policy is to be set again.
    pub refused: Option<MapError>,
}

struct Installed {
    index: u32,
    head: PolicyHead,
    rows: Rows,
    /// Some row of the version in force may be another than `rows` says.
    doubtful: bool,
    /// Rows of versions that did not come into force, or not for sure.
    failed: Vec<(Vec<PeerKey>, Vec<PortKey>)>,
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

    /// Brings the rows of a policy into force. When there is no room for them the policy denies everything.
    pub fn set(&mut self, rows: &PolicyRows, now: Instant) -> Outcome {
        let (key, wanted) = (rows.key.clone(), Rows::of(rows));
        let Some(old) = self.installed.remove(&key) else {
            return self.install(key, wanted, now);
        };
        let (new, outcome) = if old.takes(&wanted) {
            self.set_peers(old, wanted)
        } else {
            self.switch(old, wanted, now)
        };
        self.installed.insert(key, new);
        outcome
    }

    fn install(&mut self, key: PolicyKey, wanted: Rows, now: Instant) -> Outcome {
        let Some(index) = self.free_index() else {
            return Outcome::refused(no_index());
        };
        self.used.insert(index);
        let new = Installed {
            index,
            head: PolicyHead::default(),
            rows: Rows::default(),
            doubtful: true,
            failed: Vec::new(),
        };
        let (mut new, outcome) = self.switch(new, wanted, now);
        if new.head == PolicyHead::default() {
            // Nobody names the index yet.
            self.retire(&mut new, Some(index), now);
        } else {
            self.installed.insert(key, new);
        }
        outcome
    }

    /// Writes all rows under new versions and switches to them by one store.
    fn switch(&mut self, mut of: Installed, wanted: Rows, now: Instant) -> (Installed, Outcome) {
        let head = self.next_head(of.index, wanted.bits);
        let written = self
            .write_rows(of.index, head, &wanted)
            .and_then(|()| self.heads.set(&of.index, &head));
        match written {
            Ok(()) => {
                self.retire(&mut of, None, now);
                (of.head, of.rows, of.doubtful) = (head, wanted, false);
                (of, Outcome::done(Effect::Verdicts))
            }
            Err(error) => {
                of.failed.push(wanted.keys(of.index, head));
                of.doubtful = true;
                if error.is_full() {
                    self.lock_down(&mut of, now);
                }
                (of, Outcome::refused(error))
            }
        }
    }

    /// Denies everything, which takes no rows: one word.
    fn lock_down(&mut self, of: &mut Installed, now: Instant) {
        let bits = flags::INSTALLED | flags::ENFORCED | flags::LOCKDOWN;
        let head = self.next_head(of.index, bits);
        if self.heads.set(&of.index, &head).is_ok() {
            self.retire(of, None, now);
            of.head = head;
            of.rows = Rows {
                bits,
                ..Rows::default()
            };
        }
    }

    /// Writes peers one by one into the version in force: each is judged by its old class or by its new one, and the rows of
    /// new classes are there before anybody is in them.
    fn set_peers(&mut self, mut of: Installed, wanted: Rows) -> (Installed, Outcome) {
        match self.write_difference(&of, &wanted) {
            Ok(effect) => {
                of.rows = wanted;
                (of, Outcome::done(effect))
            }
            Err(error) => {
                of.failed.push(wanted.keys(of.index, of.head));
                of.doubtful = true;
                (of, Outcome::refused(error))
            }
        }
    }

    fn write_difference(&self, old: &Installed, wanted: &Rows) -> Result<Effect, MapError> {
        let new_ports: Vec<(PortKey, PortVerdict)> = wanted
            .ports
            .iter()
            .filter(|(key, _)| !old.rows.ports.contains_key(key))
            .map(|(key, value)| (port_key(old.index, old.head, *key), *value))
            .collect();
        self.port_rows.set_all(&new_ports)?;
        let mut effect = if new_ports.is_empty() {
            Effect::None
        } else {
            Effect::Addition
        };
        for (peer, class) in &wanted.peers {
            match old.rows.peers.get(peer) {
                Some(before) if before == class => continue,
                // A peer that leaves the default class may have been known before.
                _ => effect = Effect::Verdicts,
            }
            self.peer_rows
                .set(&peer_key(old.index, old.head, *peer), class)?;
        }
        let gone = old.rows.peers.keys();
        for peer in gone.filter(|peer| !wanted.peers.contains_key(peer)) {
            self.peer_rows
                .remove(&peer_key(old.index, old.head, *peer))?;
            effect = Effect::Verdicts;
        }
        Ok(effect)
    }

    fn write_rows(&self, index: u32, head: PolicyHead, rows: &Rows) -> Result<(), MapError> {
        let ports: Vec<_> = rows
            .ports
            .iter()
            .map(|(key, value)| (port_key(index, head, *key), *value))
            .collect();
        self.port_rows.set_all(&ports)?;
        let peers: Vec<_> = rows
            .peers
            .iter()
            .map(|(peer, class)| (peer_key(index, head, *peer), *class))
            .collect();
        self.peer_rows.set_all(&peers)
    }

    /// The head of versions that were never begun.
    fn next_head(&mut self, index: u32, bits: u8) -> PolicyHead {
        let seen = self.versions.entry(index).or_default();
        let head = PolicyHead::new(bits, seen.0.wrapping_add(1), seen.1.wrapping_add(1));
        *seen = (head.peers_version(), head.ports_version());
        head
    }

    /// Takes a policy out of the tables. No endpoint may name it any more.
    pub fn remove(&mut self, key: &PolicyKey, now: Instant) {
        if let Some(mut old) = self.installed.remove(key) {
            let index = old.index;
            self.retire(&mut old, Some(index), now);
        }
    }

    /// Gives up what a former agent left and no endpoint names any more.
    pub fn drop_inherited(&mut self, now: Instant) -> Result<(), MapError> {
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
        let at = now;
        self.retired.push(Retired {
            at,
            peers,
            ports,
            index: None,
        });
        let indices = std::mem::take(&mut self.inherited).into_iter();
        self.retired.extend(indices.map(|index| Retired {
            at,
            peers: vec![],
            ports: vec![],
            index: Some(index),
        }));
        Ok(())
    }

    /// Removes rows whose time is over; what is refused is tried again.
    pub fn sweep(&mut self, now: Instant, failures: &mut Vec<Failure>) {
        let all = std::mem::take(&mut self.retired).into_iter();
        let (due, waiting): (Vec<_>, _) =
            all.partition(|retired| now.duration_since(retired.at) >= GRACE);
        self.retired = waiting;
        for retired in due {
            match self.clear(&retired) {
                Ok(()) => {
                    if let Some(index) = retired.index {
                        self.used.remove(&index);
                    }
                }
                Err(error) => {
                    failures.push(Failure::of(&retired.index, &error));
                    self.retired.push(retired);
                }
            }
        }
    }

    fn clear(&self, retired: &Retired) -> Result<(), MapError> {
        if let Some(index) = retired.index {
            self.heads.set(&index, &PolicyHead::default())?;
        }
        self.peer_rows.remove_all(&retired.peers)?;
        self.port_rows.remove_all(&retired.ports)
    }

    /// Whether rows wait for their removal.
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// What is left to do: policies whose rows are in doubt, and rows that nobody needs.
    pub fn summary(&self) -> TablePlan {
        let doubtful = self.installed.values().filter(|of| of.doubtful);
        TablePlan {
            table: self.heads.name(),
            entries: self.installed.len(),
            write: doubtful.count(),
            remove: self.retired.len() + self.inherited.len(),
        }
    }

    /// Whatever a policy has in the tables is to be removed after a while.
    fn retire(&mut self, old: &mut Installed, index: Option<u32>, now: Instant) {
        let (mut peers, mut ports) = std::mem::take(&mut old.rows).keys(old.index, old.head);
        for (more_peers, more_ports) in old.failed.drain(..) {
            peers.extend(more_peers);
            ports.extend(more_ports);
        }
        if index.is_none() && peers.is_empty() && ports.is_empty() {
            return;
        }
        self.retired.push(Retired {
            at: now,
            peers,
            ports,
            index,
        });
    }

    fn free_index(&mut self) -> Option<u32> {
        let start = self.next.clamp(1, abi::POLICIES - 1);
        let free = (start..abi::POLICIES)
            .chain(1..start)
            .find(|index| !self.used.contains(index))?;
        self.next = free + 1;
        Some(free)
    }
}

impl Outcome {
    fn done(effect: Effect) -> Self {
        Self {
            effect,
            refused: None,
        }
    }

    /// Some of it may have been written.
    fn refused(error: MapError) -> Self {
        Self {
            effect: Effect::Verdicts,
            refused: Some(error),
        }
    }
}

fn no_index() -> MapError {
    MapError {
        map: "policies",
        operation: "find a free index in",
        source: std::io::Error::from_raw_os_error(libc::ENOSPC),
    }
}

impl Installed {
    /// Whether `wanted` can be reached peer by peer, so that no packet is judged by a mixture.
    fn takes(&self, wanted: &Rows) -> bool {
        !self.doubtful
            && self.rows.bits == wanted.bits
            && only_new_classes(&self.rows.ports, &wanted.ports)
    }
}
