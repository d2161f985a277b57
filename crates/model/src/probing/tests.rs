use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn name(number: usize) -> Arc<str> {
    format!("node-{number:05}").into()
}

fn ring(nodes: usize) -> Ring {
    Ring::new((0..nodes).map(name))
}

/// Whom each node probes in each of its rounds, when everybody answers.
fn neighbours(ring: &Ring, own: &str) -> Vec<Arc<str>> {
    let number = fan_out(ring.nodes());
    ring.after(own).take(number).cloned().collect()
}

#[test]
fn the_number_of_probes_grows_slower_than_the_square_of_the_nodes() {
    let mut last = f64::INFINITY;
    for nodes in [10_u32, 100, 1_000, 5_000] {
        let ring = ring(nodes as usize);
        // Each node has about as many as any other; a hundred of them stand for all.
        let step = (nodes as usize / 100).max(1);
        let asked: Vec<u32> = (0..nodes as usize)
            .step_by(step)
            .map(|own| ring.round(&name(own), |_| Seen::Never).len() as u32)
            .collect();
        let most = 2 * fan_out(nodes as usize) as u32;
        assert!(asked.iter().all(|&of| of <= most), "{nodes}: {asked:?}");
        let mean = f64::from(asked.iter().sum::<u32>()) / f64::from(asked.len() as u32);
        let share = mean / f64::from(nodes);
        assert!(share < last, "{nodes} nodes: each probes {mean}");
        last = share;
    }
    assert!(
        last < 0.006,
        "{last} of all pairs in a round of 5,000 nodes"
    );
}

#[test]
fn a_node_sends_as_much_per_second_in_a_large_cluster_as_in_a_small_one() {
    let per_second =
        |nodes: usize| 2.0 * f64::from(fan_out(nodes) as u32) / interval(nodes).as_secs_f64();
    for nodes in [20, 100, 1_000, 10_000] {
        assert!(
            (0.2..0.35).contains(&per_second(nodes)),
            "{nodes}: {}",
            per_second(nodes)
        );
    }
    assert_eq!(interval(1), BASE);
    assert!(interval(2) < Duration::from_secs(12));
    assert!(interval(1_000) < Duration::from_secs(70));
}

#[test]
fn the_fan_out_is_the_logarithm_and_never_less_than_three() {
    let of = [0, 1, 2, 8, 9, 16, 17, 1_000, 1_024, 1_025];
    assert_eq!(of.map(fan_out), [3, 3, 3, 3, 4, 4, 5, 10, 10, 11]);
}

#[test]
fn in_a_small_cluster_everybody_probes_everybody_in_each_round() {
    for nodes in 0..=7 {
        let ring = ring(nodes);
        for own in 0..nodes {
            let asked: BTreeSet<_> = ring
                .round(&name(own), |_| Seen::Reached(1))
                .into_iter()
                .collect();
            let others: BTreeSet<_> = (0..nodes).filter(|of| *of != own).map(name).collect();
            assert_eq!(asked, others);
        }
    }
}

#[test]
fn every_pair_is_looked_at_within_as_many_rounds_as_there_are_shares_of_the_others() {
    let (nodes, number) = (200, fan_out(200));
    let ring = ring(nodes);
    let rounds = (nodes - 1 - number).div_ceil(number);
    let mut seen: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
    for round in 0..3 * rounds as u64 {
        let known = |of: &str| seen.get(of).copied().unwrap_or(Seen::Never);
        for asked in ring.round("node-00000", known) {
            seen.insert(asked, Seen::Reached(round));
        }
        if round + 1 >= rounds as u64 {
            let oldest = (round + 1) - rounds as u64;
            assert_eq!(seen.len(), nodes - 1);
            assert!(
                seen.values().all(|of| *of >= Seen::Reached(oldest)),
                "{round}"
            );
        }
    }
}

#[test]
fn who_did_not_answer_is_probed_again_in_the_next_round_but_not_all_at_once() {
    let ring = ring(100);
    let others: Vec<_> = ring
        .after("node-00000")
        .skip(fan_out(100))
        .cloned()
        .collect();
    let far = others.last().expect("others");
    let one = ring.round("node-00000", |of| {
        if of == &**far {
            Seen::Missed(7)
        } else {
            Seen::Reached(1)
        }
    });
    assert!(one.contains(far));
    let all = ring.round("node-00000", |_| Seen::Missed(7));
    assert_eq!(all.len(), 3 * fan_out(100));
}

#[test]
fn a_node_that_is_not_announced_yet_probes_all_the_same() {
    assert_eq!(ring(5).round("another", |_| Seen::Never).len(), 5);
    assert!(Ring::default().round("another", |_| Seen::Never).is_empty());
}

proptest! {
    #[test]
    fn every_node_is_probed_by_as_many_as_it_probes(nodes in 2_usize..120) {
        let ring = ring(nodes);
        let mut asked = BTreeMap::<Arc<str>, usize>::new();
        for own in 0..nodes {
            for of in neighbours(&ring, &name(own)) {
                prop_assert_ne!(&of, &name(own));
                *asked.entry(of).or_default() += 1;
            }
        }
        let number = fan_out(nodes).min(nodes - 1);
        prop_assert!((0..nodes).all(|of| asked.get(&name(of)) == Some(&number)), "{:?}", asked);
    }

    #[test]
    fn a_node_that_joins_or_leaves_changes_the_neighbours_of_few(nodes in 10_usize..120, who in 0_usize..120) {
        let who = who % nodes;
        // At a power of two the fan-out itself changes, for all.
        prop_assume!(fan_out(nodes) == fan_out(nodes - 1));
        let with = ring(nodes);
        let without = Ring::new((0..nodes).filter(|of| *of != who).map(name));
        let mut moved = 0;
        for own in (0..nodes).filter(|of| *of != who) {
            let (a, b) = (neighbours(&with, &name(own)), neighbours(&without, &name(own)));
            let new = b.iter().filter(|of| !a.contains(of)).count();
            prop_assert!(new <= 1);
            moved += new;
        }
        prop_assert!(moved <= fan_out(nodes), "{} moved", moved);
    }
}
