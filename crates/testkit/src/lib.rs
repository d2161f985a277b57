//! The test kit: packet cases, runners, topologies, the demo cluster, oracles, fault injection.

pub mod bench;
pub mod cluster;
pub mod demo;
pub mod flows;
pub mod footprint;
pub mod kubelet;
pub mod oracle;
pub mod programs;
pub mod scale;
pub mod scrape;
pub mod shop;
pub mod streams;
pub mod topology;
