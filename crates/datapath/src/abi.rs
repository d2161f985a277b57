//! The binary layout of every map and event: shared, byte for byte, by the programs in the kernel and by user space.
//!
//! Rules: `repr(C)`, no implicit padding, ports and addresses in network order, all else in host order. A change of
//! a type, or of what it means, raises the number of each map that holds it (`kernel::layout`), so that two releases never
//! read each other's bytes.

pub mod address;
pub mod connection;
pub mod drop;
pub mod endpoint;
pub mod event;
pub mod generation;
pub mod ipcache;
pub mod node;
pub mod policy;
pub mod sample;
pub mod service;

pub use address::{Address, Mac, PrefixKey};
pub use drop::Drop;

/// Version of how pins are arranged; part of their directory's name (`abi-1`). Layouts of maps have numbers of their own.
pub const VERSION: u32 = 1;

/// A value without padding and without invalid bit patterns, which may be read from and written to kernel memory.
///
/// # Safety
/// The type must be `repr(C)` or an integer, have no padding bytes, and accept every bit pattern.
pub unsafe trait Plain: Copy + 'static {
    /// The bytes of the value, in the layout of the kernel.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: `Self` has no padding (contract of the trait), so all bytes are initialised.
        unsafe {
            core::slice::from_raw_parts(core::ptr::from_ref(self).cast::<u8>(), size_of::<Self>())
        }
    }

    /// The value of `bytes`; `None` if the length is not exactly that of the type.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, every bit pattern is valid (contract), and the read needs no alignment.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

macro_rules! plain {
    ($($ty:ty = $size:literal),+ $(,)?) => { $(
        // SAFETY: `repr(C)` with explicit padding only; the size below is the sum of the fields.
        unsafe impl $crate::abi::Plain for $ty {}
        const _: () = assert!(size_of::<$ty>() == $size, concat!("layout of ", stringify!($ty)));
    )+ };
}
pub(crate) use plain;

// SAFETY: integers have no padding and accept every bit pattern.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
