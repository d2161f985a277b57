//! Flows: decode, enrich, ring, observer, filters, peers, relay.
//!
//! The way of a record: [`records`] (decoded from the data plane) → [`intake`] ([`enrich`]: names as of that moment) → [`ring`] →
//! [`observer`] (questions of clients), served by [`server`]; on the way it is counted ([`metrics`]).
//! [`export`] writes it to files, and [`history`] keeps it when the ring forgets. A record is kept once, compactly; the flows that it
//! stands for are put together when somebody reads them. [`relay`] asks all nodes at once.

pub mod answers;
mod calls;
pub mod connections;
pub mod edges;
pub mod enrich;
pub mod export;
pub mod filter;
pub mod flow;
pub mod follow;
pub mod history;
pub mod intake;
pub mod mask;
pub mod metrics;
pub mod names;
pub mod observer;
pub mod peer;
pub mod recorder;
pub mod records;
pub mod relay;
mod resolutions;
pub mod ring;
pub mod rollup;
#[cfg(test)]
mod sample;
mod schema;
pub(crate) mod series;
pub mod server;
pub mod sketch;
pub mod spoken;
mod tls;
#[cfg(any(test, feature = "truth"))]
pub mod truth;

/// Version of this server as clients see it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
