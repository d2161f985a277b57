//! What the engine's rounds did and how long it took, for the metrics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::policy::Kind;

use crate::metrics::{Metrics, Outcome};

/// Times of the round under way, and of what waits to be in force.
pub(super) struct Meter {
    metrics: Metrics,
    begun: Option<Instant>,
    calculated: Duration,
    /// Since when policies of a source wait.
    policies: BTreeMap<&'static str, Instant>,
    identities: Option<Instant>,
}

impl Meter {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            begun: None,
            calculated: Duration::ZERO,
            policies: BTreeMap::new(),
            identities: None,
        }
    }

    /// Inputs are taken in from here on.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// The kernel is written from here on.
    pub(super) fn calculated(&mut self) {
        self.calculated = self.begun.map(|begun| begun.elapsed()).unwrap_or_default();
    }

    pub(super) fn policy(&mut self, kind: Kind, outcome: Outcome) {
        self.metrics.policy(outcome);
        let source = match kind {
            Kind::CiliumNetworkPolicy | Kind::CiliumClusterwideNetworkPolicy => "custom-resource",
            _ => "k8s",
        };
        self.policies.entry(source).or_insert_with(Instant::now);
    }

    pub(super) fn identities(&mut self) {
        self.identities.get_or_insert_with(Instant::now);
    }

    pub(super) fn node(&self, event: &'static str, own: bool) {
        let source = if own { "local" } else { "custom-resource" };
        self.metrics.node(event, source);
    }

    pub(super) fn services(&self, actions: impl IntoIterator<Item = &'static str>) {
        for action in actions {
            self.metrics.service(action);
        }
    }

    /// The round ended; of the endpoints that were due, so many are as they should be, and so many are not.
    pub(super) fn done(&mut self, (built, failed): (usize, usize), outcome: Outcome) {
        let took = self.begun.take().map(|begun| begun.elapsed());
        let took = took.unwrap_or(self.calculated);
        let written = took.saturating_sub(self.calculated);
        self.metrics.ran(outcome, took);
        for (count, outcome) in [(built, Outcome::Success), (failed, Outcome::Failure)] {
            for _ in 0..count {
                self.metrics.regenerated(outcome, self.calculated, written);
            }
        }
        if outcome == Outcome::Failure {
            return;
        }
        for (source, since) in std::mem::take(&mut self.policies) {
            self.metrics.policy_in_force(source, since.elapsed());
        }
        if let Some(since) = self.identities.take() {
            self.metrics.identities_in_force(since.elapsed());
        }
    }
}
