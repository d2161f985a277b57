//! `bpf lb list`: frontends, slots and backends of the service tables.

use std::collections::BTreeMap;

use datapath::abi::service::{Backend, Frontend, FrontendKey, SlotKey, backend_state, flags};
use kernel::Maps;
use serde_json::{Value, json};

use super::shown::{bits, protocol, socket};
use crate::output::Table;

/// The service tables as dumped.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) frontends: Vec<(FrontendKey, Frontend)>,
    pub(super) slots: BTreeMap<(u32, u32), u32>,
    pub(super) backends: BTreeMap<u32, Backend>,
}

const FLAGS: [(u16, &str); 5] = [
    (flags::AFFINITY, "sessionAffinity"),
    (flags::NODEPORT, "NodePort"),
    (flags::EXTERNAL_LOCAL, "externalLocal"),
    (flags::INTERNAL_LOCAL, "internalLocal"),
    (flags::MAGLEV, "maglev"),
];

/// `address:port/PROTOCOL`, `/i` for the scope of clients inside.
pub(super) fn frontend(key: &FrontendKey) -> String {
    let inside = if key.scope == 1 { "/i" } else { "" };
    format!(
        "{}/{}{inside}",
        socket(key.address, key.port),
        protocol(key.protocol)
    )
}

/// `address:port/PROTOCOL (state)`.
pub(super) fn backend(of: &Backend) -> String {
    let state = match of.state {
        backend_state::ACTIVE => "active",
        backend_state::TERMINATING => "terminating",
        _ => "unknown",
    };
    format!(
        "{}/{} ({state})",
        socket(of.address, of.port),
        protocol(of.protocol)
    )
}

impl Tables {
    pub(super) fn read(maps: &Maps) -> anyhow::Result<Self> {
        let mut frontends = maps.frontends.dump()?;
        frontends.sort_by_key(|(key, of)| {
            (
                of.service,
                socket(key.address, key.port),
                key.protocol,
                key.scope,
            )
        });
        let slots = maps.service_slots.dump()?;
        Ok(Self {
            frontends,
            slots: slots
                .into_iter()
                .map(|(SlotKey { service, slot }, backend)| ((service, slot), backend))
                .collect(),
            backends: maps.backends.dump()?.into_iter().collect(),
        })
    }

    /// The slots of a frontend: number, backend id, backend.
    fn slots_of(&self, of: &Frontend) -> Vec<(u32, u32, Option<&Backend>)> {
        let range = (of.service, 0)..(of.service, of.slots);
        self.slots
            .range(range)
            .map(|((_, slot), id)| (*slot, *id, self.backends.get(id)))
            .collect()
    }

    /// Upstream's table: the frontend first, then one row per slot.
    pub(super) fn list(&self) -> Table {
        let mut table = Table::new(&["SERVICE ADDRESS", "BACKEND ADDRESS (REVNAT_ID) (SLOT)"]);
        for (key, of) in &self.frontends {
            let mut lines = vec![format!(
                "slots={} ({}) (0) [{}]",
                of.slots,
                of.service,
                bits(of.flags, &FLAGS)
            )];
            lines.extend(self.slots_of(of).into_iter().map(|(slot, id, found)| {
                let text = found.map_or_else(|| format!("backend {id} is missing"), backend);
                format!("{text} ({}) ({})", of.service, slot + 1)
            }));
            table.tall_row(vec![frontend(key), String::new()], 1, &lines);
        }
        table
    }

    pub(super) fn list_frontends(&self) -> Table {
        let mut table = Table::new(&["SERVICE ADDRESS", "REVNAT_ID", "SLOTS", "AFFINITY", "FLAGS"]);
        for (key, of) in &self.frontends {
            let affinity = if of.affinity_seconds == 0 {
                "-".to_owned()
            } else {
                format!("{}s", of.affinity_seconds)
            };
            table.row([
                frontend(key),
                of.service.to_string(),
                of.slots.to_string(),
                affinity,
                bits(of.flags, &FLAGS),
            ]);
        }
        table
    }

    pub(super) fn list_backends(&self) -> Table {
        let mut table = Table::new(&["ID", "BACKEND ADDRESS"]);
        for (id, of) in &self.backends {
            table.row([id.to_string(), backend(of)]);
        }
        table
    }

    pub(super) fn json(&self) -> Value {
        let all = self.frontends.iter().map(|(key, of)| {
            let backends = self.slots_of(of).into_iter().map(|(slot, id, found)| {
                json!({ "slot": slot + 1, "id": id, "address": found.map(backend) })
            });
            json!({ "frontend": frontend(key), "service": of.service, "flags": bits(of.flags, &FLAGS), "backends": backends.collect::<Vec<_>>() })
        });
        Value::Array(all.collect())
    }
}
