//! What every program that runs on and on does alike: it reads settings, writes a log, stops when told to, and shows metrics.

pub mod log;
pub mod metrics;
mod run;
pub mod settings;

pub use run::{refuse, run};

/// musl's own allocator has one lock for all threads and gives memory back to the kernel as soon as it can, to ask for it again.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
