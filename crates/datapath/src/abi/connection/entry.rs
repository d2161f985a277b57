//! A connection entry in the memory of its table, which other processors write at the same time.

use core::{cell::UnsafeCell, marker::PhantomData, ptr::NonNull};

use super::{Connection, Decision, Direction, RoundTrip};

/// One entry of `connections` or `openings`, in place. Words are read and written whole; counters are added
/// atomically; nothing here takes a lock.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    value: NonNull<Connection>,
    table: PhantomData<&'a UnsafeCell<Connection>>,
}

/// Which way a packet goes, seen from who began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Initiator to responder.
    #[default]
    Forward,
    /// Responder to initiator.
    Reply,
}

/// Generates readers of fields that are immutable after insert.
macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident: $ty:ty;)+) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(self) -> $ty {
            // SAFETY: the constructor promises a live, aligned entry; a volatile read is what concurrent writers expect.
            unsafe { (&raw const (*self.value.as_ptr()).$name).read_volatile() }
        }
    )+ };
}

/// Generates readers and writers of the fields of one direction.
macro_rules! sides {
    ($($(#[$doc:meta])* $name:ident, $set:ident: $ty:ty;)+) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(self, way: Way) -> $ty {
            // SAFETY: as in the readers above.
            unsafe { (&raw const (*self.side(way)).$name).read_volatile() }
        }
        /// Writes the field of the same name.
        #[inline(always)]
        pub fn $set(self, way: Way, value: $ty) {
            // SAFETY: as in the readers above; the entry is writable.
            unsafe { (&raw mut (*self.side(way)).$name).write_volatile(value) }
        }
    )+ };
}

impl<'a> Entry<'a> {
    /// An entry out of a cell that one thread uses.
    pub const fn new(cell: &'a UnsafeCell<Connection>) -> Self {
        // SAFETY: the pointer of a reference is not null.
        let value = unsafe { NonNull::new_unchecked(cell.get()) };
        Self {
            value,
            table: PhantomData,
        }
    }

    /// An entry out of the pointer that a map lookup gave; `None` for null.
    ///
    /// # Safety
    /// `value` must be null or point to an aligned value that stays mapped and writable for `'a`.
    #[inline(always)]
    pub unsafe fn from_ptr(value: *mut Connection) -> Option<Self> {
        NonNull::new(value).map(|value| Self {
            value,
            table: PhantomData,
        })
    }

    /// The pointer that [`Self::from_ptr`] takes back; null for `None`.
    #[inline(always)]
    pub fn into_ptr(entry: Option<Self>) -> *mut Connection {
        entry.map_or(core::ptr::null_mut(), |entry| entry.value.as_ptr())
    }

    #[inline(always)]
    fn side(self, way: Way) -> *mut Direction {
        let entry = self.value.as_ptr();
        // SAFETY: projections within a live value.
        unsafe {
            match way {
                Way::Forward => &raw mut (*entry).sent,
                Way::Reply => &raw mut (*entry).received,
            }
        }
    }

    /// The decision of one direction.
    #[inline(always)]
    pub fn decision(self, way: Way) -> Decision {
        let entry = self.value.as_ptr();
        // SAFETY: an aligned word of a live value, read whole.
        unsafe {
            match way {
                Way::Forward => (&raw const (*entry).forward).read_volatile(),
                Way::Reply => (&raw const (*entry).reverse).read_volatile(),
            }
        }
    }

    /// Stores the decision of one direction.
    #[inline(always)]
    pub fn set_decision(self, way: Way, decision: Decision) {
        let entry = self.value.as_ptr();
        // SAFETY: an aligned word of a live, writable value, written whole.
        unsafe {
            match way {
                Way::Forward => (&raw mut (*entry).forward).write_volatile(decision),
                Way::Reply => (&raw mut (*entry).reverse).write_volatile(decision),
            }
        }
    }

    /// Adds packets and bytes to the counters of one direction.
    #[inline(always)]
    pub fn count(self, way: Way, packets: u64, bytes: u64) {
        let side = self.side(way);
        // SAFETY: aligned words of a live value, which everybody changes atomically only.
        unsafe {
            add(&raw mut (*side).packets, packets);
            add(&raw mut (*side).bytes, bytes);
        }
    }

    readers! {
        /// See [`super::flags`].
        flags: u16;
        /// Identity of the initiator as of its first packet, or as last judged.
        source_identity: u32;
        /// Identity of the responder as of the first packet, or as last judged.
        destination_identity: u32;
        /// The rule that admitted it at the initiator's endpoint.
        egress_rule: u32;
        /// The rule that admitted it at the responder's endpoint.
        ingress_rule: u32;
        /// Endpoint id of the initiator when local.
        source_endpoint: u16;
        /// Endpoint id of the responder when local.
        destination_endpoint: u16;
        /// Destination port after the rewrite, network order.
        to_port: u16;
        /// Destination after the rewrite.
        to: crate::abi::Address;
        /// Source after the rewrite.
        from: crate::abi::Address;
        /// Source port after the rewrite, network order.
        from_port: u16;
        /// Service that was asked for.
        service: u32;
        /// Backend that answers for it.
        backend: u32;
        /// Interface on which the first packet arrived.
        ifindex: u32;
        /// Who sent payload last.
        speaker: u8;
    }

