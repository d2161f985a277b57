//! The heap of this process: few arenas, and what is free goes back to the kernel.
//!
//! glibc gives each thread an arena of its own, up to eight for each CPU, and keeps what is freed inside of them. An agent reads
//! large lists once and holds little of them, on several threads; without this it stays as large as it was at its largest moment.
//! Other C libraries have no such settings.

/// Of the 8 × CPUs that glibc would make. Two, since one thread decides while others read.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Limits the number of arenas. To be called before any thread is started.
pub fn limit() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers, and changes nothing but the allocator's settings.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives free pages of all arenas back. Takes some milliseconds for each 100 MiB, and blocks who allocates meanwhile.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches only what nobody holds; glibc locks each arena.
    unsafe {
        libc::malloc_trim(0);
    }
}
