//! `bpf endpoint list`: local endpoints as the data plane knows them.

use std::net::IpAddr;

use datapath::abi::address::Address;
use datapath::abi::endpoint::{Endpoint, flags};
use serde_json::{Value, json};

use super::shown::{bits, hop, mac};
use crate::output::Table;

const FLAGS: [(u16, &str); 5] = [
    (flags::NOT_READY, "NOT_READY"),
    (flags::HOST, "HOST"),
    (flags::NO_SOURCE_CHECK, "NO_SOURCE_CHECK"),
    (flags::SKIP_MASQUERADE_IPV4, "SKIP_MASQUERADE_V4"),
    (flags::SKIP_MASQUERADE_IPV6, "SKIP_MASQUERADE_V6"),
];

/// Everything but the addresses, in upstream's words where it has them.
pub(super) fn info(of: &Endpoint) -> String {
    format!(
        "id={} sec_id={} flags={:#06x} [{}] ifindex={} mac={} nodemac={} ingress_policy={} egress_policy={} hop={} mtu={}",
        of.id,
        of.identity,
        of.flags,
        bits(of.flags, &FLAGS),
        of.ifindex,
        mac(of.mac).to_uppercase(),
        mac(of.gateway_mac).to_uppercase(),
        of.ingress_policy,
        of.egress_policy,
        hop(of.hop),
        of.mtu
    )
}

fn addresses(of: &Endpoint) -> Vec<String> {
    let all = [of.ipv4, of.ipv6]
        .into_iter()
        .filter(|address: &Address| !address.is_none());
    all.map(|address| IpAddr::from(address).to_string())
        .collect()
}

pub(super) fn table(endpoints: &[Endpoint]) -> Table {
    let mut table = Table::new(&["IP ADDRESS", "LOCAL ENDPOINT INFO"]);
    for of in endpoints {
        for address in addresses(of) {
            table.row([address, info(of)]);
        }
    }
    table
}

pub(super) fn json(endpoints: &[Endpoint]) -> Value {
    let all = endpoints.iter().flat_map(|of| {
        addresses(of)
            .into_iter()
            .map(|address| (address, json!([info(of)])))
    });
    Value::Object(all.collect())
}
