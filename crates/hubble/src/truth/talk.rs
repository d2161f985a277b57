//! One connection, packet by packet: its entry as the kernel would keep it, and the samples that it would take
//! (docs/decisions/0017).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use datapath::abi::Address;
use datapath::abi::connection::{Connection, ConnectionKey, Direction, RoundTrip, flags};
use datapath::abi::endpoint::hop_kind;
use datapath::abi::event::{self, Event};
use datapath::abi::sample::{BEGINNING, FRAME_OCTETS, OCTETS, Sample, marks, mode};
use datapath::wire::tcp::flags::{ACK, FIN, PSH, RST, SYN};

use super::Step;
use super::town::RULE;
use crate::connections::Entry;
use crate::records::{Judgement, Mode, Party, Point, Record, What, protocol};

/// Payload of one segment.
const SEGMENT: usize = 1448;
/// Between two packets of one side.
const GAP_NS: u64 = 50_000;
/// How the policy matched, by upstream's number: L3 and L4.
const MATCHED: u8 = 2;

/// In which form a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In segments that are full.
    Plain,
    /// In two segments.
    Split(usize),
    /// In two segments, the second of which comes first.
    Reordered(usize),
    /// The last segment comes twice.
    Twice,
}

/// When a message was seen: its first octet, and the last that was sampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
}

/// A connection.
pub(super) struct Talk {
    pub(super) now_ns: u64,
    pub(super) entry: Connection,
    pub(super) steps: Vec<(u64, Step)>,
    key: ConnectionKey,
    client: Party,
    server: Party,
    asked: Option<SocketAddr>,
    protocol: u8,
    /// How it is sampled once that is decided.
    decided: u8,
    mode: u8,
    next: [u32; 2],
    segments: [u8; 2],
}

const fn wire(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::v4(address.octets()),
        IpAddr::V6(address) => Address::v6(address.octets()),
    }
}

/// Where both sides' sequence numbers begin: anywhere, and elsewhere for each use of the same ports (RFC 6528).
const fn first_numbers(at_ns: u64) -> [u32; 2] {
    // The multiplier of splitmix64 spreads moments that lie close together.
    let spread = at_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [(spread >> 32) as u32, spread as u32]
}

impl Talk {
    /// A connection of which nothing was sent yet.
    pub(super) fn new(
        (client, server): (Party, Party),
        asked: Option<SocketAddr>,
        (protocol, decided): (u8, u8),
        now_ns: u64,
    ) -> Self {
        let to = asked.unwrap_or(SocketAddr::new(server.address, server.port));
        let (source, destination) = (wire(client.address), wire(to.ip()));
        let (key, low) = ConnectionKey::of(
            (&source, client.port.to_be()),
            (&destination, to.port().to_be()),
            protocol,
            0,
        );
        let low = if low { flags::INITIATOR_LOW } else { 0 };
        let translated = asked.map_or(0, |_| flags::DESTINATION_NAT);
        let entry = Connection {
            created_ns: now_ns,
            source_identity: client.identity,
            destination_identity: server.identity,
            source_endpoint: client.endpoint,
            destination_endpoint: server.endpoint,
            flags: low | translated,
            to: wire(server.address),
            to_port: server.port.to_be(),
            hook: event::hook::FROM_CONTAINER,
            protocol,
            ..Connection::default()
        };
        Self {
            now_ns,
            entry,
            steps: Vec::new(),
            key,
            client,
            server,
            asked,
            protocol,
            decided,
            mode: mode::UNDECIDED,
            next: first_numbers(now_ns),
            segments: [0; 2],
        }
    }

