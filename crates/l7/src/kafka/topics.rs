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
    pub(super) names: HashMap<[u8; 16], String>,
}

impl TopicNames {
    pub(super) fn learn(&mut self, id: [u8; 16], name: &[u8]) {
        if self.names.len() < TOPIC_NAMES || self.names.contains_key(&id) {
            self.names.insert(id, name_of(name));
        }
    }

    pub(super) fn topic(&self, topic: &Topic) -> KafkaTopic {
        let (name, id) = match topic {
            Topic::Name(name) => (Some(name.clone()), None),
            Topic::Id(id) => (self.names.get(id).cloned(), Some(*id)),
        };
        KafkaTopic {
            name: name.map_or(Seen::Unknown, Seen::Known),
            id,
            octets: Seen::Unknown,
            error: Seen::Unknown,
        }
    }
}
