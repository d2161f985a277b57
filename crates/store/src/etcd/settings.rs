//! What the configuration of agents and operators says of etcd: the mode of identities, how to reach it, and how long keys
//! outlive their node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::client::Error;
use super::options::Options;

/// The shortest time of a lease: etcd's leases are of seconds, and are prolonged three times in it.
const SHORTEST: Duration = Duration::from_secs(10);

/// Where identities come from, when etcd has to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From etcd alone.
    Kvstore,
    /// From etcd; CiliumIdentities are written too.
    ReadKvstore,
    /// From CiliumIdentities; etcd is written too.
    ReadCrd,
}

impl Mode {
    /// Numbers are allocated in etcd, and what they mean is read there.
    pub fn reads_etcd(self) -> bool {
        self != Self::ReadCrd
    }

    /// Objects of the API server are used as well.
    pub fn uses_objects(self) -> bool {
        self != Self::Kvstore
    }
}

/// How etcd is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where identities come from.
    pub mode: Mode,
    /// How to reach it.
    pub options: Options,
    /// Keys of a node outlive it for so long.
    pub lease_ttl: Duration,
}

/// The values of upstream's keys, as they were given.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// `identity-allocation-mode`.
    pub mode: &'a str,
    /// `kvstore`.
    pub kvstore: &'a str,
    /// `kvstore-opt`: a JSON object as in a ConfigMap, or `key=value,key=value` as in a flag.
    pub options: &'a str,
    /// `kvstore-lease-ttl`.
    pub lease_ttl: Duration,
}

impl Settings {
    /// Reads them; `None` when etcd is not used. Errors begin with the key.
    pub fn read(texts: Texts<'_>) -> Result<Option<Self>, Error> {
        let bad = |text: String| Err(Error::Config(text));
        let kvstore = texts.kvstore;
        let mode = match texts.mode {
            "crd" | "" if ["", "none"].contains(&kvstore) => return Ok(None),
            "crd" | "" => {
                return bad(format!(
                    "kvstore={kvstore}: needs an identity-allocation-mode that uses it: kvstore, doublewrite-readkvstore or doublewrite-readcrd"
                ));
            }
            "kvstore" => Mode::Kvstore,
            "doublewrite-readkvstore" => Mode::ReadKvstore,
            "doublewrite-readcrd" => Mode::ReadCrd,
            other => {
                return bad(format!(
                    "identity-allocation-mode: {other:?} is not crd, kvstore, doublewrite-readkvstore or doublewrite-readcrd"
                ));
            }
        };
        if kvstore != "etcd" {
            return bad(format!(
                "kvstore: {kvstore:?} is not etcd, which identity-allocation-mode={} needs",
                texts.mode
            ));
        }
        if texts.lease_ttl < SHORTEST {
            return bad(format!(
                "kvstore-lease-ttl: {:?} is shorter than {SHORTEST:?}",
                texts.lease_ttl
            ));
        }
        Ok(Some(Self {
            mode,
            options: options(texts.options)?,
            lease_ttl: texts.lease_ttl,
        }))
    }
}

fn options(text: &str) -> Result<Options, Error> {
    let given = pairs(text).ok_or_else(|| {
        Error::Config(format!(
            "kvstore-opt: {text:?} is not a JSON object, or key=value,key=value"
        ))
    })?;
    // The last one is upstream's for an etcd that it no longer runs.
    let known = ["etcd.address", "etcd.config", "etcd.operator"];
    if let Some(key) = given.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Error::Config(format!(
            "kvstore-opt: {key:?} is not etcd.address or etcd.config"
        )));
    }
    let config = given.get("etcd.config").map(PathBuf::from);
    let address = given.get("etcd.address").map(String::as_str);
    Options::read(address, config.as_deref())
}

fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let pairs = text.split(',').map(str::trim);
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
