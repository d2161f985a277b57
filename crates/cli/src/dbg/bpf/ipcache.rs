//! `bpf ipcache`: what the data plane takes addresses and prefixes for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use datapath::abi::endpoint::{Hop, hop_kind};
use datapath::abi::ipcache::{AddressRow, flags};
use ipnet::IpNet;
use kernel::Maps;
use serde_json::{Value, json};

use super::shown::{bits, prefix};
use crate::output::Table;

/// Prefixes with their rows, and hops by index.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) rows: BTreeMap<IpNet, AddressRow>,
    pub(super) hops: BTreeMap<u32, Hop>,
}

const FLAGS: [(u16, &str); 4] = [
    (flags::LOCAL_ENDPOINT, "localendpoint"),
    (flags::LOCAL_NODE, "localnode"),
    (flags::REMOTE_NODE, "remotenode"),
    (flags::NO_MASQUERADE, "nomasquerade"),
];

impl Tables {
    pub(super) fn read(maps: &Maps) -> anyhow::Result<Self> {
        let hosts = maps
            .addresses
            .dump()?
            .into_iter()
            .map(|(key, row)| (IpNet::from(IpAddr::from(key.address)), row));
        let cidrs = maps.cidrs.dump()?;
        let cidrs = cidrs
            .iter()
            .filter_map(|(key, row)| Some((prefix(key).parse().ok()?, *row)));
        Ok(Self {
            rows: hosts.chain(cidrs).collect(),
            hops: maps
                .hops
                .dump()?
                .into_iter()
                .filter(|(_, hop)| hop.kind != hop_kind::NONE)
                .collect(),
        })
    }

    fn tunnel(&self, row: &AddressRow) -> IpAddr {
        let hop = self
            .hops
            .get(&(row.hop & 0xffff))
            .filter(|hop| hop.kind == hop_kind::TUNNEL);
        hop.map_or(IpAddr::from([0, 0, 0, 0]), |hop| hop.tunnel.into())
    }

    fn text(&self, row: &AddressRow) -> String {
        let flags = bits(row.flags, &FLAGS).replace(' ', ",");
        let flags = if flags.is_empty() { "<none>" } else { &flags };
        format!(
            "identity={} encryptkey=0 tunnelendpoint={} flags={flags} peer={}",
            row.identity,
            self.tunnel(row),
            row.peer
        )
    }

    pub(super) fn list(&self) -> Table {
        let mut table = Table::new(&["IP PREFIX/ADDRESS", "IDENTITY"]);
        for (net, row) in &self.rows {
            table.row([net.to_string(), self.text(row)]);
        }
        table
    }

    /// The row of exactly that prefix (of exactly that address).
    pub(super) fn get(&self, wanted: IpNet) -> Option<String> {
        self.rows.get(&wanted).map(|row| self.text(row))
    }

    /// The longest prefix that holds it, as the data plane looks it up.
    pub(super) fn longest(&self, wanted: IpNet) -> Option<(IpNet, String)> {
        let holding = self.rows.iter().filter(|(net, _)| net.contains(&wanted));
        holding
            .max_by_key(|(net, _)| net.prefix_len())
            .map(|(net, row)| (*net, self.text(row)))
    }

    pub(super) fn json(&self) -> Value {
        let all = self
            .rows
            .iter()
            .map(|(net, row)| (net.to_string(), json!([self.text(row)])));
        Value::Object(all.collect())
    }
}
