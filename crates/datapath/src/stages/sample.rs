//! Which payload goes to user space, decided by what the connection's entry remembers. See docs/decisions/0017.

use crate::{
    Environment, Maps, Packet,
    abi::{
        Address, Drop,
        connection::{Entry, Way, flags},
        sample::{BEGINNING, FRAME_OCTETS, OCTETS, Record, Sample, UNDECIDED, marks, mode, window},
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Step},
    environment::Feature,
    wire::{
        eth, ip,
        tcp::{
            self,
            flags::{FIN, SYN},
        },
        udp::{self, UdpHeader},
    },
};

/// Of so many segments sampled as frames one asks whether that is still wanted.
const ASK_EVERY: u8 = 16;

/// Stage: the payload of a packet whose connection is known goes to user space, if somebody may want to read it. Before what the
/// packet says of its connection is written into the entry.
#[inline(always)]
pub fn sample<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>) -> Result<(), Drop> {
    if cx.env.on(Feature::Capture) && may_be_wanted(cx, entry) {
        call(cx, Apart::Sample)?;
    }
    Ok(())
}

/// Stage: the segment ended its connection.
#[inline(always)]
pub fn closed<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.env.on(Feature::Capture) {
        cx.closes = true;
        call(cx, Apart::Sample)?;
    }
    Ok(())
}

/// A packet in the midst of a connection that nobody reads pays for this alone.
#[inline(always)]
fn may_be_wanted<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    if cx.fragment != Fragment::Whole {
        return false;
    }
    match cx.tuple.protocol {
        ip::TCP if cx.payload == 0 => cx.tcp_flags & SYN != 0,
        ip::TCP => match entry.sampling(cx.way()) {
            mode::OPAQUE => false,
            mode::HEADS => takes_turn(cx, entry) || !follows(cx, entry),
            _ => true,
        },
        // The port that was asked for: a service may lead to another one.
        ip::UDP => cx.key.low_port == udp::DNS.to_be() || cx.key.high_port == udp::DNS.to_be(),
        _ => false,
    }
}

/// Number of a direction in [`crate::abi::connection::Connection::speaker`].
#[inline(always)]
const fn speaker(way: Way) -> u8 {
    match way {
        Way::Forward => 1,
        Way::Reply => 2,
    }
}

/// Whether the other direction spoke last.
#[inline(always)]
fn takes_turn<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    entry.speaker() != speaker(cx.way())
}

/// Whether the segment begins where the one before it ended. One that does not may be what was lost before.
#[inline(always)]
fn follows<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    cx.sequence == entry.seq_end(cx.way())
}

/// The work: how much of the payload is wanted, and a record of it.
#[inline(always)]
pub(crate) fn take<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    if let Some(entry) = cx.entry {
        if cx.closes {
            cx.closes = false;
            end(cx, entry);
        } else if cx.tuple.protocol != ip::TCP {
            ship(cx, entry, udp_payload(cx), OCTETS as u32);
        } else if cx.payload == 0 {
            ship(cx, entry, (0, 0), 0);
        } else if let Some(limit) = wanted(cx, entry) {
            ship(cx, entry, tcp_payload(cx), limit);
        }
    }
    Step::Next
}

/// So many octets are wanted of a segment; notes that it passed.
#[inline(always)]
fn wanted<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> Option<u32> {
    let turn = takes_turn(cx, entry);
    if turn {
        entry.set_speaker(speaker(cx.way()));
    }
    let small = turn || cx.payload <= OCTETS as u32;
    match decide(cx, entry, turn) {
        mode::OPAQUE => None,
        mode::HEADS => (turn || !follows(cx, entry)).then_some(OCTETS as u32),
        mode::UNDECIDED if entry.segments(cx.way()) <= BEGINNING => Some(OCTETS as u32),
        _ if small => Some(OCTETS as u32),
        _ => Some(FRAME_OCTETS),
    }
}

