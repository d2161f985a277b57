//! What each pod takes of what all connections may. None leaves the others without room: see [`Shares::has_room`].

use hashbrown::HashMap;

use super::Budget;

/// A pod may take so many times what is left. One alone so has three quarters, two have three sevenths each, and however many
/// they are there is room for one more (the dynamic thresholds of Choudhury and Hahne for buffers that ports of a switch share).
const TIMES: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    connections: usize,
    octets: usize,
}

/// What is taken, in all and by pod.
#[derive(Debug, Default)]
pub(super) struct Shares {
    all: Taken,
    // Zero is all that are of no pod.
    by_pod: HashMap<u16, Taken>,
}

impl Shares {
    pub(super) fn add(&mut self, pod: u16, octets: usize) {
        for taken in [&mut self.all, self.by_pod.entry(pod).or_default()] {
            taken.connections += 1;
            taken.octets += octets;
        }
    }

    pub(super) fn remove(&mut self, pod: u16, octets: usize) {
        let Some(own) = self.by_pod.get_mut(&pod) else {
            return;
        };
        for taken in [&mut self.all, &mut *own] {
            taken.connections -= 1;
            taken.octets -= octets;
        }
        if own.connections == 0 {
            self.by_pod.remove(&pod);
        }
    }

    /// A connection of the pod takes `after` octets now.
    pub(super) fn change(&mut self, pod: u16, before: usize, after: usize) {
        if let Some(own) = self.by_pod.get_mut(&pod) {
            for taken in [&mut self.all, own] {
                taken.octets = taken.octets + after - before;
            }
        }
    }

    /// Whether the pod may have one more connection.
    pub(super) fn has_room(&self, pod: u16, budget: Budget) -> bool {
        let own = self.of(pod);
        own.connections < allowed(self.all.connections, budget.connections)
            && own.octets < allowed(self.all.octets, budget.octets)
    }

    /// Whether the pod's connections take more than they may.
    pub(super) fn is_over(&self, pod: u16, budget: Budget) -> bool {
        self.of(pod).octets > allowed(self.all.octets, budget.octets)
    }

    /// Octets of all together.
    pub(super) const fn octets(&self) -> usize {
        self.all.octets
    }

    fn of(&self, pod: u16) -> Taken {
        self.by_pod.get(&pod).copied().unwrap_or_default()
    }
}

fn allowed(taken: usize, budget: usize) -> usize {
    budget.saturating_sub(taken).saturating_mul(TIMES)
}
