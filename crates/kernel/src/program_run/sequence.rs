//! One program run after the other, each on another packet, without a system call between them: what a program costs where its
//! connections do not fit into the processor's caches.
//!
//! A driver stands before the measured program. In each repetition it takes the next word of an array, writes it over the
//! ports of the packet, and goes on to the measured program by a tail call. What it costs itself is measured with an empty
//! program behind it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use datapath::abi::{Plain, connection::ConnectionKey};

use super::{Origin, Ran, run_program};
use crate::config::Config;
use crate::instruction::{
    EXIT, LOOKUP, WORD, add, call, copy, load, map, set, skip_if, store, value, word,
};
use crate::layout::{self, MapKind};
use crate::object::{Hook, Kernel};
use crate::sys;

/// `BPF_MAP_TYPE_PROG_ARRAY`
const PROGRAM_ARRAY: u32 = 3;
/// Offset of the ports in a frame of IPv4 without options.
const PORTS: usize = 34;
/// Offset of the ports in a key.
const KEY_PORTS: usize = std::mem::offset_of!(ConnectionKey, low_port);
/// Offsets of `data` and `data_end` in `struct __sk_buff`.
const DATA: usize = 76;
const DATA_END: usize = 80;
/// What the driver gives back where the tail call failed: no classifier's code.
const BROKEN: u32 = 99;
/// What programs of this file give back.
const DONE: i32 = 7;

/// What stands behind the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measured {
    /// Nothing.
    Empty,
    /// A look-up of the packet's key among answered connections.
    Lookup,
    /// The program of a hook.
    Hook(Hook),
}

/// A driver and what it goes on to.
struct Driver {
    measured: Measured,
    program: OwnedFd,
    /// The kernel empties an array of programs that no descriptor stands for.
    _next: OwnedFd,
}

/// Drivers before the programs of a loaded object.
pub struct Sequence {
    position: OwnedFd,
    drivers: Vec<Driver>,
}

impl Sequence {
    /// Takes source and destination port of each packet as the frame has them. The key is that of any of the packets, whose
    /// source is its lower end.
    pub fn new(
        kernel: &Kernel,
        hook: Hook,
        key: &ConnectionKey,
        packets: &[[u16; 2]],
    ) -> io::Result<Self> {
        let array = MapKind::Array as u32;
        let words = sys::map_create("ports", array, 4, 4, packets.len() as u32)?;
        let numbers: Vec<u8> = (0..packets.len() as u32)
            .flat_map(u32::to_ne_bytes)
            .collect();
        let ports: Vec<u8> = packets
            .iter()
            .flatten()
            .copied()
            .flat_map(u16::to_ne_bytes)
            .collect();
        sys::update_batch(words.as_fd(), &numbers, &ports, packets.len() as u32).1?;
        let position = sys::map_create("position", array, 4, 8, 1)?;
        let specs = layout::maps(&Config::default());
        let spec = specs.iter().find(|spec| spec.name == "connections");
        let pin = spec.and_then(|spec| sys::open_pin(&kernel.pins.map(spec)).transpose());
        let connections = pin.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))??;
        let of_hook = kernel
            .programs
            .get(hook.program())
            .map_err(io::Error::other)?
            .try_clone_to_owned()?;
        let measured = [
            (Measured::Empty, load_program(&[set(0, DONE), EXIT])?),
            (
                Measured::Lookup,
                load_program(&look_up(connections.as_fd(), key))?,
            ),
            (Measured::Hook(hook), of_hook),
        ];
        let mut drivers = Vec::new();
        for (measured, program) in measured {
            let next = sys::map_create("next", PROGRAM_ARRAY, 4, 4, 1)?;
            let fd = program.as_raw_fd().to_ne_bytes();
            sys::update(next.as_fd(), &[0; 4], &fd, sys::ANY)?;
            let driver = driver(position.as_fd(), words.as_fd(), next.as_fd());
            drivers.push(Driver {
                measured,
                program: load_program(&driver)?,
                _next: next,
            });
        }
        Ok(Self { position, drivers })
    }

    /// Runs the first `count` packets in turn, from the first one on, `repeat` runs in all.
    pub fn run(
        &self,
        measured: Measured,
        frame: &[u8],
        origin: Origin,
        (count, repeat): (u32, u32),
    ) -> io::Result<Ran> {
        let driver = self
            .drivers
            .iter()
            .find(|driver| driver.measured == measured)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let position = [0u32.to_ne_bytes(), count.to_ne_bytes()].concat();
        sys::update(self.position.as_fd(), &[0; 4], &position, sys::ANY)?;
        let ran = run_program(driver.program.as_fd(), frame, origin, repeat)?;
        if ran.code == BROKEN {
            return Err(io::Error::other("the driver did not reach its program"));
        }
        Ok(ran)
    }
}

