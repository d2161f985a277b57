//! Topics by name and by number.

use std::collections::HashMap;

use super::{NAME_OCTETS, TOPIC_NAMES};
use crate::{
    record::{KafkaTopic, Seen},
    redact,
};

/// A topic as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Name(String),
    Id([u8; 16]),
}

impl Topic {
    pub(super) fn named(name: &[u8]) -> Self {
        Self::Name(name_of(name))
    }

    /// Octets that it takes.
    pub(super) fn octets(&self) -> usize {
        let name = match self {
            Topic::Name(name) => name.capacity(),
            Topic::Id(_) => 0,
        };
        size_of::<(Topic, Option<u64>)>() + name
    }
}

pub(super) fn name_of(octets: &[u8]) -> String {
    redact::text(&octets[..octets.len().min(NAME_OCTETS)])
}

/// Names of topics by their number, learnt on all connections: a number is never used again.
#[derive(Debug, Default)]
pub struct TopicNames {
    /// The older half is forgotten when the newer is full: clients ask again for what they use.
    halves: [HashMap<[u8; 16], String>; 2],
    learnt: u64,
}

impl TopicNames {
    /// Takes a topic's number and name.
    pub fn learn(&mut self, id: [u8; 16], name: &[u8]) {
        let name = name_of(name);
        let [newer, older] = &mut self.halves;
        if newer.get(&id) == Some(&name) {
            return;
        }
        self.learnt += u64::from(older.remove(&id).as_ref() != Some(&name));
        if newer.len() >= TOPIC_NAMES / 2 && !newer.contains_key(&id) {
            *older = std::mem::take(newer);
        }
        newer.insert(id, name);
    }

    /// All that are known.
    pub fn iter(&self) -> impl Iterator<Item = ([u8; 16], &str)> {
        let all = self.halves.iter().flatten();
        all.map(|(id, name)| (*id, name.as_str()))
    }

    /// How many were learnt that were not known.
    pub const fn learnt(&self) -> u64 {
        self.learnt
    }

    pub(super) fn topic(&self, topic: &Topic) -> KafkaTopic {
        let name_of = |id| self.halves.iter().find_map(|half| half.get(id).cloned());
        let (name, id) = match topic {
            Topic::Name(name) => (Some(name.clone()), None),
            Topic::Id(id) => (name_of(id), Some(*id)),
        };
        KafkaTopic {
            name: name.map_or(Seen::Unknown, Seen::Known),
            id,
            octets: Seen::Unknown,
            error: Seen::Unknown,
        }
    }
}
