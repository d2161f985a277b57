//! A packet at a tc hook: `__sk_buff` as the data path's [`Packet`].

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_TUNINFO_IPV6, BPF_F_ZERO_CSUM_TX,
        bpf_tunnel_key,
    },
    helpers::{
        bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_change_tail,
        bpf_skb_change_type, bpf_skb_get_tunnel_key, bpf_skb_load_bytes, bpf_skb_set_tunnel_key,
        bpf_skb_store_bytes,
    },
};
use datapath::{
    abi::{Address, Drop, Mac, Plain, sample::OCTETS},
    packet::{Checksum, Packet, Tunnel, Zero},
};

use crate::kernel::bounded;

/// Highest offset that is read directly: what the verifier must know to bound the pointer.
const REACH: u32 = 0x3fff;
/// `BPF_F_IPV6`: the word is an IPv6 address, whose change does not move the sum over the whole packet (Linux 6.16).
const IPV6_ADDRESS: u64 = 1 << 7;
/// TTL of outer packets.
const TUNNEL_TTL: u8 = 64;

/// The packet of one program run.
#[derive(Clone, Copy)]
pub struct Skb(*mut __sk_buff);

impl Skb {
    /// The context that the kernel gave to the program.
    #[inline(always)]
    pub fn new(context: *mut __sk_buff) -> Self {
        Self(context)
    }

    /// The context, for helpers.
    #[inline(always)]
    pub fn context(&self) -> *mut __sk_buff {
        self.0
    }

    /// Address of `size` octets at `offset` that may be read directly.
    #[inline(always)]
    fn direct(&self, offset: u32, size: usize) -> Option<usize> {
        if offset > REACH {
            return None;
        }
        // SAFETY: the context is valid for the run; the kernel rewrites these loads to packet pointers.
        let (data, end) = unsafe { ((*self.0).data as usize, (*self.0).data_end as usize) };
        let at = data + offset as usize;
        // One octet would be compared as `at < end`, of which the verifier makes nothing.
        (at + size.max(2) <= end).then_some(at)
    }
}

