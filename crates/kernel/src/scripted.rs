//! The object as it is loaded, with a script in place of the kernel's answers: clock, chance, routes, sockets and tunnel keys come
//! from the caller, redirects are noted.
//!
//! Every instruction is the object's own but one kind: a call to one of the helpers that `answers` knows becomes a call to a
//! function that reads the script. Production loads nothing of this. Maps are the caller's own and not pinned.

mod answers;
mod load;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use aya::maps::{Map as AyaMap, MapData, RingBuf};
use aya_obj::{EbpfSectionKind, Object};
use datapath::abi::{Address, Plain, event::Event, node::Features, sample::Sample};
use datapath::environment::Route;
use datapath::packet::Tunnel;

use crate::config::Config;
use crate::layout::{self, MapKind};
use crate::object::{Hook, OBJECT};
use crate::program_run::{self, Origin};
use crate::sys;
use answers::at;
use table::{Table, inspect, table};

/// How many numbers of chance a packet may take.
pub const NUMBERS: usize = at::NUMBERS;
/// `BPF_F_NO_PREALLOC`
const ON_USE: u32 = 1;

/// Why something scripted did not work.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {why}")]
pub struct ScriptedError {
    /// What was attempted.
    pub what: String,
    /// What came.
    pub why: String,
}

type Result<T> = std::result::Result<T, ScriptedError>;

fn failed<E: ToString>(what: impl Into<String>) -> impl FnOnce(E) -> ScriptedError {
    let what = what.into();
    move |why| ScriptedError {
        what,
        why: why.to_string(),
    }
}

/// What the kernel shall say to one packet.
#[derive(Clone, Debug)]
pub struct Script {
    /// Monotonic nanoseconds.
    pub now_ns: u64,
    /// Jiffies.
    pub jiffies: u64,
    /// Numbers of chance, in the order in which they are given.
    pub chance: [u32; NUMBERS],
    /// What the overlay says of the packet.
    pub tunnel: Option<Tunnel>,
}

/// How a packet was redirected, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// `bpf_redirect`
    Out(u32),
    /// `bpf_redirect_peer`
    Peer(u32),
    /// `bpf_redirect_neigh`
    Neighbour(u32),
}

/// What one packet led to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Return code of the program.
    pub code: i32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Its mark afterwards.
    pub mark: u32,
    /// What was asked of the last redirect.
    pub redirect: Option<Redirect>,
    /// Whether it was made one for this host.
    pub accepted: bool,
    /// What the overlay shall put around it.
    pub tunnel: Option<Tunnel>,
    /// Numbers of chance that were taken.
    pub taken: usize,
}

/// Maps and programs of one scripted node.
pub struct Scripted {
    tables: BTreeMap<String, Table>,
    /// The tables of connections while [`Scripted::fill`] has put full ones in their place.
    emptied: Vec<(String, Table)>,
    script: OwnedFd,
    routes: OwnedFd,
    sockets: OwnedFd,
    programs: HashMap<(Vec<u8>, Hook), Rc<OwnedFd>>,
    /// Programs on the tables that are full.
    full_programs: HashMap<(Vec<u8>, Hook), Rc<OwnedFd>>,
    events: RingBuf<MapData>,
    samples: RingBuf<MapData>,
    cpus: usize,
}

impl Scripted {
    /// Makes the maps of the ABI with these sizes; programs are loaded when they are first run.
    pub fn new(config: &Config) -> Result<Self> {
        let object = Object::parse(OBJECT).map_err(failed("read the object"))?;
        let sizes = layout::maps(config);
        let mut tables = BTreeMap::new();
        for (name, map) in &object.maps {
            if map.section_kind() != EbpfSectionKind::BtfMaps {
                continue;
            }
            let fixed = [MapKind::Array as u32, MapKind::PerCpuArray as u32];
            let entries = sizes
                .iter()
                .find(|spec| spec.name == name && !fixed.contains(&map.map_type()))
                .map_or(map.max_entries(), |spec| spec.max_entries);
            let sizes = [map.key_size(), map.value_size(), entries, map.map_flags()];
            tables.insert(name.clone(), table(name, map.map_type(), sizes)?);
        }
        let create = |name, kind, sizes| table(name, kind, sizes).map(|table| table.fd);
        let hash = MapKind::Hash as u32;
        let ring = |name: &str| -> Result<_> {
            let ring = tables
                .get(name)
                .ok_or_else(|| failed("open a ring")(format!("the object has no map '{name}'")))?;
            let fd = ring.fd.try_clone().map_err(failed("open a ring"))?;
            open_ring(fd).map_err(failed("map a ring"))
        };
        let (events, samples) = (ring("events")?, ring("samples")?);
        Ok(Self {
            tables,
            emptied: Vec::new(),
            script: create("script", MapKind::Array as u32, [4, at::SIZE as u32, 1, 0])?,
            routes: create("routes", hash, [16, answers::ROUTE as u32, 1024, ON_USE])?,
            sockets: create("sockets", hash, [answers::SOCKET as u32, 4, 1024, ON_USE])?,
            programs: HashMap::new(),
            full_programs: HashMap::new(),
            events,
            samples,
            cpus: crate::maps::possible_cpus(),
        })
    }

