//! Entries of the tables of services: what they should be after a change, and what numbers the kernel's mean.

use std::collections::{BTreeMap, BTreeSet};

use datapath::abi::address::Address;
use datapath::abi::service::{self as abi, FrontendKey, SlotKey, backend_state, flags};
use kernel::{MapError, Maps};
use model::numbers::Numbers;
use model::service::{
    Algorithm, BackendAddress, BackendState, ClientScope, Frontend, FrontendAddress, FrontendKind,
    Protocol, Reach, Row, RowKey,
};

use super::Services;

/// What entries should be: those that may differ from what was told last; `None` = not there. Of two that speak of one
/// entry the later counts.
#[derive(Debug, Default)]
pub struct Entries {
    /// Service addresses.
    pub frontends: Vec<(FrontendKey, Option<abi::Frontend>)>,
    /// Slots of services.
    pub slots: Vec<(SlotKey, Option<u32>)>,
    /// Backends.
    pub backends: Vec<(u32, Option<abi::Backend>)>,
}

/// What has to be told at the next look.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// Rows that are new or different.
    pub(super) rows: BTreeSet<RowKey>,
    /// Addresses that a row began or ceased to claim.
    pub(super) frontends: BTreeSet<FrontendAddress>,
    /// How many slots a service had.
    pub(super) slots: BTreeMap<u32, u32>,
    /// Backends that were a service's.
    pub(super) backends: BTreeSet<u32>,
}

impl Services {
    /// The entries that changed since the last call.
    pub fn take_changed(&mut self) -> Entries {
        let stale = std::mem::take(&mut self.stale);
        let mut entries = Entries::default();
        for (service, slots) in stale.slots {
            let gone = (0..slots).map(|slot| (SlotKey { service, slot }, None));
            entries.slots.extend(gone);
        }
        entries
            .backends
            .extend(stale.backends.into_iter().map(|id| (id, None)));
        let mut frontends = stale.frontends;
        for key in &stale.rows {
            if let Some((service, row)) = self.rows.get(key) {
                self.compose_backends(*service, row, &mut entries);
                frontends.extend(row.frontends.iter().map(|frontend| frontend.address));
            }
        }
        let frontends = frontends.into_iter();
        entries.frontends = frontends
            .map(|address| (frontend_key(&address), self.frontend(&address)))
            .collect();
        entries
    }

    /// The usable backends are the first. The others have a row and no slot: they keep what they have.
    fn compose_backends(&self, service: u32, row: &Row, entries: &mut Entries) {
        let usable = row.usable().len();
        let mut slot = 0;
        for (at, backend) in row.backends.iter().enumerate() {
            let Some(id) = self.backends.get(&(service, backend.address)) else {
                continue;
            };
            let value = backend_row(&backend.address, backend.state);
            entries.backends.push((id, Some(value)));
            if at < usable {
                entries.slots.push((SlotKey { service, slot }, Some(id)));
                slot += 1;
            }
        }
    }

    /// What an address should lead to: the first row that claims it has it.
    fn frontend(&self, address: &FrontendAddress) -> Option<abi::Frontend> {
        let key = self.claims.get(address)?.first()?;
        let (service, row) = self.rows.get(key)?;
        let frontend = row.frontends.iter().find(|of| of.address == *address)?;
        let mut bits = if row.affinity_seconds.is_some() {
            flags::AFFINITY
        } else {
            0
        };
        if frontend.kind == FrontendKind::NodePort {
            bits |= flags::NODEPORT;
        }
        if key.reach == Reach::ThisNode {
            bits |= local_only(frontend);
        }
        if row.algorithm == Algorithm::Maglev {
            bits |= flags::MAGLEV;
        }
        Some(abi::Frontend {
            service: *service,
            slots: self.slots_of(*service, row),
            affinity_seconds: row.affinity_seconds.unwrap_or_default(),
            flags: bits,
            pad: 0,
        })
    }

    pub(super) fn slots_of(&self, service: u32, row: &Row) -> u32 {
        let numbered = |address| self.backends.get(&(service, address)).is_some();
        let usable = row.usable().iter();
        usable.filter(|backend| numbered(backend.address)).count() as u32
    }
}

fn local_only(frontend: &Frontend) -> u16 {
    if frontend.kind == FrontendKind::ClusterIp {
        flags::INTERNAL_LOCAL
    } else {
        flags::EXTERNAL_LOCAL
    }
}

/// The numbers that the kernel holds, by the slots that name them. A client's last backend that has no slot is forgotten, because
/// its number may be given to another.
pub(super) fn recover_backends(maps: &Maps) -> Result<Numbers<(u32, BackendAddress)>, MapError> {
    let mut numbers = Numbers::new(1..=u32::MAX - 1);
    let held: BTreeMap<u32, abi::Backend> = maps.backends.dump()?.into_iter().collect();
    let slots = maps.service_slots.dump()?;
    numbers.restore(slots.iter().filter_map(|(key, id)| {
        let address = backend_address(held.get(id)?)?;
        Some((*id, (key.service, address)))
    }));
    let last = maps.affinity.dump()?;
    let stale: Vec<_> = last
        .iter()
        .filter(|(_, last)| numbers.key(last.backend).is_none())
        .map(|(key, _)| *key)
        .collect();
    maps.affinity.remove_all(&stale)?;
    Ok(numbers)
}

fn frontend_key(address: &FrontendAddress) -> FrontendKey {
    FrontendKey {
        address: address.address.into(),
        port: address.port.to_be(),
        protocol: address.protocol.number(),
        scope: u8::from(address.scope == ClientScope::Inside),
    }
}

pub(super) fn frontend_address(key: &FrontendKey) -> Option<FrontendAddress> {
    Some(FrontendAddress {
        address: key.address.into(),
        port: u16::from_be(key.port),
        protocol: Protocol::from_number(key.protocol)?,
        scope: if key.scope == 1 {
            ClientScope::Inside
        } else {
            ClientScope::Everybody
        },
    })
}

fn backend_row(address: &BackendAddress, state: BackendState) -> abi::Backend {
    abi::Backend {
        address: Address::from(address.address),
        port: address.port.to_be(),
        protocol: address.protocol.number(),
        state: if state == BackendState::Active {
            backend_state::ACTIVE
        } else {
            backend_state::TERMINATING
        },
    }
}

fn backend_address(backend: &abi::Backend) -> Option<BackendAddress> {
    Some(BackendAddress {
        address: backend.address.into(),
        port: u16::from_be(backend.port),
        protocol: Protocol::from_number(backend.protocol)?,
    })
}
