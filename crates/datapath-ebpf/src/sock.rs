//! A socket at a cgroup hook: `bpf_sock_addr` as the data path's [`Socket`].

use aya_ebpf::{
    bindings::bpf_sock_addr,
    helpers::{bpf_get_netns_cookie, bpf_get_prandom_u32, bpf_get_socket_cookie, bpf_jiffies64},
};
use datapath::{
    abi::Address,
    environment::{Constant, Environment},
    paths::sock::Socket,
};

use crate::kernel::Kernel;

/// Which fields of the context hold the address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `user_ip4`
    V4,
    /// `user_ip6`, also for IPv4 on an IPv6 socket.
    V6,
}

/// The socket of one program run.
pub struct SocketAddress {
    context: *mut bpf_sock_addr,
    family: Family,
}

impl SocketAddress {
    /// The context that the kernel gave to the program.
    #[inline(always)]
    pub fn new(context: *mut bpf_sock_addr, family: Family) -> Self {
        Self { context, family }
    }
}

impl Socket for SocketAddress {
    #[inline(always)]
    fn address(&self) -> Address {
        // SAFETY: the context is valid for the run; the kernel wants whole words, read one by one.
        unsafe {
            match self.family {
                Family::V4 => {
                    let address = (&raw const (*self.context).user_ip4).read_volatile();
                    Address::v4(address.to_ne_bytes())
                }
                Family::V6 => {
                    let words = (&raw const (*self.context).user_ip6).cast::<u32>();
                    Address([
                        words.read_volatile(),
                        words.add(1).read_volatile(),
                        words.add(2).read_volatile(),
                        words.add(3).read_volatile(),
                    ])
                }
            }
        }
    }

    #[inline(always)]
    fn port(&self) -> u16 {
        // SAFETY: as above.
        unsafe { (&raw const (*self.context).user_port).read_volatile() as u16 }
    }

    #[inline(always)]
    fn protocol(&self) -> u8 {
        // SAFETY: as above.
        unsafe { (&raw const (*self.context).protocol).read_volatile() as u8 }
    }

    #[inline(always)]
    fn set(&mut self, address: &Address, port: u16) {
        let Address([a, b, c, d]) = *address;
        // SAFETY: as above; the fields are writable at these hooks.
        unsafe {
            match self.family {
                Family::V4 => (&raw mut (*self.context).user_ip4).write_volatile(d),
                Family::V6 => {
                    let words = (&raw mut (*self.context).user_ip6).cast::<u32>();
                    words.write_volatile(a);
                    words.add(1).write_volatile(b);
                    words.add(2).write_volatile(c);
                    words.add(3).write_volatile(d);
                }
            }
            (&raw mut (*self.context).user_port).write_volatile(port.into());
        }
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: a helper on the run's context.
        unsafe { bpf_get_socket_cookie(self.context.cast()) }
    }

    #[inline(always)]
    fn namespace(&self) -> u64 {
        // SAFETY: a helper on the run's context.
        unsafe { bpf_get_netns_cookie(self.context.cast()) }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn hz(&self) -> u32 {
        Kernel::new(core::ptr::null_mut()).constant(Constant::Hz)
    }
}