fn load_program(program: &[u64]) -> io::Result<OwnedFd> {
    sys::program_load(sys::CLASSIFIER, 0, program)
        .map_err(|(error, log)| io::Error::new(error.kind(), format!("{error}\n{log}")))
}

const TAIL_CALL: i32 = 12;
/// The frame pointer.
const FRAME: u8 = 10;

/// Exits unless the ports are in the direct part; leaves the packet's address in register 7.
fn reach() -> Vec<u64> {
    vec![
        load(WORD, 7, 6, DATA),
        load(WORD, 2, 6, DATA_END),
        copy(3, 7),
        add(3, PORTS as i32 + 4),
        // if r3 <= r2, over the exit
        word(0xbd, 3, 2, 2, 0),
        set(0, BROKEN as i32),
        EXIT,
    ]
}

fn driver(position: BorrowedFd<'_>, words: BorrowedFd<'_>, next: BorrowedFd<'_>) -> Vec<u64> {
    [
        vec![copy(6, 1)],
        reach(),
        value(1, position).to_vec(),
        vec![
            load(WORD, 2, 1, 0),
            load(WORD, 3, 1, 4),
            word(0x63, FRAME, 2, -4, 0),
            add(2, 1),
            // if r2 < r3, over the zero
            word(0xad, 2, 3, 1, 0),
            set(2, 0),
            store(WORD, 1, 0, 2),
        ],
        map(1, words).to_vec(),
        vec![
            copy(2, FRAME),
            add(2, -4),
            call(LOOKUP),
            // if r0 == 0, over the store
            skip_if(0, 0, 2),
            load(WORD, 0, 0, 0),
            store(WORD, 7, PORTS, 0),
            copy(1, 6),
        ],
        map(2, next).to_vec(),
        vec![set(3, 0), call(TAIL_CALL), set(0, BROKEN as i32), EXIT],
    ]
    .concat()
}

/// Builds the key out of constants and the packet's ports, and looks it up.
fn look_up(connections: BorrowedFd<'_>, key: &ConnectionKey) -> Vec<u64> {
    let size = size_of::<ConnectionKey>();
    let start = -(size as i16);
    let mut program = [vec![copy(6, 1)], reach()].concat();
    for (index, octets) in key.as_bytes().chunks_exact(4).enumerate() {
        let at = start + 4 * index as i16;
        if 4 * index == KEY_PORTS {
            program.extend([load(WORD, 1, 7, PORTS), word(0x63, FRAME, 1, at, 0)]);
        } else if let Ok(octets) = octets.try_into() {
            program.push(word(0x62, FRAME, 0, at, i32::from_ne_bytes(octets)));
        }
    }
    program.extend(map(1, connections));
    program.extend([
        copy(2, FRAME),
        add(2, i32::from(start)),
        call(LOOKUP),
        copy(1, 0),
        set(0, BROKEN as i32),
        // if r1 == 0, over the code
        skip_if(1, 0, 1),
        set(0, DONE),
        EXIT,
    ]);
    program
}