    /// Time passes.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now_ns += time.as_nanos() as u64;
    }

    /// The event of the first packet: that it was let through, or what became of it.
    pub(super) fn told(&mut self, kind: u8, what: What, reason: u8) {
        let to = self.asked;
        let mut event = Event {
            time_ns: self.now_ns,
            kind,
            hook: event::hook::FROM_CONTAINER,
            direction: event::direction::INGRESS,
            reason,
            protocol: self.protocol,
            tcp_flags: if self.protocol == protocol::TCP {
                SYN
            } else {
                0
            },
            match_type: MATCHED,
            source: wire(self.client.address),
            destination: wire(to.map_or(self.server.address, |to| to.ip())),
            source_port: self.client.port.to_be(),
            destination_port: to.map_or(self.server.port, |to| to.port()).to_be(),
            source_identity: self.client.identity,
            destination_identity: self.server.identity,
            source_endpoint: self.client.endpoint,
            destination_endpoint: self.server.endpoint,
            ingress_rule: RULE,
            hop_kind: hop_kind::LOCAL,
            ..Event::default()
        };
        if to.is_some() {
            event.translated = wire(self.server.address);
            event.translated_port = self.server.port.to_be();
        }
        let record = Record {
            tcp_flags_or_icmp_type: event.tcp_flags,
            what,
            ..self.record()
        };
        let step = Step::Event(Box::new(event), Box::new(record));
        self.steps.push((self.now_ns, step));
    }

    /// That it was let through.
    pub(super) fn opens(&mut self) {
        let egress = (self.client.endpoint != 0).then_some(Judgement {
            rule: 0,
            match_type: 0,
            mode: Mode::Enforced,
            proxy_port: 0,
        });
        let what = What::New {
            point: Point::ToEndpoint,
            egress,
            ingress: Some(judgement()),
        };
        self.told(event::kind::OPENED, what, 0);
    }

    /// The handshake: SYN, and its answer after a while.
    pub(super) fn connects(&mut self, after: Duration) {
        self.opens();
        self.packet(0, SYN, &[]);
        self.wait(after);
        self.packet(1, SYN | ACK, &[]);
        self.now_ns += GAP_NS;
        self.packet(0, ACK, &[]);
        self.measures();
    }

    /// One in three connections is measured by nobody, and one by its server alone.
    fn measures(&mut self) {
        let [spread, _] = first_numbers(self.now_ns);
        let of = |smoothed_us| RoundTrip {
            smoothed_us,
            least_us: smoothed_us / 3,
        };
        let measured = of(spread % 50_000 + 10);
        let ends = match spread % 3 {
            0 => <[RoundTrip; 2]>::default(),
            1 => [RoundTrip::default(), measured],
            _ => [measured, of(7)],
        };
        [self.entry.round_trip_sent, self.entry.round_trip_received] = ends;
    }

    /// A packet without payload, or a datagram.
    pub(super) fn packet(&mut self, way: u8, tcp_flags: u8, datagram: &[u8]) {
        let sequence = self.next[usize::from(way)];
        self.passes(way, tcp_flags, datagram.len());
        if tcp_flags & SYN != 0 || !datagram.is_empty() {
            self.ship(
                way,
                tcp_flags,
                (sequence, sequence),
                datagram,
                datagram.len(),
            );
        }
        let counts = u32::from(tcp_flags & (SYN | FIN) != 0);
        let next = &mut self.next[usize::from(way)];
        *next = next.wrapping_add(counts);
    }

    /// The entry counts a packet.
    fn passes(&mut self, way: u8, tcp_flags: u8, payload: usize) {
        let headers = if self.protocol == protocol::TCP {
            40
        } else {
            28
        };
        let now_ns = self.now_ns;
        let direction = self.direction(way);
        if tcp_flags == SYN && direction.packets > 0 {
            direction.syn_retransmits += 1;
        }
        direction.packets += 1;
        direction.bytes += headers + payload as u64;
        direction.tcp_flags |= u32::from(tcp_flags);
        if direction.first_ns == 0 {
            direction.first_ns = now_ns;
        }
    }

    const fn direction(&mut self, way: u8) -> &mut Direction {
        if way == 0 {
            &mut self.entry.sent
        } else {
            &mut self.entry.received
        }
    }

    /// Whether a message of two segments is sampled whole.
    pub(super) fn may_split(&self, way: u8) -> bool {
        let segments = self.segments[usize::from(way)];
        let is_beginning = self.mode == mode::UNDECIDED && segments + 2 <= BEGINNING;
        self.decided == mode::FRAMES || is_beginning
    }

    /// Segments with payload that the server sent, as far as they count for how it is sampled.
    pub(super) const fn segments_of_server(&self) -> u8 {
        self.segments[1]
    }

    /// One side says something.
    pub(super) fn says(&mut self, way: u8, octets: &[u8], form: Form) -> Times {
        let start = self.next[usize::from(way)];
        let mut parts: Vec<(usize, &[u8])> = match form {
            Form::Plain | Form::Twice => {
                let parts = octets.chunks(SEGMENT).enumerate();
                parts.map(|(at, part)| (at * SEGMENT, part)).collect()
            }
            Form::Split(at) | Form::Reordered(at) => {
                let (first, second) = octets.split_at(at);
                vec![(0, first), (at, second)]
            }
        };
        if matches!(form, Form::Reordered(_)) {
            parts.reverse();
        }
        if form == Form::Twice {
            parts.extend(parts.last().copied());
        }
        let mut times = Times {
            first_ns: 0,
            last_ns: 0,
        };
        for (at, part) in parts {
            self.now_ns += GAP_NS;
            let is_sampled = self.segment(way, start.wrapping_add(at as u32), part);
            let is_again = form == Form::Twice && times.last_ns != 0 && at == 0;
            if is_sampled && at == 0 && !is_again {
                times.first_ns = self.now_ns;
            }
            // What comes again was seen before.
            if is_sampled && form != Form::Twice || times.last_ns == 0 {
                times.last_ns = self.now_ns;
            }
        }
        times
    }

    /// A segment with payload; says whether it is sampled.
    fn segment(&mut self, way: u8, sequence: u32, payload: &[u8]) -> bool {
        self.passes(way, PSH | ACK, payload.len());
        let expected = self.next[usize::from(way)];
        let end = sequence.wrapping_add(payload.len() as u32);
        if end.wrapping_sub(expected).cast_signed() > 0 {
            self.next[usize::from(way)] = end;
        } else {
            let again = match way {
                0 => &mut self.entry.retransmits_sent,
                _ => &mut self.entry.retransmits_received,
            };
            *again += 1;
        }
        let Some(limit) = self.wanted(way, payload.len(), sequence == expected) else {
            return false;
        };
        let seen = &payload[..payload.len().min(limit)];
        self.ship(way, PSH | ACK, (sequence, expected), seen, payload.len());
        true
    }

    /// Octets that the kernel would take of a segment (`datapath::stages::sample`).
    fn wanted(&mut self, way: u8, payload: usize, follows: bool) -> Option<usize> {
        let turn = self.entry.speaker != way + 1;
        self.entry.speaker = way + 1;
        let segments = &mut self.segments[usize::from(way)];
        if self.mode == mode::UNDECIDED && *segments >= BEGINNING {
            self.mode = self.decided;
        }
        if self.mode != mode::HEADS {
            *segments = segments.saturating_add(1);
        }
        match self.mode {
            mode::OPAQUE => None,
            mode::HEADS => (turn || !follows).then_some(OCTETS),
            mode::UNDECIDED if *segments <= BEGINNING => Some(OCTETS),
            _ if turn || payload <= OCTETS => Some(OCTETS),
            _ => Some(FRAME_OCTETS as usize),
        }
    }

    fn ship(
        &mut self,
        way: u8,
        tcp_flags: u8,
        (sequence, expected): (u32, u32),
        octets: &[u8],
        payload: usize,
    ) {
        let is_first = tcp_flags & SYN != 0 || self.protocol != protocol::TCP;
        let sample = Sample {
            sequence,
            expected,
            payload: payload as u32,
            captured: octets.len() as u16,
            way,
            tcp_flags,
            marks: if is_first { 0 } else { marks::EXPECTED },
            mode: self.mode,
            ..self.sample()
        };
        let step = Step::Sample(Box::new(sample), octets.to_vec());
        self.steps.push((self.now_ns, step));
    }

    fn sample(&self) -> Sample {
        let translated = self.asked.is_some();
        Sample {
            time_ns: self.now_ns,
            key: self.key,
            to: if translated {
                wire(self.server.address)
            } else {
                Address::NONE
            },
            to_port: self.server.port.to_be(),
            source_identity: self.client.identity,
            destination_identity: self.server.identity,
            source_endpoint: self.client.endpoint,
            destination_endpoint: self.server.endpoint,
            service: u32::from(self.server.endpoint),
            flags: self.entry.flags,
            ..Sample::default()
        }
    }

    /// Both sides close it.
    pub(super) fn closes(&mut self) {
        for way in [0, 1] {
            self.now_ns += GAP_NS;
            self.packet(way, FIN | ACK, &[]);
        }
        let ends = self.next.map(|next| next.wrapping_sub(1));
        self.ended(ends);
    }

    /// One side resets it.
    pub(super) fn resets(&mut self, way: u8) {
        self.now_ns += GAP_NS;
        self.packet(way, RST | ACK, &[]);
        self.ended(self.next);
    }

    fn ended(&mut self, ends: [u32; 2]) {
        let sample = Sample {
            marks: marks::CLOSED,
            ends,
            ..self.sample()
        };
        let step = Step::Sample(Box::new(sample), Vec::new());
        self.steps.push((self.now_ns, step));
    }

    /// Somebody looks at the entry after a while.
    pub(super) fn looked_at(&mut self, after: Duration, entry: Entry) {
        self.wait(after);
        let tcp_flags = if self.protocol == protocol::TCP {
            (self.entry.sent.tcp_flags | self.entry.received.tcp_flags) as u8
        } else {
            0
        };
        let record = Record {
            tcp_flags_or_icmp_type: tcp_flags,
            ..self.record()
        };
        let step = Step::Entry(self.key, Box::new(self.entry), entry, Box::new(record));
        self.steps.push((self.now_ns, step));
    }

    fn record(&self) -> Record {
        Record {
            time_ns: self.now_ns,
            source: self.client,
            destination: self.server,
            asked: self.asked,
            translated_source: None,
            protocol: self.protocol,
            tcp_flags_or_icmp_type: 0,
            icmp_code: 0,
            interface: 0,
            macs: None,
            what: What::Closed {
                point: Point::ToEndpoint,
                way: crate::records::Way::Forward,
            },
        }
    }
}

/// The judgement of the one rule.
pub(super) const fn judgement() -> Judgement {
    Judgement {
        rule: RULE,
        match_type: MATCHED,
        mode: Mode::Enforced,
        proxy_port: 0,
    }
}