    fn table(&self, name: &str) -> Result<&Table> {
        self.tables
            .get(name)
            .ok_or_else(|| failed(format!("find map '{name}'"))("the object has none"))
    }

    /// Writes a row, given in the bytes of the ABI.
    pub fn write(&mut self, name: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let table = self.table(name)?;
        let sizes = (table.info.key_size, table.info.value_size);
        if sizes != (key.len() as u32, value.len() as u32) {
            return Err(failed(format!("write to '{name}'"))(format!(
                "the map has sizes {sizes:?}, the row {} and {}",
                key.len(),
                value.len()
            )));
        }
        sys::update(table.fd.as_fd(), key, value, sys::ANY)
            .map_err(failed(format!("write to '{name}'")))
    }

    /// Deletes a row, or makes it zero where the map is an array; it may be absent.
    pub fn remove(&mut self, name: &str, key: &[u8]) -> Result<()> {
        let table = self.table(name)?;
        table
            .clear(key, self.cpus)
            .map_err(failed(format!("clear '{name}'")))
    }

    /// All rows but those of arrays that are zero; values of all CPUs added up word by word.
    pub fn rows(&self, name: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.table(name)?
            .rows(self.cpus)
            .map_err(failed(format!("read '{name}'")))
    }

    /// Answers of the routing table for a destination.
    pub fn set_route(&mut self, destination: Address, route: Route) -> Result<()> {
        sys::update(
            self.routes.as_fd(),
            destination.as_bytes(),
            &route_row(route),
            sys::ANY,
        )
        .map_err(failed("write a route"))
    }

    /// Makes a socket of the node; `port` in network order.
    pub fn add_socket(&mut self, address: Address, port: u16, protocol: u8) -> Result<()> {
        let mut key = address.as_bytes().to_vec();
        key.extend(port.to_ne_bytes());
        key.extend([protocol, 0]);
        sys::update(self.sockets.as_fd(), &key, &[1; 4], sys::ANY).map_err(failed("write a socket"))
    }

    /// Forgets routes and sockets, and puts back the tables of connections that can take more.
    pub fn forget(&mut self) -> Result<()> {
        for map in [&self.routes, &self.sockets] {
            let table = inspect(map.try_clone().map_err(failed("copy"))?)?;
            for (key, _) in table.rows(self.cpus).map_err(failed("read answers"))? {
                table
                    .clear(&key, self.cpus)
                    .map_err(failed("clear answers"))?;
            }
        }
        if !self.emptied.is_empty() {
            self.tables.extend(std::mem::take(&mut self.emptied));
            self.full_programs.clear();
        }
        Ok(())
    }

    /// Leaves no room for connections: in place of the tables that evict come such of the same rows that refuse.
    pub fn fill(&mut self) -> Result<()> {
        for name in ["connections", "openings"] {
            let rows = self.rows(name)?;
            let old = self.table(name)?.info;
            let sizes = [old.key_size, old.value_size, rows.len().max(1) as u32, 0];
            let full = table(name, MapKind::Hash as u32, sizes)?;
            for (key, value) in &rows {
                sys::update(full.fd.as_fd(), key, value, sys::ANY).map_err(failed("copy a row"))?;
            }
            if rows.is_empty() {
                let (key, value) = (
                    vec![0xff; old.key_size as usize],
                    vec![0; old.value_size as usize],
                );
                sys::update(full.fd.as_fd(), &key, &value, sys::ANY).map_err(failed("fill"))?;
            }
            if let Some(evicting) = self.tables.insert(name.to_owned(), full) {
                self.emptied.push((name.to_owned(), evicting));
            }
        }
        Ok(())
    }

    /// Runs the program of `hook`, loaded with these constants, once. The interface of `origin` must exist in the caller's
    /// namespace.
    pub fn run(
        &mut self,
        (features, hook): (&Features, Hook),
        packet: &[u8],
        origin: Origin,
        script: &Script,
    ) -> Result<Ran> {
        let key = (features.as_bytes().to_vec(), hook);
        let loaded = self.load_once(&key, features, hook)?;
        let program = loaded.as_fd();
        let zero = 0u32.to_ne_bytes();
        let mut value = script_value(script);
        let mut padded = packet.to_vec();
        let least = least_length(packet);
        if packet.len() < least {
            padded.resize(least, 0);
            write_at(&mut value, at::CUT, &(packet.len() as u32).to_ne_bytes());
        }
        sys::update(self.script.as_fd(), &zero, &value, sys::ANY)
            .map_err(failed("write the script"))?;
        let ran = program_run::run_program(program, &padded, origin, 1)
            .map_err(failed(format!("run '{}'", hook.program())))?;
        let mut notes = vec![0; at::SIZE];
        sys::lookup(self.script.as_fd(), &zero, &mut notes).map_err(failed("read the script"))?;
        let kind = word(&notes, at::REDIRECT);
        let to = word(&notes, at::REDIRECT_TO);
        Ok(Ran {
            code: ran.code as i32,
            packet: ran.packet,
            mark: ran.mark,
            redirect: match kind {
                0 => None,
                1 => Some(Redirect::Out(to)),
                2 => Some(Redirect::Peer(to)),
                _ => Some(Redirect::Neighbour(to)),
            },
            accepted: word(&notes, at::ACCEPTED) != 0,
            tunnel: read_tunnel(&notes, at::GOES),
            taken: word(&notes, at::TAKEN) as usize,
        })
    }

