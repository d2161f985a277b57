//! From a sample of payload to what the parsers take: whose connection it is, which way it went, and its octets in their stream.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use datapath::abi::connection::{ConnectionKey, flags};
use datapath::abi::sample::{Sample, marks};
use datapath::wire::tcp::flags::SYN;
use l7::conversation::Direction;
use l7::track::Origin;

use super::Ends;
use crate::records::Party;
use crate::records::decode::initiator_first;

/// A connection by its key, with whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// What the kernel knows it by; it alone tells connections apart.
    pub key: ConnectionKey,
    /// Whose it is.
    pub ends: Ends,
}

impl PartialEq for Heard {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Heard {}

impl Hash for Heard {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Heard {
    /// The connection of a sample.
    pub fn of(sample: &Sample) -> Self {
        Self {
            key: sample.key,
            ends: ends_of(sample),
        }
    }

    /// Whose paths are asked for: the service's, or where none is known, the server's own.
    pub fn origin(&self, sample: &Sample) -> Origin {
        let service = if sample.service == 0 {
            let mut hasher = DefaultHasher::new();
            (self.ends.server.address, self.ends.server.port).hash(&mut hasher);
            hasher.finish()
        } else {
            sample.service.into()
        };
        Origin {
            service,
            hint: None,
            pod: self.pod(),
        }
    }

    /// On whose account its reading goes: the client's endpoint if it is of this node, else the server's, 0 for none.
    pub const fn pod(&self) -> u16 {
        match self.ends.client.endpoint {
            0 => self.ends.server.endpoint,
            pod => pod,
        }
    }
}

/// Which way a sample went.
pub const fn direction(sample: &Sample) -> Direction {
    if sample.way == 0 {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

/// A sample of TCP in its stream.
pub fn segment<'a>(sample: &Sample, octets: &'a [u8]) -> l7::stream::Sample<'a> {
    l7::stream::Sample {
        sequence: sample.sequence,
        syn: sample.tcp_flags & SYN != 0,
        octets,
        length: sample.payload,
        expected: (sample.marks & marks::EXPECTED != 0).then_some(sample.expected),
        time_ns: sample.time_ns,
    }
}

fn ends_of(sample: &Sample) -> Ends {
    let (client, asked) = initiator_first(&sample.key, sample.flags);
    let translated = sample.flags & flags::DESTINATION_NAT != 0;
    let server = if translated {
        (IpAddr::from(sample.to), u16::from_be(sample.to_port))
    } else {
        asked
    };
    let party = |(address, port), identity, endpoint| Party {
        address,
        port,
        identity,
        endpoint,
    };
    Ends {
        client: party(client, sample.source_identity, sample.source_endpoint),
        server: party(
            server,
            sample.destination_identity,
            sample.destination_endpoint,
        ),
        asked: translated.then(|| SocketAddr::new(asked.0, asked.1)),
        protocol: sample.key.protocol,
    }
}
