//! The bpf() system call: the few commands that we need, with owned descriptors and `io::Error`.
//!
//! Layouts are those of `union bpf_attr` in include/uapi/linux/bpf.h (kernel 6.6 and later).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::calls;

mod link;
mod program;

pub(crate) use link::{
    AttachType, attached_programs, link_create, link_info, link_update, test_run,
};
pub(crate) use program::{
    CLASSIFIER, Functions, SOCKET_ADDRESS, btf_load, program_load, program_load_with_functions,
};

/// Commands of bpf(2).
#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    MapCreate = 0,
    Lookup = 1,
    Update = 2,
    Delete = 3,
    NextKey = 4,
    ProgramLoad = 5,
    ObjectPin = 6,
    ObjectGet = 7,
    TestRun = 10,
    ObjectInfo = 15,
    ProgramQuery = 16,
    BtfLoad = 18,
    MapFreeze = 22,
    LookupBatch = 24,
    UpdateBatch = 26,
    DeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
}

impl Command {
    /// As upstream's metrics name it, where they do.
    const fn as_str(self) -> &'static str {
        match self {
            Self::MapCreate => "create",
            Self::Lookup => "lookup",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::NextKey => "getNextKey",
            Self::ProgramLoad => "progLoad",
            Self::ObjectPin => "objPin",
            Self::ObjectGet => "objGet",
            Self::TestRun => "progTestRun",
            Self::ObjectInfo => "getInfoByFD",
            Self::ProgramQuery => "progQuery",
            Self::BtfLoad => "btfLoad",
            Self::MapFreeze => "freeze",
            Self::LookupBatch => "lookupBatch",
            Self::UpdateBatch => "updateBatch",
            Self::DeleteBatch => "deleteBatch",
            Self::LinkCreate => "linkCreate",
            Self::LinkUpdate => "linkUpdate",
        }
    }
}

/// `BPF_ANY`: create or replace.
pub(crate) const ANY: u64 = 0;
/// `BPF_NOEXIST`: create only.
pub(crate) const CREATE: u64 = 1;

/// One call; every reference inside `attr` must be valid for the command.
fn bpf<T>(command: Command, attr: &mut T) -> io::Result<i64> {
    calls::timed(command.as_str(), || call(command, attr))
}

fn call<T>(command: Command, attr: &mut T) -> io::Result<i64> {
    // SAFETY: `attr` is a `repr(C)` prefix of `union bpf_attr` of the size given, and the callers in this file fill its
    // pointers from slices that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// A descriptor that the kernel has just returned.
fn owned(raw: i64) -> OwnedFd {
    // SAFETY: the system call returned a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(raw as i32) }
}

fn address<T: ?Sized>(reference: &T) -> u64 {
    std::ptr::from_ref(reference).cast::<u8>() as u64
}

fn address_mut<T: ?Sized>(reference: &mut T) -> u64 {
    std::ptr::from_mut(reference).cast::<u8>() as u64
}

fn path_text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "path contains a zero byte"))
}

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner: u32,
    numa: u32,
    name: [u8; 16],
}

/// Makes a map; `name` is cut to the kernel's 15 bytes.
pub(crate) fn map_create(
    name: &str,
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
) -> io::Result<OwnedFd> {
    map_create_with_flags(name, map_type, [key_size, value_size, max_entries, 0])
}

/// The same, with `sizes` = key, value, entries, flags.
pub(crate) fn map_create_with_flags(
    name: &str,
    map_type: u32,
    sizes: [u32; 4],
) -> io::Result<OwnedFd> {
    let [key_size, value_size, max_entries, flags] = sizes;
    let mut attr = MapCreate {
        map_type,
        key_size,
        value_size,
        max_entries,
        flags,
        inner: 0,
        numa: 0,
        name: [0; 16],
    };
    for (to, from) in attr.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bpf(Command::MapCreate, &mut attr).map(owned)
}

/// Makes a map constant for user space; with `BPF_F_RDONLY_PROG` the verifier then knows what it holds.
pub(crate) fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = map.as_raw_fd() as u32;
    bpf(Command::MapFreeze, &mut attr).map(drop)
}

#[repr(C)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Element {
    fn new(map: BorrowedFd<'_>, key: &[u8], value: u64, flags: u64) -> Self {
        Self {
            map: map.as_raw_fd() as u32,
            pad: 0,
            key: address(key),
            value,
            flags,
        }
    }
}

/// `Ok(None)` where the error means "no such entry".
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the value of `key` into `value`, which must have the map's value size (times CPUs, rounded to 8, if per CPU).
pub(crate) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<Option<()>> {
    let mut attr = Element::new(map, key, address_mut(value), 0);
    absent(bpf(Command::Lookup, &mut attr).map(drop))
}

/// Writes one entry.
pub(crate) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let mut attr = Element::new(map, key, address(value), flags);
    bpf(Command::Update, &mut attr).map(drop)
}

/// Deletes one entry; `None` if there was none.
pub(crate) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<Option<()>> {
    let mut attr = Element::new(map, key, 0, 0);
    absent(bpf(Command::Delete, &mut attr).map(drop))
}

/// The key after `key` (or the first one) into `next`; `None` at the end.
pub(crate) fn next_key(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<Option<()>> {
    let mut attr = Element::new(map, &[], address_mut(next), 0);
    attr.key = key.map_or(0, address);
    absent(bpf(Command::NextKey, &mut attr).map(drop))
}

#[repr(C)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// What a batch lookup brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// There is more behind the cursor.
    More,
    /// The map has been walked to its end.
    Done,
}

