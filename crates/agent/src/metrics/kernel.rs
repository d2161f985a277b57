//! What the kernel's tables say: packets by outcome, room in tables, programs and maps that this process holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Error;

use daemon::metrics::labels;
use datapath::abi::Drop;
use datapath::abi::event::{Count, direction, hook, outcome};
use kernel::{Maps, Operation, layout};

use super::show::Page;
use crate::forwarding::TablePlan;

#[derive(Clone, Copy, Default)]
struct Sum {
    packets: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, counts: &[Count]) {
        for count in counts {
            self.packets += count.packets;
            self.bytes += count.bytes;
        }
    }
}

/// What is shown of a sum.
type Of = fn(&Sum) -> u64;

/// Drops and packets that went on. `drops` has an entry for each rule, reason and endpoint that ever dropped anything.
pub(super) fn packets(page: &mut Page<'_, '_>, maps: &Maps) -> Result<(), Error> {
    // So that the panel that everybody looks at is there before the first drop.
    let denied = Drop::PolicyDenied.text();
    let mut drops: BTreeMap<(&str, &str), Sum> = ["INGRESS", "EGRESS"]
        .map(|side| ((denied, side), Sum::default()))
        .into();
    for (key, counts) in maps.drops.dump().unwrap_or_default() {
        let reason = Drop::from_number(key.reason).map_or("Unknown", Drop::text);
        let side = match key.direction {
            direction::INGRESS => "INGRESS",
            direction::EGRESS => "EGRESS",
            _ => "UNKNOWN",
        };
        drops.entry((reason, side)).or_default().add(&counts);
    }
    let mut forwarded: BTreeMap<&str, Sum> = ["INGRESS", "EGRESS"]
        .map(|side| (side, Sum::default()))
        .into();
    for (index, counts) in maps.hooks.dump().unwrap_or_default() {
        let (hook, outcome) = outcome::of(index);
        let side = match hook {
            hook::FROM_CONTAINER | hook::FROM_HOST | hook::TO_NETDEV => "EGRESS",
            _ => "INGRESS",
        };
        if outcome == outcome::FORWARDED {
            forwarded.entry(side).or_default().add(&counts);
        }
    }
    let values: [(&str, &str, Of); 2] = [
        ("count", "Packets", |sum| sum.packets),
        ("bytes", "Bytes", |sum| sum.bytes),
    ];
    for (word, what, value) in values {
        let dropped = drops.iter().map(|((reason, side), sum)| {
            let of = [
                ("reason", (*reason).to_owned()),
                ("direction", (*side).to_owned()),
            ];
            (labels(of), value(sum))
        });
        let (name, help) = (format!("drop_{word}"), format!("{what} dropped"));
        page.counters((&name, &help), dropped)?;
        let went = forwarded
            .iter()
            .map(|(side, sum)| (labels([("direction", (*side).to_owned())]), value(sum)));
        let (name, help) = (format!("forward_{word}"), format!("{what} that went on"));
        page.counters((&name, &help), went)?;
    }
    Ok(())
}

/// How full the tables are, as far as it is known without walking them, and what was done with their entries.
pub(super) fn tables(
    page: &mut Page<'_, '_>,
    maps: &Maps,
    sizes: &kernel::Config,
    plan: &[TablePlan],
    [connections, openings]: [usize; 2],
) -> Result<(), Error> {
    let specs = layout::maps(sizes);
    let room = |name: &str| specs.iter().find(|spec| spec.name == name);
    let known = plan.iter().map(|table| (table.table, table.entries));
    let known = known.chain([("connections", connections), ("openings", openings)]);
    let pressure = known.filter_map(|(name, entries)| {
        let room = room(name)?.max_entries;
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        let share = f64::from(entries) / f64::from(room);
        Some((labels([("map_name", name)]), share))
    });
    page.gauges(
        ("bpf_map_pressure", "Share of a table that is in use"),
        pressure,
    )?;
    let capacity = specs
        .iter()
        .map(|spec| (labels([("map_group", spec.name)]), spec.max_entries));
    page.gauges(
        ("bpf_map_capacity", "Entries that a table has room for"),
        capacity,
    )?;
    let mut operations = Vec::new();
    for (name, counts) in maps.operations() {
        for operation in Operation::ALL {
            let (done, refused) = counts.of(operation);
            for (outcome, count) in [("success", done), ("fail", refused)] {
                let of = [
                    ("map_name", name),
                    ("operation", operation.as_str()),
                    ("outcome", outcome),
                ];
                operations.push((labels(of), count));
            }
        }
    }
    page.counters(("bpf_map_ops", "Reads and writes of entries"), operations)?;
    let never = ["ipv4", "ipv6"].map(|family| {
        let of = [
            ("area", "conntrack"),
            ("name", "dump_interrupts"),
            ("family", family),
        ];
        (labels(of), 0_u64)
    });
    page.counters(
        (
            "datapath_conntrack_dump_resets",
            "Walks over the tables of connections that had to begin anew; none ever has to",
        ),
        never,
    )
}

/// Maps and programs that this process holds, by what the kernel says of its descriptors (proc(5), `fdinfo`).
pub(super) fn held(page: &mut Page<'_, '_>) -> Result<(), Error> {
    let (mut maps, mut programs) = (Held::default(), Held::default());
    let files = std::fs::read_dir("/proc/self/fdinfo");
    for file in files.into_iter().flatten().flatten() {
        let Ok(text) = std::fs::read_to_string(file.path()) else {
            continue;
        };
        maps.note(&text, "map_id:");
        programs.note(&text, "prog_id:");
    }
    page.gauge(("bpf_maps", "Maps that are held"), maps.ids.len())?;
    page.gauge(
        ("bpf_maps_virtual_memory_max_bytes", "Their memory, at most"),
        maps.bytes,
    )?;
    page.gauge(("bpf_progs", "Programs that are held"), programs.ids.len())?;
    page.gauge(
        ("bpf_progs_virtual_memory_max_bytes", "Their memory"),
        programs.bytes,
    )
}

#[derive(Default)]
struct Held {
    ids: BTreeSet<u32>,
    bytes: u64,
}

impl Held {
    fn note(&mut self, text: &str, id: &str) {
        let number = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        // A link's descriptor names its program too, and has no memory of its own.
        let (Some(id), Some(bytes)) = (number(id), number("memlock:")) else {
            return;
        };
        if self.ids.insert(id as u32) {
            self.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_is_held_twice_counts_once_and_a_link_not_at_all() {
        let mut held = Held::default();
        let map = "pos:\t0\nflags:\t02000002\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\n";
        held.note(map, "map_id:");
        held.note(map, "map_id:");
        held.note("link_type:\ttcx\nprog_id:\t7\n", "prog_id:");
        assert_eq!((held.ids.len(), held.bytes), (1, 4096));
    }
}
