//! The brain: domain types and pure functions from objects to desired state.
//!
//! No I/O, no clock, no async runtime. Every model is two functions: which keys a change touches, and the row of one key.

pub mod labels;
pub mod policy;
pub mod selector;

pub mod endpoint;
pub mod identity;
pub mod in_force;
pub mod ipam;
pub mod ipcache;
pub mod need;
pub mod node;
pub mod numbers;
pub mod probing;
pub mod service;
pub mod text;
