//! Whether the ring of events woke whoever waits for it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Waits for wake-ups, and not for data: edge-triggered.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// From now on. What lies in the ring must have been read.
    pub(crate) fn of(ring: &OwnedFd) -> io::Result<Self> {
        // SAFETY: a call without pointers.
        let made = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: new, and nobody else's.
        let bell = Self(unsafe { OwnedFd::from_raw_fd(made) });
        let mut wanted = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLET) as u32,
            u64: 0,
        };
        // SAFETY: both descriptors are open, and the event outlives the call.
        let result = unsafe {
            libc::epoll_ctl(
                bell.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                ring.as_raw_fd(),
                &raw mut wanted,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(bell)
    }

    /// Whether somebody was woken since.
    pub(crate) fn rang(&self) -> io::Result<bool> {
        let mut came = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for the one event that is asked for.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut came, 1, 0) };
        match count {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
