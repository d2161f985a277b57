//! Ranges of pools: what this node asks for, what it is given, and what it gives back, all by its CiliumNode.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::cilium::{AddressDemand, AllocatedPool, CiliumNode, IpamPools, RequestedPool};
use ipnet::IpNet;
use model::ipam::pools::{Count, Wants};
use model::ipam::{Family, Ipam, IpamError, Ranges};

use super::{Addresses, Held};

/// Who was refused an address and does not ask again is counted for so long.
const PATIENCE: Duration = Duration::from_mins(5);
/// A range that nobody needs goes back after so long.
const IDLE: Duration = if cfg!(test) {
    Duration::from_millis(50)
} else {
    Duration::from_secs(15)
};

/// Name of the file of the node's ranges, in the state directory.
const KEPT: &str = "pool-ranges";

/// The ranges that this node had when its agent ran last.
pub(super) fn kept(state_dir: &Path) -> Ranges {
    let path = state_dir.join(KEPT);
    let allocated = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let allocated = allocated.unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the ranges of before cannot be read");
        Vec::new()
    });
    ranges_of(&IpamPools {
        allocated,
        ..IpamPools::default()
    })
}

/// Who waits for an address of which pool.
type Waiting = (Arc<str>, Family, Arc<str>);

/// What is known of pools beside their addresses.
#[derive(Default)]
pub(super) struct Pooled {
    /// Until when they are counted.
    waiting: BTreeMap<Waiting, Instant>,
    /// Ranges that nobody needs, and since when.
    idle: BTreeMap<IpNet, Instant>,
    /// What the node's object said when it was last looked at.
    said: IpamPools,
    /// What the operator cannot give.
    fault: String,
    /// The file in which the ranges are kept for the next start.
    file: PathBuf,
}

impl Pooled {
    pub(super) fn keep_in(&mut self, state_dir: &Path) {
        self.file = state_dir.join(KEPT);
    }

    /// Somebody was given an address, or refused one.
    pub(super) fn note(&mut self, who: Waiting, refused: bool) {
        if refused {
            self.waiting.insert(who, Instant::now() + PATIENCE);
        } else {
            self.waiting.remove(&who);
        }
    }
}

impl Held {
    fn keep(&self) -> io::Result<()> {
        let mut ranges = Ranges::new();
        for (pool, net) in self.ipam.ranges() {
            ranges.entry(Arc::clone(pool)).or_default().push(net);
        }
        let temporary = self.pooled.file.with_extension("new");
        std::fs::write(&temporary, serde_json::to_vec(&allocated(ranges))?)?;
        std::fs::rename(&temporary, &self.pooled.file)
    }

    /// What the object is to say, of what it says. Ranges that nobody has needed for a while are left.
    fn wish(&mut self, wants: &Wants, says: &IpamPools) -> IpamPools {
        let now = Instant::now();
        self.pooled.waiting.retain(|_, until| *until > now);
        let waiting = self.pooled.waiting.keys();
        let waiting = waiting.map(|(pool, family, _)| (pool, *family));
        let needed = self.ipam.needed(wants, waiting);
        let excess = self.ipam.excess(&needed);
        let idle = &mut self.pooled.idle;
        idle.retain(|net, _| excess.contains(net));
        for net in excess {
            if now.duration_since(*idle.entry(net).or_insert(now)) >= IDLE {
                self.ipam.leave(net);
            }
        }
        IpamPools {
            requested: requested(&needed),
            allocated: allocated(self.ipam.said(&ranges_of(says))),
        }
    }
}

impl Addresses {
    /// What the node's object is to say of pools, of what it says now; nothing, if there are none to choose from.
    pub fn wish(&self, says: Option<&IpamPools>) -> Option<IpamPools> {
        let wants = self.wants.as_ref()?;
        let says = says.cloned().unwrap_or_default();
        Some(self.with(|held| held.wish(wants, &says)))
    }

    /// Whether the node's object is to say something else than it said when it was last looked at.
    pub fn has_news(&self) -> bool {
        let Some(wants) = &self.wants else {
            return false;
        };
        self.with(|held| {
            let said = held.pooled.said.clone();
            held.wish(wants, &said) != said
        })
    }

