//! Numbers of CiliumEndpointSlices.

use daemon::metrics::{Labels, labels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{ByTwo, Outcome, added};

/// What one write changes of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceChange {
    /// Endpoints in it afterwards.
    pub size: usize,
    /// Endpoints that are new in it.
    pub inserted: usize,
    /// Endpoints that it has no more.
    pub removed: usize,
}

pub(super) struct Slices {
    writes: ByTwo<Counter>,
    sizes: Histogram,
    changes: Family<Labels<1>, Histogram, fn() -> Histogram>,
}

/// What happens to an endpoint of a slice, in upstream's words.
const OPCODES: [&str; 2] = ["cepinserted", "cepremoved"];

fn written(outcome: Outcome) -> Labels<2> {
    let failure = match outcome {
        Outcome::Success => "",
        Outcome::Fail => "transient",
    };
    labels([("failure_type", failure), ("outcome", outcome.word())])
}

fn sizes() -> Histogram {
    Histogram::new([1.0, 10.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0])
}

fn changes() -> Histogram {
    Histogram::new([1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0])
}

impl Slices {
    pub(super) fn new(to: &mut Registry) -> Self {
        let slices = Self {
            writes: added(to, "ces_sync", "Writes of CiliumEndpointSlices by outcome"),
            sizes: sizes(),
            changes: Family::new_with_constructor(changes),
        };
        // There with 0 before anything is written.
        for outcome in [Outcome::Success, Outcome::Fail] {
            drop(slices.writes.get_or_create(&written(outcome)));
        }
        for opcode in OPCODES {
            drop(slices.changes.get_or_create(&labels([("opcode", opcode)])));
        }
        to.register(
            "number_of_ceps_per_ces",
            "CiliumEndpoints in a CiliumEndpointSlice that was written",
            slices.sizes.clone(),
        );
        to.register(
            "number_of_cep_changes_per_ces",
            "CiliumEndpoints that came into or left a CiliumEndpointSlice by a write",
            slices.changes.clone(),
        );
        slices
    }

    /// A slice was to be written or deleted. Each failure is tried again.
    pub(super) fn count(&self, outcome: Outcome, change: SliceChange) {
        self.writes.get_or_create(&written(outcome)).inc();
        if outcome == Outcome::Fail {
            return;
        }
        self.sizes.observe(number(change.size));
        for (opcode, value) in OPCODES.into_iter().zip([change.inserted, change.removed]) {
            let opcode = labels([("opcode", opcode)]);
            self.changes.get_or_create(&opcode).observe(number(value));
        }
    }
}

/// Slices are small.
fn number(of: usize) -> f64 {
    u32::try_from(of).unwrap_or(u32::MAX).into()
}