/// The mode of the connection, after looking for what user space says where that is due.
#[inline(always)]
fn decide<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, turn: bool) -> u8 {
    let way = cx.way();
    let (old, segments) = (entry.sampling(way), entry.segments(way));
    let due = match old {
        mode::UNDECIDED => segments >= BEGINNING,
        mode::HEADS => turn,
        _ => segments % ASK_EVERY == 0,
    };
    if old != mode::HEADS {
        entry.set_segments(way, segments.wrapping_add(1));
    }
    if !due {
        return old;
    }
    let new = match cx.maps.followed(&cx.key) {
        Some(mode) => mode,
        // Nobody reads, or it takes long: what is cheap goes on.
        None if old == mode::UNDECIDED && segments >= UNDECIDED => mode::HEADS,
        None => return old,
    };
    if new != old {
        entry.set_sampling(Way::Forward, new);
        entry.set_sampling(Way::Reply, new);
    }
    new
}

/// Offset and octets of a segment's payload.
#[inline(always)]
fn tcp_payload<S: Seams>(cx: &Cx<'_, S>) -> (u32, u32) {
    let words = cx.packet.load::<u8>(cx.l4 + tcp::DATA_OFFSET);
    let header = words.map_or(0, |words| u32::from(words >> 4) * 4);
    (cx.l4 + header, cx.payload)
}

/// Offset and octets of a datagram's payload.
#[inline(always)]
fn udp_payload<S: Seams>(cx: &Cx<'_, S>) -> (u32, u32) {
    let at = cx.l4 + size_of::<UdpHeader>() as u32;
    (at, (cx.payload + eth::LENGTH).saturating_sub(at))
}

/// On whose account a sample goes: the client's endpoint if it is of this node, else the server's.
#[inline(always)]
fn pod(entry: Entry<'_>) -> u16 {
    match entry.source_endpoint() {
        0 => entry.destination_endpoint(),
        pod => pod,
    }
}

/// Appends a record of the packet with at most `limit` octets of its payload, whose place and length are given; nothing if the pod
/// has none left.
#[inline(always)]
fn ship<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, (at, payload): (u32, u32), limit: u32) {
    if !cx.maps.may_sample(pod(entry), window(cx.env.now_ns())) {
        return;
    }
    cx.maps.sample(|record| {
        let Record { sample, octets } = record;
        head(cx, entry, sample);
        sample.payload = payload;
        let captured = payload.min(limit);
        let captured = match cx.packet.copy(at, captured, octets) {
            Some(()) => captured,
            None => 0,
        };
        sample.captured = captured as u16;
        captured
    });
}

/// Appends a record of the connection's end.
#[inline(always)]
fn end<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) {
    cx.maps.sample(|record| {
        let sample = &mut record.sample;
        head(cx, entry, sample);
        sample.payload = 0;
        sample.captured = 0;
        sample.marks |= marks::CLOSED;
        sample.ends = [Way::Forward, Way::Reply].map(|way| {
            let fin = entry.tcp_flags(way) & u32::from(FIN);
            entry.seq_end(way).wrapping_sub(fin)
        });
        0
    });
}

/// Writes what is the same for every record.
#[inline(always)]
fn head<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, sample: &mut Sample) {
    let (way, flags) = (cx.way(), entry.flags());
    let translated = flags & flags::DESTINATION_NAT != 0;
    sample.time_ns = cx.env.now_ns();
    sample.key = cx.key;
    sample.to = if translated {
        entry.to()
    } else {
        Address::NONE
    };
    sample.sequence = cx.sequence;
    sample.expected = entry.seq_end(way);
    sample.ends = [0; 2];
    sample.source_identity = entry.source_identity();
    sample.destination_identity = entry.destination_identity();
    sample.service = entry.service();
    sample.source_endpoint = entry.source_endpoint();
    sample.destination_endpoint = entry.destination_endpoint();
    sample.to_port = if translated { entry.to_port() } else { 0 };
    sample.flags = flags;
    sample.way = u8::from(way == Way::Reply);
    sample.tcp_flags = cx.tcp_flags;
    sample.marks = if entry.tcp_flags(way) == 0 {
        0
    } else {
        marks::EXPECTED
    };
    sample.mode = entry.sampling(way);
    sample.pad = 0;
}
