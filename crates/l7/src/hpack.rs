//! HPACK (RFC 7541) for one who only listens and may have missed something.
//!
//! Indices count from the newest entry, so that an entry that was seen is known by its index also when older ones were not:
//! after a gap, or of a connection joined midway, what refers to an entry that nobody saw is unknown, and what was said in
//! full since then is known. An encoder never refers to what it has removed, so the table's size only bounds memory.
//! Names are told apart as far as records need them; values of others are not kept.

mod huffman;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::redact;

/// Octets of a table, counted as by RFC 7541, section 4.1; of a larger one the oldest entries are unknown. Clients and
/// servers begin with 4,096.
pub const TABLE_OCTETS: usize = 16 << 10;

/// Octets of a table at the start (RFC 9113, section 6.5.2).
const FIRST_OCTETS: usize = 4096;

/// Octets that an entry counts beside its texts.
const ENTRY_OCTETS: usize = 32;

/// Octets of a value that are kept: one more than a text has, so that it is seen to be cut.
const VALUE_OCTETS: usize = redact::TEXT_OCTETS + 1;

/// A field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:authority`.
    Authority,
    /// `:status`.
    Status,
    /// `content-type`.
    ContentType,
    /// `grpc-status`.
    GrpcStatus,
    /// `host`.
    Host,
    /// `traceparent`.
    Traceparent,
    /// Another one.
    Other,
    /// It stands in an entry that was not seen.
    Unknown,
}

const NAMES: [(&[u8], Name); 8] = [
    (b":method", Name::Method),
    (b":path", Name::Path),
    (b":authority", Name::Authority),
    (b":status", Name::Status),
    (b"content-type", Name::ContentType),
    (b"grpc-status", Name::GrpcStatus),
    (b"host", Name::Host),
    (b"traceparent", Name::Traceparent),
];

impl Name {
    fn of(text: &[u8]) -> Self {
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known.map_or(Self::Other, |(_, name)| *name)
    }
}

/// Entries 1 to 16 of the static table (RFC 7541, appendix A); the others have names without values.
const STATIC: [(&str, &str); 16] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
];

/// Names of the entries 17 to 61.
const STATIC_NAMES: [&str; 45] = [
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// A field of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: Name,
    /// Its value, if it is known; empty for a name that nobody asks for.
    pub value: Option<&'a [u8]>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Name,
    value: Option<Box<[u8]>>,
    name_octets: usize,
    /// As counted; 0 for one that is unknown.
    octets: usize,
}

/// The table of one direction.
#[derive(Debug)]
pub struct Table {
    /// The newest one first.
    entries: VecDeque<Entry>,
    octets: usize,
    limit: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            octets: 0,
            limit: FIRST_OCTETS,
        }
    }
}

/// Octets that follow nothing of RFC 7541.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A string, as far as it is kept, and its length.
struct Text {
    octets: Vec<u8>,
    length: usize,
}

impl Table {
    /// Something was missed: no entry is known any more.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.octets = 0;
        self.limit = TABLE_OCTETS;
    }

    /// Octets that it takes.
    pub fn memory(&self) -> usize {
        let values = self.entries.iter().filter_map(|entry| entry.value.as_ref());
        values.map(|value| value.len()).sum::<usize>()
            + self.entries.capacity() * size_of::<Entry>()
    }

    /// Reads a whole block, and gives its fields in order. After an error the table knows nothing.
    pub fn read(&mut self, block: &[u8], out: &mut impl FnMut(Field<'_>)) -> Result<(), Malformed> {
        let mut rest = block;
        while let Some(first) = rest.first() {
            if self.field(*first, &mut rest, out).is_none() {
                self.forget();
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        first: u8,
        rest: &mut &[u8],
        out: &mut impl FnMut(Field<'_>),
    ) -> Option<()> {
        match first {
            // Indexed (section 6.1).
            0x80.. => {
                let index = integer(rest, 7)?;
                if index == 0 {
                    return None;
                }
                let (name, _) = self.name(index);
                match index {
                    1..=16 => out(Field {
                        name,
                        value: Some(STATIC[index - 1].1.as_bytes()),
                    }),
                    17..=61 => out(Field {
                        name,
                        value: Some(b""),
                    }),
                    _ => out(Field {
                        name,
                        value: self
                            .entries
                            .get(index - 62)
                            .and_then(|entry| entry.value.as_deref()),
                    }),
                }
            }
            // The encoder's table changes its size (section 6.3).
            0x20..0x40 => {
                self.limit = integer(rest, 5)?.min(TABLE_OCTETS);
                self.evict();
            }
            // Literal: with (section 6.2.1), without (6.2.2) and never with an entry (6.2.3).
            _ => {
                let inserts = first & 0x40 != 0;
                let index = integer(rest, if inserts { 6 } else { 4 })?;
                let (name, name_octets) = if index == 0 {
                    let text = string(rest, VALUE_OCTETS)?;
                    let whole = text.octets.len() == text.length;
                    (
                        if whole {
                            Name::of(&text.octets)
                        } else {
                            Name::Other
                        },
                        text.length,
                    )
                } else {
                    self.name(index)
                };
                let most = if name == Name::Other { 0 } else { VALUE_OCTETS };
                let value = string(rest, most)?;
                out(Field {
                    name,
                    value: Some(&value.octets),
                });
                if inserts {
                    self.insert(name, name_octets, value);
                }
            }
        }
        Some(())
    }

    /// The name of an entry, and its length.
    fn name(&self, index: usize) -> (Name, usize) {
        let known = match index {
            0 => None,
            1..=16 => Some(STATIC[index - 1].0),
            17..=61 => Some(STATIC_NAMES[index - 17]),
            _ => {
                let entry = self.entries.get(index - 62);
                return entry.map_or((Name::Unknown, 0), |entry| (entry.name, entry.name_octets));
            }
        };
        known.map_or((Name::Unknown, 0), |name| {
            (Name::of(name.as_bytes()), name.len())
        })
    }

    fn insert(&mut self, name: Name, name_octets: usize, value: Text) {
        let octets = name_octets + value.length + ENTRY_OCTETS;
        self.octets += octets;
        self.entries.push_front(Entry {
            name,
            value: Some(value.octets.into()),
            name_octets,
            octets,
        });
        self.evict();
    }

    fn evict(&mut self) {
        while self.octets > self.limit
            && let Some(oldest) = self.entries.pop_back()
        {
            self.octets -= oldest.octets;
        }
    }
}

/// An integer with a prefix of so many bits (section 5.1). One that is longer than four octets is none of ours.
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, mut after) = rest.split_first()?;
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        for shift in [0, 7, 14, 21] {
            let (octet, following) = after.split_first()?;
            after = following;
            value += usize::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                *rest = after;
                return Some(value);
            }
        }
        return None;
    }
    *rest = after;
    Some(value)
}

/// A string (section 5.2), of which at most so many octets are kept.
fn string(rest: &mut &[u8], most: usize) -> Option<Text> {
    let huffman = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (octets, after) = rest.split_at_checked(length)?;
    *rest = after;
    let (octets, length) = if huffman {
        huffman::decode(octets, most)?
    } else {
        (octets[..length.min(most)].to_vec(), length)
    };
    Some(Text { octets, length })
}