/// Reads up to `count` entries behind `cursor` (empty slice: from the start) and moves the cursor.
///
/// `cursor` must hold max(4, key size) bytes. `ENOSPC` means that a bucket of the hash holds more than `count`.
pub(crate) fn lookup_batch(
    map: BorrowedFd<'_>,
    first: bool,
    cursor: &mut [u8],
    keys: &mut [u8],
    values: &mut [u8],
    count: u32,
) -> io::Result<(u32, BatchEnd)> {
    let mut attr = Batch {
        from: if first { 0 } else { address(cursor) },
        next: address_mut(cursor),
        keys: address_mut(keys),
        values: address_mut(values),
        count,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    match bpf(Command::LookupBatch, &mut attr) {
        Ok(_) => Ok((attr.count, BatchEnd::More)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok((attr.count, BatchEnd::Done))
        }
        Err(error) => Err(error),
    }
}

fn write_batch(
    command: Command,
    map: BorrowedFd<'_>,
    keys: &[u8],
    values: u64,
    count: u32,
) -> (u32, io::Result<()>) {
    let mut attr = Batch {
        from: 0,
        next: 0,
        keys: address(keys),
        values,
        count,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    let result = bpf(command, &mut attr).map(drop);
    (attr.count, result)
}

/// Writes `count` entries; returns how many were written before the error, if there was one.
pub(crate) fn update_batch(
    map: BorrowedFd<'_>,
    keys: &[u8],
    values: &[u8],
    count: u32,
) -> (u32, io::Result<()>) {
    write_batch(Command::UpdateBatch, map, keys, address(values), count)
}

/// Deletes `count` entries; returns how many were deleted before the error, if there was one.
pub(crate) fn delete_batch(map: BorrowedFd<'_>, keys: &[u8], count: u32) -> (u32, io::Result<()>) {
    write_batch(Command::DeleteBatch, map, keys, 0, count)
}

#[repr(C)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Pins a map, program or link at `path` on a bpffs.
pub(crate) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let text = path_text(path)?;
    let mut attr = Object {
        path: address(text.as_bytes_with_nul()),
        fd: fd.as_raw_fd() as u32,
        flags: 0,
    };
    bpf(Command::ObjectPin, &mut attr).map(drop)
}

/// Opens what is pinned at `path`; `None` if nothing is.
pub(crate) fn open_pin(path: &Path) -> io::Result<Option<OwnedFd>> {
    let text = path_text(path)?;
    let mut attr = Object {
        path: address(text.as_bytes_with_nul()),
        fd: 0,
        flags: 0,
    };
    absent(bpf(Command::ObjectGet, &mut attr).map(owned))
}

#[repr(C)]
struct InfoRequest {
    fd: u32,
    length: u32,
    info: u64,
}

fn info<T: Default>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    let mut attr = InfoRequest {
        fd: fd.as_raw_fd() as u32,
        length: size_of::<T>() as u32,
        info: address_mut(&mut info),
    };
    bpf(Command::ObjectInfo, &mut attr)?;
    Ok(info)
}

/// Start of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MapInfo {
    pub(crate) map_type: u32,
    pub(crate) id: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) name: [u8; 16],
}

/// What the kernel knows of a map.
pub(crate) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    info(map)
}

/// `struct bpf_prog_info` up to `verified_insns`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProgramInfo {
    pub(crate) program_type: u32,
    pub(crate) id: u32,
    pub(crate) tag: [u8; 8],
    pub(crate) jited_length: u32,
    pub(crate) xlated_length: u32,
    jited: u64,
    pub(crate) xlated: u64,
    load_time: u64,
    created_by: u32,
    map_count: u32,
    map_ids: u64,
    pub(crate) name: [u8; 16],
    ifindex: u32,
    bits: u32,
    netns: [u64; 2],
    symbol_counts: [u32; 2],
    symbols: [u64; 2],
    btf: u32,
    function_record: u32,
    functions: u64,
    function_count: u32,
    line_count: u32,
    lines: [u64; 2],
    line_sizes: [u32; 3],
    tag_count: u32,
    tags: u64,
    pub(crate) run_time_ns: u64,
    pub(crate) run_count: u64,
    recursion_misses: u64,
    pub(crate) verified_instructions: u32,
    attach_btf_object: u32,
    attach_btf: u32,
    pad: u32,
}

/// What the kernel knows of a program.
pub(crate) fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    info(program)
}

/// The program's instructions after verification, eight bytes each; empty where the kernel hides them.
pub(crate) fn program_instructions(program: BorrowedFd<'_>) -> io::Result<Vec<[u8; 8]>> {
    let length = program_info(program)?.xlated_length;
    let mut instructions = vec![[0u8; 8]; length as usize / 8];
    let mut request = ProgramInfo {
        xlated_length: length,
        xlated: address_mut(instructions.as_mut_slice()),
        ..ProgramInfo::default()
    };
    let mut attr = InfoRequest {
        fd: program.as_raw_fd() as u32,
        length: size_of::<ProgramInfo>() as u32,
        info: address_mut(&mut request),
    };
    bpf(Command::ObjectInfo, &mut attr)?;
    if request.xlated == 0 {
        instructions.clear();
    }
    Ok(instructions)
}
