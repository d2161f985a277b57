//! Kubernetes and etcd as tables: reflect objects into tables of slim rows, write back differences.
//!
//! This is the only crate that knows the Kubernetes client, and etcd ([`etcd`]). A [`Client`] stands for the API server, whichever of its URLs
//! answers, at a bounded rate; its guard ([`Client::guard`]) looks after the connection. [`reflect`] keeps a table equal to
//! what the server lists, and keeps it while there is no server. The client's verbs write; [`Client::update`] writes what
//! differs. Why it does so, and what it costs: docs/decisions/0008.

mod client;
pub mod etcd;
mod metrics;
mod pace;
mod reflect;
pub mod settings;
#[cfg(test)]
mod tests;

pub use client::{Client, ContextNames, Endpoint, Error, Exec, Executed, LogPart, Options, Scope};
pub use metrics::Metrics;
pub use pace::Pace;
pub use reflect::{Rows, reflect};
