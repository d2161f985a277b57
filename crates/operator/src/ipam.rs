//! Ranges of nodes: cut from pools of the cluster, one for each node and family, and never one for two.
//!
//! [`plan`] decides, from what nodes have and what was claimed, without looking at anything else. [`keep`] claims, writes,
//! and looks again. Why a claim comes before a write: docs/decisions/0010.

mod claim;
mod keep;
mod plan;
mod pool;
mod ranges;
#[cfg(test)]
mod tests;

pub use claim::{Claim, read_claims, write_claims};
pub use keep::{NodeRow, keep, node_row};
pub use plan::{Cursors, Plan, plan};
pub use pool::{Pool, PoolError};
