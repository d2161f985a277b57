//! Packets through every hook, and ICMP errors about connections that exist, on a node of hash maps.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use datapath::Verdict;
use datapath::abi::event::{Count, hook, outcome};
use datapath::abi::{Address, Plain};
use datapath::packet::Tunnel;
use datapath::world::{Frame, World, frames_of, is_sound, run_case};

use super::{Shape, Target};

pub(super) const HOOKS: Target = Target {
    name: "packets",
    shape: Shape::Bytes,
    seeds: packet_seeds,
    run: packets,
};

pub(super) const ICMP: Target = Target {
    name: "icmp",
    shape: Shape::Bytes,
    seeds: icmp_seeds,
    run: icmp,
};

const HOOK: [u8; 6] = [
    hook::FROM_CONTAINER,
    hook::TO_CONTAINER,
    hook::FROM_NETDEV,
    hook::TO_NETDEV,
    hook::FROM_OVERLAY,
    hook::FROM_HOST,
];

/// The longest sequence: enough for a connection to open, be answered, close and open again.
const MOST_PACKETS: usize = 12;

/// A node with everything switched on, services among it.
const SETUP: &str = "topology\nset tunnel=1 services=1 masquerade_ipv4=1 masquerade_ipv6=1\n\
    frontend 10.96.0.10 80 tcp service=1 slots=1\nslot 1 0 51\nbackend 51 10.0.1.6 8080 tcp\n\
    frontend 0.0.0.0 30080 tcp service=2 slots=1\nslot 2 0 52\nbackend 52 10.0.2.7 8080 tcp\n\
    address 10.0.2.7 identity=2003 hop=18\n";

thread_local! {
    static WORLD: RefCell<World> = RefCell::new({
        let mut world = World::default();
        run_case(SETUP, &mut world);
        world
    });
}

/// The same world for every input, whatever came before.
fn in_world(work: impl FnOnce(&mut World)) {
    WORLD.with_borrow_mut(|world| {
        world.forget();
        world.now_ns = World::default().now_ns;
        work(world);
    });
}

/// An input is a sequence of packets, each with how it comes: hook, circumstances, length in network order, octets.
fn packets(data: &[u8]) {
    in_world(|world| {
        let (mut rest, mut sent) = (data, 0);
        while let Some(([at, how, high, low], after)) = rest.split_first_chunk::<4>()
            && sent < MOST_PACKETS
        {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
            let (bytes, left) = after.split_at(length);
            run(world, *at, *how, bytes.to_vec());
            (rest, sent) = (left, sent + 1);
        }
        balances(world, sent as u64);
    });
}

fn run(world: &mut World, at: u8, how: u8, bytes: Vec<u8>) -> Frame {
    let hook = HOOK[usize::from(at) % HOOK.len()];
    let ifindex = match hook {
        hook::FROM_CONTAINER | hook::TO_CONTAINER => 5 + u32::from(how & 1),
        hook::FROM_OVERLAY => 3,
        hook::FROM_HOST => 4,
        _ => 2,
    };
    let mut frame = Frame {
        bytes,
        ifindex,
        gso_size: if how & 2 == 0 { 0 } else { 1400 },
        writes_left: (how & 4 != 0).then_some(u32::from(how >> 4)),
        tunnel: (hook == hook::FROM_OVERLAY).then_some(Tunnel {
            identity: 2003,
            remote: Address::v4([192, 168, 0, 2]),
        }),
        ..Frame::default()
    };
    if how & 8 != 0 {
        world.now_ns += 1_000_000_000 << (how >> 4);
    }
    let was_sound = is_sound(&frame.bytes);
    let verdict = world.run(hook, &mut frame);
    if !matches!(verdict, Verdict::Drop(_)) {
        assert!(
            !was_sound || is_sound(&frame.bytes),
            "a checksum is wrong: {hook} {frame:?}"
        );
    }
    frame
}

/// Every packet ended once: forwarded, dropped with a reason, or answered.
fn balances(world: &World, sent: u64) {
    let (mut ended, mut dropped, mut reasons) = (0, 0, 0);
    for row in world.dump() {
        let count = || Count::from_bytes(&row.value).map_or(0, |count| count.packets);
        if row.table == "drops" {
            reasons += count();
        } else if row.table == "hooks" {
            let (_, which) = outcome::of(u32::from_bytes(&row.key).unwrap_or_default());
            ended += count();
            if which == outcome::DROPPED {
                dropped += count();
            }
        }
    }
    assert_eq!(
        (ended, dropped),
        (sent, reasons),
        "the counters do not balance"
    );
}

