//! The node agent: endpoint life cycle, configuration, wiring, local API.

pub mod config;
pub mod engine;
pub mod forwarding;
pub mod inputs;
pub mod node;
pub mod view;
