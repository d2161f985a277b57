//! What a packet carries through the stages of its path.

use core::ops::{Deref, DerefMut};

use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{
        Address, Drop,
        connection::{ConnectionKey, Entry, Way},
        endpoint::Endpoint,
        node::Node,
    },
    apart::Apart,
    stages::{identity::Trust, nat::Ends, parse::Payload},
};

/// The three seams of one program, so that stages have one parameter instead of three.
pub trait Seams {
    /// The packet.
    type Packet: Packet;
    /// The tables.
    type Maps: Maps;
    /// Everything else.
    type Environment: Environment;
}

impl<P: Packet, M: Maps, E: Environment> Seams for (P, M, E) {
    type Packet = P;
    type Maps = M;
    type Environment = E;
}

const NEXT: u32 = 0;
const DONE: u32 = 1;
/// What a function of its own gives back when the packet is to be dropped.
pub const FAILED: u32 = 2;

/// Whether the path is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next stage.
    Next,
    /// [`Cx::verdict`] holds what becomes of the packet.
    Done,
}

/// Which part of a datagram the packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment: it has the ports.
    First,
    /// A later one: its ports are those of the first, where that was seen.
    Later,
    /// A later one whose first was not seen: it has no ports.
    Orphan,
}

/// Addresses and ports as the packet has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port, network order; ICMP echo request: the identifier.
    pub source_port: u16,
    /// Destination port, network order; ICMP echo reply: the identifier.
    pub destination_port: u16,
    /// IP protocol number of the payload.
    pub protocol: u8,
}

/// One end of the packet: who it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Security identity.
    pub identity: u32,
    /// What policies know it by.
    pub peer: u32,
    /// Rule that let the packet pass at this end.
    pub rule: u32,
    /// Hop that leads there.
    pub hop: u32,
    /// Flags of its address row.
    pub flags: u16,
    /// Id of the endpoint, when it is one of this node, else 0.
    pub id: u16,
    /// Host interface of the endpoint, when it is one of this node, else 0.
    pub ifindex: u32,
}

impl Side {
    /// Whether it is an endpoint of this node.
    #[inline(always)]
    pub fn is_local(&self) -> bool {
        self.ifindex != 0
    }

    /// Makes it this endpoint, or none.
    #[inline(always)]
    pub fn set_endpoint(&mut self, endpoint: Option<&Endpoint>) {
        (self.ifindex, self.id) = endpoint.map_or((0, 0), |row| (row.ifindex, row.id));
    }
}

/// Who was judged last, and how: what a drop is booked on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    /// Endpoint id.
    pub endpoint: u16,
    /// See [`crate::abi::event::direction`].
    pub direction: u8,
    /// Hubble's number for how it matched.
    pub match_type: u8,
    /// The rule that decided.
    pub rule: u32,
    /// The policy it belongs to.
    pub policy: u32,
}

/// Rewrite of a connection, as its entry holds it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite {
    /// Bits of [`crate::abi::connection::flags`].
    pub flags: u16,
    /// Destination port, network order.
    pub to_port: u16,
    /// Source port, network order.
    pub from_port: u16,
    /// Destination.
    pub to: Address,
    /// Source.
    pub from: Address,
    /// Service that was asked for.
    pub service: u32,
    /// Backend that answers.
    pub backend: u32,
}

/// What is still to be done for the tuple of a new connection. Each is a function of its own, called one after the other, because
/// each takes most of the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    #[default]
    Nothing,
    /// The alias of the tuple that it has, or else another port.
    Alias,
    /// A source port.
    Port,
}

/// An answer that is built when the path is done, because its parts need most of the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pending {
    /// None.
    #[default]
    None,
    /// The packet does not fit into so many octets.
    TooBig {
        /// Largest IP packet.
        mtu: u32,
    },
    /// Nobody takes the packet.
    Refuse,
}

