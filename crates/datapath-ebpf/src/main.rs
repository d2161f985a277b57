//! The one object of the packet path: every hook of the node.
#![no_std]
#![no_main]
#![allow(
    clippy::inline_always,
    reason = "the verifier wants flat programs, and the compiler cannot know that"
)]

mod apart;
mod hooks;
mod kernel;
mod skb;
mod sock;
mod tables;

/// Nothing in the programs panics; the linker asks for this all the same.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the kernel asks before it lends GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual BSD/GPL\0";
