//! Ranges of nodes: cut from a pool of the cluster, one for each node and family, or from many pools as nodes ask for it; and
//! never one for two.
//!
//! [`plan`] or [`plan_pools`] decides, from what nodes have and what was claimed, without looking at anything else. [`keep`] claims, writes,
//! and looks again. Why a claim comes before a write: docs/decisions/0010.

mod auto;
mod claim;
mod keep;
mod plan;
mod pool;
mod pools;
mod ranges;
#[cfg(test)]
mod tests;

pub use auto::{create, read_pools};
pub use claim::{Claim, Claims, read_claims, write_claims};
pub use keep::{NodeRow, Source, keep, node_row};
pub use plan::{Cursors, Plan, plan};
pub use pool::{Pool, PoolError};
pub use pools::{NodePools, PoolCursors, PoolRow, plan_pools, pool_row};