    /// Takes what is in the ring.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(record) = self.events.next() {
            events.extend(Event::from_bytes(&record));
        }
        events
    }

    /// Takes what is in the ring of samples: heads and octets.
    pub fn samples(&mut self) -> Vec<(Sample, Vec<u8>)> {
        let mut samples = Vec::new();
        while let Some(record) = self.samples.next() {
            let parsed = crate::samples::parse(&record);
            samples.extend(parsed.map(|(sample, octets)| (sample, octets.to_vec())));
        }
        samples
    }

    /// The program of these constants on the tables in force.
    fn load_once(
        &mut self,
        key: &(Vec<u8>, Hook),
        features: &Features,
        hook: Hook,
    ) -> Result<Rc<OwnedFd>> {
        let full = !self.emptied.is_empty();
        let loaded = if full {
            &self.full_programs
        } else {
            &self.programs
        };
        if let Some(program) = loaded.get(key) {
            return Ok(Rc::clone(program));
        }
        let program = Rc::new(self.load(features, hook)?);
        let loaded = if full {
            &mut self.full_programs
        } else {
            &mut self.programs
        };
        loaded.insert(key.clone(), Rc::clone(&program));
        Ok(program)
    }

    fn load(&self, features: &Features, hook: Hook) -> Result<OwnedFd> {
        let answers = answers::Maps {
            script: self.script.as_fd(),
            routes: self.routes.as_fd(),
            sockets: self.sockets.as_fd(),
        };
        let find = |name: &str| self.tables.get(name).map(|table| table.fd.as_fd());
        load::program(features, hook, &find, answers)
    }
}

fn open_ring(fd: OwnedFd) -> std::result::Result<RingBuf<MapData>, aya::maps::MapError> {
    RingBuf::try_from(AyaMap::from_map_data(MapData::from_fd(fd)?)?)
}

/// What the kernel asks of a frame for a run: a whole IP header where the Ethernet header announces one.
fn least_length(packet: &[u8]) -> usize {
    match packet.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 14,
    }
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..offset + 4)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

fn write_at(bytes: &mut [u8], offset: usize, field: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(field) {
        *to = *from;
    }
}

fn script_value(script: &Script) -> Vec<u8> {
    let mut bytes = vec![0; at::SIZE];
    write_at(&mut bytes, at::NOW, &script.now_ns.to_ne_bytes());
    write_at(&mut bytes, at::JIFFIES, &script.jiffies.to_ne_bytes());
    for (index, number) in script.chance.iter().enumerate() {
        write_at(&mut bytes, at::CHANCE + 4 * index, &number.to_ne_bytes());
    }
    if let Some(Tunnel { identity, remote }) = script.tunnel {
        let (family, words) = if remote.is_v4() {
            (4, [u32::from_be_bytes(remote.v4_octets()), 0, 0, 0])
        } else {
            (6, remote.0)
        };
        let [a, b, c, d] = words;
        for (index, number) in [family, identity, a, b, c, d].into_iter().enumerate() {
            write_at(&mut bytes, at::CAME + 4 * index, &number.to_ne_bytes());
        }
    }
    bytes
}

fn read_tunnel(bytes: &[u8], offset: usize) -> Option<Tunnel> {
    let remote = |index: usize| word(bytes, offset + 8 + 4 * index);
    let remote = match word(bytes, offset) {
        0 => return None,
        4 => Address::v4(remote(0).to_be_bytes()),
        _ => Address([remote(0), remote(1), remote(2), remote(3)]),
    };
    Some(Tunnel {
        identity: word(bytes, offset + 4),
        remote,
    })
}

/// Result, interface, MTU, and the hardware addresses as `struct bpf_fib_lookup` has them: the interface's first.
fn route_row(route: Route) -> Vec<u8> {
    let (result, ifindex, mtu, macs) = match route {
        Route::Neighbour {
            ifindex,
            destination_mac,
            source_mac,
        } => (0, ifindex, 1500, [source_mac.0, destination_mac.0].concat()),
        Route::Unreachable => (2, 0, 0, vec![0; 12]),
        Route::Stack => (4, 0, 0, vec![0; 12]),
        Route::Unresolved { ifindex } => (7, ifindex, 1500, vec![0; 12]),
        Route::TooBig { mtu } => (8, 0, mtu, vec![0; 12]),
    };
    let mut row: Vec<u8> = [result, ifindex, mtu]
        .iter()
        .flat_map(|number: &u32| number.to_ne_bytes())
        .collect();
    row.extend(macs);
    row
}
