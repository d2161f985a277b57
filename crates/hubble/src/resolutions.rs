//! By which DNS names clients know addresses outside of the cluster: what they were answered when they asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use l7::record::{Dns, DnsData, DnsOutcome};

use crate::enrich::Enriched;

/// Pairs of client and address that are remembered; when there are more, those are not that nobody looked for since.
const PAIRS: usize = 32_768;

/// What clients were answered.
#[derive(Debug, Default)]
pub(crate) struct Resolutions {
    /// Two halves: the older is forgotten when the newer is full.
    halves: [HashMap<(IpAddr, IpAddr), Arc<str>>; 2],
}

impl Resolutions {
    /// Remembers the addresses of an answer.
    pub(crate) fn learn(&mut self, client: IpAddr, dns: &Dns) {
        if dns.outcome != DnsOutcome::Code(0) {
            return;
        }
        let name: Arc<str> = dns.qname.as_str().into();
        for answer in &dns.answers {
            if let DnsData::Address(address) = answer.data {
                self.insert((client, address), Arc::clone(&name));
            }
        }
    }

    /// The name that a client resolved last to an address.
    pub(crate) fn name(&mut self, client: IpAddr, address: IpAddr) -> Option<Arc<str>> {
        let pair = (client, address);
        let [newer, older] = &mut self.halves;
        if let Some(name) = newer.get(&pair) {
            return Some(Arc::clone(name));
        }
        let name = older.remove(&pair)?;
        self.insert(pair, Arc::clone(&name));
        Some(name)
    }

    fn insert(&mut self, pair: (IpAddr, IpAddr), name: Arc<str>) {
        let [newer, older] = &mut self.halves;
        if newer.len() >= PAIRS / 2 && !newer.contains_key(&pair) {
            *older = std::mem::take(newer);
        }
        newer.insert(pair, name);
    }
}

/// Whether the receiver is outside of the cluster, and nothing but its address is known.
pub(crate) fn is_nameless(enriched: &Enriched) -> bool {
    let Some(names) = enriched.destination.as_deref() else {
        return false;
    };
    let has = |is_it: fn(&str) -> bool| names.labels.iter().any(|label| is_it(label));
    enriched.destination_fqdns.is_empty()
        && names.pod_name.is_empty()
        && has(|label| label.starts_with("reserved:world") || label.starts_with("cidr:"))
        && !has(|label| label == "reserved:kube-apiserver")
}

#[cfg(test)]
mod tests;
