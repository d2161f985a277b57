//! The tables as rows of bytes: written by name, and listed.

use std::{collections::HashMap, hash::Hash};

use super::{Row, World, build};
use crate::{
    abi::{Plain, connection::Alias},
    maps::Table,
};

fn typed<K: Plain, V: Plain>(row: &Row) -> (K, V) {
    match (K::from_bytes(&row.key), V::from_bytes(&row.value)) {
        (Some(key), Some(value)) => (key, value),
        _ => build::malformed("row of", &row.table),
    }
}

fn put<K: Plain + Hash + Eq, V: Plain>(table: &mut HashMap<K, V>, row: &Row) {
    let (key, value) = typed(row);
    table.insert(key, value);
}

fn list<K: Plain, V: Plain>(
    rows: &mut Vec<Row>,
    table: &str,
    entries: impl IntoIterator<Item = (K, V)>,
) {
    rows.extend(entries.into_iter().map(|(key, value)| Row {
        table: table.into(),
        key: key.as_bytes().to_vec(),
        value: value.as_bytes().to_vec(),
    }));
}

impl World {
    /// Writes a row, given in the bytes of the ABI.
    pub fn load_row(&mut self, row: &Row) {
        match row.table.as_str() {
            "node" => self.node = Some(typed::<u32, _>(row).1),
            "endpoints" => put(&mut self.endpoints, row),
            "addresses" => put(&mut self.addresses, row),
            "cidrs" => put(&mut self.cidrs, row),
            "masquerade_spare" => {
                self.spare.insert(typed::<_, u32>(row).0);
            }
            "hops" => put(&mut self.hops, row),
            "generations" => put(&mut self.generations, row),
            "policies" => {
                let (index, head) = typed::<u32, u64>(row);
                self.policies
                    .insert(index, crate::abi::policy::PolicyHead(head));
            }
            "policy_peers" => put(&mut self.peers, row),
            "policy_ports" => put(&mut self.ports, row),
            "known_identities" => put(&mut self.known, row),
            "frontends" => put(&mut self.frontends, row),
            "service_slots" => put(&mut self.slots, row),
            "backends" => put(&mut self.backends, row),
            "affinity" => put(self.affinity.get_mut(), row),
            "followed" => put(&mut self.followed, row),
            "aliases" => {
                let (key, alias) = typed::<_, Alias>(row);
                self.aliases.get_mut().insert(key, alias.primary);
            }
            "connections" | "openings" => {
                let table = if row.table == "openings" {
                    Table::Unanswered
                } else {
                    Table::Answered
                };
                let (key, value) = typed(row);
                self.set_connection(table, key, value);
            }
            other => build::malformed("table", other),
        }
    }

    /// All rows of the tables that paths write, sorted by table and key.
    pub fn dump(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        list(&mut rows, "connections", self.entries(Table::Answered));
        list(&mut rows, "openings", self.entries(Table::Unanswered));
        let aliases = self.aliases.borrow();
        let aliases = aliases
            .iter()
            .map(|(key, primary)| (*key, Alias { primary: *primary }));
        list(&mut rows, "aliases", aliases);
        list(&mut rows, "fragments", self.fragments.borrow().clone());
        list(&mut rows, "affinity", self.affinity.borrow().clone());
        list(&mut rows, "drops", self.drops.borrow().clone());
        let traffic = self.traffic.borrow().clone();
        let traffic = traffic
            .into_iter()
            .map(|(slot, row)| (u32::from(slot), row));
        list(&mut rows, "traffic", traffic);
        list(&mut rows, "hooks", self.hooks.borrow().clone());
        rows.sort_by(|a, b| (&a.table, &a.key).cmp(&(&b.table, &b.key)));
        rows
    }
}
