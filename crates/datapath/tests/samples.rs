//! What is sampled of a connection about which user space says nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;

use datapath::{
    abi::sample::{BUDGET, FRAME_OCTETS, OCTETS, UNDECIDED, mode},
    world::{World, run_case},
};

const CLIENT: &str =
    "packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 40000>80";
const SERVER: &str =
    "packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>10.0.1.5 | tcp 80>40000";
/// Octets of each segment: more than fit into a sample.
const LENGTH: u32 = 600;

#[test]
fn a_connection_about_which_nobody_says_anything_becomes_one_of_heads() {
    let mut text = format!(
        "topology\nset capture=1\n{CLIENT} S seq=100\n{SERVER} SA seq=500 ack=101\n{CLIENT} A seq=101 ack=501\n"
    );
    let segments = u32::from(UNDECIDED) + 10;
    for number in 0..segments {
        let sequence = 101 + number * LENGTH;
        writeln!(text, "{CLIENT} PA seq={sequence} ack=501 | data {LENGTH}").unwrap();
    }
    let acknowledged = 101 + segments * LENGTH;
    writeln!(text, "{SERVER} PA seq=501 ack={acknowledged} | data 10").unwrap();
    writeln!(
        text,
        "{CLIENT} PA seq={acknowledged} ack=511 | data {LENGTH}"
    )
    .unwrap();
    let mut world = World::default();
    let outcomes = run_case(&text, &mut world);
    let taken = outcomes.iter().map(|outcome| match &outcome.samples[..] {
        [] => None,
        [(sample, octets)] => Some((sample.mode, octets.len())),
        more => panic!("{more:?}"),
    });
    let taken: Vec<_> = taken.skip(3).collect();
    let (beginning, rest) = taken.split_at(4);
    assert_eq!(beginning, [Some((mode::UNDECIDED, OCTETS)); 4]);
    let (frames, rest) = rest.split_at(usize::from(UNDECIDED) - 4);
    let frame = Some((mode::UNDECIDED, FRAME_OCTETS as usize));
    assert!(frames.iter().all(|taken| *taken == frame), "{frames:?}");
    let (in_the_midst, turns) = rest.split_at(10);
    assert_eq!(in_the_midst, [None; 10]);
    assert_eq!(
        turns,
        [Some((mode::HEADS, 10)), Some((mode::HEADS, OCTETS))]
    );
}

/// How many samples come of each packet.
fn samples_of(text: &str) -> Vec<usize> {
    let outcomes = run_case(text, &mut World::default());
    let counts = outcomes.iter().map(|outcome| outcome.samples.len());
    counts.collect()
}

#[test]
fn a_pod_that_asks_without_end_has_a_budget_of_its_own_in_each_window() {
    let first =
        "packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | udp 40000>53 | data 30\n";
    let second =
        "packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>10.0.1.5 | udp 40000>53 | data 30\n";
    let budget = BUDGET as usize;
    let asked = format!(
        "topology\nset capture=1\n{}{second}time ns=17000000\n{first}",
        first.repeat(budget + 10)
    );
    let expected = [vec![1; budget], vec![0; 10], vec![1, 1]].concat();
    assert_eq!(samples_of(&asked), expected);
}
