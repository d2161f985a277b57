//! A program run without a device: a packet in, the verdict, the packet afterwards, and how long it took.

pub mod sequence;

use std::io;
use std::os::fd::BorrowedFd;

use crate::object::{Hook, LoadError, Programs};
use crate::sys;

/// Size of `struct __sk_buff`.
const CONTEXT: usize = 192;
const MARK: usize = 8;
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;
const GSO_SEGMENTS: usize = 164;
const GSO_SIZE: usize = 176;

/// Where a packet seems to come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The interface whose hook runs; it must exist in the caller's namespace, 0 is the loop-back device.
    pub ifindex: u32,
    /// The interface where the packet came into the namespace.
    pub ingress_ifindex: u32,
    /// The packet mark.
    pub mark: u32,
    /// Payload octets per segment where the packet stands for many, else 0.
    pub gso_size: u32,
}

/// What one run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The classifier's code: 0 pass, 2 drop, 7 redirect.
    pub code: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Its mark afterwards.
    pub mark: u32,
    /// Mean nanoseconds of one repetition.
    pub duration_ns: u32,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such program.
    #[error(transparent)]
    Program(#[from] LoadError),
    /// The kernel refused.
    #[error("cannot run '{program}': {source}")]
    Kernel {
        /// Name of the program.
        program: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Runs the program of `hook` on `packet` `repeat` times; it finds in each repetition what the last one left.
pub fn run(
    programs: &Programs,
    hook: Hook,
    packet: &[u8],
    origin: Origin,
    repeat: u32,
) -> Result<Ran, RunError> {
    let program = programs.get(hook.program())?;
    run_program(program, packet, origin, repeat).map_err(|source| RunError::Kernel {
        program: hook.program(),
        source,
    })
}

pub(crate) fn run_program(
    program: BorrowedFd<'_>,
    packet: &[u8],
    origin: Origin,
    repeat: u32,
) -> io::Result<Ran> {
    let mut context = [0u8; CONTEXT];
    let segments = match origin.gso_size {
        0 => 0,
        size => (packet.len() as u32 / size).max(1),
    };
    let fields = [
        (MARK, origin.mark),
        (INGRESS_IFINDEX, origin.ingress_ifindex),
        (IFINDEX, origin.ifindex),
        (GSO_SEGMENTS, segments),
        (GSO_SIZE, origin.gso_size),
    ];
    for (offset, value) in fields {
        if let Some(field) = context.get_mut(offset..offset + 4) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
    }
    let result = sys::test_run(program, packet, &mut context, repeat)?;
    let mark = context
        .get(MARK..MARK + 4)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u32::from_ne_bytes);
    Ok(Ran {
        code: result.result,
        packet: result.data,
        mark,
        duration_ns: result.duration_ns,
    })
}
