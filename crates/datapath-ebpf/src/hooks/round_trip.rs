//! Round trips, as sockets below the node's cgroup measure them.

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_RTT_CB, BPF_SOCK_OPS_RTT_CB_FLAG, bpf_sock_ops,
    },
    helpers::{bpf_jiffies64, bpf_sock_ops_cb_flags_set},
};
use datapath::{
    abi::{Address, connection::RoundTrip},
    environment::{Constant, Environment},
    paths::round_trip::{End, note},
};

use crate::{
    kernel::Kernel,
    tables::{Tables, is_due},
};

const AF_INET: u32 = 2;
/// What the kernel asks is answered by others: with 0 nobody's answer would count, and with 1 and no word the kernel does as ever.
const NO_ANSWER: i32 = 1;
/// Segments that a socket must have sent: what ends before has told its round trip by its handshake.
const SETTLED: u32 = 8;

/// A field of the context: the kernel wants whole words, read one by one.
macro_rules! read {
    ($context:ident.$field:ident) => {
        // SAFETY: the context is valid for the run.
        unsafe { (&raw const (*$context).$field).read_volatile() }
    };
}

/// Asks established sockets to tell when they have measured something, and notes it once a second.
#[unsafe(no_mangle)]
#[unsafe(link_section = "sockops")]
pub extern "C" fn sock_round_trip(context: *mut bpf_sock_ops) -> i32 {
    match read!(context.op) {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            // Others may have asked for other things.
            let flags = read!(context.bpf_sock_ops_cb_flags) | BPF_SOCK_OPS_RTT_CB_FLAG;
            // SAFETY: a helper on the run's context. Where it fails there is nothing to tell.
            unsafe { bpf_sock_ops_cb_flags_set(context, flags as i32) };
        }
        BPF_SOCK_OPS_RTT_CB => measured(context),
        _ => (),
    }
    NO_ANSWER
}

#[inline(always)]
fn measured(context: *mut bpf_sock_ops) {
    if read!(context.segs_out) < SETTLED {
        return;
    }
    // The one is in host order, the other in network order in the upper half.
    let local_port = read!(context.local_port) as u16;
    let remote_port = (read!(context.remote_port) >> 16) as u16;
    let hz = Kernel::new(core::ptr::null_mut()).constant(Constant::Hz);
    // SAFETY: a helper without arguments.
    let jiffies = unsafe { bpf_jiffies64() } as u32;
    let connection = u32::from(local_port).wrapping_mul(31) ^ u32::from(remote_port);
    if !is_due(connection, jiffies, hz) {
        return;
    }
    let (local, remote) = addresses(context);
    let local = End {
        address: local,
        port: local_port.to_be(),
    };
    let remote = End {
        address: remote,
        port: remote_port,
    };
    let measured = RoundTrip {
        // The kernel keeps eight times of it.
        smoothed_us: read!(context.srtt_us) >> 3,
        least_us: read!(context.rtt_min),
    };
    note(&local, &remote, measured, &Tables);
}

/// Its own address and its peer's. All fields are read whatever the family: of a choice between two the compiler makes one read at
/// an offset that varies, which the verifier refuses.
#[inline(always)]
fn addresses(context: *mut bpf_sock_ops) -> (Address, Address) {
    let v4 = [read!(context.local_ip4), read!(context.remote_ip4)];
    // SAFETY: fields of the context, which is valid for the run.
    let v6 = unsafe {
        [
            words((&raw const (*context).local_ip6).cast()),
            words((&raw const (*context).remote_ip6).cast()),
        ]
    };
    if read!(context.family) == AF_INET {
        let [local, remote] = v4.map(|address| Address::v4(address.to_ne_bytes()));
        (local, remote)
    } else {
        let [local, remote] = v6;
        (local, remote)
    }
}

/// # Safety
/// Four words of the run's context.
#[inline(always)]
unsafe fn words(of: *const u32) -> Address {
    // SAFETY: as promised by the caller.
    unsafe {
        Address([
            of.read_volatile(),
            of.add(1).read_volatile(),
            of.add(2).read_volatile(),
            of.add(3).read_volatile(),
        ])
    }
}
