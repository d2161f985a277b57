//! Which names are asked for, and how DNS servers answer.

use api::hubble::answers::{DnsCounters, Lookup, Question};

use super::http::counted;
use super::is_like;
use super::pairs::Pair;
use crate::spoken::counters::NO_SUCH_NAME;

/// Questions that came to nothing. That a name does not exist is no failure where another one of the same search does.
pub fn failed(of: &DnsCounters) -> u64 {
    let refused = counted(&of.codes, |code| {
        code != 0 && code != i32::from(NO_SUCH_NAME)
    });
    refused
        .saturating_add(missing(of))
        .saturating_add(of.timeouts)
        .saturating_add(of.unanswered)
}

/// Answers that there is no such name, those of a search left out.
pub fn missing(of: &DnsCounters) -> u64 {
    let all = counted(&of.codes, |code| code == i32::from(NO_SUCH_NAME));
    all.saturating_sub(of.searched)
}

/// Questions by who asked whom, name and type: the most first, or those with the most failures.
pub(super) fn lookups(pairs: &[Pair<'_>], question: &Question) -> Vec<Lookup> {
    let mut all: Vec<Lookup> = Vec::new();
    for pair in pairs {
        let chosen = pair.said().0.dns.iter().filter(|of| {
            is_like(&of.name, &question.pattern) && (!question.failing || failed(of) > 0)
        });
        all.extend(chosen.map(|of| Lookup {
            edge: Some(pair.edge.clone()),
            counters: Some(of.clone()),
        }));
    }
    all.sort_by_cached_key(|of| {
        let counters = of.counters.clone().unwrap_or_default();
        let weight = if question.failing {
            failed(&counters)
        } else {
            counters.questions
        };
        let name = (counters.name, counters.r#type);
        (std::cmp::Reverse(weight), name, format!("{:?}", of.edge))
    });
    all
}
