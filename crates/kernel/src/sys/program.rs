//! Programs out of instructions, and the types of their functions.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{Command, address, address_mut, bpf, owned};

#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
    btf: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    pad: u32,
}

/// `BPF_PROG_TYPE_SCHED_CLS`.
pub(crate) const CLASSIFIER: u32 = 3;
/// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`.
pub(crate) const SOCKET_ADDRESS: u32 = 18;

/// What types the functions of a program have.
#[derive(Clone, Copy)]
pub(crate) struct Functions<'a> {
    /// The loaded types.
    pub(crate) btf: BorrowedFd<'a>,
    /// Index of the first instruction and number of the type, in the order of the instructions.
    pub(crate) starts: &'a [[u32; 2]],
}

/// Loads a program out of raw instructions; the error comes with the verifier's log.
pub(crate) fn program_load(
    program_type: u32,
    attach_type: u32,
    instructions: &[u64],
) -> Result<OwnedFd, (io::Error, String)> {
    program_load_with_functions((program_type, attach_type), instructions, None)
}

/// The same for a program whose functions the verifier tells apart.
pub(crate) fn program_load_with_functions(
    types: (u32, u32),
    instructions: &[u64],
    functions: Option<Functions<'_>>,
) -> Result<OwnedFd, (io::Error, String)> {
    // Without a log first: one that does not fit its buffer fails the load.
    load_with_log(types, instructions, functions, &mut []).or_else(|_| {
        let mut log = vec![0u8; LOG_BYTES];
        load_with_log(types, instructions, functions, &mut log).map_err(|error| {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            let text = String::from_utf8_lossy(log.get(..end).unwrap_or(&[])).into_owned();
            (error, text)
        })
    })
}

/// Room for what the verifier says of a program that it refuses.
const LOG_BYTES: usize = 1 << 20;

fn load_with_log(
    (program_type, attach_type): (u32, u32),
    instructions: &[u64],
    functions: Option<Functions<'_>>,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attr = ProgramLoad {
        program_type,
        count: instructions.len() as u32,
        instructions: address(instructions),
        license: address(c"GPL".to_bytes_with_nul()),
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { address_mut(log) },
        kernel_version: 0,
        flags: 0,
        name: *b"axoneme_probe\0\0\0",
        ifindex: 0,
        attach_type,
        btf: 0,
        function_size: 0,
        functions: 0,
        function_count: 0,
        pad: 0,
    };
    if let Some(functions) = functions {
        attr.btf = functions.btf.as_raw_fd() as u32;
        attr.function_size = size_of::<[u32; 2]>() as u32;
        attr.functions = address(functions.starts);
        attr.function_count = functions.starts.len() as u32;
    }
    bpf(Command::ProgramLoad, &mut attr).map(owned)
}

#[repr(C)]
struct BtfLoad {
    data: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    pad: u32,
}

/// Loads types in the format of `.BTF`.
pub(crate) fn btf_load(data: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = BtfLoad {
        data: address(data),
        log: 0,
        size: data.len() as u32,
        log_size: 0,
        log_level: 0,
        pad: 0,
    };
    bpf(Command::BtfLoad, &mut attr).map(owned)
}
