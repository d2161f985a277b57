//! What TCP segments say about their connection: handshake, closing, reset; nothing is dropped for it.

use crate::{
    Environment, Packet,
    abi::{
        Drop,
        connection::{Entry, Way, flags as entry_flags},
        event::kind,
        service::backend_state,
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Step},
    stages::{record, sample, service},
    wire::{
        ip,
        tcp::{
            self, TcpHeader,
            flags::{ACK, FIN, RST, SYN},
        },
    },
};

/// Flags that end a direction.
const CLOSING: u32 = (FIN | RST) as u32;

#[inline(always)]
const fn other(way: Way) -> Way {
    match way {
        Way::Forward => Way::Reply,
        Way::Reply => Way::Forward,
    }
}

/// Whether the packet is a whole TCP segment.
#[inline(always)]
fn is_segment<S: Seams>(cx: &Cx<'_, S>) -> bool {
    cx.tuple.protocol == ip::TCP && cx.fragment == Fragment::Whole
}

/// Whether the packet begins another connection than the one of its entry: a SYN without ACK on an entry that is closing,
/// that the other side began, or whose backend is gone. Simultaneous open (RFC 9293, 3.5) is one connection.
#[inline(always)]
pub fn begins_anew<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    if !is_segment(cx) || cx.tcp_flags & (SYN | ACK | RST | FIN) != SYN {
        return false;
    }
    let (forward, reply) = (entry.tcp_flags(Way::Forward), entry.tcp_flags(Way::Reply));
    if (forward | reply) & CLOSING != 0 {
        return true;
    }
    match cx.way() {
        Way::Forward => backend_is_gone(cx, entry),
        Way::Reply => forward & u32::from(ACK) != 0,
    }
}

#[inline(always)]
fn backend_is_gone<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    entry.flags() & entry_flags::DESTINATION_NAT != 0
        && service::state_of_backend(cx, entry) != Some(backend_state::ACTIVE)
}

/// Writes what the segment tells into its entry.
#[inline(always)]
pub fn observe<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let Some(entry) = cx.entry.filter(|_| is_segment(cx)) else {
        return Ok(());
    };
    let old = entry.tcp_flags(cx.way());
    if is_one_of_many(cx, entry, old) {
        sequence(cx, entry, old);
        return Ok(());
    }
    if call(cx, Apart::Observe)? == Step::Done {
        sample::closed(cx)?;
        // A hint that it can be collected.
        record::tell(cx, kind::CLOSING)?;
    }
    Ok(())
}

/// Whether the segment neither begins nor ends anything: a call for each of them would cost more than what it writes.
#[inline(always)]
fn is_one_of_many<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, old: u32) -> bool {
    let flags = u32::from(cx.tcp_flags);
    flags & (CLOSING | u32::from(SYN)) == 0 && flags & !old == 0 && entry.answered_ns(cx.way()) != 0
}

/// The writing; [`Step::Done`] when the connection closes with this segment.
#[inline(always)]
pub(crate) fn note<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let Some(entry) = cx.entry else {
        return Ok(Step::Next);
    };
    let way = cx.way();
    let old = entry.tcp_flags(way);
    let mut new = u32::from(cx.tcp_flags);
    if new & CLOSING != 0 && !in_window(cx, entry) {
        // Anybody could close what he likes; the ends will judge the segment themselves.
        new &= !CLOSING;
    }
    handshake(cx, entry, old);
    if cx.tcp_flags & SYN != 0 {
        call(cx, Apart::WindowScale)?;
    }
    sequence(cx, entry, old);
    if old | new != old {
        let before = closed(entry);
        entry.set_tcp_flags(way, old | new);
        if !before && closed(entry) {
            return Ok(Step::Done);
        }
    }
    Ok(Step::Next)
}

/// Whether both ends are done, or one has reset.
#[inline(always)]
fn closed(entry: Entry<'_>) -> bool {
    let (forward, reply) = (entry.tcp_flags(Way::Forward), entry.tcp_flags(Way::Reply));
    (forward | reply) & u32::from(RST) != 0 || forward & reply & u32::from(FIN) != 0
}