/// What the stages know of one packet. It lies outside the stack, whose 512 octets the kernel shares among all callers:
/// in the kernel one per processor, which no other program of that processor uses before this one is done. All zero is a
/// valid value. Laid out by hand, so that what each packet must find cleared lies together, in whole words.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub struct State {
    /// Octets at the IP layer (the frame without its Ethernet header).
    pub length: u32,
    /// Offset of the transport header.
    pub l4: u32,
    /// TCP: sequence number, host order. Fragments: identification.
    pub sequence: u32,
    /// TCP: acknowledgement number, host order.
    pub acknowledgement: u32,
    /// TCP: octets of payload. Until the transport header is read: length of the IP packet without padding.
    pub payload: u32,
    /// Largest IP packet of the way that the packet takes, octets; 0 for no limit.
    pub mtu: u32,
    /// Sum of generations read before the tables that a decision rests on.
    pub generation: u32,
    /// Offset of the quoted transport header.
    pub quoted_l4: u32,
    /// Addresses and ports as the packet had them when it came.
    pub tuple: Tuple,
    /// The sender.
    pub source: Side,
    /// The receiver.
    pub destination: Side,
    /// Rewrite of a new connection.
    pub rewrite: Rewrite,
    /// What a drop is booked on.
    pub judged: Judged,
    /// What becomes of the packet, once a stage says [`Step::Done`].
    pub verdict: Verdict,
    /// The answer to build then, where the verdict is one.
    pub pending: Pending,
    /// TCP: window, host order, unscaled.
    pub window: u16,
    /// TCP flags; for ICMP its type.
    pub tcp_flags: u8,
    /// For ICMP its code.
    pub icmp_code: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Which path, see [`crate::abi::event::hook`].
    pub hook: u8,
    /// What is being told, see [`crate::abi::event::kind`].
    pub telling: u8,
    /// What the Ethernet header is followed by.
    pub frame: Payload,
    /// Which sources can be believed.
    pub trust: Trust,
    /// Which part of a datagram.
    pub fragment: Fragment,
    /// What the tuple of a new connection still needs.
    pub wanted: Wanted,
    /// Whether an IPv4 packet may be fragmented on its way.
    pub fragmentable: bool,
    /// Whether the entry was found by its alias.
    pub aliased: bool,
    /// Whether the tuple of a new connection is that of another one's replies, so that it needs another source port.
    pub lent: bool,
    /// Whether this packet made its entry.
    pub made: bool,
    /// Whether the connection's end is to be told, not this packet's payload.
    pub closes: bool,
    /// Way of the packet in its connection: 0 is [`Way::Forward`]. A plain number, because of an enum's the compiler knows the
    /// range, and computes an address with it that the verifier cannot bound.
    way: u8,
    /// Whether the packet's source is the lower end of the key it was looked up by.
    pub source_is_low: u8,
    /// Key of the connection's primary. Written with the tuple; this and what follows is not cleared for each packet.
    pub key: ConnectionKey,
    /// What an ICMP error quotes; read only where [`State::quoted_l4`] says so.
    pub quoted: Tuple,
    /// The ends of the connection as the receiver of an ICMP error knows them; written before such an error is translated.
    pub seen: Ends,
}

impl State {
    /// So many words of eight octets, from the first, must be zero when a packet comes.
    pub const CLEARED: usize = core::mem::offset_of!(Self, key).div_ceil(8);

    /// Way of the packet in its connection.
    #[inline(always)]
    pub fn way(&self) -> Way {
        if self.way == 0 {
            Way::Forward
        } else {
            Way::Reply
        }
    }

    /// Notes the way of the packet.
    #[inline(always)]
    pub fn set_way(&mut self, way: Way) {
        self.way = match way {
            Way::Forward => 0,
            Way::Reply => 1,
        };
    }
}

/// One packet on one path: [`State`], which it dereferences to, and everything that has a pointer.
pub struct Cx<'a, S: Seams> {
    /// The packet.
    pub packet: &'a mut S::Packet,
    /// The tables.
    pub maps: &'a S::Maps,
    /// Clock, chance, routes, sockets, constants.
    pub env: &'a S::Environment,
    /// The node's row.
    pub node: &'a Node,
    /// Which path, see [`crate::abi::event::hook`].
    pub hook: u8,
    /// The connection, when there is one.
    pub entry: Option<Entry<'a>>,
    state: &'a mut State,
}

