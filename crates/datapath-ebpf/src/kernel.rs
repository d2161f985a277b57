//! Clock, chance, routes, sockets and load-time constants of the kernel, as the data path's [`Environment`].

use core::{cell::UnsafeCell, mem::MaybeUninit};

use aya_ebpf::{
    Global,
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNSUPP_LWT,
        bpf_fib_lookup as FibQuery, bpf_sock_tuple,
    },
    helpers::{
        bpf_fib_lookup, bpf_get_prandom_u32, bpf_jiffies64, bpf_ktime_get_ns, bpf_sk_lookup_udp,
        bpf_sk_release, bpf_skc_lookup_tcp,
    },
};
use datapath::{
    abi::{Mac, connection::Entry, node::Features, sample::OCTETS},
    apart::Apart,
    context::State,
    environment::{Constant, Environment, Feature, Route, RouteQuery, SocketQuery},
};

/// Patched by the loader before the programs are verified.
#[unsafe(no_mangle)]
static FEATURES: Global<Features> = Global::new(Features {
    hz: 250,
    ipv4: 1,
    ipv6: 1,
    tunnel: 0,
    masquerade_ipv4: 0,
    masquerade_ipv6: 0,
    allow_localhost: 1,
    services: 1,
    reject_no_backend: 1,
    events: 1,
    host_policy: 0,
    capture: 1,
    pad: 0,
    nodeport_min: 30000,
    nodeport_max: 32767,
    snat_min: 32768,
    snat_max: 65535,
});

