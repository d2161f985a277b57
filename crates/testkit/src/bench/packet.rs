//! Nanoseconds of one program run, measured by the kernel: an established packet, and a bare look-up of the same key.
//!
//! The kernel repeats a program within one call and gives the mean time of a repetition. So that each repetition has another
//! packet, a driver stands before the program, see [`kernel::program_run::sequence`]: "hot" goes round 1,000 packets, which
//! the caches hold; "uniform" visits every one of half a million connections once, in an order that no prefetcher knows. What
//! the driver and the kernel's loop cost is measured with an empty program in the same round and subtracted; all programs take
//! turns, round after round. Nothing is sent: the kernel only notes the redirect.

use std::time::Duration;

use anyhow::{Context, ensure};
use datapath::abi::{
    Address, Mac,
    connection::{Connection, ConnectionKey, Decision, Direction, action, flags},
    endpoint::{Endpoint, HOP_FIRST, Hop, hop_kind},
    event::{hook, outcome},
    node::{Features, Node},
    sample::mode,
};
use kernel::program_run::{
    Origin,
    sequence::{Measured, Sequence},
};
use kernel::{Config, Hook, Kernel, samples::Samples};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;

use super::statistics::{Target, median};
use super::table::Row;
use super::{Bench, Group};
use crate::topology::Topology;

/// Program runs without a device.
pub(super) const PACKET: Group = Group {
    name: "packet",
    rows: &["empty program", "look-up", "established packet"],
    run: packet,
};

const PRESENT: usize = 500_000;
const HOT: u32 = 1_000;
/// Room for all, so that none is evicted.
const CAPACITY: u32 = 1 << 20;
/// The same for packets that are sampled, which are hot ones alone, and for a round of samples.
const SAMPLED_CAPACITY: u32 = 1 << 14;
const SAMPLE_BYTES: u32 = 64 << 20;
const ROUNDS: usize = 15;
/// Repetitions of a round of the hot packets.
const REPEAT: u32 = 100_000;
/// The same of sampled packets, which come twice: a pod has 2,048 samples in so much time.
const SAMPLED_REPEAT: u32 = 1_000;
const SAMPLED_EVERY: Duration = Duration::from_millis(17);
/// Nanoseconds over an empty program.
const ESTABLISHED_NS: f64 = 120.0;
/// Times the bare look-up.
const UNIFORM: f64 = 1.5;

/// The loop-back device, which every namespace has: a program run needs one that exists.
const DEVICE: u32 = 1;
const OTHER_DEVICE: u32 = 2;
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 2]);
const CLIENT: [u8; 4] = [10, 0, 0, 2];
const SERVER: [u8; 4] = [10, 0, 0, 3];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ACK: u8 = 0x10;

fn features() -> Features {
    Features {
        hz: 250,
        ipv4: 1,
        ipv6: 1,
        masquerade_ipv4: 1,
        masquerade_ipv6: 1,
        allow_localhost: 1,
        services: 1,
        reject_no_backend: 1,
        events: 1,
        nodeport_min: 30_000,
        nodeport_max: 32_767,
        snat_min: 32_768,
        snat_max: 65_535,
        ..Features::default()
    }
}

/// Ports of the connections, in the order in which they are visited, the same in every run.
fn ports(count: usize) -> Vec<[u16; 2]> {
    let mut all: Vec<[u16; 2]> = (0..count)
        .map(|number| [10_000 + number / 1_000, 20_000 + number % 1_000])
        .map(|ports| ports.map(|port| (port as u16).to_be()))
        .collect();
    all.shuffle(&mut rand::rngs::StdRng::seed_from_u64(1));
    all
}

fn key(protocol: u8, [source, destination]: [u16; 2]) -> ConnectionKey {
    let ends = [CLIENT, SERVER].map(Address::v4);
    ConnectionKey::of((&ends[0], source), (&ends[1], destination), protocol, 0).0
}

/// The node, a pod behind the loop-back device and another one that its packets are redirected to. Delivery writes the
/// hardware addresses that the frame has, because a repetition finds what the last one left.
fn node(kernel: &Kernel) -> anyhow::Result<()> {
    let maps = &kernel.maps;
    maps.node.set(
        &0,
        &Node {
            mtu: 1500,
            ..Node::default()
        },
    )?;
    let pod = Endpoint {
        ifindex: DEVICE,
        identity: 1001,
        id: 1,
        slot: 1,
        mac: MAC,
        gateway_mac: GATEWAY,
        ipv4: Address::v4(CLIENT),
        hop: HOP_FIRST + 1,
        mtu: 1500,
        ..Endpoint::default()
    };
    maps.endpoints.set(&DEVICE, &pod)?;
    let hop = Hop {
        kind: hop_kind::LOCAL,
        ifindex: OTHER_DEVICE,
        destination_mac: GATEWAY,
        source_mac: MAC,
        slot: 2,
        endpoint: 2,
        ..Hop::default()
    };
    maps.hops.set(&HOP_FIRST, &hop)?;
    Ok(())
}

