//! Generations: which cached decisions are stale.
//!
//! A decision is valid iff the sum of the generations of its two addresses and of the node is the one it was made
//! under. A commit writes all tables first and raises generations last; a reader reads generations first. They never
//! decrease, not over restarts.

use super::Address;

/// Number of slots that addresses share.
pub const SLOTS: u32 = 65536;
/// Index of the slot that every decision depends on.
pub const NODE_SLOT: u32 = SLOTS;
/// Size of the array `generations` (of `u32`).
pub const SIZE: u32 = SLOTS + 1;

/// The slot of an address: 16 bits of a multiplicative hash over its words.
#[inline(always)]
pub const fn slot_of(address: &Address) -> u32 {
    let [first, second, third, last] = address.0;
    let mixed = first
        .wrapping_mul(0x9e37_79b1)
        .wrapping_add(second.wrapping_mul(0x85eb_ca77))
        .wrapping_add(third.wrapping_mul(0xc2b2_ae3d))
        .wrapping_add(last);
    mixed.wrapping_mul(0x2754_5f05) >> 16
}
