//! `bpf metrics list`: packets by outcome, summed over CPUs.

use std::collections::BTreeMap;

use datapath::abi::Drop;
use datapath::abi::event::{Count, DropKey, direction, hook, outcome};
use serde_json::{Value, json};

use crate::output::Table;

/// Reason and direction, with packets and bytes.
pub(super) type Sums = BTreeMap<(String, &'static str), (u64, u64)>;

/// Text of a drop's number.
pub(super) fn reason(number: u8) -> String {
    Drop::from_number(number).map_or_else(|| number.to_string(), |reason| reason.text().to_owned())
}

fn add(sums: &mut Sums, key: (String, &'static str), counts: &[Count]) {
    let sum = sums.entry(key).or_default();
    for count in counts {
        sum.0 += count.packets;
        sum.1 += count.bytes;
    }
}

/// Sums over endpoints, rules and CPUs; what was forwarded is `Success`.
pub(super) fn sums(drops: &[(DropKey, Vec<Count>)], hooks: &[(u32, Vec<Count>)]) -> Sums {
    let mut sums = Sums::new();
    for (key, counts) in drops {
        let side = match key.direction {
            direction::INGRESS => "INGRESS",
            direction::EGRESS => "EGRESS",
            _ => "UNKNOWN",
        };
        add(&mut sums, (reason(key.reason), side), counts);
    }
    for (index, counts) in hooks {
        let (hook, outcome) = outcome::of(*index);
        if outcome != outcome::FORWARDED {
            continue;
        }
        let side = match hook {
            hook::FROM_CONTAINER | hook::FROM_HOST | hook::TO_NETDEV => "EGRESS",
            _ => "INGRESS",
        };
        if counts.iter().any(|count| count.packets > 0) {
            add(&mut sums, ("Success".to_owned(), side), counts);
        }
    }
    sums
}

/// Upstream's columns but for the line of source: one reason has one meaning, wherever it is found.
pub(super) fn table(sums: &Sums) -> Table {
    let mut table = Table::new(&["REASON", "DIRECTION", "PACKETS", "BYTES"]);
    for ((reason, side), (packets, bytes)) in sums {
        table.row([
            reason.clone(),
            (*side).to_owned(),
            packets.to_string(),
            bytes.to_string(),
        ]);
    }
    table
}

pub(super) fn json(sums: &Sums) -> Value {
    let all = sums.iter().map(|((reason, side), (packets, bytes))| {
        json!({ "reason": reason, "direction": side.to_lowercase(), "packets": packets, "bytes": bytes })
    });
    Value::Array(all.collect())
}
