//! The relays of other clusters, as keys say it.

use daemon::settings::{Error, Reader};

use super::{files, pair};
use crate::relay::clusters::{Cluster, ClustersConfig};
use crate::relay::link::{ClientFiles, Place};

/// Reads `clusters` and what belongs to it. `own` is the name of this cluster.
pub(super) fn read(read: &Reader<'_>, own: &str) -> Result<ClustersConfig, Error> {
    let mut relays: Vec<Cluster> = Vec::new();
    let given = read.text("clusters").split(',').map(str::trim);
    for text in given.filter(|text| !text.is_empty()) {
        let relay = relay(text).ok_or_else(|| read.invalid("clusters", "NAME=HOST:PORT, …"))?;
        if relay.name == "all" || relay.name == own {
            let wanted = format!("other names than all and {own}, that of this cluster");
            return Err(read.invalid("clusters", &wanted));
        }
        if relays.iter().any(|other| other.name == relay.name) {
            return Err(read.invalid("clusters", "each name once"));
        }
        relays.push(relay);
    }
    let client = if relays.is_empty() || read.flag("disable-clusters-tls")? {
        None
    } else {
        Some(client(read)?)
    };
    Ok(ClustersConfig { relays, client })
}

fn relay(text: &str) -> Option<Cluster> {
    let (name, address) = text.split_once('=')?;
    let (name, address) = (name.trim(), address.trim());
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(&octet));
    let is_place = matches!(Place::parse(address), Some(Place::Tcp(_)));
    (is_name && is_place).then(|| Cluster {
        name: name.to_owned(),
        address: address.to_owned(),
    })
}

fn client(read: &Reader<'_>) -> Result<ClientFiles, Error> {
    let server_authorities = files(read, "tls-clusters-ca-files");
    if server_authorities.is_empty() {
        return Err(Error::Conflict(
            "tls-clusters-ca-files: needed to verify the relays of clusters, unless disable-clusters-tls=true".into(),
        ));
    }
    let identity = pair(read, "tls-clusters-cert-file", "tls-clusters-key-file")?;
    Ok(ClientFiles {
        server_authorities,
        identity,
    })
}
