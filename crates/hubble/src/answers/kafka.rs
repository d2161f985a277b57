//! Who produces to which topic of Kafka, and who fetches from it.

use api::hubble::answers::{KafkaCounters, NameCount, Question, Topic};

use super::http::counted;
use super::is_like;
use super::pairs::Pair;

/// Requests that came to nothing.
pub fn failed(of: &KafkaCounters) -> u64 {
    counted(&of.errors, |_| true).saturating_add(of.unanswered)
}

/// Topics by name, and who asks which broker for them. A fetch does not say for which group it is; what is known of the
/// client's groups is said.
pub(super) fn topics(pairs: &[Pair<'_>], question: &Question) -> Vec<Topic> {
    let mut all: Vec<Topic> = Vec::new();
    for pair in pairs {
        let said = &pair.said().0.kafka;
        let chosen = said.iter().filter(|of| {
            let is_meant = is_like(&of.topic, &question.pattern);
            is_meant && (!question.failing || failed(of) > 0)
        });
        all.extend(chosen.map(|of| {
            let mut counters = of.clone();
            if counters.groups.is_empty() && counters.fetches > 0 {
                counters.groups = groups(said);
            }
            Topic {
                edge: Some(pair.edge.clone()),
                counters: Some(counters),
            }
        }));
    }
    all.sort_by_cached_key(|of| {
        let counters = of.counters.clone().unwrap_or_default();
        let busy = (counters.produces, counters.fetches);
        let name = (counters.topic, counters.id);
        // What is about no topic comes last.
        let is_nameless = name.0.is_empty() && name.1.is_empty();
        let edge = format!("{:?}", of.edge);
        (is_nameless, name, std::cmp::Reverse(busy), edge)
    });
    all
}

fn groups(said: &[KafkaCounters]) -> Vec<NameCount> {
    let mut groups: Vec<NameCount> = Vec::new();
    for of in said.iter().flat_map(|of| &of.groups) {
        match groups.iter_mut().find(|known| known.name == of.name) {
            Some(known) => known.count = known.count.saturating_add(of.count),
            None => groups.push(of.clone()),
        }
    }
    groups
}
