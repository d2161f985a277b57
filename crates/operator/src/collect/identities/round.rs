//! What one round does, from what it found and what was found before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::cilium::CiliumIdentity;
use tokio::time::Instant;

use super::HEARTBEAT;

/// What becomes of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is unused: say so on it.
    Mark,
    /// It was marked, and is used: say so no more.
    Unmark,
    /// It was marked in an earlier round, and still nobody uses it.
    Remove,
}

/// Identities that were unused in the last round, by uid, each with the time since which they were in all rounds. By this
/// operator's own clock: one that begins to lead waits its whole time.
#[derive(Debug, Default)]
pub(super) struct Unused {
    since: BTreeMap<String, Instant>,
}

impl Unused {
    /// One round, which began `now`.
    pub(super) fn round<'a>(
        &mut self,
        identities: &'a [CiliumIdentity],
        used: &BTreeSet<String>,
        timeout: Duration,
        now: Instant,
    ) -> Vec<(&'a CiliumIdentity, Step)> {
        let before = std::mem::take(&mut self.since);
        let mut steps = Vec::new();
        for identity in identities {
            let meta = &identity.metadata;
            let marked = meta.annotations.contains_key(HEARTBEAT);
            if used.contains(&meta.name) {
                if marked {
                    steps.push((identity, Step::Unmark));
                }
                continue;
            }
            let since = before.get(&meta.uid).copied().unwrap_or(now);
            self.since.insert(meta.uid.clone(), since);
            if now.duration_since(since) >= timeout {
                let step = if marked { Step::Remove } else { Step::Mark };
                steps.push((identity, step));
            }
        }
        steps
    }
}
