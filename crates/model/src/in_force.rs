//! Which versions of policies are in force on a node, as a text of fixed size: what two sets differ by is read off their digests.
//!
//! The digest is an invertible Bloom lookup table (Goodrich and Mitzenmacher, arXiv:1101.2245) without counts: each version
//! stands in one cell of each of three parts, and a cell is the exclusive or of all that stand in it. Of two digests the same
//! is taken again: what both have is gone, and cells in which one version is left say which one. That one is taken out
//! everywhere, which leaves one in other cells.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// Namespace of the leases by which nodes tell; each is named as its node.
pub const NAMESPACE: &str = "cilium-node-lease";
/// Annotation of such a lease: the digest of what is in force.
pub const DIGEST: &str = "policy.axoneme.io/in-force";
/// Annotation of such a lease: why something is not in force, in words.
pub const REASON: &str = "policy.axoneme.io/not-in-force";

const PARTS: usize = 3;
const CELLS_OF_PART: usize = 24;
const CELLS: usize = PARTS * CELLS_OF_PART;
/// Octets of a cell.
const CELL: usize = 12;
/// How digests are made, and read.
const FORM: &str = "1:";

/// All nodes together write so often a second, on average.
const WRITES_PER_SECOND: u32 = 50;
const SHORTEST: Duration = Duration::from_millis(200);

/// Pause of a node between two of its writes, by the number of nodes.
pub fn pause(nodes: usize) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    let pause = Duration::from_secs(1) / WRITES_PER_SECOND;
    pause.saturating_mul(nodes).max(SHORTEST)
}

/// A version of an object: a hash of its uid and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Of an object with `metadata.uid` and `metadata.generation`.
    pub fn new(uid: &str, generation: i64) -> Self {
        let hash = Sha256::new()
            .chain_update(generation.to_be_bytes())
            .chain_update(uid)
            .finalize();
        Self(number(&hash))
    }

    /// Its cells, one in each part, and what it adds to their checks.
    fn places(self) -> ([usize; PARTS], u32) {
        let hash = Sha256::digest(self.0.to_be_bytes());
        let word = |at: usize| number(hash.get(at * 4..at * 4 + 4).unwrap_or_default());
        let cell = |part: usize| part * CELLS_OF_PART + word(part) as usize % CELLS_OF_PART;
        (std::array::from_fn(cell), word(PARTS) as u32)
    }
}

/// Big-endian, from at most the first eight octets.
fn number(octets: &[u8]) -> u64 {
    let octets = octets.iter().take(8);
    octets.fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    versions: u64,
    checks: u32,
}

/// What a set of versions leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest([Cell; CELLS]);

impl Default for Digest {
    fn default() -> Self {
        Self([Cell::default(); CELLS])
    }
}

impl FromIterator<Version> for Digest {
    /// A version that comes twice cancels itself out.
    fn from_iter<I: IntoIterator<Item = Version>>(versions: I) -> Self {
        let mut digest = Self::default();
        for version in versions {
            digest.toggle(version);
        }
        digest
    }
}

impl Digest {
    fn toggle(&mut self, version: Version) {
        let (cells, check) = version.places();
        for cell in cells {
            if let Some(cell) = self.0.get_mut(cell) {
                cell.versions ^= version.0;
                cell.checks ^= check;
            }
        }
    }

    /// The version that stands alone in a cell.
    fn alone(&self, at: usize) -> Option<Version> {
        let cell = self.0.get(at).filter(|cell| **cell != Cell::default())?;
        let version = Version(cell.versions);
        let (cells, check) = version.places();
        (cells.contains(&at) && check == cell.checks).then_some(version)
    }

    /// What two sets differ by, as far as it can be told: mostly all of up to forty versions.
    pub fn difference(&self, other: &Self) -> Difference {
        let mut left = Self::default();
        for (cell, (one, two)) in left.0.iter_mut().zip(self.0.iter().zip(&other.0)) {
            cell.versions = one.versions ^ two.versions;
            cell.checks = one.checks ^ two.checks;
        }
        let mut told = BTreeSet::new();
        let mut candidates: Vec<usize> = (0..CELLS).collect();
        while let Some(at) = candidates.pop() {
            // What comes a second time has passed for a version and was none.
            let Some(version) = left.alone(at).filter(|version| told.insert(*version)) else {
                continue;
            };
            left.toggle(version);
            candidates.extend(version.places().0);
        }
        Difference { told, left }
    }

    /// As text: the form, and hexadecimal digits.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(FORM.len() + 2 * CELL * CELLS);
        text.push_str(FORM);
        for cell in &self.0 {
            // Writing to a string does not fail.
            let _ = write!(text, "{:016x}{:08x}", cell.versions, cell.checks);
        }
        text
    }

    /// Reads a text; `None` if it is of another form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(FORM)?;
        if digits.len() != 2 * CELL * CELLS || !digits.bytes().all(|of| of.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = Self::default();
        for (at, cell) in digest.0.iter_mut().enumerate() {
            let digits = digits.get(at * 2 * CELL..(at + 1) * 2 * CELL)?;
            let (versions, checks) = digits.split_at_checked(16)?;
            cell.versions = u64::from_str_radix(versions, 16).ok()?;
            cell.checks = u32::from_str_radix(checks, 16).ok()?;
        }
        Some(digest)
    }
}

/// What two sets differ by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    told: BTreeSet<Version>,
    /// Of those that cannot be told.
    left: Digest,
}

/// Whether two sets differ by a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differ {
    /// They do not.
    No,
    /// One has it and the other not.
    Yes,
    /// They differ by too much to tell.
    Perhaps,
}

impl Difference {
    /// Whether they differ by a version that one of them is known to have.
    pub fn by(&self, version: Version) -> Differ {
        if self.told.contains(&version) {
            return Differ::Yes;
        }
        let (cells, _) = version.places();
        let mut cells = cells.iter().filter_map(|at| self.left.0.get(*at));
        // Were it left over, it would stand in all of its cells.
        if cells.any(|cell| *cell == Cell::default()) {
            Differ::No
        } else {
            Differ::Perhaps
        }
    }
}

#[cfg(test)]
mod tests;
