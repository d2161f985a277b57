//! Links, addresses, routes, rules, neighbours, filters, sockets, namespaces and sysctls of one node, without an async runtime.
//!
//! A request is a value: the modules build [`Request`]s (pure, printable, testable), a [`Handle`] carries them to the
//! kernel. Several requests go out in one `sendmsg`, each with its own acknowledgement, because a pod's set-up is
//! latency critical:
//!
//! ```no_run
//! use netlink::{AdminState, Handle, Namespace, link, link::{Veth, VethEnd}};
//! # fn main() -> Result<(), netlink::Error> {
//! let pod = Namespace::open("/run/netns/pod")?;
//! let host = Namespace::current()?;
//! let in_pod = Handle::open_in(&pod)?;
//! in_pod.run(&link::create_veth(&Veth {
//!     end: VethEnd::named("eth0"),
//!     state: AdminState::Up,
//!     peer: VethEnd::named("lxc0123456789ab"),
//!     peer_namespace: Some(&host),
//! }))?;
//! let eth0 = in_pod.link("eth0")?;
//! in_pod.run_all(&[link::set_mtu(eth0.index, 1450), link::set_up(1)])?;
//! # Ok(()) }
//! ```
//!
//! Messages are written and read by hand: the set is small, and what the kernel does with each attribute is
//! what matters here. Everything is blocking; a [`Handle`] is `Send + Sync`, callers with a runtime use its blocking pool.

pub mod address;
pub mod diag;
mod error;
pub mod filter;
mod handle;
pub mod link;
mod mac;
pub mod namespace;
pub mod neighbour;
pub mod route;
pub mod rule;
mod socket;
pub mod sysctl;
mod wire;

pub use error::{Error, Result};
pub use handle::{Handle, Request};
pub use link::{AdminState, Link, LinkRef};
pub use mac::{Mac, ParseMacError};
pub use namespace::{NamedNamespace, Namespace, NamespaceId};

/// Route protocol of everything the agent installs: `RTPROT_KERNEL`, which routing daemons leave alone.
pub const PROTOCOL: u8 = 2;

/// The address families requests and dumps are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4, `AF_INET`.
    V4,
    /// IPv6, `AF_INET6`.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    pub(crate) fn raw(self) -> u8 {
        match self {
            Self::V4 => libc::AF_INET as u8,
            Self::V6 => libc::AF_INET6 as u8,
        }
    }
}
