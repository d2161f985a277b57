//! Hooks of the node's cgroup: services at the socket.

use aya_ebpf::{bindings::bpf_sock_addr, helpers::bpf_set_retval};
use datapath::paths::sock::{SocketVerdict, restore, translate};

use crate::{
    sock::{Family, SocketAddress},
    tables::Tables,
};

/// The call goes on.
const PASS: i32 = 1;
/// The call fails with the value set.
const FAIL: i32 = 0;
const ECONNREFUSED: i32 = 111;

#[inline(always)]
fn asked(context: *mut bpf_sock_addr, family: Family) -> i32 {
    match translate(&mut SocketAddress::new(context, family), &Tables) {
        SocketVerdict::Pass => PASS,
        SocketVerdict::Refuse => {
            // SAFETY: a helper on a number.
            unsafe { bpf_set_retval(-ECONNREFUSED) };
            FAIL
        }
    }
}

#[inline(always)]
fn shown(context: *mut bpf_sock_addr, family: Family) -> i32 {
    restore(&mut SocketAddress::new(context, family), &Tables);
    PASS
}

/// A program on the cgroup.
macro_rules! socket_hook {
    ($name:ident, $section:literal, $what:ident, $family:ident) => {
        #[doc = $section]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = $section)]
        pub extern "C" fn $name(context: *mut bpf_sock_addr) -> i32 {
            $what(context, Family::$family)
        }
    };
}

socket_hook!(sock4_connect, "cgroup/connect4", asked, V4);
socket_hook!(sock6_connect, "cgroup/connect6", asked, V6);
socket_hook!(sock4_sendmsg, "cgroup/sendmsg4", asked, V4);
socket_hook!(sock6_sendmsg, "cgroup/sendmsg6", asked, V6);
socket_hook!(sock4_recvmsg, "cgroup/recvmsg4", shown, V4);
socket_hook!(sock6_recvmsg, "cgroup/recvmsg6", shown, V6);
socket_hook!(sock4_getpeer, "cgroup/getpeername4", shown, V4);
socket_hook!(sock6_getpeer, "cgroup/getpeername6", shown, V6);
