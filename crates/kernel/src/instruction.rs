//! Instructions of the kernel's machine, for small programs that no compiler makes.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Size of a load or store: the bits of the instruction's code.
pub(crate) const WORD: u8 = 0x00;
pub(crate) const HALF: u8 = 0x08;
pub(crate) const OCTET: u8 = 0x10;
pub(crate) const DOUBLE: u8 = 0x18;

pub(crate) const fn word(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | (to as u64) << 8
        | (from as u64) << 12
        | (offset as u16 as u64) << 16
        | (immediate as u32 as u64) << 32
}

pub(crate) const fn load(size: u8, to: u8, from: u8, offset: usize) -> u64 {
    word(0x61 | size, to, from, offset as i16, 0)
}

pub(crate) const fn store(size: u8, to: u8, offset: usize, from: u8) -> u64 {
    word(0x63 | size, to, from, offset as i16, 0)
}

pub(crate) const fn put(size: u8, to: u8, offset: usize, value: i32) -> u64 {
    word(0x62 | size, to, 0, offset as i16, value)
}

pub(crate) const fn set(to: u8, value: i32) -> u64 {
    word(0xb7, to, 0, 0, value)
}

pub(crate) const fn copy(to: u8, from: u8) -> u64 {
    word(0xbf, to, from, 0, 0)
}

pub(crate) const fn add(to: u8, value: i32) -> u64 {
    word(0x07, to, 0, 0, value)
}

/// Jumps over `over` instructions if the register equals `value`.
pub(crate) const fn skip_if(register: u8, value: i32, over: i16) -> u64 {
    word(0x15, register, 0, over, value)
}

pub(crate) const fn skip_unless(register: u8, value: i32, over: i16) -> u64 {
    word(0x55, register, 0, over, value)
}

pub(crate) const fn skip(over: i16) -> u64 {
    word(0x05, 0, 0, over, 0)
}

pub(crate) const fn call(helper: i32) -> u64 {
    word(0x85, 0, 0, 0, helper)
}

pub(crate) const EXIT: u64 = word(0x95, 0, 0, 0, 0);
pub(crate) const LOOKUP: i32 = 1;

/// `BPF_PSEUDO_MAP_FD` into a register.
pub(crate) fn map(to: u8, map: BorrowedFd<'_>) -> [u64; 2] {
    [word(0x18, to, 1, 0, map.as_raw_fd()), 0]
}

/// `BPF_PSEUDO_MAP_VALUE`: address of the only value.
pub(crate) fn value(to: u8, map: BorrowedFd<'_>) -> [u64; 2] {
    [word(0x18, to, 2, 0, map.as_raw_fd()), 0]
}
