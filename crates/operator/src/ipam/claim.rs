//! What is about to be written: noted on the lease before, so that whoever leads next respects it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Ranges that are about to be written into the object of a node.
///
/// The write holds for this object and this version of it alone. So as long as the object is there unchanged the write may
/// yet arrive; once it changed, or went, it either has arrived or never will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Name of the node.
    pub node: Arc<str>,
    /// uid of the CiliumNode.
    pub uid: String,
    /// Version of the CiliumNode.
    pub version: String,
    /// All ranges that it will have, of the cluster's pool.
    #[serde(default)]
    pub cidrs: Vec<IpNet>,
    /// All ranges that it will have, by the name of their pool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<Arc<str>, Vec<IpNet>>,
}

/// By the name of the node.
pub type Claims = BTreeMap<Arc<str>, Claim>;

impl Claim {
    /// All ranges, of whichever pool.
    pub fn ranges(&self) -> impl Iterator<Item = &IpNet> {
        self.cidrs.iter().chain(self.pools.values().flatten())
    }
}

/// As the note of a lease; none are no note.
pub fn write_claims<'a>(claims: impl Iterator<Item = &'a Claim>) -> String {
    let claims: Vec<&Claim> = claims.collect();
    if claims.is_empty() {
        return String::new();
    }
    // A list of texts cannot fail to be written.
    serde_json::to_string(&claims).unwrap_or_default()
}

/// From the note of a lease.
pub fn read_claims(note: &str) -> Result<Vec<Claim>, serde_json::Error> {
    if note.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(note)
}
