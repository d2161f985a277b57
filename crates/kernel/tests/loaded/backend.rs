//! The loaded object as a backend of text cases: rows as bytes, answers from the case, verdicts from what the kernel can see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use datapath::abi::event::{Count, DropKey, hook, outcome};
use datapath::abi::node::Features;
use datapath::abi::{Drop, Plain};
use datapath::world::{Backend, Frame, Input, Outcome, Row, World};
use datapath::{Environment, Verdict};
use kernel::program_run::Origin;
use kernel::scripted::{NUMBERS, Ran, Redirect, Script, Scripted};
use kernel::{Config, Hook};

/// Tables that paths write, in the order of [`World::dump`].
const WRITTEN: [&str; 8] = [
    "affinity",
    "aliases",
    "connections",
    "drops",
    "fragments",
    "hooks",
    "openings",
    "traffic",
];

/// The maps, the programs, and the inputs of the case in hand.
pub(crate) struct Loaded {
    scripted: Scripted,
    /// Rows that a case wrote, to be taken back.
    written: BTreeSet<(String, Vec<u8>)>,
    features: Features,
    now_ns: u64,
    jiffies: u64,
    /// The same before a case has said anything.
    initial: (Features, u64, u64),
    /// How many jiffies the clock is ahead of what the case says: a fault to inject.
    ahead: u64,
    /// As in `World`: these first, then counting up.
    chance: VecDeque<u32>,
    counter: u32,
    drops: BTreeMap<Vec<u8>, Vec<u8>>,
    answered: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn config() -> Config {
    Config {
        connections: 8192,
        openings: 8192,
        aliases: 8192,
        fragments: 8192,
        affinity: 8192,
        socket_peers: 1024,
        ..Config::default()
    }
}

fn hook_of(number: u8) -> Hook {
    match number {
        hook::FROM_CONTAINER => Hook::FromContainer,
        hook::TO_CONTAINER => Hook::ToContainer,
        hook::FROM_NETDEV => Hook::FromNetdev,
        hook::TO_NETDEV => Hook::ToNetdev,
        hook::FROM_OVERLAY => Hook::FromOverlay,
        _ => Hook::FromHost,
    }
}

impl Loaded {
    pub(crate) fn new() -> Self {
        let world = World::default();
        Self {
            scripted: Scripted::new(&config()).expect("maps"),
            written: BTreeSet::new(),
            features: world.features,
            now_ns: world.now_ns,
            jiffies: world.jiffies(),
            ahead: 0,
            initial: (world.features, world.now_ns, world.jiffies()),
            chance: VecDeque::new(),
            counter: 0,
            drops: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    /// As new, but for the programs that are loaded.
    pub(crate) fn reset(&mut self) {
        self.scripted.forget().expect("forget");
        for (table, key) in std::mem::take(&mut self.written) {
            self.scripted.remove(&table, &key).expect("remove");
        }
        for table in WRITTEN {
            for (key, _) in self.scripted.rows(table).expect("rows") {
                self.scripted.remove(table, &key).expect("remove");
            }
        }
        for (key, _) in self.scripted.rows("sampled").expect("rows") {
            self.scripted.remove("sampled", &key).expect("remove");
        }
        self.scripted.events();
        self.scripted.samples();
        (self.features, self.now_ns, self.jiffies) = self.initial;
        self.chance.clear();
        self.counter = 0;
        self.drops.clear();
        self.answered.clear();
    }

    /// Lets the clock be ahead of the case's by so many jiffies.
    pub(crate) fn hurry(&mut self, jiffies: u64) {
        self.ahead = jiffies;
    }

    fn script(&self, frame: &Frame) -> Script {
        let mut numbers = self.chance.iter().copied();
        let mut counter = self.counter;
        let mut chance = [0; NUMBERS];
        for number in &mut chance {
            *number = numbers.next().unwrap_or_else(|| {
                counter = counter.wrapping_add(1);
                counter
            });
        }
        Script {
            now_ns: self.now_ns,
            jiffies: self.jiffies + self.ahead,
            chance,
            tunnel: frame.tunnel,
        }
    }

    /// Runs one packet; the rows are the caller's to read.
    pub(crate) fn packet(&mut self, hook: u8, frame: &Frame) -> (Ran, Frame) {
        let origin = Origin {
            ifindex: frame.ifindex,
            ingress_ifindex: frame.ingress_ifindex,
            mark: frame.mark,
            gso_size: frame.gso_size,
        };
        let script = self.script(frame);
        let ran = self
            .scripted
            .run(
                (&self.features, hook_of(hook)),
                &frame.bytes,
                origin,
                &script,
            )
            .unwrap_or_else(|error| panic!("{error}: {}", datapath::world::hex(&frame.bytes)));
        assert!(ran.taken <= NUMBERS, "too few numbers of chance");
        for _ in 0..ran.taken {
            if self.chance.pop_front().is_none() {
                self.counter = self.counter.wrapping_add(1);
            }
        }
        let after = Frame {
            bytes: ran.packet.clone(),
            mark: ran.mark,
            accepted: ran.accepted,
            tunnel: ran.tunnel.or(frame.tunnel),
            ..frame.clone()
        };
        (ran, after)
    }

    pub(crate) fn events(&mut self) -> Vec<datapath::abi::event::Event> {
        self.scripted.events()
    }

    pub(crate) fn samples(&mut self) -> Vec<(datapath::abi::sample::Sample, Vec<u8>)> {
        self.scripted.samples()
    }

    /// The verdict from the return code, what was asked of the redirect, and the counters that the packet moved.
    pub(crate) fn verdict(&mut self, ran: &Ran) -> Verdict {
        let rows = |scripted: &Scripted, table| -> BTreeMap<Vec<u8>, Vec<u8>> {
            scripted.rows(table).expect("rows").into_iter().collect()
        };
        let moved = |old: &BTreeMap<Vec<u8>, Vec<u8>>, new: &BTreeMap<Vec<u8>, Vec<u8>>| {
            let mut keys = Vec::new();
            for (key, value) in new {
                if packets(Some(value)) != packets(old.get(key)) {
                    keys.push(key.clone());
                }
            }
            keys
        };
        let drops = rows(&self.scripted, "drops");
        let hooks = rows(&self.scripted, "hooks");
        let dropped = moved(&self.drops, &drops);
        let answered = moved(&self.answered, &hooks)
            .iter()
            .filter_map(|key| u32::from_bytes(key))
            .any(|index| outcome::of(index).1 == outcome::ANSWERED);
        (self.drops, self.answered) = (drops, hooks);
        match (ran.code, ran.redirect, dropped.as_slice()) {
            (0, None, []) => Verdict::Pass,
            (2, None, [key]) => {
                let reason = DropKey::from_bytes(key).map_or(0, |key| key.reason);
                Verdict::Drop(Drop::from_number(reason).expect("a reason"))
            }
            (7, Some(Redirect::Out(ifindex)), []) if answered => Verdict::Answer { ifindex },
            (7, Some(Redirect::Out(ifindex)), []) => Verdict::Redirect { ifindex },
            (7, Some(Redirect::Peer(ifindex)), []) => Verdict::RedirectPeer { ifindex },
            (7, Some(Redirect::Neighbour(ifindex)), []) => Verdict::RedirectNeighbour { ifindex },
            other => panic!("a packet ends in one way, not in {other:?}"),
        }
    }
}

fn packets(value: Option<&Vec<u8>>) -> u64 {
    value
        .and_then(|value| Count::from_bytes(value))
        .map_or(0, |count| count.packets)
}

impl Backend for Loaded {
    fn load(&mut self, row: &Row) {
        self.written.insert((row.table.clone(), row.key.clone()));
        self.scripted
            .write(&row.table, &row.key, &row.value)
            .expect("write");
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Features(features) => self.features = *features,
            Input::Time { ns, jiffies } => (self.now_ns, self.jiffies) = (*ns, *jiffies),
            Input::Route(address, route) => {
                self.scripted.set_route(*address, *route).expect("route");
            }
            Input::Socket(address, port, protocol) => self
                .scripted
                .add_socket(*address, *port, *protocol)
                .expect("socket"),
            Input::Chance(numbers) => self.chance = numbers.iter().copied().collect(),
            Input::Full => self.scripted.fill().expect("fill"),
        }
    }

    fn rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for table in WRITTEN {
            let mut own = self.scripted.rows(table).expect("rows");
            // What fills a table that holds nothing else.
            own.retain(|(key, _)| key.iter().any(|octet| *octet != 0xff));
            own.sort();
            rows.extend(own.into_iter().map(|(key, value)| Row {
                table: table.to_owned(),
                key,
                value,
            }));
        }
        rows
    }

    fn run(&mut self, hook: u8, frame: &Frame) -> Outcome {
        let (ran, after) = self.packet(hook, frame);
        Outcome {
            verdict: Some(self.verdict(&ran)),
            code: ran.code,
            frame: after,
            rows: self.rows(),
            events: self.events(),
            samples: self.samples(),
            stages: None,
        }
    }
}
