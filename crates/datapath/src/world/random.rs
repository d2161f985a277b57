//! Random histories of a node: the conversations of all text cases, mixed, mutated, answered and interrupted, from one seed.

use std::{fs, path::PathBuf};

use super::{
    Frame,
    case::{self, Case},
    tables_text::Setup,
};
use crate::{
    abi::{Address, event::hook},
    packet::Tunnel,
};

/// A generator whose only virtue is that a failure can be repeated from its seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number; not an iterator, because it has no end.
    #[allow(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..end`, 0 if that is empty.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// Hooks of interfaces.
pub const HOOKS: [u8; 6] = [
    hook::FROM_CONTAINER,
    hook::TO_CONTAINER,
    hook::FROM_NETDEV,
    hook::TO_NETDEV,
    hook::FROM_OVERLAY,
    hook::FROM_HOST,
];

/// The folder of the cases, of the checkout whose tests run: what was compiled may be of another that is gone.
pub fn cases() -> PathBuf {
    PathBuf::from("../datapath/tests/cases")
}

/// The texts of all cases, sorted.
///
/// # Panics
/// Where there are none: histories of nothing prove nothing.
pub fn texts() -> Vec<String> {
    let root = cases();
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries(root.clone())
        .filter(|entry| entry.path().is_dir())
        .flat_map(|folder| entries(folder.path()))
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no cases in {}", root.display());
    found
}

/// Cuts, lengthens, or overwrites up to three times.
pub fn mutate(frame: &mut Frame, numbers: &mut Numbers) {
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

/// Octets of chance behind an Ethernet header of IP.
pub fn octets(numbers: &mut Numbers) -> Frame {
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
    frame
}

/// Exchanges two fields, if the frame has both.
fn exchange(bytes: &mut [u8], a: usize, b: usize, length: usize) {
    if a.max(b) + length <= bytes.len() {
        (0..length).for_each(|offset| bytes.swap(a + offset, b + offset));
    }
}

/// The frame with its ends exchanged: hardware addresses, IP addresses, ports. Checksums hold as before.
fn turned(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    let bytes = &mut frame.bytes;
    exchange(bytes, 0, 6, 6);
    let fields = match bytes.get(12..15) {
        Some([0x08, 0x00, first]) => Some((26, 30, 4, 14 + usize::from(first & 0xf) * 4)),
        Some([0x86, 0xdd, _]) => Some((22, 38, 16, 54)),
        _ => None,
    };
    if let Some((source, destination, length, transport)) = fields {
        exchange(bytes, source, destination, length);
        exchange(bytes, transport, transport + 2, 2);
    }
    frame
}

/// One thing that happens to a node.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A line of a case that is no packet: a row, a route, time.
    Line(String),
    /// A packet.
    Packet(Case),
}

/// What happens to one node from its start on.
pub struct History {
    numbers: Numbers,
    texts: Vec<Vec<String>>,
    frames: Vec<Frame>,
    text: usize,
    line: usize,
    last: Option<Case>,
}

/// Interfaces of the topology.
const INTERFACES: [u32; 5] = [2, 3, 4, 5, 6];
/// Largest frame that fits a program run of the kernel (one page, less room around it).
const LARGEST: usize = 3400;

impl History {
    /// The history of a seed, out of the texts of cases.
    pub fn new(seed: u64, texts: &[String]) -> Self {
        let may_happen = |line: &&str| {
            let word = line.split(' ').next().unwrap_or_default();
            !word.is_empty()
                && !word.starts_with('#')
                && !["topology", "set", "full"].contains(&word)
        };
        let texts = texts.iter().map(|text| {
            let lines = text.lines().filter(may_happen);
            lines.map(str::to_owned).collect()
        });
        let texts: Vec<Vec<String>> = texts.collect();
        let frames = texts
            .iter()
            .flat_map(|lines| case::frames_of(&lines.join("\n")))
            .collect();
        Self {
            numbers: Numbers(seed),
            texts,
            frames,
            text: 0,
            line: usize::MAX,
            last: None,
        }
    }

    /// Lines to begin with: the topology, services, and switches.
    pub fn beginning(&mut self) -> Vec<String> {
        let switches = [
            "set capture=1 tunnel=1 services=1 masquerade_ipv4=1 masquerade_ipv6=1",
            "set capture=1 services=1 masquerade_ipv4=1 host_policy=1 allow_localhost=0 snat_min=40000 snat_max=40007",
        ];
        let switches = self.numbers.pick(&switches).copied().unwrap_or_default();
        let lines = format!(
            "topology\n{switches}\n\
            frontend 10.96.0.10 80 tcp service=1 slots=2\nslot 1 0 51\nbackend 51 10.0.1.6 8080 tcp\n\
            slot 1 1 52\nfrontend 0.0.0.0 30080 tcp service=2 slots=1\nslot 2 0 52\nbackend 52 10.0.2.7 8080 tcp\n\
            frontend 10.96.0.11 53 udp service=3 slots=2 affinity=60 flags=affinity\nslot 3 0 53\nslot 3 1 54\n\
            backend 53 10.0.1.5 53 udp\nbackend 54 10.0.1.6 53 udp\nsocket 192.168.0.1 40001 tcp\n\
            chance {} {} {}",
            self.numbers.next() as u32,
            self.numbers.next() as u32,
            self.numbers.next() as u32,
        );
        lines.lines().map(str::to_owned).collect()
    }

