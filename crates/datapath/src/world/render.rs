//! Rows, packets and verdicts as text that a reviewer can read: only what is not zero.

use std::{collections::BTreeMap, fmt::Debug, net::IpAddr};

use super::case::Row;
use crate::{
    Verdict,
    abi::{
        Address, Plain,
        connection::{Alias, Connection, ConnectionKey, FragmentKey, FragmentPorts},
        endpoint::Traffic,
        event::{Count, DropKey, Event},
        sample::Sample,
        service::{Affinity, AffinityKey},
    },
};

/// A verdict.
pub(crate) fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".into(),
        Verdict::Redirect { ifindex } => format!("redirect {ifindex}"),
        Verdict::RedirectPeer { ifindex } => format!("peer {ifindex}"),
        Verdict::RedirectNeighbour { ifindex } => format!("neighbour {ifindex}"),
        Verdict::Answer { ifindex } => format!("answer {ifindex}"),
        Verdict::Drop(reason) => format!("drop {reason:?}"),
    }
}

/// Octets as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// What changed between two dumps, one line each, in the order of tables and keys.
pub(crate) fn difference(before: &[Row], after: &[Row]) -> Vec<String> {
    let index = |rows: &[Row]| -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
        rows.iter()
            .map(|row| ((row.table.clone(), row.key.clone()), row.value.clone()))
            .collect()
    };
    let (old, new) = (index(before), index(after));
    let mut lines = Vec::new();
    for (at, value) in &new {
        match old.get(at) {
            Some(same) if same == value => {}
            Some(_) => lines.push(format!("~ {}", row(&at.0, &at.1, value))),
            None => lines.push(format!("+ {}", row(&at.0, &at.1, value))),
        }
    }
    for (at, value) in &old {
        if !new.contains_key(at) {
            lines.push(format!("- {}", row(&at.0, &at.1, value)));
        }
    }
    lines
}

/// An event.
pub(crate) fn event(event: &Event) -> String {
    short(event)
}

/// A sample: its head, and the octets, of many the ends.
pub(crate) fn sample(sample: &Sample, octets: &[u8]) -> String {
    const SHOWN: usize = 8;
    let head = short(sample);
    match (octets.first_chunk::<SHOWN>(), octets.last_chunk::<SHOWN>()) {
        (Some(first), Some(last)) if octets.len() > 2 * SHOWN => {
            format!("{head} octets {}..{}", hex(first), hex(last))
        }
        _ if octets.is_empty() => head,
        _ => format!("{head} octets {}", hex(octets)),
    }
}

fn row(table: &str, key: &[u8], value: &[u8]) -> String {
    match table {
        "connections" | "openings" => both::<ConnectionKey, Connection>(table, key, value),
        "aliases" => both::<ConnectionKey, Alias>(table, key, value),
        "fragments" => both::<FragmentKey, FragmentPorts>(table, key, value),
        "drops" => both::<DropKey, Count>(table, key, value),
        "traffic" => both::<u32, Traffic>(table, key, value),
        "hooks" => both::<u32, Count>(table, key, value),
        "affinity" => both::<AffinityKey, Affinity>(table, key, value),
        _ => format!("{table} {} {}", hex(key), hex(value)),
    }
}

fn both<K: Plain + Debug, V: Plain + Debug>(table: &str, key: &[u8], value: &[u8]) -> String {
    let key = K::from_bytes(key).map_or_else(String::new, |key| short(&key));
    let value = V::from_bytes(value).map_or_else(String::new, |value| short(&value));
    format!("{table} {key} = {value}")
}

/// Debug output without what is zero, and with addresses and ports as people write them.
fn short(value: &impl Debug) -> String {
    let text = format!("{value:#?}");
    let mut words = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let (name, rest) = line.split_once(": ").unwrap_or(("", line));
        if rest.starts_with("Address(") {
            let numbers: Vec<u32> = lines
                .by_ref()
                .take_while(|line| *line != "),")
                .filter_map(|line| line.trim_end_matches(',').parse().ok())
                .collect();
            if let [a, b, c, d] = numbers.as_slice() {
                let address = Address([*a, *b, *c, *d]);
                if !address.is_none() {
                    words.push(format!("{name}={}", IpAddr::from(address)));
                }
            }
            continue;
        }
        if rest.starts_with("Decision(") {
            let number = lines
                .next()
                .and_then(|line| line.trim_end_matches(',').parse::<u64>().ok());
            lines.next();
            if let Some(number @ 1..) = number {
                words.push(format!("{name}={number:#x}"));
            }
            continue;
        }
        let rest = rest.trim_end_matches(',');
        if rest.ends_with('{') {
            if matches!(name, "sent" | "received") {
                words.push(format!("{name}:"));
            }
            continue;
        }
        if name.is_empty() {
            // A bare number: the key of an array.
            if rest
                .parse::<u64>()
                .is_ok_and(|number| words.is_empty() || number != 0)
            {
                words.push(rest.into());
            }
            continue;
        }
        if let Ok(number) = rest.parse::<u64>()
            && number != 0
        {
            let shown = if name.ends_with("port") || matches!(name, "source" | "destination") {
                u64::from(u16::from_be(number as u16))
            } else {
                number
            };
            words.push(format!("{name}={shown}"));
        }
    }
    words.join(" ")
}
