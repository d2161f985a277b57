//! Random and mutated packets through every hook: nothing panics, every packet ends once, sums balance, checksums hold.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use datapath::{
    Drop, Verdict,
    abi::{
        Plain,
        event::{Count, DropKey, hook, outcome},
    },
    world::{
        Backend, Frame, World, frames_of, is_sound,
        random::{HOOKS, Numbers, mutate, octets, texts},
        run_case,
    },
};

/// Packets of all cases: what mutations start from.
fn seeds() -> Vec<Frame> {
    texts().iter().flat_map(|text| frames_of(text)).collect()
}

/// A node with everything switched on, and services.
fn world() -> World {
    let mut world = World::default();
    let setup = "topology\nset tunnel=1 services=1 masquerade_ipv4=1 masquerade_ipv6=1\n\
        frontend 10.96.0.10 80 tcp service=1 slots=1\nslot 1 0 51\nbackend 51 10.0.1.6 8080 tcp\n\
        frontend 0.0.0.0 30080 tcp service=2 slots=1\nslot 2 0 52\nbackend 52 10.0.2.7 8080 tcp\n\
        address 10.0.2.7 identity=2003 hop=18\n";
    run_case(setup, &mut world);
    world
}

fn counts(world: &mut World) -> (BTreeMap<u32, Count>, Count) {
    let mut hooks = BTreeMap::new();
    let mut drops = Count::default();
    for row in world.rows() {
        if row.table == "hooks" {
            let key = u32::from_bytes(&row.key).unwrap();
            hooks.insert(key, Count::from_bytes(&row.value).unwrap());
        } else if row.table == "drops" {
            assert!(DropKey::from_bytes(&row.key).unwrap().reason >= 130);
            let count = Count::from_bytes(&row.value).unwrap();
            drops.packets += count.packets;
            drops.bytes += count.bytes;
        }
    }
    (hooks, drops)
}

fn balances(world: &mut World, sent: u64) {
    let (hooks, drops) = counts(world);
    let sum = |which: u32| -> Count {
        let mut all = Count::default();
        for hook in HOOKS {
            let one = hooks
                .get(&outcome::counter(hook, which))
                .copied()
                .unwrap_or_default();
            all.packets += one.packets;
            all.bytes += one.bytes;
        }
        all
    };
    let ends = [outcome::FORWARDED, outcome::DROPPED, outcome::ANSWERED].map(sum);
    assert_eq!(ends.iter().map(|count| count.packets).sum::<u64>(), sent);
    assert_eq!(sum(outcome::DROPPED), drops);
}

fn run(world: &mut World, frame: &Frame, numbers: &mut Numbers) -> Verdict {
    let hook = HOOKS[numbers.below(HOOKS.len())];
    run_at(hook, world, frame, numbers)
}

fn run_at(hook: u8, world: &mut World, frame: &Frame, numbers: &mut Numbers) -> Verdict {
    let mut frame = frame.clone();
    frame.ifindex = match hook {
        hook::FROM_CONTAINER | hook::TO_CONTAINER => 5 + numbers.below(2) as u32,
        hook::FROM_OVERLAY => 3,
        hook::FROM_HOST => 4,
        _ => 2,
    };
    let was_sound = is_sound(&frame.bytes);
    let verdict = World::run(world, hook, &mut frame);
    if !matches!(verdict, Verdict::Drop(_)) {
        assert!(!was_sound || is_sound(&frame.bytes), "{hook} {frame:?}");
    }
    world.events.borrow_mut().clear();
    verdict
}

#[test]
fn mutated_packets_end_once_and_keep_their_checksums() {
    let (seeds, mut numbers, mut world) = (seeds(), Numbers(7), world());
    assert!(seeds.len() > 100);
    let rounds = 300_000;
    for _ in 0..rounds {
        let mut frame = seeds[numbers.below(seeds.len())].clone();
        mutate(&mut frame, &mut numbers);
        run(&mut world, &frame, &mut numbers);
    }
    balances(&mut world, rounds);
}

#[test]
fn random_octets_end_once() {
    let (mut numbers, mut world) = (Numbers(11), world());
    let rounds = 100_000;
    for _ in 0..rounds {
        let frame = octets(&mut numbers);
        run(&mut world, &frame, &mut numbers);
    }
    balances(&mut world, rounds);
}

#[test]
fn a_write_that_fails_drops_the_packet_with_its_reason() {
    let (seeds, mut numbers, mut world) = (seeds(), Numbers(13), world());
    let mut reasons = BTreeSet::new();
    let mut sent = 0;
    for seed in &seeds {
        for (writes, hook) in (0..12).flat_map(|writes| HOOKS.map(|hook| (writes, hook))) {
            let mut frame = seed.clone();
            frame.writes_left = Some(writes);
            sent += 1;
            let verdict = run_at(hook, &mut world, &frame, &mut numbers);
            if let Verdict::Drop(reason) = verdict {
                reasons.insert(reason);
            }
        }
    }
    balances(&mut world, sent);
    for reason in [
        Drop::ErrorWritingToPacket,
        Drop::ErrorWhileCorrectingL3Checksum,
        Drop::ErrorWhileCorrectingL4Checksum,
        Drop::InvalidTcBuffer,
    ] {
        assert!(reasons.contains(&reason), "{reason:?} never came");
    }
}

/// The kernel's table of one row always has it; only the verifier believes that a look-up can fail.
#[test]
fn a_look_up_of_the_node_that_fails_drops_the_packet() {
    let (seeds, mut numbers, mut world) = (seeds(), Numbers(17), world());
    world.node = None;
    for seed in &seeds {
        let verdict = run(&mut world, seed, &mut numbers);
        assert_eq!(verdict, Verdict::Drop(Drop::HostNotReady));
    }
    balances(&mut world, seeds.len() as u64);
}