/// Reads one field only, so that the verifier knows its value and drops the code that it switches off.
macro_rules! feature {
    ($field:ident) => {
        // SAFETY: `Global` is transparent over an initialised `Features`; volatile, because the loader changes it.
        unsafe {
            (&raw const (*(&raw const FEATURES).cast::<Features>()).$field).read_volatile()
        }
    };
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `BPF_F_CURRENT_NETNS`: the namespace of the hook's device.
const THIS_NAMESPACE: u64 = u64::MAX;
const TCP: u8 = 6;

/// A word in writable memory: the verifier does not know what it holds.
struct Unknown(UnsafeCell<u32>);

// SAFETY: nobody writes it.
unsafe impl Sync for Unknown {}

/// Always zero.
static ZERO: Unknown = Unknown(UnsafeCell::new(0));

/// A number of octets from 1 to [`OCTETS`], in a form that shows the verifier these bounds. A comparison would not: the compiler
/// makes it on another register.
#[inline(always)]
pub fn bounded(count: u32) -> usize {
    const { assert!(OCTETS.is_power_of_two()) };
    // SAFETY: nobody writes it; volatile, so that the compiler does not know that what follows changes nothing.
    let count = count ^ unsafe { ZERO.0.get().read_volatile() };
    ((count as usize).wrapping_sub(1) & (OCTETS - 1)) + 1
}

/// The kernel around one program run.
#[derive(Clone, Copy)]
pub struct Kernel(*mut __sk_buff);

impl Kernel {
    /// The context that the kernel gave to the program.
    #[inline(always)]
    pub fn new(context: *mut __sk_buff) -> Self {
        Self(context)
    }
}

impl Environment for Kernel {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn route(&self, query: &RouteQuery) -> Route {
        let mut params = MaybeUninit::<FibQuery>::zeroed();
        // SAFETY: all zero is a valid query; the fields written are those of the family asked for.
        let (result, answer) = unsafe {
            let fields = params.assume_init_mut();
            fields.l4_protocol = query.protocol;
            fields.ifindex = query.ifindex;
            fields.__bindgen_anon_1.tot_len = query.length;
            if query.destination.is_v4() {
                fields.family = AF_INET;
                fields.__bindgen_anon_2.tos = query.tos;
                fields.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(query.source.v4_octets());
                fields.__bindgen_anon_4.ipv4_dst =
                    u32::from_ne_bytes(query.destination.v4_octets());
            } else {
                fields.family = AF_INET6;
                fields.__bindgen_anon_2.flowinfo = (u32::from(query.tos) << 20).to_be();
                fields.__bindgen_anon_3.ipv6_src = query.source.0;
                fields.__bindgen_anon_4.ipv6_dst = query.destination.0;
            }
            let size = size_of::<FibQuery>() as i32;
            let result = bpf_fib_lookup(self.0.cast(), params.as_mut_ptr(), size, 0);
            (result, params.assume_init_ref())
        };
        if result < 0 {
            return Route::Unreachable;
        }
        match result as u32 {
            BPF_FIB_LKUP_RET_SUCCESS => Route::Neighbour {
                ifindex: answer.ifindex,
                destination_mac: Mac(answer.dmac),
                source_mac: Mac(answer.smac),
            },
            BPF_FIB_LKUP_RET_NO_NEIGH => Route::Unresolved {
                ifindex: answer.ifindex,
            },
            BPF_FIB_LKUP_RET_NOT_FWDED | BPF_FIB_LKUP_RET_UNSUPP_LWT => Route::Stack,
            BPF_FIB_LKUP_RET_FRAG_NEEDED => Route::TooBig {
                // SAFETY: the kernel writes the MTU into the union with this result.
                mtu: unsafe { answer.__bindgen_anon_1.mtu_result }.into(),
            },
            _ => Route::Unreachable,
        }
    }

    #[inline(always)]
    fn socket_in_use(&self, query: &SocketQuery) -> bool {
        let mut tuple = MaybeUninit::<bpf_sock_tuple>::zeroed();
        // SAFETY: all zero is a valid tuple; a socket that was found is released on the only path that has it.
        unsafe {
            let fields = tuple.assume_init_mut();
            let size = if query.local.is_v4() {
                let four = &mut fields.__bindgen_anon_1.ipv4;
                four.saddr = u32::from_ne_bytes(query.remote.v4_octets());
                four.daddr = u32::from_ne_bytes(query.local.v4_octets());
                four.sport = query.remote_port;
                four.dport = query.local_port;
                size_of_val(four)
            } else {
                let six = &mut fields.__bindgen_anon_1.ipv6;
                six.saddr = query.remote.0;
                six.daddr = query.local.0;
                six.sport = query.remote_port;
                six.dport = query.local_port;
                size_of_val(six)
            };
            let tuple = tuple.as_mut_ptr();
            let socket = if query.protocol == TCP {
                bpf_skc_lookup_tcp(self.0.cast(), tuple, size as u32, THIS_NAMESPACE, 0)
            } else {
                bpf_sk_lookup_udp(self.0.cast(), tuple, size as u32, THIS_NAMESPACE, 0)
            };
            if socket.is_null() {
                return false;
            }
            bpf_sk_release(socket.cast());
        }
        true
    }

    #[inline(always)]
    fn apart(&self, stage: Apart, state: &mut State, entry: Option<Entry<'_>>) -> Option<u32> {
        Some(crate::apart::call(stage, self.0, state, entry))
    }

    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        // SAFETY: nobody writes it; volatile, so that the compiler does not know that.
        value ^ unsafe { ZERO.0.get().read_volatile() }
    }

    #[inline(always)]
    fn on(&self, feature: Feature) -> bool {
        let value = match feature {
            Feature::Ipv4 => feature!(ipv4),
            Feature::Ipv6 => feature!(ipv6),
            Feature::Tunnel => feature!(tunnel),
            Feature::MasqueradeIpv4 => feature!(masquerade_ipv4),
            Feature::MasqueradeIpv6 => feature!(masquerade_ipv6),
            Feature::AllowLocalhost => feature!(allow_localhost),
            Feature::Services => feature!(services),
            Feature::RejectNoBackend => feature!(reject_no_backend),
            Feature::Events => feature!(events),
            Feature::HostPolicy => feature!(host_policy),
            Feature::Capture => feature!(capture),
        };
        value != 0
    }

    #[inline(always)]
    fn constant(&self, constant: Constant) -> u32 {
        match constant {
            Constant::Hz => feature!(hz),
            Constant::NodeportMin => feature!(nodeport_min).into(),
            Constant::NodeportMax => feature!(nodeport_max).into(),
            Constant::SnatMin => feature!(snat_min).into(),
            Constant::SnatMax => feature!(snat_max).into(),
        }
    }
}
