//! eBPF in the kernel: load, attach, pin, maps as targets, events.
//!
//! One object holds every program of the packet path. [`Kernel::load`] brings it in once per start, onto the maps that a
//! former agent left pinned; everything else works on the typed handles of [`maps::Maps`].

pub mod attach;
pub mod calls;
pub mod clock;
pub mod collector;
pub mod config;
pub mod events;
pub mod fake;
pub mod heap;
mod instruction;
pub mod layout;
pub mod map;
pub mod maps;
pub mod object;
pub mod operations;
pub mod pin;
pub mod probe;
pub mod program_run;
pub mod resize;
pub mod ring;
pub mod samples;
pub mod scripted;
mod sys;

pub use config::Config;
pub use map::{Map, MapError, PerCpuMap, Presence};
pub use maps::Maps;
pub use object::{Hook, Kernel, LoadError, Programs};
pub use operations::{Operation, Operations};
pub use pin::{PinDirectory, PinError};