    /// Whether somebody was refused an address, so that the operator's answer is worth a look.
    pub fn is_waiting(&self) -> bool {
        self.with(|held| !held.pooled.waiting.is_empty())
    }

    /// The ranges that the node's object had when it was last looked at.
    pub fn said(&self) -> Vec<IpNet> {
        let said = self.with(|held| ranges_of(&held.pooled.said));
        said.into_values().flatten().collect()
    }

    /// Takes in what the node's object says, as the store had it after the last look. Whether it says something else than before.
    pub fn take_in(&self, node: &CiliumNode) -> bool {
        if self.wants.is_none() {
            return false;
        }
        let says = node.spec.ipam.pools.clone().unwrap_or_default();
        let ranges = ranges_of(&says);
        let (taken, differs) = self.with(|held| {
            let differs = held.pooled.said != says;
            held.pooled.said = says;
            fault_of(node).clone_into(&mut held.pooled.fault);
            let taken = held.ipam.take_in(&ranges);
            if differs && let Err(error) = held.keep() {
                let path = held.pooled.file.display();
                tracing::warn!(%path, %error, "ranges are not kept for the next start");
            }
            (taken, differs)
        });
        let texts =
            |nets: &[IpNet]| -> Vec<String> { nets.iter().map(ToString::to_string).collect() };
        if !taken.came.is_empty() || !taken.went.is_empty() {
            let (came, went) = (texts(&taken.came), texts(&taken.went));
            tracing::info!(?came, ?went, "ranges of this node's pods changed");
        }
        if !taken.lost.is_empty() {
            let lost = texts(&taken.lost);
            tracing::warn!(
                ?lost,
                "ranges in use are taken out of this node's object, nothing more is given from them"
            );
        }
        self.changed.send_replace(());
        differs
    }

    /// A refusal, with what the operator has to say of it.
    pub fn refusal(&self, error: &IpamError) -> String {
        match self.with(|held| held.pooled.fault.clone()) {
            fault if fault.is_empty() => format!("{error}; the operator was asked for more"),
            fault => format!("{error}; the operator says: {fault}"),
        }
    }
}

/// What is wrong with a node's ranges, as the operator sees it.
pub(crate) fn fault_of(node: &CiliumNode) -> &str {
    let stated = node.status.ipam.operator_status.as_ref();
    let error = stated.and_then(|stated| stated.get("error")?.as_str());
    error.unwrap_or_default()
}

/// What a node that has nothing yet asks for, so that its router and its health endpoint have addresses.
pub(crate) fn first_wish(wants: &Wants, default: &Arc<str>) -> IpamPools {
    let families = wants.families.iter().flat_map(|family| [*family; 2]);
    let waiting = families.map(|family| (default, family));
    IpamPools {
        requested: requested(&Ipam::default().needed(wants, waiting)),
        allocated: Vec::new(),
    }
}

fn requested(needed: &BTreeMap<Arc<str>, Count>) -> Vec<RequestedPool> {
    let number = |of: u128| i64::try_from(of).unwrap_or(i64::MAX);
    let row = |(pool, count): (&Arc<str>, &Count)| RequestedPool {
        pool: pool.to_string(),
        needed: AddressDemand {
            ipv4_addrs: number(count.ipv4),
            ipv6_addrs: number(count.ipv6),
        },
    };
    needed.iter().map(row).collect()
}

fn allocated(ranges: Ranges) -> Vec<AllocatedPool> {
    let row = |(pool, nets): (Arc<str>, Vec<IpNet>)| AllocatedPool {
        pool: pool.to_string(),
        cidrs: nets.iter().map(ToString::to_string).collect(),
    };
    ranges.into_iter().map(row).collect()
}

/// The ranges that an object says a node has; what is none is left out.
pub(crate) fn ranges_of(pools: &IpamPools) -> Ranges {
    let mut ranges = Ranges::new();
    for given in &pools.allocated {
        let nets = ranges.entry(given.pool.as_str().into()).or_default();
        for text in &given.cidrs {
            match text.parse::<IpNet>() {
                Ok(net) => nets.push(net.trunc()),
                Err(_) => {
                    tracing::warn!(pool = given.pool, text, "this is no range, it is left out");
                }
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
