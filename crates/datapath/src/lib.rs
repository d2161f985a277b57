//! The path of a packet as plain functions, the ABI of all maps and events, and the wire formats.
//!
//! No dependencies, no allocator, no clock: what a path needs from outside (packet, maps, time, randomness, routes)
//! comes in through traits, so that the same body runs in `cargo test` and in the kernel.
//!
//! A hook of the kernel calls `paths::from_container(&mut packet, &maps, &environment, &mut state) -> Verdict` (and `to_container`,
//! `from_netdev`, `to_netdev`, `from_overlay`, `from_host` alike) and turns the verdict into its return code; counting,
//! events and rewriting are done inside.
#![cfg_attr(not(any(test, feature = "world")), no_std)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    allow(
        internal_features,
        reason = "the atomic add of the target; one use, in abi::connection::entry"
    )
)]
#![allow(
    clippy::inline_always,
    reason = "the verifier wants one flat program, and the compiler cannot know that"
)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod abi;
pub mod apart;
pub mod context;
pub mod environment;
pub mod family;
pub mod maps;
pub mod packet;
pub mod paths;
pub mod stages;
mod verdict;
pub mod wire;
#[cfg(any(test, feature = "world"))]
pub mod world;

pub use environment::Environment;
pub use maps::Maps;
pub use packet::Packet;
pub use verdict::Verdict;

pub use abi::Drop;
