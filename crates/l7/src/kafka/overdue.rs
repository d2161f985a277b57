//! A request that waits for too long.

use super::{
    Connection, TopicNames,
    api::{JOIN_GROUP, SYNC_GROUP},
};
use crate::{
    conversation::Direction,
    record::{Ending, Kafka},
};

/// Whether a call is answered when other members of its group have done something.
pub(crate) const fn waits_for_others(api: i16) -> bool {
    matches!(api, JOIN_GROUP | SYNC_GROUP)
}

impl Connection {
    /// Tells of the request that is to be answered next, if it waits for too long. When its answer comes it is no record any more.
    pub fn overdue(
        &mut self,
        is_overdue: impl FnOnce(&Kafka) -> bool,
        names: &TopicNames,
        out: &mut Vec<Kafka>,
    ) {
        let is_between = self.sides[Direction::ToClient as usize].is_between();
        let front = self.waiting.front_mut();
        let Some(front) = front.filter(|of| is_between && !of.missed && !of.told) else {
            return;
        };
        if is_overdue(&front.record) {
            front.told = true;
            out.push(front.clone().finish(Ending::Overdue, names));
        }
    }

    /// A record, unless its request was one already.
    pub(super) fn give(&mut self, was_told: bool, record: Kafka, out: &mut Vec<Kafka>) {
        if was_told {
            self.late.push(record);
        } else {
            out.push(record);
        }
    }
}