/// Copies a value in words: a packet's fields have any alignment, which the processors that we run on read as they are, while the
/// compiler would take single octets.
#[inline(always)]
unsafe fn read_words<T: Plain>(at: usize) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr().cast::<u8>();
    let size = size_of::<T>();
    let mut done = 0;
    // SAFETY: `size` octets are readable at `at` (caller) and writable at `to`; each step stays below `size`.
    unsafe {
        while done + 4 <= size {
            let word = ((at + done) as *const u32).read_volatile();
            to.add(done).cast::<u32>().write_unaligned(word);
            done += 4;
        }
        if done + 2 <= size {
            let half = ((at + done) as *const u16).read_volatile();
            to.add(done).cast::<u16>().write_unaligned(half);
            done += 2;
        }
        if done < size {
            to.add(done)
                .write(((at + done) as *const u8).read_volatile());
        }
        value.assume_init()
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: the context is valid for the run.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn gso_size(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).gso_size }
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).gso_segs }.max(1)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).ifindex }
    }

    #[inline(always)]
    fn ingress_ifindex(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).ingress_ifindex }
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).mark }
    }

    #[inline(always)]
    fn set_mark(&mut self, mark: u32) {
        // SAFETY: as above.
        unsafe { (*self.0).mark = mark }
    }

    #[inline(always)]
    fn load<T: Plain>(&self, offset: u32) -> Option<T> {
        if let Some(at) = self.direct(offset, size_of::<T>()) {
            // SAFETY: the bound was just checked against the end of the direct part.
            return Some(unsafe { read_words(at) });
        }
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes `size_of::<T>()` octets or fails; every bit pattern is a `T`.
        unsafe {
            let result = bpf_skb_load_bytes(
                self.0.cast(),
                offset,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            );
            (result == 0).then(|| value.assume_init())
        }
    }

    #[inline(always)]
    fn copy(&self, offset: u32, count: u32, to: &mut [u8; OCTETS]) -> Option<()> {
        if count == 0 {
            return None;
        }
        let count = bounded(count) as u32;
        // SAFETY: the helper writes `count` octets or fails, and there is room for as many.
        let result =
            unsafe { bpf_skb_load_bytes(self.0.cast(), offset, to.as_mut_ptr().cast(), count) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn store<T: Plain>(&mut self, offset: u32, value: &T) -> Result<(), Drop> {
        // SAFETY: the helper reads `size_of::<T>()` octets of `value`.
        let result = unsafe {
            bpf_skb_store_bytes(
                self.0,
                offset,
                core::ptr::from_ref(value).cast(),
                size_of::<T>() as u32,
                0,
            )
        };
        done(result, Drop::ErrorWritingToPacket)
    }

    #[inline(always)]
    fn set_macs(&mut self, destination: Mac, source: Mac) -> Result<(), Drop> {
        let (Mac(to), Mac(from)) = (destination, source);
        if let Some(at) = self.direct(0, 12) {
            let words = [
                u32::from_ne_bytes([to[0], to[1], to[2], to[3]]),
                u32::from_ne_bytes([to[4], to[5], from[0], from[1]]),
                u32::from_ne_bytes([from[2], from[3], from[4], from[5]]),
            ];
            // SAFETY: twelve octets are in the direct part, which a classifier may write.
            unsafe {
                (at as *mut u32).write_volatile(words[0]);
                ((at + 4) as *mut u32).write_volatile(words[1]);
                ((at + 8) as *mut u32).write_volatile(words[2]);
            }
            return Ok(());
        }
        Err(Drop::ErrorWritingToPacket)
    }

    #[inline(always)]
    fn adjust_ipv4_checksum(&mut self, offset: u32, from: u32, to: u32) -> Result<(), Drop> {
        // SAFETY: a helper on the run's context.
        let result = unsafe { bpf_l3_csum_replace(self.0, offset, from.into(), to.into(), 4) };
        done(result, Drop::ErrorWhileCorrectingL3Checksum)
    }

    #[inline(always)]
    fn adjust_checksum_for_address(
        &mut self,
        checksum: Checksum,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop> {
        let flags = u64::from(BPF_F_PSEUDO_HDR) | zero(checksum);
        let offset = checksum.offset;
        if from.is_v4() {
            let (from, to) = (
                u32::from_ne_bytes(from.v4_octets()),
                u32::from_ne_bytes(to.v4_octets()),
            );
            // SAFETY: a helper on the run's context.
            let result =
                unsafe { bpf_l4_csum_replace(self.0, offset, from.into(), to.into(), flags | 4) };
            return done(result, Drop::ErrorWhileCorrectingL4Checksum);
        }
        let (mut from, mut to) = (*from, *to);
        // SAFETY: the helpers read sixteen octets of each address.
        let result = unsafe {
            let difference =
                bpf_csum_diff((&raw mut from).cast(), 16, (&raw mut to).cast(), 16, 0) as u32;
            let new =
                bpf_l4_csum_replace(self.0, offset, 0, difference.into(), flags | IPV6_ADDRESS);
            if new == 0 {
                0
            } else {
                // Kernels before 6.16 refuse the flag.
                bpf_l4_csum_replace(self.0, offset, 0, difference.into(), flags)
            }
        };
        done(result, Drop::ErrorWhileCorrectingL4Checksum)
    }

    #[inline(always)]
    fn adjust_checksum_for_field(
        &mut self,
        checksum: Checksum,
        from: u16,
        to: u16,
    ) -> Result<(), Drop> {
        // SAFETY: a helper on the run's context.
        let result = unsafe {
            bpf_l4_csum_replace(
                self.0,
                checksum.offset,
                from.into(),
                to.into(),
                zero(checksum) | 2,
            )
        };
        done(result, Drop::ErrorWhileCorrectingL4Checksum)
    }

    #[inline(always)]
    fn resize(&mut self, len: u32) -> Result<(), Drop> {
        // SAFETY: a helper on the run's context.
        done(
            unsafe { bpf_skb_change_tail(self.0, len, 0) },
            Drop::InvalidTcBuffer,
        )
    }

    #[inline(always)]
    fn accept(&mut self) -> Result<(), Drop> {
        const PACKET_HOST: u32 = 0;
        // SAFETY: a helper on the run's context.
        let result = unsafe { bpf_skb_change_type(self.0, PACKET_HOST) };
        done(result, Drop::ErrorWritingToPacket)
    }

    #[inline(always)]
    fn tunnel(&self) -> Result<Tunnel, Drop> {
        let mut key = MaybeUninit::<bpf_tunnel_key>::zeroed();
        let size = size_of::<bpf_tunnel_key>() as u32;
        // SAFETY: the helper fills `size` octets; the union's fields are plain numbers, chosen by the family asked for.
        unsafe {
            if bpf_skb_get_tunnel_key(self.0, key.as_mut_ptr(), size, 0) == 0 {
                let key = key.assume_init();
                return Ok(Tunnel {
                    identity: key.tunnel_id,
                    remote: Address::v4(key.__bindgen_anon_1.remote_ipv4.to_be_bytes()),
                });
            }
            let flags = u64::from(BPF_F_TUNINFO_IPV6);
            if bpf_skb_get_tunnel_key(self.0, key.as_mut_ptr(), size, flags) == 0 {
                let key = key.assume_init();
                return Ok(Tunnel {
                    identity: key.tunnel_id,
                    remote: Address(key.__bindgen_anon_1.remote_ipv6),
                });
            }
        }
        Err(Drop::ErrorRetrievingTunnelKey)
    }

    #[inline(always)]
    fn set_tunnel(&mut self, tunnel: &Tunnel) -> Result<(), Drop> {
        let mut key = MaybeUninit::<bpf_tunnel_key>::zeroed();
        // SAFETY: all zero is a valid key; the helper reads `size` octets of it.
        let result = unsafe {
            let fields = key.assume_init_mut();
            fields.tunnel_id = tunnel.identity;
            fields.tunnel_ttl = TUNNEL_TTL;
            let flags = if tunnel.remote.is_v4() {
                fields.__bindgen_anon_1.remote_ipv4 = u32::from_be_bytes(tunnel.remote.v4_octets());
                BPF_F_ZERO_CSUM_TX
            } else {
                fields.__bindgen_anon_1.remote_ipv6 = tunnel.remote.0;
                BPF_F_TUNINFO_IPV6
            };
            let size = size_of::<bpf_tunnel_key>() as u32;
            bpf_skb_set_tunnel_key(self.0, key.as_mut_ptr(), size, flags.into())
        };
        done(result, Drop::ErrorWritingToPacket)
    }
}

#[inline(always)]
fn zero(checksum: Checksum) -> u64 {
    match checksum.zero {
        Zero::Sum => 0,
        Zero::Absent => BPF_F_MARK_MANGLED_0.into(),
    }
}

#[inline(always)]
fn done(result: i64, failed: Drop) -> Result<(), Drop> {
    if result == 0 { Ok(()) } else { Err(failed) }
}
