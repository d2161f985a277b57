//! The node agent: endpoint life cycle, configuration, wiring, local API.

pub mod config;
pub mod node;