impl<S: Seams> Deref for Cx<'_, S> {
    type Target = State;

    #[inline(always)]
    fn deref(&self) -> &State {
        self.state
    }
}

impl<S: Seams> DerefMut for Cx<'_, S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut State {
        self.state
    }
}

impl<'a, S: Seams> Cx<'a, S> {
    /// A packet at the start of the path of `hook`. The state is new, or cleared as [`State::CLEARED`] says.
    #[inline(always)]
    pub fn new(
        packet: &'a mut S::Packet,
        (maps, env): (&'a S::Maps, &'a S::Environment),
        node: &'a Node,
        hook: u8,
        state: &'a mut State,
    ) -> Self {
        state.verdict = Verdict::default();
        state.frame = Payload::default();
        state.trust = Trust::default();
        state.hook = hook;
        state.length = packet.len().saturating_sub(crate::wire::eth::LENGTH);
        Self {
            packet,
            maps,
            env,
            node,
            hook,
            entry: None,
            state,
        }
    }

    /// The same packet inside a stage that is a function of its own.
    #[inline(always)]
    pub fn resume(
        packet: &'a mut S::Packet,
        (maps, env): (&'a S::Maps, &'a S::Environment),
        node: &'a Node,
        state: &'a mut State,
        entry: Option<Entry<'a>>,
    ) -> Self {
        Self {
            packet,
            maps,
            env,
            node,
            hook: state.hook,
            entry,
            state,
        }
    }

    /// Asks the environment to run a stage as a function of its own.
    #[inline(always)]
    pub(crate) fn leave(&mut self, stage: Apart) -> Option<u32> {
        self.env.apart(stage, self.state, self.entry)
    }

    /// What a function of its own gives back, the only register that there is: the reason lies in the verdict.
    #[inline(always)]
    pub fn code(&mut self, result: Result<Step, Drop>) -> u32 {
        match result {
            Ok(Step::Next) => NEXT,
            Ok(Step::Done) => DONE,
            Err(reason) => {
                self.verdict = Verdict::Drop(reason);
                FAILED
            }
        }
    }

    /// The other way round.
    #[inline(always)]
    pub(crate) fn outcome(&self, code: u32) -> Result<Step, Drop> {
        match code {
            NEXT => Ok(Step::Next),
            DONE => Ok(Step::Done),
            _ => match self.verdict {
                Verdict::Drop(reason) => Err(reason),
                _ => Err(Drop::InvalidPacketDropped),
            },
        }
    }

    /// Ends the path.
    #[inline(always)]
    pub fn done(&mut self, verdict: Verdict) -> Result<Step, Drop> {
        self.verdict = verdict;
        Ok(Step::Done)
    }

    /// Destination as the packet has it after translation: what a router goes by.
    #[inline(always)]
    pub fn destination_on_the_wire(&self) -> Address {
        match self.entry {
            Some(entry) => {
                let ends = Ends::of(&self.key, entry.flags());
                match self.way() {
                    Way::Forward => ends.rewritten(entry).responder.0,
                    Way::Reply => ends.initiator.0,
                }
            }
            None => self.tuple.destination,
        }
    }

    /// Row of the sender, when it is an endpoint of this node.
    #[inline(always)]
    pub fn sender(&self) -> Option<&'a Endpoint> {
        self.row(self.source.ifindex)
    }

    /// Row of the receiver, when it is an endpoint of this node.
    #[inline(always)]
    pub fn receiver(&self) -> Option<&'a Endpoint> {
        self.row(self.destination.ifindex)
    }

    #[inline(always)]
    fn row(&self, ifindex: u32) -> Option<&'a Endpoint> {
        let maps = self.maps;
        maps.endpoint(ifindex)
            .filter(|row| ifindex != 0 && row.ifindex == ifindex)
    }

    /// Whether the packet is IPv4.
    #[inline(always)]
    pub fn is_v4(&self) -> bool {
        self.tuple.source.is_v4()
    }
}
