//! The node agent: endpoint life cycle, configuration, wiring, local API.

pub mod addresses;
pub mod announce;
pub mod cni_conf;
pub mod config;
pub mod engine;
pub mod explain;
pub mod flows;
pub mod forwarding;
pub mod health;
pub mod identity;
pub mod in_force;
pub mod inputs;
pub mod kvstore;
pub mod last_good;
pub mod layouts;
pub mod local_api;
pub mod masquerade;
pub mod metrics;
pub mod node;
pub mod own_node;
pub mod policy_status;
pub mod pools;
pub mod queue;
pub mod sockets;
pub mod view;
pub mod wiring;