    /// What happens next.
    pub fn step(&mut self) -> Happening {
        let happening = match self.numbers.below(100) {
            0..60 => self.proceed(),
            60..80 => self.elsewhere(),
            80..92 => self.answer(),
            92..95 => {
                let frame = octets(&mut self.numbers);
                Happening::Packet(self.at_any_hook(frame))
            }
            95..98 => {
                let jiffies: [u64; 5] = [1, 90, 700, 7000, 900_000];
                let passed = self.numbers.pick(&jiffies).copied().unwrap_or(1);
                Happening::Line(format!("time ns={} jiffies={passed}", passed * 10_000_000))
            }
            _ => Happening::Line(format!(
                "chance {} {}",
                self.numbers.next() as u32,
                self.numbers.next() as u32
            )),
        };
        match happening {
            Happening::Packet(mut case) => {
                presentable(&mut case.frame);
                self.last = Some(case.clone());
                Happening::Packet(case)
            }
            line @ Happening::Line(_) => line,
        }
    }

    /// The next line of the case in hand, sometimes mutated; then any other case.
    fn proceed(&mut self) -> Happening {
        let line = self
            .texts
            .get(self.text)
            .and_then(|lines| lines.get(self.line));
        self.line = self.line.saturating_add(1);
        let Some(line) = line.cloned() else {
            (self.text, self.line) = (self.numbers.below(self.texts.len()), 0);
            return self.elsewhere();
        };
        if !line.starts_with("packet ") {
            return Happening::Line(line);
        }
        let mut case = case::packet(&line);
        if self.numbers.below(4) == 0 {
            mutate(&mut case.frame, &mut self.numbers);
        }
        Happening::Packet(case)
    }

    /// Any packet at any hook.
    fn elsewhere(&mut self) -> Happening {
        let mut frame = self.numbers.pick(&self.frames).cloned().unwrap_or_default();
        mutate(&mut frame, &mut self.numbers);
        Happening::Packet(self.at_any_hook(frame))
    }

    /// The last packet from the other end.
    fn answer(&mut self) -> Happening {
        let Some(last) = self.last.clone() else {
            return self.elsewhere();
        };
        Happening::Packet(self.at_any_hook(turned(&last.frame)))
    }

    fn at_any_hook(&mut self, mut frame: Frame) -> Case {
        let hook = self.numbers.pick(&HOOKS).copied().unwrap_or_default();
        frame.ifindex = match hook {
            hook::FROM_CONTAINER | hook::TO_CONTAINER => 5 + self.numbers.below(2) as u32,
            hook::FROM_OVERLAY => 3,
            hook::FROM_HOST => 4,
            _ => 2,
        };
        frame.ingress_ifindex = match hook {
            hook::TO_CONTAINER | hook::TO_NETDEV | hook::FROM_HOST => {
                let came = [0, 0, 2, 3, 5, 6];
                self.numbers.pick(&came).copied().unwrap_or_default()
            }
            _ => frame.ifindex,
        };
        let marks = [0, 0, 0, 0x300, 0xc00, 0x07d1_0f00, 0x07d3_0f00];
        frame.mark = self.numbers.pick(&marks).copied().unwrap_or_default();
        let remotes = [
            Address::v4([192, 168, 0, 2]),
            Address::v4([192, 168, 0, 2]),
            Address::v4([203, 0, 113, 1]),
        ];
        let identities = [2001, 2002, 2003, 2003, 6, 2, 77];
        frame.tunnel = (hook == hook::FROM_OVERLAY).then(|| Tunnel {
            identity: self.numbers.pick(&identities).copied().unwrap_or_default(),
            remote: self.numbers.pick(&remotes).copied().unwrap_or_default(),
        });
        Case { hook, frame }
    }
}

/// Makes it a frame that the kernel takes for a run: an Ethernet header at least, a page at most, on an interface that is there.
/// One that ends within its IP header stands for no segments.
fn presentable(frame: &mut Frame) {
    frame.bytes.truncate(LARGEST);
    let length = frame.bytes.len().max(14);
    frame.bytes.resize(length, 0);
    let whole = match frame.bytes.get(12..14) {
        Some([0x08, 0x00]) => 34,
        Some([0x86, 0xdd]) => 54,
        _ => 14,
    };
    if length < whole {
        frame.gso_size = 0;
    }
    if !INTERFACES.contains(&frame.ifindex) {
        frame.ifindex = 5;
    }
    if frame.ingress_ifindex != 0 && !INTERFACES.contains(&frame.ingress_ifindex) {
        frame.ingress_ifindex = 5;
    }
}

/// Applies lines to a backend, each on top of those before.
#[derive(Default)]
pub struct Lines(Setup);

impl Lines {
    /// Takes one line.
    pub fn apply(&mut self, line: &str, backend: &mut dyn super::Backend) {
        self.0.line(line, backend);
    }
}