    /// Writes who sent payload last.
    #[inline(always)]
    pub fn set_speaker(self, speaker: u8) {
        // SAFETY: as in the readers above; the entry is writable.
        unsafe { (&raw mut (*self.value.as_ptr()).speaker).write_volatile(speaker) }
    }

    /// Counts a segment that was sent again. Who is overtaken by another processor counts once for both.
    #[inline(always)]
    pub fn count_retransmit(self, way: Way) {
        let entry = self.value.as_ptr();
        // SAFETY: an aligned word of a live, writable value, as in the writers above.
        unsafe {
            let count = match way {
                Way::Forward => &raw mut (*entry).retransmits_sent,
                Way::Reply => &raw mut (*entry).retransmits_received,
            };
            count.write_volatile(count.read_volatile().wrapping_add(1));
        }
    }

    /// Writes what the socket of the end that sends this way measures.
    #[inline(always)]
    pub fn set_round_trip(self, way: Way, measured: RoundTrip) {
        let entry = self.value.as_ptr();
        // SAFETY: aligned words of a live, writable value.
        unsafe {
            let to = match way {
                Way::Forward => &raw mut (*entry).round_trip_sent,
                Way::Reply => &raw mut (*entry).round_trip_received,
            };
            (&raw mut (*to).smoothed_us).write_volatile(measured.smoothed_us);
            (&raw mut (*to).least_us).write_volatile(measured.least_us);
        }
    }

    sides! {
        /// Packets so far.
        packets, set_packets: u64;
        /// When a packet was last seen, jiffies.
        last_seen, set_last_seen: u64;
        /// When the first packet was seen, monotonic nanoseconds.
        first_ns, set_first_ns: u64;
        /// End of the handshake, monotonic nanoseconds.
        answered_ns, set_answered_ns: u64;
        /// TCP flags seen.
        tcp_flags, set_tcp_flags: u32;
        /// SYN segments beyond the first.
        syn_retransmits, set_syn_retransmits: u32;
        /// Highest end of sequence space seen.
        seq_end, set_seq_end: u32;
        /// Highest acknowledgement seen.
        ack, set_ack: u32;
        /// Largest window offered, scaled.
        window, set_window: u32;
        /// Window scale announced in the SYN, plus one.
        window_scale, set_window_scale: u8;
        /// How the payload is sampled.
        sampling, set_sampling: u8;
        /// Segments with payload, as far as they are counted.
        segments, set_segments: u8;
        /// Whether nothing more is taken for now.
        full, set_full: u8;
    }

    /// A copy of the whole value; fields may be of different moments while others write.
    pub fn copy(self) -> Connection {
        // SAFETY: the constructor promises a live, aligned entry; every bit pattern is a value.
        unsafe { self.value.as_ptr().read_volatile() }
    }

    /// Overwrites the whole value.
    pub fn replace(self, value: &Connection) {
        // SAFETY: as above; the entry is writable.
        unsafe { self.value.as_ptr().write_volatile(*value) }
    }

    /// Records what a later judgement found: identities and rules. Readers tolerate a mixture of two judgements here; the decision word is
    /// what packets obey.
    #[inline(always)]
    pub fn set_judgement(self, identities: (u32, u32), rules: (u32, u32)) {
        let entry = self.value.as_ptr();
        // SAFETY: aligned words of a live, writable value.
        unsafe {
            (&raw mut (*entry).source_identity).write_volatile(identities.0);
            (&raw mut (*entry).destination_identity).write_volatile(identities.1);
            (&raw mut (*entry).egress_rule).write_volatile(rules.0);
            (&raw mut (*entry).ingress_rule).write_volatile(rules.1);
        }
    }

    /// Records which endpoints of this node a later judgement covered; same caveat.
    #[inline(always)]
    pub fn set_endpoints(self, source: u16, destination: u16) {
        let entry = self.value.as_ptr();
        // SAFETY: aligned fields of a live, writable value.
        unsafe {
            (&raw mut (*entry).source_endpoint).write_volatile(source);
            (&raw mut (*entry).destination_endpoint).write_volatile(destination);
        }
    }
}

/// Adds atomically; the old value is of no interest.
///
/// # Safety
/// `word` must be aligned, live, and changed by everybody in this way only.
#[inline(always)]
unsafe fn add(word: *mut u64, value: u64) {
    // The target has an atomic add but no compare-and-swap, and `core` offers the one only with the other.
    #[cfg(target_arch = "bpf")]
    // SAFETY: as promised by the caller.
    unsafe {
        core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
            word, value,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as promised by the caller.
    unsafe {
        use core::sync::atomic::{AtomicU64, Ordering};
        AtomicU64::from_ptr(word).fetch_add(value, Ordering::Relaxed);
    }
}
