//! A request that waits for too long.

use super::{Http1, Trust};
use crate::conversation::Direction;
use crate::record::{Ending, Http, Seen};

impl Http1 {
    /// Tells of the request that is to be answered next, if it waits for too long. When its answer comes it is no record any more.
    pub fn overdue(&mut self, is_overdue: impl FnOnce(&mut Http) -> bool, out: &mut Vec<Http>) {
        let answers = &self.sides[Direction::ToClient as usize];
        let sure = self.trust == Trust::Sure && answers.is_between();
        let front = self.waiting.front_mut();
        let Some(front) = front.filter(|front| sure && front.waits()) else {
            return;
        };
        if is_overdue(&mut front.record) {
            front.told = true;
            out.push(Http {
                status: Seen::Absent,
                ending: Ending::Overdue,
                ..front.record.clone()
            });
        }
    }
}
