//! Who resolved a name, to which addresses, and whether he connected to them.

use std::collections::{BTreeMap, HashMap};

use api::hubble::answers::{DnsCounters, Party, PartyKind, Question, Resolution};

use super::pairs::Pair;
use super::{dns, from_ns, is_like};
use crate::edges::told_apart;
use crate::rollup::merge_addresses;

/// A name, and who asked for it.
type Key<'a> = (&'a str, (&'a str, String));

/// Names, and who resolved them: the most questions first.
pub(super) fn resolutions(pairs: &[Pair<'_>], question: &Question) -> Vec<Resolution> {
    let mut sums: BTreeMap<Key<'_>, (Option<&Party>, DnsCounters, u64)> = BTreeMap::new();
    for pair in pairs {
        let chosen = pair.said().0.dns.iter();
        for of in chosen.filter(|of| !of.name.is_empty() && is_like(&of.name, &question.pattern)) {
            let source = pair.edge.source.as_ref();
            let key = (of.name.as_str(), told_apart(source));
            let (party, sum, failures) = sums.entry(key).or_default();
            *party = source;
            *failures = failures.saturating_add(dns::failed(of));
            sum.questions = sum.questions.saturating_add(of.questions);
            merge_addresses(&mut sum.addresses, of.addresses.clone());
            sum.last_ns = sum.last_ns.max(of.last_ns);
            if sum.first_ns == 0 || of.first_ns < sum.first_ns {
                sum.first_ns = of.first_ns;
            }
        }
    }
    let connections = connections(pairs);
    let made = sums
        .into_iter()
        .map(|((name, _), (source, sum, failures))| Resolution {
            source: source.cloned(),
            name: name.to_owned(),
            questions: sum.questions,
            failures,
            addresses: sum.addresses,
            first: from_ns(sum.first_ns),
            last: from_ns(sum.last_ns),
            connections: connections
                .get(&(name, source))
                .copied()
                .unwrap_or_default(),
        });
    let mut all: Vec<Resolution> = made
        .filter(|of| !question.failing || of.failures > 0)
        .collect();
    all.sort_by_key(|of| std::cmp::Reverse(of.questions));
    all
}

/// Connections to who is called by a DNS name, by the name and who began them.
fn connections<'a>(pairs: &[Pair<'a>]) -> HashMap<(&'a str, Option<&'a Party>), u64> {
    let mut sums: HashMap<_, u64> = HashMap::new();
    for pair in pairs {
        let Some(destination) = pair.edge.destination.as_ref() else {
            continue;
        };
        if destination.kind() == PartyKind::DnsName {
            let key = (destination.name.as_str(), pair.edge.source.as_ref());
            let opened = pair.own.counters.unwrap_or_default().opened;
            *sums.entry(key).or_default() += opened;
        }
    }
    sums
}
