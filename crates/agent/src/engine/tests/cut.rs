//! Identities that prefixes of policies cut through: who is known by which number, and what is in force in between.

use std::collections::BTreeMap;

use super::world::{Verdict, World, api_from_web, deny_all, from_block};
use super::{never_more_than, shop};

/// Writes to addresses and to who is known.
fn renumbered(world: &World) -> usize {
    let tables = ["addresses", "cidrs", "known_identities"];
    let written = world.faults.take_written().into_iter();
    written.filter(|of| tables.contains(&of.table)).count()
}

#[test]
fn a_prefix_around_all_pods_makes_no_pod_another_peer() {
    let mut world = shop();
    world.faults.take_written();
    let around = from_block("api", "10.9.0.0/16", "10.9.77.0/24");
    world.store.network.insert("one", around);
    world.deliver_all();
    world.settle();
    assert_eq!(world.ingress("api", "far", 443), Verdict::Allowed);
    assert_eq!(world.ingress("api", "db", 443), Verdict::Allowed);
    // The prefix and its exception are prefixes of the world too.
    assert_eq!(renumbered(&world), 4);
    world.store.network.remove("one");
    world.deliver_all();
    world.settle();
    assert_eq!(world.ingress("api", "far", 443), Verdict::Denied);
    assert_eq!(world.ingress("api", "far", 80), Verdict::Allowed);
    assert_eq!(renumbered(&world), 4);
}

/// Prefixes that cut through the identity of web, and through no other.
fn steps(world: &mut World, step: usize) {
    let network = &mut world.store.network;
    match step {
        0 => drop(network.insert("one", from_block("db", "10.9.0.0/16", "10.9.2.7/32"))),
        1 => drop(network.insert("two", from_block("api", "10.9.2.0/24", "10.9.2.9/32"))),
        2 => drop(network.insert("one", from_block("db", "10.9.2.0/24", "10.9.2.64/26"))),
        3 => drop(world.store.policies.insert("api", api_from_web(443))),
        4 => drop(network.remove("two")),
        5 => drop(world.store.policies.insert("deny", deny_all("db"))),
        _ => drop(network.remove("one")),
    }
    world.deliver_all();
}

fn after(steps_before: usize) -> World {
    let mut world = shop();
    for step in 0..steps_before {
        steps(&mut world, step);
        world.settle();
    }
    world
}

fn verdict(of: &BTreeMap<String, Verdict>, question: &str) -> Verdict {
    of[question]
}

#[test]
fn pods_of_one_identity_are_told_apart_by_their_prefixes() {
    let world = after(2);
    let all = world.verdicts();
    for (question, expected) in [
        ("10.9.1.11 to db:443", Verdict::Allowed),
        ("10.9.2.7 to db:443", Verdict::Denied),
        ("10.9.1.11 to api:443", Verdict::Denied),
        ("10.9.2.7 to api:443", Verdict::Allowed),
    ] {
        assert_eq!(verdict(&all, question), expected, "{question}");
    }
}

#[test]
fn at_any_write_nothing_is_allowed_that_was_not_and_is_not_to_be() {
    for step in 0..=6 {
        let mut whole = after(step);
        let before = whole.verdicts();
        whole.faults.take_written();
        steps(&mut whole, step);
        whole.round();
        let writes = whole.faults.take_written().len() as u64;
        whole.settle();
        let then = whole.verdicts();
        assert!(writes > 0, "step {step} writes nothing");
        for death in 0..writes {
            let mut world = after(step);
            world.faults.die_after(Some(death));
            steps(&mut world, step);
            world.round();
            world.faults.die_after(None);
            let place = format!("step {step}, death after write {death} of {writes}");
            never_more_than(&world.verdicts(), &before, &then, &place);
            world.restart();
            world.settle();
            assert_eq!(world.verdicts(), then, "{place}");
        }
    }
}

#[test]
fn a_restart_gives_nobody_another_number_and_denies_and_allows_the_same_at_any_write() {
    let mut whole = after(3);
    let expected = whole.verdicts();
    whole.faults.take_written();
    whole.restart();
    whole.settle();
    let all = whole.faults.take_written();
    assert_eq!(all.iter().filter(|of| of.table == "addresses").count(), 0);
    for death in 0..all.len() as u64 {
        let mut world = after(3);
        world.restart_without_inputs();
        world.faults.die_after(Some(death));
        world.deliver_all();
        world.round();
        world.faults.die_after(None);
        assert_eq!(world.verdicts(), expected, "death after write {death}");
    }
}
