//! Random and mutated packets through every hook: nothing panics, every packet ends once, sums balance, checksums hold.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use datapath::{
    Drop, Verdict,
    abi::{
        Plain,
        event::{Count, DropKey, hook, outcome},
    },
    world::{Backend, Frame, World, frames_of, is_sound, run_case},
};

/// A generator whose only virtue is that a failure can be repeated from its seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

const HOOKS: [u8; 6] = [
    hook::FROM_CONTAINER,
    hook::TO_CONTAINER,
    hook::FROM_NETDEV,
    hook::TO_NETDEV,
    hook::FROM_OVERLAY,
    hook::FROM_HOST,
];

fn texts() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut found = Vec::new();
    for folder in fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if folder.is_dir() {
            for file in fs::read_dir(folder).unwrap() {
                found.push(fs::read_to_string(file.unwrap().path()).unwrap());
            }
        }
    }
    found.sort();
    found
}

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

fn mutate(frame: &mut Frame, numbers: &mut Numbers) {
    for _ in 0..numbers.below(4) {
        let length = frame.bytes.len();
        match numbers.below(5) {
            0 => frame.bytes.truncate(numbers.below(length + 1)),
            1 => frame.bytes.extend((0..numbers.below(40)).map(|i| i as u8)),
            2 => frame.gso_size = numbers.below(2000) as u32,
            _ => {
                let at = numbers.below(length);
                let value = numbers.next() as u8;
                if let Some(octet) = frame.bytes.get_mut(at) {
                    *octet = value;
                }
            }
        }
    }
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
                .get(&(u32::from(hook) * 4 + which))
                .copied()
                .unwrap_or_default();
            all.packets += one.packets;
            all.bytes += one.bytes;
        }
        all
    };
    let ends = [outcome::FORWARDED, outcome::DROPPED, outcome::ANSWERED].map(sum);
    let received = sum(outcome::RECEIVED);
    assert_eq!(received.packets, sent);
    assert_eq!(
        received.packets,
        ends.iter().map(|count| count.packets).sum::<u64>()
    );
    assert_eq!(
        received.bytes,
        ends.iter().map(|count| count.bytes).sum::<u64>()
    );
    assert_eq!(sum(outcome::DROPPED), drops);
}

fn run(world: &mut World, frame: &Frame, numbers: &mut Numbers) -> Verdict {
    let hook = HOOKS[numbers.below(HOOKS.len())];
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
        let mut frame = Frame {
            bytes: (0..numbers.below(200))
                .map(|_| numbers.next() as u8)
                .collect(),
            ..Frame::default()
        };
        let ethertype = if numbers.below(2) == 0 {
            [8, 0]
        } else {
            [0x86, 0xdd]
        };
        if let Some(field) = frame.bytes.get_mut(12..14) {
            field.copy_from_slice(&ethertype);
        }
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
        for writes in 0..12 {
            let mut frame = seed.clone();
            frame.writes_left = Some(writes);
            sent += 1;
            if let Verdict::Drop(reason) = run(&mut world, &frame, &mut numbers) {
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
