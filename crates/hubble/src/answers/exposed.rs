//! What is reached from outside of the cluster.

use std::collections::BTreeMap;

use api::hubble::answers::{Exposure, Party, PartyKind, Row};

use super::from_ns;
use super::pairs::Pair;
use crate::edges::told_apart;
use crate::rollup::{is_outside, merge, sort};

/// Addresses that are named of each.
const OUTSIDERS: usize = 5;

/// Who was reached, by which service, port and protocol.
type Key<'a> = ((&'a str, String), &'a str, u32, u32);

/// Each workload and port that somebody outside reached, or tried to, the most connections first.
pub(super) fn exposures(pairs: &[Pair<'_>]) -> Vec<Exposure> {
    let mut sums: BTreeMap<Key<'_>, (Party, Row)> = BTreeMap::new();
    for pair in pairs {
        let edge = pair.edge;
        let ends = edge.source.as_ref().zip(edge.destination.as_ref());
        let Some((_, destination)) = ends.filter(|(source, destination)| {
            let is_inside = destination.kind() != PartyKind::DnsName && !is_outside(destination);
            is_outside(source) && is_inside
        }) else {
            continue;
        };
        let row = seen(pair);
        let key = (
            told_apart(Some(destination)),
            edge.service.as_str(),
            edge.port,
            edge.protocol,
        );
        match sums.get_mut(&key) {
            Some((_, sum)) => merge(sum, row),
            None => {
                sums.insert(key, (destination.clone(), row));
            }
        }
    }
    let mut exposures: Vec<Exposure> = sums
        .into_iter()
        .map(|((_, service, port, protocol), (destination, row))| {
            let counters = row.counters.unwrap_or_default();
            let mut outsiders = row.outsiders;
            sort(&mut outsiders);
            outsiders.truncate(OUTSIDERS);
            Exposure {
                destination: Some(destination),
                service: service.to_owned(),
                port,
                protocol,
                connections: counters.opened,
                denied: counters.denied,
                outsiders,
                first: from_ns(row.first_ns),
                last: from_ns(row.last_ns),
            }
        })
        .collect();
    exposures.sort_by_key(|of| std::cmp::Reverse(of.connections.max(of.denied)));
    exposures
}

/// What the first node saw, who knows where somebody came from, and what the pod's node denied.
fn seen(pair: &Pair<'_>) -> Row {
    let mut row = pair.own.clone();
    let denied = pair.other.and_then(|other| other.counters);
    if let (Some(counters), Some(other)) = (&mut row.counters, denied) {
        counters.denied = counters.denied.saturating_add(other.denied);
    }
    row
}
