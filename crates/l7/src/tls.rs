//! TLS: what is said before everything is encrypted (RFC 8446 and RFC 5246): the server's name, protocols, version, and how
//! the handshake ended. What is inside stays unread.

mod hello;
mod side;
#[cfg(test)]
mod tests;

use crate::{
    conversation::Direction,
    record::{Seen, Tls, TlsEnding},
    stream::Piece,
};
use hello::{ClientHello, ServerHello};
use side::{Event, Side};

pub use side::MESSAGE_OCTETS;

/// Octets that one connection takes at the most: a message of each side, and the texts of the client's.
pub const MEMORY_OCTETS: usize = 64 << 10;

/// TLS 1.3 (RFC 8446, section 4.2.1).
pub const VERSION_13: u16 = 0x0304;

/// One connection, until its handshake is over.
#[derive(Debug)]
pub struct Handshake {
    sides: [Side; 2],
    record: Tls,
    /// The client said a hello, the whole of which was seen.
    client: Option<ClientHello>,
    /// When the side went over to the keys that were agreed (versions before 1.3).
    changed_ns: [Option<u64>; 2],
    /// Records of this side may have been missed.
    missed: [bool; 2],
    over: bool,
}

impl Handshake {
    /// A connection; `midway`: its beginning was not seen.
    pub fn new(midway: bool) -> Self {
        let mut sides = Direction::ALL.map(Side::new);
        if midway {
            sides.iter_mut().for_each(Side::lose);
        }
        Self {
            sides,
            record: Tls::default(),
            client: None,
            changed_ns: [None; 2],
            missed: [midway; 2],
            over: false,
        }
    }

    /// Whether its record was made: nothing more is to be read.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Octets that this connection takes.
    pub fn octets(&self) -> usize {
        let sides: usize = self.sides.iter().map(Side::octets).sum();
        let offered = self.record.alpn_offered.known();
        let texts: usize = offered.into_iter().flatten().map(String::capacity).sum();
        size_of::<Self>() + sides + texts
    }

    /// Takes what comes next.
    pub fn piece(&mut self, direction: Direction, piece: Piece<'_>, out: &mut Vec<Tls>) {
        let mine = direction as usize;
        match piece {
            Piece::Octets {
                octets,
                begins,
                time_ns,
            } => {
                if self.sides[mine].is_lost() && !(begins && self.sides[mine].resume(octets)) {
                    return;
                }
                let mut rest = octets;
                while !rest.is_empty() && !self.over {
                    let (event, after) = self.sides[mine].read(rest, time_ns);
                    rest = after;
                    if let Some(event) = event {
                        self.event(direction, event, time_ns, out);
                    }
                }
            }
            Piece::Gap {
                octets, time_ns, ..
            } => {
                let skipped = self.sides[mine].skip(octets);
                self.missed[mine] |= skipped.missed;
                if let Some(event) = skipped.event {
                    self.event(direction, event, time_ns, out);
                }
            }
        }
    }

    /// The connection is over. `certain`: nothing was missed that is not in a gap.
    pub fn closed(&mut self, certain: bool, out: &mut Vec<Tls>) {
        let certain = certain && self.missed == [false; 2];
        let ending = if certain {
            TlsEnding::Closed
        } else {
            TlsEnding::Unknown
        };
        self.finish(ending, out);
    }

    fn event(&mut self, direction: Direction, event: Event, time_ns: u64, out: &mut Vec<Tls>) {
        match (event, direction) {
            (
                Event::Message {
                    octets,
                    whole,
                    begin_ns,
                },
                Direction::ToServer,
            ) => {
                self.client_hello(&octets, whole, begin_ns);
            }
            (Event::Message { octets, whole, .. }, Direction::ToClient) => {
                self.server_hello(&octets, whole, time_ns);
            }
            (Event::Alert { fatal, code }, by) => {
                if fatal {
                    self.finish(TlsEnding::Alert(by, code), out);
                } else if code == 0 {
                    self.finish(TlsEnding::Closed, out);
                }
            }
            (Event::Changed, by) => {
                self.changed_ns[by as usize].get_or_insert(time_ns);
                self.agreed(out);
            }
            (Event::Application, by) => self.application(by, time_ns, out),
        }
    }

    fn client_hello(&mut self, octets: &[u8], whole: bool, begin_ns: u64) {
        // One after a HelloRetryRequest says the same again.
        if self.client.is_some() {
            return;
        }
        let hello = ClientHello::read(octets, whole);
        self.record.start_ns = Some(begin_ns);
        self.record.server_name = hello.server_name.clone();
        self.record.alpn_offered = hello.protocols.clone();
        self.client = Some(hello);
    }

    fn server_hello(&mut self, octets: &[u8], whole: bool, time_ns: u64) {
        let hello = ServerHello::read(octets, whole);
        if hello.retry {
            self.sides[Direction::ToClient as usize].another_message();
            return;
        }
        self.record.hello_ns = Some(time_ns);
        self.record.alpn = match (&hello.version, hello.protocol) {
            // From 1.3 on it is encrypted.
            (Seen::Known(VERSION_13..), _) | (Seen::Unknown, Seen::Absent) => Seen::Unknown,
            (_, protocol) => protocol,
        };
        self.record.version = hello.version;
    }

    /// Before 1.3 the handshake is over when both sides went over to the new keys.
    fn agreed(&mut self, out: &mut Vec<Tls>) {
        let before_13 = matches!(self.record.version, Seen::Known(..VERSION_13));
        if let [Some(client), Some(server)] = self.changed_ns
            && before_13
        {
            self.record.done_ns = Some(client.max(server));
            self.finish(TlsEnding::Done, out);
        }
    }

    fn application(&mut self, by: Direction, time_ns: u64, out: &mut Vec<Tls>) {
        let from_client = by == Direction::ToServer;
        match self.record.version {
            // The client's first record after the server's hello ends its part.
            Seen::Known(VERSION_13..) => {
                if from_client {
                    let early = self.client.as_ref().is_none_or(|hello| hello.early_data);
                    if !early && self.missed == [false; 2] {
                        self.record.done_ns = Some(time_ns);
                    }
                    self.finish(TlsEnding::Done, out);
                }
            }
            Seen::Known(_) => self.finish(TlsEnding::Done, out),
            // What the client sends before the server's hello is early; without one that was seen, the handshake was missed.
            Seen::Absent | Seen::Unknown => {
                if !from_client || self.missed[Direction::ToClient as usize] {
                    self.finish(TlsEnding::Unknown, out);
                }
            }
        }
    }

    fn finish(&mut self, ending: TlsEnding, out: &mut Vec<Tls>) {
        if !std::mem::replace(&mut self.over, true) {
            let mut record = std::mem::take(&mut self.record);
            record.ending = ending;
            out.push(record);
        }
    }
}
