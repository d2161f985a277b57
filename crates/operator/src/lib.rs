//! The operator: what a cluster needs once and not on each node. Never on the way of a packet: a day without it harms no pod.
//!
//! ```text
//! lease ─ term ─ leader (each write asks the term) ─┬─ definitions: CRDs, created and raised
//!                                                   ├─ ipam: ranges of nodes
//!                                                   ├─ slices: endpoints, many in one object
//! inputs (tables, followed while leading) ──────────┼─ collect: identities, endpoints, CiliumNodes that nobody uses
//!                                                   ├─ kvstore: heartbeat of etcd, numbers there that nobody uses
//!                                                   ├─ nodes: taints and conditions by the state of the agents
//!                                                   ├─ unmanaged: pods that no agent knows
//!                                                   ├─ secrets: copies of those that policies refer to
//!                                                   ├─ in_force: on which nodes policies are
//!                                                   └─ accepted: what nobody acts on says so
//! ```

pub mod accepted;
pub mod collect;
pub mod config;
pub mod definitions;
pub mod health;
pub mod in_force;
pub mod inputs;
pub mod ipam;
pub mod kvstore;
pub mod leader;
pub mod lease;
pub mod metrics;
pub mod nodes;
pub mod secrets;
pub mod slices;
pub mod unmanaged;
pub mod wiring;
