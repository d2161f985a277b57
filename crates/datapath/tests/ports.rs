//! How often a source port is searched for: the first try is the packet's own port, all others are chance.
#![allow(clippy::unwrap_used, reason = "tests")]

use datapath::{
    Drop, Verdict,
    maps::Table,
    stages::nat::TRIES,
    world::{World, run_case},
};

/// Another pod has port 40000 towards the same far end, the only one besides 40001.
const TAKEN: &str = "topology\nset masquerade_ipv4=1 snat_min=40000 snat_max=40001\n\
    packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>198.51.100.9 df | tcp 40000>443 S seq=1\n";
const PACKET: &str = "packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>198.51.100.9 df | tcp 40000>443 S seq=1\n";

/// Which ports are lent when the try of this number is the first that meets the free one.
fn ports_lent(free_at: u32) -> Vec<u16> {
    let mut world = World::default();
    run_case(TAKEN, &mut world);
    let taken = "0 ".repeat(free_at as usize - 2);
    run_case(&format!("chance {taken}1\n{PACKET}"), &mut world);
    let openings = world.entries(Table::Unanswered);
    let mut ports: Vec<_> = openings
        .iter()
        .map(|(_, entry)| u16::from_be(entry.from_port))
        .collect();
    ports.sort_unstable();
    ports
}

#[test]
fn the_last_of_thirty_two_tries_is_taken() {
    assert_eq!(TRIES, 32, "as many as upstream makes");
    assert_eq!(ports_lent(TRIES), [40000, 40001]);
}

#[test]
fn after_all_tries_the_packet_is_dropped_and_no_alias_stays() {
    assert_eq!(ports_lent(TRIES + 1), [40000]);
    let mut world = World::default();
    run_case(TAKEN, &mut world);
    let none = "0 ".repeat(TRIES as usize);
    let outcomes = run_case(&format!("chance {none}\n{PACKET}"), &mut world);
    let outcome = outcomes.last().unwrap();
    assert_eq!(
        outcome.verdict,
        Some(Verdict::Drop(Drop::NoMappingForNatMasquerade))
    );
    let aliases = outcome.rows.iter().filter(|row| row.table == "aliases");
    assert_eq!(aliases.count(), 1, "only that of the other pod");
}
