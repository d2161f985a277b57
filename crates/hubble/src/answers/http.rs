//! What is requested over HTTP, and how it is answered.

use std::collections::{BTreeMap, HashMap};

use api::hubble::answers::{Caller, CodeCount, HttpCounters, Party, Question, Requests, Sketch};

use super::is_like;
use super::pairs::Pair;
use crate::edges::{shown, told_apart};
use crate::rollup::sum;
use crate::sketch;
use crate::spoken::counters::GRPC_FAULTS;

/// Callers that are named of each.
const CALLERS: usize = 5;

/// Requests whose server is at fault, or that got no answer.
pub fn failed(of: &HttpCounters) -> u64 {
    let is_fault = |code: u32| GRPC_FAULTS.contains(&code);
    let of_grpc = counted(&of.grpc, |code| u32::try_from(code).is_ok_and(is_fault));
    let of_status = counted(&of.status, |code| code >= 500);
    of_status
        .saturating_add(of_grpc)
        .saturating_add(of.unanswered)
}

/// Requests that were not answered well, whoever is at fault.
pub fn errors(of: &HttpCounters) -> u64 {
    let of_grpc = counted(&of.grpc, |code| code != 0);
    let of_status = counted(&of.status, |code| code >= 400);
    of_status
        .saturating_add(of_grpc)
        .saturating_add(of.unanswered)
}

/// Answers with the codes that are chosen.
pub fn counted(codes: &[CodeCount], is_chosen: impl Fn(i32) -> bool) -> u64 {
    let chosen = codes.iter().filter(|of| is_chosen(of.code));
    chosen.fold(0, |sum, of| sum.saturating_add(of.count))
}

/// Requests of one method and path to one destination, while they are gathered.
#[derive(Default)]
struct Gathered<'a> {
    destination: Option<&'a Party>,
    counters: Vec<&'a HttpCounters>,
    callers: HashMap<&'a Party, u64>,
    served: Option<Sketch>,
}

/// Requests by where they go, method and path: the most first, or those with the most failures.
pub(super) fn requests(pairs: &[Pair<'_>], question: &Question) -> Vec<Requests> {
    type Key<'a> = ((&'a str, String), &'a str, u32, &'a str, &'a str);
    let mut sums: BTreeMap<Key<'_>, Gathered<'_>> = BTreeMap::new();
    for pair in pairs {
        let (edge, (said, other)) = (pair.edge, pair.said());
        let destination = told_apart(edge.destination.as_ref());
        for of in said
            .http
            .iter()
            .filter(|of| is_like(&of.path, &question.pattern))
        {
            let key = (
                destination.clone(),
                edge.service.as_str(),
                edge.port,
                of.method.as_str(),
                of.path.as_str(),
            );
            let into = sums.entry(key).or_default();
            into.destination = edge.destination.as_ref();
            into.counters.push(of);
            if let Some(source) = &edge.source {
                *into.callers.entry(source).or_default() += of.requests;
            }
            let others = other.into_iter().flat_map(|row| &row.http);
            for served in
                others.filter(|served| served.method == of.method && served.path == of.path)
            {
                sketch::merge(&mut into.served, served.latency.clone());
            }
        }
    }
    let made = sums.into_iter().map(|((_, service, port, ..), of)| {
        let counters = sum(of.counters.iter().copied().cloned());
        let named = of.counters.first().copied().cloned().unwrap_or_default();
        Requests {
            destination: of.destination.cloned(),
            service: service.to_owned(),
            port,
            counters: counters.map(|sum| HttpCounters {
                method: named.method,
                path: named.path,
                ..sum
            }),
            callers: callers(of.callers),
            served: of.served,
        }
    });
    let mut all: Vec<Requests> = made.collect();
    let counters = |of: &Requests| of.counters.clone().unwrap_or_default();
    if question.failing {
        all.retain(|of| errors(&counters(of)) > 0);
        all.sort_by_cached_key(|of| {
            let of = counters(of);
            std::cmp::Reverse((failed(&of), errors(&of)))
        });
    } else {
        all.sort_by_cached_key(|of| std::cmp::Reverse(counters(of).requests));
    }
    all
}

fn callers(all: HashMap<&Party, u64>) -> Vec<Caller> {
    let mut callers: Vec<Caller> = all
        .into_iter()
        .map(|(party, requests)| Caller {
            party: Some(party.clone()),
            requests,
        })
        .collect();
    callers.sort_by_cached_key(|of| {
        let name = of.party.as_ref().map(shown);
        (std::cmp::Reverse(of.requests), name)
    });
    callers.truncate(CALLERS);
    callers
}
