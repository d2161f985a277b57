//! Which segments begin a connection anew: four states of an entry by eight sets of flags.
#![allow(clippy::unwrap_used, reason = "tests")]

use datapath::{
    maps::Table,
    world::{World, run_case},
};

const OPEN: &str =
    "packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 40000>80 S seq=100\n";
const ANSWER: &str = "packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>10.0.1.5 | tcp 80>40000 SA seq=500 ack=101\n\
    packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 40000>80 A seq=101 ack=501\n";
const FINISH: &str = "packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 40000>80 FA seq=101 ack=501\n";
const RESET: &str =
    "packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>10.0.1.5 | tcp 80>40000 R seq=501\n";

/// When the only connection was made, whether it has been answered, and its flags of the initiator.
fn entry(world: &World) -> (u64, bool, u32) {
    let answered = world.entries(Table::Answered);
    let waiting = world.entries(Table::Unanswered);
    assert_eq!(answered.len() + waiting.len(), 1, "one tuple is one entry");
    let (_, value) = answered.first().or(waiting.first()).unwrap();
    (value.created_ns, !answered.is_empty(), value.sent.tcp_flags)
}

#[test]
fn only_a_syn_on_a_closing_entry_makes_a_new_one_with_every_field_its_own() {
    let states = [
        ("opening", vec![OPEN], false),
        ("established", vec![OPEN, ANSWER], false),
        ("half-closed", vec![OPEN, ANSWER, FINISH], true),
        ("reset", vec![OPEN, ANSWER, RESET], true),
    ];
    for (state, history, closing) in states {
        for flags in ["S", "SA", "A", "PA", "FA", "F", "R", "RA"] {
            let mut world = World::default();
            run_case(&format!("topology\n{}", history.concat()), &mut world);
            let (made, _, _) = entry(&world);
            let packet = format!(
                "packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 40000>80 {flags} seq=102 ack=501\n"
            );
            run_case(&format!("time ns=5000\n{packet}"), &mut world);
            let (remade, answered, seen) = entry(&world);
            let anew = closing && flags == "S";
            assert_eq!(remade != made, anew, "{flags} on {state}");
            if anew {
                assert!(!answered, "{flags} on {state}: still among the answered");
                assert_eq!(seen, 2, "{flags} on {state}: flags of the old one");
            }
        }
    }
}