/// Fills in connections as their first packet and its answer leave them, sampled by this mode.
fn fill(kernel: &Kernel, protocol: u8, ports: &[[u16; 2]], sampling: u8) -> anyhow::Result<()> {
    let side = Direction {
        sampling,
        ..Direction::default()
    };
    let entry = Connection {
        forward: Decision::new(action::FORWARD, HOP_FIRST, 0),
        reverse: Decision::new(action::FORWARD, HOP_FIRST + 1, 0),
        source_identity: 1001,
        destination_identity: 1002,
        source_endpoint: 1,
        destination_endpoint: 2,
        flags: flags::INITIATOR_LOW,
        hook: hook::FROM_CONTAINER,
        protocol,
        ifindex: DEVICE,
        sent: side,
        received: side,
        ..Connection::default()
    };
    let rows: Vec<_> = ports
        .iter()
        .map(|ports| (key(protocol, *ports), entry))
        .collect();
    Ok(kernel.maps.connections.set_all(&rows)?)
}

fn frame(protocol: u8) -> Vec<u8> {
    let mut frame = [GATEWAY.0.as_slice(), &MAC.0, &[8, 0]].concat();
    frame.extend([0x45, 0, 0, 92, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend([CLIENT, SERVER].concat());
    frame.extend([0; 4]);
    if protocol == TCP {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, ACK, 1, 0, 0, 0, 0, 0]);
    } else {
        frame.extend([0, 72, 0, 0]);
    }
    frame.resize(14 + 92, 0x55);
    frame
}

/// Nanoseconds of all rounds: of the empty program, the look-up and the path.
#[derive(Default)]
struct Rounds([Vec<f64>; 3]);

impl Rounds {
    /// What a program took beyond the empty one of the same round.
    fn over_empty(&self, which: usize) -> Vec<f64> {
        let [empty, ..] = &self.0;
        let pairs = self.0[which].iter().zip(empty);
        pairs.map(|(whole, empty)| whole - empty).collect()
    }

    fn rows(&self, what: &str) -> anyhow::Result<Vec<Row>> {
        let row = |which, name: String| {
            let values = self.over_empty(which);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let middle = median(&values).context("no rounds")?;
            anyhow::Ok([
                Row::figure(format!("{name}, least"), least, "ns", values.len()),
                Row::figure(name, middle, "ns", values.len()),
            ])
        };
        let [empty, ..] = &self.0;
        let middle = median(empty).context("no rounds")?;
        let mut rows = vec![Row::figure(
            format!("empty program, {what}"),
            middle,
            "ns",
            empty.len(),
        )];
        rows.extend(row(1, format!("look-up, {what}"))?);
        rows.extend(row(2, format!("established packet, {what}"))?);
        Ok(rows)
    }
}

/// One protocol's packets, and the programs before which they are changed.
struct Way<'a> {
    kernel: &'a Kernel,
    sequence: Sequence,
    frame: Vec<u8>,
}

impl<'a> Way<'a> {
    fn new(kernel: &'a Kernel, protocol: u8, ports: &[[u16; 2]]) -> anyhow::Result<Self> {
        fill(kernel, protocol, ports, mode::UNDECIDED)?;
        let first = ports.first().context("no packets")?;
        let sequence = Sequence::new(kernel, Hook::FromContainer, &key(protocol, *first), ports)?;
        Ok(Self {
            kernel,
            sequence,
            frame: frame(protocol),
        })
    }

    fn forwarded(&self) -> anyhow::Result<u64> {
        let counter = outcome::counter(hook::FROM_CONTAINER, outcome::FORWARDED);
        let counts = self.kernel.maps.hooks.get(&counter)?;
        Ok(counts.iter().map(|count| count.packets).sum())
    }

