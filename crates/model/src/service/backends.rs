//! The backends of a row: who of the endpoints in a service's slices answers, and in what state.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Condition, Protocol, Reach, RowKey, Slice};
use crate::ipam::Family;

/// Where a backend listens; what its id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendAddress {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// What a backend does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendState {
    /// Takes new ones.
    Active,
    /// Keeps what it has; takes new ones only while nobody is active.
    Terminating,
}

/// A backend. Ordered by state first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// What it does with connections.
    pub state: BackendState,
    /// Where it listens.
    pub address: BackendAddress,
}

/// The backends of a row out of the service's slices: each address once (slices may overlap while they are rewritten),
/// in its best state, sorted.
pub(super) fn collect<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    key: &RowKey,
    this_node: &str,
) -> Vec<Backend> {
    let mut best: BTreeMap<BackendAddress, BackendState> = BTreeMap::new();
    for slice in slices {
        let ports = slice
            .ports
            .iter()
            .filter(|port| port.name == key.port && port.protocol == key.protocol);
        for port in ports {
            for endpoint in &slice.endpoints {
                let state = match endpoint.condition {
                    Condition::Ready => BackendState::Active,
                    Condition::TerminatingServing => BackendState::Terminating,
                    Condition::NotServing => continue,
                };
                let elsewhere = endpoint.node.as_deref() != Some(this_node);
                if Family::of(endpoint.address) != key.family
                    || (key.reach == Reach::ThisNode && elsewhere)
                {
                    continue;
                }
                let address = BackendAddress {
                    address: endpoint.address,
                    port: port.port,
                    protocol: key.protocol,
                };
                let known = best.entry(address).or_insert(state);
                *known = state.min(*known);
            }
        }
    }
    let mut backends: Vec<Backend> = best
        .into_iter()
        .map(|(address, state)| Backend { state, address })
        .collect();
    backends.sort_unstable();
    backends
}
