//! Which edges of the program an input went through, from the counters that the compiler's pass puts there.
//!
//! LLVM's `sancov-module` pass, which a stable compiler takes by `-Cpasses`, gives every edge an eight-bit counter and
//! tells their place once at start. Without the pass there are no counters, and the mutations are blind.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

static START: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Called before `main` with the section of all counters; each part of the program calls it with the same one.
///
/// # Safety
/// LLVM's contract: both ends of one section, which lives as long as the program.
#[unsafe(no_mangle)]
unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    START.store(start, Ordering::Relaxed);
    LENGTH.store(stop.addr() - start.addr(), Ordering::Relaxed);
}

/// Counters that are looked at together: most of a program does not run for one input.
const BLOCK: usize = 256;

/// What has been seen of each edge so far.
pub(crate) struct Coverage {
    /// For each counter the classes of counts that were seen, one bit each.
    seen: Vec<u8>,
}

impl Coverage {
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self {
            seen: vec![0; LENGTH.load(Ordering::Relaxed)],
        }
    }

    /// Number of edges that were gone through at least once.
    pub(crate) fn edges(&self) -> usize {
        self.seen.iter().filter(|classes| **classes != 0).count()
    }

    /// Takes the counters of the run before and clears them; says whether it did anything for the first time.
    pub(crate) fn take(&mut self) -> bool {
        let start = START.load(Ordering::Relaxed);
        let mut new = false;
        for (block, classes) in self.seen.chunks_mut(BLOCK).enumerate() {
            // SAFETY: the section is as long as `seen`, and this chunk lies within it; nobody else is running code whose
            // counts matter, and a lost count is no fault.
            let Some(counts) = (unsafe { take_block(start.add(block * BLOCK), classes.len()) })
            else {
                continue;
            };
            for (classes, count) in classes.iter_mut().zip(counts) {
                let class = class_of(count);
                new |= *classes & class != class;
                *classes |= class;
            }
        }
        new
    }
}

/// Up to a block of counters, which are cleared; nothing if none has counted.
///
/// # Safety
/// `length` bytes at `at` are counters.
unsafe fn take_block(at: *mut u8, length: usize) -> Option<[u8; BLOCK]> {
    let mut counts = [0; BLOCK];
    // SAFETY: as the caller promises; no more than a block is touched.
    unsafe { ptr::copy_nonoverlapping(at, counts.as_mut_ptr(), length.min(BLOCK)) };
    if counts == [0; BLOCK] {
        return None;
    }
    // SAFETY: as above.
    unsafe { ptr::write_bytes(at, 0, length.min(BLOCK)) };
    Some(counts)
}

/// A bit for each order of magnitude: once, twice, three times, up to 7, 15, 31, 127, more.
fn class_of(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..8 => 8,
        8..16 => 16,
        16..32 => 32,
        32..128 => 64,
        128.. => 128,
    }
}