    /// Measures all three in turn. One round before the first fills the caches as far as they go.
    fn measure(&self, rounds: usize, size: (u32, u32)) -> anyhow::Result<Rounds> {
        let origin = Origin {
            ifindex: DEVICE,
            ingress_ifindex: DEVICE,
            ..Origin::default()
        };
        let all = [
            Measured::Empty,
            Measured::Lookup,
            Measured::Hook(Hook::FromContainer),
        ];
        let before = self.forwarded()?;
        let mut found = Rounds::default();
        for round in 0..=rounds {
            for (measured, values) in all.into_iter().zip(&mut found.0) {
                let ran = self.sequence.run(measured, &self.frame, origin, size)?;
                ensure!(ran.code == 7, "{measured:?} gave {}", ran.code);
                if round > 0 {
                    values.push(ran.duration_ns.into());
                }
            }
        }
        let forwarded = self.forwarded()? - before;
        let wanted = (rounds as u64 + 1) * u64::from(size.1);
        ensure!(
            forwarded == wanted,
            "{forwarded} packets forwarded, of {wanted}"
        );
        let opened = self.kernel.maps.openings.count()?;
        ensure!(opened == 0, "{opened} packets found no connection");
        Ok(found)
    }
}

fn packet(bench: &mut Bench) -> anyhow::Result<()> {
    let (present, rounds) = if bench.options.quick {
        (20_000, 3)
    } else {
        (PRESENT, ROUNDS)
    };
    let topology = Topology::create(&Bench::topology('r'))?;
    let mut machine = topology.machine("node", &[], 1500)?;
    let bpffs = machine.mount_bpffs()?;
    let config = Config {
        connections: CAPACITY,
        ..Config::default()
    };
    let kernel = Kernel::load(&bpffs, &config, features())?;
    node(&kernel)?;
    let ports = ports(present);
    let found = machine.namespace().run(|| -> anyhow::Result<_> {
        let udp = Way::new(&kernel, UDP, &ports)?;
        let hot = &ports[..HOT as usize];
        let tcp = Way::new(&kernel, TCP, hot)?;
        let size = present as u32;
        Ok([
            ("UDP, hot", udp.measure(rounds, (HOT, REPEAT))?),
            ("TCP, hot", tcp.measure(rounds, (HOT, REPEAT))?),
            ("UDP, uniform", udp.measure(rounds, (size, size))?),
        ])
    })??;
    for (what, rounds) in &found {
        let mut rows = rounds.rows(what)?;
        if *what == "UDP, uniform" {
            let pairs: Vec<_> = rounds
                .over_empty(2)
                .into_iter()
                .zip(rounds.over_empty(1))
                .collect();
            let target = Some(Target::AtMost(UNIFORM));
            let name = "established packet to look-up, UDP, uniform";
            rows.push(Row::ratio(name, &pairs, "look-up", "ns", target)?);
        } else if let Some(row) = rows.pop() {
            rows.push(row.wanted(Target::AtMost(ESTABLISHED_NS)));
        }
        bench.add(rows);
    }
    drop(kernel);
    // Each is a hundredth of the others.
    sampled(bench, rounds * 10)
}

/// The same TCP segments where payload is sampled: of connections that nobody reads, and of such that ship a sample of each,
/// of 52 octets.
fn sampled(bench: &mut Bench, rounds: usize) -> anyhow::Result<()> {
    let topology = Topology::create(&Bench::topology('s'))?;
    let mut machine = topology.machine("node", &[], 1500)?;
    let bpffs = machine.mount_bpffs()?;
    let config = Config {
        connections: SAMPLED_CAPACITY,
        sample_bytes: SAMPLE_BYTES,
        ..Config::default()
    };
    let features = Features {
        capture: 1,
        ..features()
    };
    let kernel = Kernel::load(&bpffs, &config, features)?;
    node(&kernel)?;
    let ports = ports(HOT as usize);
    let mut samples = Samples::open(&kernel.maps)?;
    let found = machine.namespace().run(|| -> anyhow::Result<_> {
        let way = Way::new(&kernel, TCP, &ports)?;
        let mut measure = |mode| {
            fill(&kernel, TCP, &ports, mode)?;
            let (mut all, mut shipped) = (Rounds::default(), 0);
            for _ in 0..rounds {
                std::thread::sleep(SAMPLED_EVERY);
                let one = way.measure(1, (HOT, SAMPLED_REPEAT))?;
                for (all, one) in all.0.iter_mut().zip(one.0) {
                    all.extend(one);
                }
                while samples.next(|_, _| ()).is_some() {
                    shipped += 1;
                }
            }
            let lost = samples.lost()?;
            ensure!(lost == 0, "{lost} samples found no room");
            anyhow::Ok((all, shipped))
        };
        Ok([measure(mode::OPAQUE)?, measure(mode::FRAMES)?])
    })??;
    let [(opaque, none), (frames, all)] = found;
    let ran = 2 * rounds as u64 * u64::from(SAMPLED_REPEAT);
    ensure!((none, all) == (0, ran), "{none} and {all} samples of {ran}");
    bench.add(opaque.rows("TCP, hot, opaque")?);
    bench.add(frames.rows("TCP, hot, sampled")?);
    Ok(())
}