/// The packets of every text case, as sequences.
fn packet_seeds() -> Vec<Vec<u8>> {
    texts()
        .iter()
        .map(|text| {
            let mut sequence = Vec::new();
            for frame in frames_of(text).into_iter().take(MOST_PACKETS) {
                let at = match frame.ifindex {
                    5 | 6 => 0,
                    3 => 4,
                    4 => 5,
                    _ => 2,
                };
                sequence.extend([at, (frame.ifindex == 6).into()]);
                sequence.extend((frame.bytes.len() as u16).to_be_bytes());
                sequence.extend(frame.bytes);
            }
            sequence
        })
        .collect()
}

fn texts() -> Vec<String> {
    let root = super::package().join("../crates/datapath/tests/cases");
    let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let mut texts: Vec<String> = list(&root)
        .flat_map(|folder| list(&folder.path()))
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .collect();
    texts.sort();
    texts
}

/// Packets that open connections of every kind: where they come from, and what they are.
const OPENERS: [(u8, &str); 8] = [
    (
        0,
        "eth m5>m105 | ipv4 10.0.1.5>198.51.100.9 | tcp 1000>80 S",
    ),
    (
        0,
        "eth m5>m105 | ipv4 10.0.1.5>198.51.100.9 | udp 1000>53 | data 30",
    ),
    (
        0,
        "eth m5>m105 | ipv4 10.0.1.5>198.51.100.9 | echo id=7 | data 30",
    ),
    (0, "eth m5>m105 | ipv4 10.0.1.5>10.96.0.10 | tcp 1000>80 S"),
    (0, "eth m5>m105 | ipv6 fd01::5>2001:db8::9 | tcp 1000>80 S"),
    (
        0,
        "eth m5>m105 | ipv6 fd01::5>fd02::7 | udp 1000>53 | data 30",
    ),
    (
        2,
        "eth m203>m201 | ipv4 198.51.100.9>192.168.0.1 | tcp 1000>30080 S",
    ),
    (0, "eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 1000>80 S"),
];

/// An input is: which connection, ICMP type and code, where the error enters, how much is quoted, and pairs of offset
/// and octet that are changed in the quote.
fn icmp(data: &[u8]) {
    let Some(([which, kind, code, entry, quoted], edits)) = data.split_first_chunk::<5>() else {
        return;
    };
    in_world(|world| {
        let (at, layers) = OPENERS[usize::from(*which) % OPENERS.len()];
        let opener = framed(layers);
        let six = opener.bytes.get(12) == Some(&0x86);
        // What left is what routers beyond would quote.
        let left = run(world, at, 0, opener.bytes.clone());
        let source = if entry & 0x80 == 0 { &left } else { &opener };
        let mut quote = source.bytes.get(14..).unwrap_or_default().to_vec();
        quote.truncate(usize::from(*quoted));
        for edit in edits.chunks_exact(2).take(8) {
            if let Some(octet) = quote.get_mut(usize::from(edit[0])) {
                *octet = edit[1];
            }
        }
        let error = framed(&error_layers(six, *kind, *code, *entry, &quote));
        run(world, entry & 7, entry & 8, error.bytes);
        balances(world, 2);
    });
}

fn error_layers(six: bool, kind: u8, code: u8, entry: u8, quote: &[u8]) -> String {
    let to_pod = entry & 0x10 != 0;
    let mut text = match (six, to_pod) {
        (false, false) => format!(
            "eth m203>m201 | ipv4 203.0.113.1>192.168.0.1 | icmp {kind} {code} mtu=1400 | hex "
        ),
        (false, true) => format!(
            "eth m203>m201 | ipv4 203.0.113.1>10.0.1.5 | icmp {kind} {code} mtu=1400 | hex "
        ),
        (true, false) => format!(
            "eth m203>m201 | ipv6 2001:db8::1>fd00::1 | icmp {kind} {code} v6 mtu=1400 | hex "
        ),
        (true, true) => format!(
            "eth m203>m201 | ipv6 2001:db8::1>fd01::5 | icmp {kind} {code} v6 mtu=1400 | hex "
        ),
    };
    for octet in quote {
        // Writing into a string cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

fn framed(layers: &str) -> Frame {
    frames_of(&format!("packet from_netdev 2 | {layers}"))
        .pop()
        .unwrap_or_default()
}

fn icmp_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for which in 0..OPENERS.len() as u8 {
        for (kind, code) in [(3, 4), (3, 1), (11, 0), (1, 3), (2, 0), (5, 1)] {
            seeds.push(vec![which, kind, code, 2, 60]);
            seeds.push(vec![which, kind, code, 0x12, 28, 0, 0x45]);
        }
    }
    seeds
}
