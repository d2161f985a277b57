//! What a consumer fetches: a session names its topics once, then only what changes (KIP-227).

use std::collections::{BTreeMap, BTreeSet};

use super::{PARTITIONS, TOPICS, answers::Told, requests::Asked, topics::Topic};

/// What a consumer fetches.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Number, once the broker gave one.
    id: Option<i32>,
    /// Topics with their partitions.
    topics: BTreeMap<Topic, BTreeSet<i32>>,
    partitions: usize,
    /// All of them are known.
    whole: bool,
}

impl Session {
    /// A session of a connection of which everything was seen, or not.
    pub(super) fn new(whole: bool) -> Self {
        Self {
            whole,
            ..Self::default()
        }
    }

    /// A change may have been missed: of what was fetched before, nobody knows whether it still is.
    pub(super) fn doubt(&mut self) {
        self.topics.clear();
        self.partitions = 0;
        self.whole = false;
    }

    /// What a fetch is about, with what its session had before; whether that is all.
    pub(super) fn asked(&mut self, asked: &mut Asked) -> bool {
        let Some((id, epoch)) = asked.session else {
            // Without sessions every fetch says all; or its beginning was all that was seen.
            *self = Self::default();
            let topics: BTreeSet<_> = asked.fetched.drain(..).map(|(topic, _)| topic).collect();
            asked.topics = topics.into_iter().map(|topic| (topic, None)).collect();
            return asked.whole;
        };
        if epoch <= 0 {
            *self = Self {
                whole: asked.whole,
                ..Self::default()
            };
        } else if !asked.whole || self.id != Some(id) {
            self.doubt();
        }
        for (topic, partition) in &asked.forgotten {
            let Some(partitions) = self.topics.get_mut(topic) else {
                continue;
            };
            self.partitions -= usize::from(partitions.remove(partition));
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
        for (topic, partition) in &asked.fetched {
            let full = self.topics.len() >= TOPICS && !self.topics.contains_key(topic);
            if full || self.partitions >= PARTITIONS {
                self.whole = false;
                break;
            }
            let partitions = self.topics.entry(topic.clone()).or_default();
            self.partitions += usize::from(partitions.insert(*partition));
        }
        let topics = self.topics.keys();
        asked.topics = topics.map(|topic| (topic.clone(), None)).collect();
        self.whole
    }

    pub(super) fn octets(&self) -> usize {
        let topics: usize = self.topics.keys().map(Topic::octets).sum();
        topics + self.partitions * 2 * size_of::<i32>() + self.topics.len() * 200
    }

    pub(super) fn told(&mut self, told: &Told) {
        if let Some(id) = told.session
            && self.id.is_none()
        {
            self.id = Some(id);
        }
    }
}
