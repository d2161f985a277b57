//! The test kit: packet cases, runners, topologies, the demo cluster, oracles, fault injection.

pub mod oracle;
pub mod shop;
pub mod topology;
