//! What a connection said, with whose it was: the hand-over from who takes samples to who counts records.

pub(crate) mod counters;
pub mod heard;
pub(crate) mod search;

use std::net::SocketAddr;

use crate::records::decode::Clock;
use crate::records::{Party, Point, Record, Way, What};

/// The ends of a connection. Those of a connection's own record ([`Ends::from`]) lead to the edge on which its packets are
/// counted; of ends without identities only pods have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who began.
    pub client: Party,
    /// Who was asked, after service translation.
    pub server: Party,
    /// Address and port that the client asked for, when a service was translated.
    pub asked: Option<SocketAddr>,
    /// IP protocol number.
    pub protocol: u8,
}

impl Ends {
    /// Ends of which the addresses are all that is known.
    pub const fn unnamed(client: SocketAddr, server: SocketAddr, protocol: u8) -> Self {
        const fn party(of: SocketAddr) -> Party {
            Party {
                address: of.ip(),
                port: of.port(),
                identity: 0,
                endpoint: 0,
            }
        }
        Self {
            client: party(client),
            server: party(server),
            asked: None,
            protocol,
        }
    }
}

impl From<&Record> for Ends {
    fn from(record: &Record) -> Self {
        Self {
            client: record.source,
            server: record.destination,
            asked: record.asked,
            protocol: record.protocol,
        }
    }
}

/// A record of what was said, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Whose connection it was.
    pub ends: Ends,
    /// The record; its times are the kernel's monotonic ones, in nanoseconds.
    pub record: l7::record::Record,
    /// When it was made, in the same time.
    pub made_ns: u64,
    /// Turns these times into those of the wall clock.
    pub clock: Clock,
}

impl Spoken {
    /// What the packets of such a record are told to be.
    pub(crate) const WHAT: What = What::Closed {
        point: Point::ToEndpoint,
        way: Way::Forward,
    };

    /// A record of packets between the same ends, by which they are given their names.
    pub(crate) fn packet(&self) -> Record {
        Record {
            time_ns: self.clock.wall_ns(self.made_ns),
            source: self.ends.client,
            destination: self.ends.server,
            asked: self.ends.asked,
            translated_source: None,
            protocol: self.ends.protocol,
            tcp_flags_or_icmp_type: 0,
            icmp_code: 0,
            interface: 0,
            macs: None,
            what: Self::WHAT,
        }
    }
}
