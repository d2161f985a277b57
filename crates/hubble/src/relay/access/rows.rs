//! Rows without what a caller may not see: of an edge that crosses into another namespace the other end's name alone is left.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use api::hubble::answers::{
    Cause, CauseKind, Direction, Edge, HttpCounters, KafkaCounters, Party, Row, Tally,
};

use crate::rollup::sum;

/// The path of requests whose path is not told: that of those that are not told apart.
const ANY_PATH: &str = "/*";

/// The namespaces that rows begin or end in.
pub(super) fn namespaces(rows: &[Row]) -> BTreeSet<String> {
    let edges = rows.iter().filter_map(|row| row.edge.as_ref());
    let ends = edges.flat_map(|edge| [&edge.source, &edge.destination]);
    let named = ends.flatten().map(|party| party.namespace.clone());
    named.filter(|namespace| !namespace.is_empty()).collect()
}

/// Takes out what may not be seen; of how many pairs of ends there is nothing left.
pub(super) fn veil(rows: &mut Vec<Row>, seen: &BTreeMap<String, bool>) -> u64 {
    let mut withheld = HashSet::new();
    rows.retain_mut(|row| {
        let edge = row.edge.clone().unwrap_or_default();
        let [source, destination] =
            [&edge.source, &edge.destination].map(|end| sight(end.as_ref(), seen));
        match (source, destination) {
            (Sight::Sees, Sight::Sees | Sight::OfNobody) | (Sight::OfNobody, Sight::Sees) => true,
            (Sight::Sees, Sight::Not) => {
                narrow(row, true);
                true
            }
            (Sight::Not, Sight::Sees) => {
                narrow(row, false);
                true
            }
            (Sight::Not | Sight::OfNobody, Sight::Not | Sight::OfNobody) => {
                withheld.insert(ends(edge));
                false
            }
        }
    });
    withheld.len() as u64
}

/// Whether an end may be seen.
#[derive(Clone, Copy)]
enum Sight {
    Sees,
    Not,
    /// It is in no namespace.
    OfNobody,
}

fn sight(party: Option<&Party>, seen: &BTreeMap<String, bool>) -> Sight {
    match party.map(|party| party.namespace.as_str()) {
        None | Some("") => Sight::OfNobody,
        Some(namespace) if seen.get(namespace) == Some(&true) => Sight::Sees,
        Some(_) => Sight::Not,
    }
}

/// What both nodes call alike.
fn ends(edge: Edge) -> Edge {
    Edge {
        service: String::new(),
        side: 0,
        ..edge
    }
}

/// Leaves counts, times and codes, and of names those of the questions to DNS that the caller's own side asked.
fn narrow(row: &mut Row, sees_source: bool) {
    row.outsiders.clear();
    for tally in std::mem::take(&mut row.failures) {
        fails(&mut row.failures, tally, sees_source);
    }
    let http = sum(row.http.drain(..));
    row.http.extend(http.map(|of| HttpCounters {
        path: ANY_PATH.to_owned(),
        ..of
    }));
    if !sees_source {
        let dns = sum(row.dns.drain(..));
        row.dns.extend(dns);
        for of in &mut row.dns {
            of.addresses.clear();
        }
    }
    let kafka = sum(row.kafka.drain(..));
    row.kafka.extend(kafka.map(|of| KafkaCounters {
        groups: Vec::new(),
        ..of
    }));
    let tls = sum(row.tls.drain(..));
    row.tls.extend(tls);
}

/// Adds a tally without what is told of the other side to those of the same cause.
fn fails(tallies: &mut Vec<Tally>, mut tally: Tally, sees_source: bool) {
    tally.samples.clear();
    if let Some(cause) = &mut tally.cause {
        if !(sees_source && is_of_dns(cause)) {
            cause.name.clear();
        }
        let is_own = match cause.direction() {
            Direction::Egress => sees_source,
            Direction::Ingress => !sees_source,
            Direction::Unknown => false,
        };
        if !is_own {
            cause.policies.clear();
        }
    }
    let Some(known) = tallies.iter_mut().find(|of| of.cause == tally.cause) else {
        tallies.push(tally);
        return;
    };
    known.count = known.count.saturating_add(tally.count);
    known.packets = known.packets.saturating_add(tally.packets);
    known.excused = known.excused.saturating_add(tally.excused);
    known.first_ns = known.first_ns.min(tally.first_ns);
    known.last_ns = known.last_ns.max(tally.last_ns);
}

fn is_of_dns(cause: &Cause) -> bool {
    matches!(
        cause.kind(),
        CauseKind::DnsTimeout | CauseKind::DnsError | CauseKind::DnsNoSuchName
    )
}

#[cfg(test)]
mod tests;
