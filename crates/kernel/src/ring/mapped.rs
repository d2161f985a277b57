//! The memory of a ring, mapped once.
//!
//! The kernel offers the octets of a ring twice in a row, so that no record seems to cross its end. Both would count as memory of
//! the reader, so only the first is mapped here, and the rare record that crosses is put together.
//!
//! Layout as in kernel/bpf/ringbuf.c (5.8 and later): a page with the reader's position, a page with the programs' position, the
//! octets. A record is a header of 8 octets (length, with the two bits below) and its own, filled up to 8.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const HEADER: usize = 8;
/// A program still writes the record.
const BUSY: u32 = 1 << 31;
/// The program that made the record gave it up.
const DISCARDED: u32 = 1 << 30;

/// The records that wait in a ring, for its one reader.
pub(super) struct Records {
    reader: Mapping,
    programs: Mapping,
    page: usize,
    /// Octets of the ring, a power of two.
    size: usize,
    position: usize,
    /// The record that crosses the end.
    crossing: Vec<u8>,
}

impl Records {
    /// Maps the ring `fd` of `size` octets.
    pub(super) fn map(fd: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        let page = page_size()?;
        let reader = Mapping::new(fd, 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        let programs = Mapping::new(fd, page, page + size, libc::PROT_READ)?;
        let position = reader.position().load(Ordering::Acquire);
        Ok(Self {
            reader,
            programs,
            page,
            size,
            position,
            crossing: Vec::new(),
        })
    }

    /// Reads the next record, if one waits that is whole.
    pub(super) fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        while self.position != self.programs.position().load(Ordering::Acquire) {
            let header = self.header();
            if header & BUSY != 0 {
                return None;
            }
            let length = (header & !(BUSY | DISCARDED)) as usize;
            let skipped = header & DISCARDED != 0;
            if skipped {
                self.consume(length);
                continue;
            }
            let found = read(self.record(length));
            self.consume(length);
            return Some(found);
        }
        None
    }

    /// Up to where the records were read, in octets since the ring was made; wraps around.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Header of the record at the position. The programs publish it last.
    fn header(&self) -> u32 {
        // SAFETY: positions are multiples of 8, so the header lies inside of the mapping and is aligned.
        let header = unsafe { self.octet(self.position).cast::<AtomicU32>().as_ref() };
        header.load(Ordering::Acquire)
    }

    fn record(&mut self, length: usize) -> &[u8] {
        let start = (self.position + HEADER) & (self.size - 1);
        let before_end = length.min(self.size - start);
        // SAFETY: inside of the mapping, and no program writes to a record between its header and the reader's next position.
        let first = unsafe { std::slice::from_raw_parts(self.octet(start).as_ptr(), before_end) };
        if before_end == length {
            return first;
        }
        let rest = (length - before_end).min(start);
        // SAFETY: as above; the rest lies at the beginning.
        let rest = unsafe { std::slice::from_raw_parts(self.octet(0).as_ptr(), rest) };
        self.crossing.clear();
        self.crossing.extend_from_slice(first);
        self.crossing.extend_from_slice(rest);
        &self.crossing
    }

    fn octet(&self, position: usize) -> NonNull<u8> {
        let offset = self.page + (position & (self.size - 1));
        // SAFETY: the mapping has a page and `size` octets.
        unsafe { self.programs.start.add(offset) }
    }

    /// Gives the record's octets back to the programs.
    fn consume(&mut self, length: usize) {
        let whole = (HEADER + length).next_multiple_of(8);
        self.position = self.position.wrapping_add(whole);
        self.reader
            .position()
            .store(self.position, Ordering::Release);
    }
}

/// Up to where the programs have written a ring.
pub(super) struct Written(Mapping);

impl Written {
    /// Maps that number of the ring `fd`.
    pub(super) fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let page = page_size()?;
        Mapping::new(fd, page, page, libc::PROT_READ).map(Self)
    }

    /// Octets since the ring was made, those of records that are still written included; wraps around.
    pub(super) fn position(&self) -> usize {
        self.0.position().load(Ordering::Acquire)
    }
}

/// A part of a descriptor in the memory of this process.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is of the process and not of a thread, and only its owner reads through it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: usize, length: usize, access: i32) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses the address; the descriptor is open.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                access,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { start, length })
    }

    /// The position that its first page begins with.
    fn position(&self) -> &AtomicUsize {
        // SAFETY: both mappings begin with such a number, which the kernel reads and writes atomically.
        unsafe { self.start.cast::<AtomicUsize>().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody holds a reference longer than `self`.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.length);
        }
    }
}

fn page_size() -> io::Result<usize> {
    // SAFETY: takes a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}
