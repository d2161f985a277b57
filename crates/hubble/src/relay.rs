//! The relay: one flow server that asks those of all nodes.
//!
//! [`peers`] (which nodes there are) → [`pool`] (a connection to each) → [`observer`] (questions of clients, flows of all nodes in
//! the order of their times), [`clusters`] (their counts, and those of other clusters), [`web`] (the same for browsers). Flows pass through as bytes; what a client does not read is held back at the nodes.

mod access;
pub mod alerts;
mod answers;
mod clusters;
pub mod config;
mod faults;
mod flows;
mod link;
mod merge;
mod metrics;
mod observer;
mod peers;
mod pool;
mod promql;
mod source;
mod web;
mod wire;
pub mod wiring;

pub use link::ClientFiles;
pub(crate) use link::set_options;
pub(crate) use wire::Raw;

/// Response header with the version of the relay.
pub const VERSION_HEADER: &str = "hubble-relay-version";

#[cfg(test)]
mod tests;
