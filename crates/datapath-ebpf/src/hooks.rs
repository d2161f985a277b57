//! The entry points, one file per kind of device; each makes the seams and turns the verdict into the kernel's code.

mod container;
mod host;
mod netdev;
mod overlay;
mod round_trip;
mod sock;

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT},
    helpers::{bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer},
};
use datapath::{Verdict, context::State};

/// The return code of a verdict; redirects are asked of the kernel here.
#[inline(always)]
fn finish(state: &State) -> i32 {
    // SAFETY: a live value. Volatile, because the compiler would merge the parts that a verdict does not use with any
    // register, which the verifier refuses when that holds a pointer.
    let verdict = unsafe { (&raw const state.verdict).read_volatile() };
    // SAFETY: helpers on numbers; no parameters are given for the neighbour.
    let code = unsafe {
        match verdict {
            Verdict::Pass => return TC_ACT_OK,
            Verdict::Drop(_) => return TC_ACT_SHOT,
            Verdict::Redirect { ifindex } | Verdict::Answer { ifindex } => bpf_redirect(ifindex, 0),
            Verdict::RedirectPeer { ifindex } => bpf_redirect_peer(ifindex, 0),
            Verdict::RedirectNeighbour { ifindex } => {
                bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0)
            }
        }
    };
    code as i32
}

/// A classifier: makes the seams, walks the path, returns its verdict.
macro_rules! hook {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "classifier")]
        pub extern "C" fn $name(context: *mut aya_ebpf::bindings::__sk_buff) -> i32 {
            let mut packet = $crate::skb::Skb::new(context);
            let environment = $crate::kernel::Kernel::new(context);
            let Some(state) = $crate::tables::state() else {
                return $crate::hooks::TC_ACT_SHOT;
            };
            let tables = $crate::tables::Tables;
            let verdict = datapath::paths::$name(&mut packet, &tables, &environment, state);
            $crate::hooks::finish(state)
        }
    };
}
use hook;
