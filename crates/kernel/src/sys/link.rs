//! Links, what is attached where, and program runs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{Command, address, address_mut, bpf, info, owned};

/// Start of `struct bpf_link_info`; `target` is {interface, attach type} for tcx and the cgroup id for cgroup links.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkInfo {
    pub(crate) link_type: u32,
    pub(crate) id: u32,
    pub(crate) program: u32,
    pad: u32,
    pub(crate) target: [u32; 4],
}

/// What the kernel knows of a link.
pub(crate) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    info(link)
}

/// Where a link attaches (`enum bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum AttachType {
    SockOps = 3,
    Connect4 = 10,
    Connect6 = 11,
    SendMsg4 = 14,
    SendMsg6 = 15,
    RecvMsg4 = 19,
    RecvMsg6 = 20,
    GetPeerName4 = 29,
    GetPeerName6 = 30,
    TcxIngress = 46,
    TcxEgress = 47,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    pad: u32,
    revision: u64,
}

/// Attaches `program` to `target` (an interface's index for tcx, a cgroup's descriptor otherwise).
pub(crate) fn link_create(
    program: BorrowedFd<'_>,
    target: u32,
    attach_type: AttachType,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        program: program.as_raw_fd() as u32,
        target,
        attach_type: attach_type as u32,
        flags: 0,
        relative: 0,
        pad: 0,
        revision: 0,
    };
    bpf(Command::LinkCreate, &mut attr).map(owned)
}

#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts `program` in the place of the link's current one, without a packet between them.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate {
        link: link.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        flags: 0,
        old_program: 0,
    };
    bpf(Command::LinkUpdate, &mut attr).map(drop)
}

#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    request_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    pad: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// Ids of the programs attached to `target` (as in [`link_create`]), in the order in which they run.
pub(crate) fn attached_programs(target: u32, attach_type: AttachType) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; 64];
    let mut attr = Query {
        target,
        attach_type: attach_type as u32,
        request_flags: 0,
        attach_flags: 0,
        programs: address_mut(ids.as_mut_slice()),
        count: ids.len() as u32,
        pad: 0,
        program_flags: 0,
        links: 0,
        link_flags: 0,
        revision: 0,
    };
    match bpf(Command::ProgramQuery, &mut attr) {
        Ok(_) => {
            ids.truncate(attr.count as usize);
            Ok(ids)
        }
        // No tcx list has ever been made for this interface.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    data_in_length: u32,
    data_out_length: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_length: u32,
    context_out_length: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    pad: u32,
}

/// What one program run gave.
pub(crate) struct RunResult {
    /// The program's return value.
    pub(crate) result: u32,
    /// Mean duration of one repetition, nanoseconds.
    pub(crate) duration_ns: u32,
    /// The packet afterwards.
    pub(crate) data: Vec<u8>,
}

/// Runs `program` on `data`; `context` is a `struct __sk_buff` that is read before and written after the run.
pub(crate) fn test_run(
    program: BorrowedFd<'_>,
    data: &[u8],
    context: &mut [u8],
    repeat: u32,
) -> io::Result<RunResult> {
    // Room for what a program may push in front (an outer header) and append.
    let mut out = vec![0u8; data.len() + 512];
    let mut context_out = context.to_vec();
    let mut attr = TestRun {
        program: program.as_raw_fd() as u32,
        data_in_length: data.len() as u32,
        data_out_length: out.len() as u32,
        data_in: address(data),
        data_out: address_mut(out.as_mut_slice()),
        repeat,
        ..TestRun::default()
    };
    if !context.is_empty() {
        attr.context_in_length = context.len() as u32;
        attr.context_out_length = context.len() as u32;
        attr.context_in = address(context);
        attr.context_out = address_mut(context_out.as_mut_slice());
    }
    bpf(Command::TestRun, &mut attr)?;
    context.copy_from_slice(&context_out);
    out.truncate(attr.data_out_length as usize);
    Ok(RunResult {
        result: attr.result,
        duration_ns: attr.duration,
        data: out,
    })
}