/// Whether the segment begins inside what the other side said it takes.
#[inline(always)]
fn in_window<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    let other = other(cx.way());
    if entry.tcp_flags(other) & u32::from(ACK) == 0 {
        // Nothing is known but a SYN: a reset that answers it must acknowledge it.
        return cx.tcp_flags & ACK == 0
            || entry.tcp_flags(other) == 0
            || cx.acknowledgement == entry.seq_end(other);
    }
    let ahead = cx.sequence.wrapping_sub(entry.ack(other));
    // A FIN sent again lies just behind what was acknowledged.
    ahead <= entry.window(other).max(1) || ahead.wrapping_neg() <= 1
}

/// Stamps of the handshake, and SYNs sent again.
#[inline(always)]
fn handshake<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, old: u32) {
    let way = cx.way();
    let syn = cx.tcp_flags & SYN != 0;
    if syn && old & u32::from(SYN) != 0 {
        entry.set_syn_retransmits(way, entry.syn_retransmits(way).wrapping_add(1));
    }
    let ends_handshake = match way {
        Way::Forward => cx.tcp_flags & (SYN | ACK) == ACK,
        Way::Reply => cx.tcp_flags & ACK != 0,
    };
    if ends_handshake && entry.answered_ns(way) == 0 {
        entry.set_answered_ns(way, cx.env.now_ns());
    }
}

/// Highest sequence, acknowledgement and window, and what is sent again.
#[inline(always)]
fn sequence<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, old: u32) {
    let way = cx.way();
    let marks = u32::from(cx.tcp_flags & SYN != 0) + u32::from(cx.tcp_flags & FIN != 0);
    let end = cx.sequence.wrapping_add(cx.payload).wrapping_add(marks);
    if old == 0 || (end.wrapping_sub(entry.seq_end(way)) as i32) > 0 {
        entry.set_seq_end(way, end);
    } else if cx.payload != 0 {
        entry.count_retransmit(way);
    }
    if cx.tcp_flags & ACK != 0 {
        let first = old & u32::from(ACK) == 0;
        if first || (cx.acknowledgement.wrapping_sub(entry.ack(way)) as i32) > 0 {
            entry.set_ack(way, cx.acknowledgement);
        }
    }
    let scale = if cx.tcp_flags & SYN != 0 {
        0
    } else {
        // A scale that we did not see (a connection picked up on its way) is taken to be the largest (RFC 7323).
        match entry.window_scale(way) {
            0 if old & u32::from(SYN) == 0 => 14,
            0 => 0,
            scale => u32::from(scale) - 1,
        }
    };
    let window = u32::from(cx.window) << (scale & 15);
    if window > entry.window(way) {
        entry.set_window(way, window);
    }
    // A reset offers nothing either. Written without a look: the line was just written, and each branch is verified with all that
    // comes behind it.
    let closed = u8::from(cx.window == 0) & u8::from(cx.tcp_flags & RST == 0);
    entry.set_full(way, closed);
}

/// Most options looked at.
const MAX_OPTIONS: u32 = 12;

/// Notes the window scale of a SYN.
#[inline(always)]
pub(crate) fn window_scale<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    if let Some(entry) = cx.entry {
        entry.set_window_scale(cx.way(), announced_scale(cx));
    }
    Step::Next
}

/// The window scale option of a SYN (RFC 7323, 2.2), plus one; 0 without one.
#[inline(always)]
fn announced_scale<S: Seams>(cx: &Cx<'_, S>) -> u8 {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    let mut at = cx.l4 + size_of::<TcpHeader>() as u32;
    let end = cx
        .packet
        .load::<u8>(cx.l4 + tcp::DATA_OFFSET)
        .map_or(0, |offset| cx.l4 + u32::from(offset >> 4) * 4);
    for _ in 0..MAX_OPTIONS {
        if at + 3 > end {
            return 0;
        }
        let Some([kind, length]) = cx.packet.load::<u16>(at).map(u16::to_ne_bytes) else {
            return 0;
        };
        let step = match kind {
            END => return 0,
            NOTHING => 1,
            WINDOW_SCALE => {
                return cx
                    .packet
                    .load::<u8>(at + 2)
                    .map_or(0, |scale| scale.min(14) + 1);
            }
            _ => u32::from(length.max(2)),
        };
        at = cx.env.opaque(at + step);
    }
    0
}
