//! How fast slices are written: by the number of nodes, as each write is sent to every one of them.

use serde::Deserialize;

/// Writes a second from so many nodes on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// It holds from so many nodes on.
    pub nodes: usize,
    /// Writes a second, on average.
    pub limit: f64,
    /// Writes at once.
    pub burst: f64,
}

/// Rates by the number of nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates(Vec<Rate>);

impl Rates {
    /// From a list in JSON, as upstream's `ces-rate-limits`.
    pub fn read(text: &str) -> Option<Self> {
        let mut rates: Vec<Rate> = serde_json::from_str(text).ok()?;
        rates.sort_by_key(|rate| rate.nodes);
        let positive = rates
            .iter()
            .all(|rate| rate.limit > 0.0 && rate.burst >= 1.0);
        (positive && !rates.is_empty()).then_some(Self(rates))
    }

    /// The one for so many nodes: of those from fewer nodes on the last, or else the first.
    pub fn of(&self, nodes: usize) -> Rate {
        let lowest = Rate {
            nodes: 0,
            limit: 1.0,
            burst: 1.0,
        };
        let reached = self.0.iter().rev().find(|rate| rate.nodes <= nodes);
        *reached.or(self.0.first()).unwrap_or(&lowest)
    }
}
