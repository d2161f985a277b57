//! One message of DNS (RFC 1035, section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ANSWERS;
use crate::{
    classify::Mark,
    octets::Octets,
    record::{DnsAnswer, DnsData},
};

/// Octets of a name on the wire, and labels with it (RFC 1035, section 2.3.4).
const NAME_OCTETS: usize = 255;

/// Pointers followed for one name. Each must point further back, so that this bounds time, not progress.
const POINTERS: usize = 64;

/// Length of the fields before the question.
const HEAD_OCTETS: usize = 12;

/// A message, as far as it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number that its answer repeats.
    pub id: u16,
    /// It is an answer (bit QR).
    pub answers: bool,
    /// The answer was cut (bit TC).
    pub truncated: bool,
    /// Code of the answer, its upper part (RFC 6891) included if the record with it was there.
    pub rcode: u16,
    /// The name that is asked for, in lower case.
    pub qname: String,
    /// The type that is asked for.
    pub qtype: u16,
    /// The answer's records, at most [`ANSWERS`].
    pub records: Vec<DnsAnswer>,
    /// Whether these are all of them.
    pub all_records: bool,
}

/// Reads a message of the octets there are; without head and question there is none. Only queries with one question are
/// read: nothing else is asked in practice (RFC 9619).
pub fn parse(octets: &[u8]) -> Option<Message> {
    let mut rest = Octets::new(octets);
    let (id, flags, questions) = (rest.u16()?, rest.u16()?, rest.u16()?);
    let (answers, authorities, additionals) = (rest.u16()?, rest.u16()?, rest.u16()?);
    let opcode = flags >> 11 & 15;
    if opcode != 0 || questions != 1 {
        return None;
    }
    let qname = name(octets, &mut rest)?;
    let (qtype, _class) = (rest.u16()?, rest.u16()?);
    let mut message = Message {
        id,
        answers: flags & 0x8000 != 0,
        truncated: flags & 0x0200 != 0,
        rcode: flags & 15,
        qname,
        qtype,
        records: Vec::new(),
        all_records: true,
    };
    let mut read = 0;
    for _ in 0..answers {
        let Some(record) = record(octets, &mut rest) else {
            break;
        };
        read += 1;
        if message.records.len() < ANSWERS {
            message.records.push(record);
        }
    }
    message.all_records = message.records.len() == usize::from(answers);
    if read == answers {
        extended_code(
            octets,
            rest,
            authorities.saturating_add(additionals),
            &mut message,
        );
    }
    Some(message)
}

/// The upper part of the code is in a record of type OPT (RFC 6891, section 6.1.3).
fn extended_code<'a>(octets: &'a [u8], mut rest: Octets<'a>, records: u16, message: &mut Message) {
    for _ in 0..records {
        let Some(record) = record(octets, &mut rest) else {
            return;
        };
        if record.data == DnsData::Other(41) {
            message.rcode |= (record.ttl_s >> 24 << 4) as u16;
            return;
        }
    }
}

fn record<'a>(octets: &'a [u8], rest: &mut Octets<'a>) -> Option<DnsAnswer> {
    let owner = name(octets, rest)?;
    let (kind, class, ttl_s) = (rest.u16()?, rest.u16()?, rest.u32()?);
    let data_start = octets.len() - rest.rest().len() + 2;
    let data = rest.counted_u16()?;
    let named = |skip: usize| {
        let mut place = Octets::new(octets.get(data_start + skip..data_start + data.len())?);
        let before = octets.get(..data_start + data.len())?;
        name(before, &mut place)
    };
    let known = match kind {
        _ if class != 1 => None,
        1 => <[u8; 4]>::try_from(data)
            .ok()
            .map(|octets| DnsData::Address(IpAddr::V4(Ipv4Addr::from(octets)))),
        28 => <[u8; 16]>::try_from(data)
            .ok()
            .map(|octets| DnsData::Address(IpAddr::V6(Ipv6Addr::from(octets)))),
        5 => named(0).map(DnsData::Alias),
        33 => {
            let mut fields = Octets::new(data);
            let (_priority, _weight, port) = (fields.u16()?, fields.u16()?, fields.u16()?);
            named(6).map(|target| DnsData::Service(target, port))
        }
        _ => None,
    };
    Some(DnsAnswer {
        name: owner,
        ttl_s,
        data: known.unwrap_or(DnsData::Other(kind)),
    })
}

/// Reads a name, compressed or not (RFC 1035, section 4.1.4). Octets that are no letters, digits, `-` or `_` are written
/// as `\DDD` (RFC 4343, section 2.1).
fn name<'a>(message: &'a [u8], rest: &mut Octets<'a>) -> Option<String> {
    let mut text = String::new();
    let mut octets_left = NAME_OCTETS;
    let mut pointers_left = POINTERS;
    let mut place = *rest;
    let mut limit = message.len() - rest.rest().len().min(message.len());
    let mut followed = false;
    loop {
        let length = place.u8()?;
        match length {
            0 => break,
            1..=63 => {
                let label = place.take(length.into())?;
                octets_left = octets_left.checked_sub(label.len() + 1)?;
                push_label(label, &mut text);
            }
            0xc0.. => {
                let low = place.u8()?;
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                // Only ever further back, so that there is no loop.
                pointers_left = pointers_left.checked_sub(1)?;
                if target >= limit {
                    return None;
                }
                limit = target;
                if !followed {
                    *rest = place;
                    followed = true;
                }
                place = Octets::new(message.get(target..)?);
            }
            _ => return None,
        }
    }
    if !followed {
        *rest = place;
    }
    if text.is_empty() {
        text.push('.');
    }
    Some(text)
}

fn push_label(label: &[u8], text: &mut String) {
    if !text.is_empty() {
        text.push('.');
    }
    for octet in label {
        match octet {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'*' => text.push(char::from(*octet)),
            b'A'..=b'Z' => text.push(char::from(octet.to_ascii_lowercase())),
            octet => {
                text.push('\\');
                for digit in [octet / 100, octet / 10 % 10, octet % 10] {
                    text.push(char::from(b'0' + digit));
                }
            }
        }
    }
}

/// Whether octets begin a message of this length with one question and flags that servers use.
pub(super) fn looks_right(octets: &[u8], length: usize, answer: bool) -> Mark {
    let mut rest = Octets::new(octets);
    let head = (|| {
        Some([
            rest.u16()?,
            rest.u16()?,
            rest.u16()?,
            rest.u16()?,
            rest.u16()?,
        ])
    })();
    let (Some([_, flags, questions, answers, authorities]), Some(additionals)) = (head, rest.u16())
    else {
        return Mark::Maybe;
    };
    // QR as the direction says, a standard query, the reserved bit zero; one question.
    let said = flags & 0x8000 != 0;
    let counts = answers == 0 && authorities == 0 && additionals <= 2;
    let fits = said == answer && flags & 0x7840 == 0 && questions == 1 && (answer || counts);
    if !fits || length < HEAD_OCTETS + 5 {
        return Mark::No;
    }
    let whole = octets.len() >= length;
    let mut place = rest;
    let asked = name(octets, &mut place).and_then(|_| {
        let (kind, class) = (place.u16()?, place.u16()?);
        Some(kind != 0 && matches!(class, 1 | 3 | 4 | 254 | 255))
    });
    match asked {
        Some(true) => Mark::Yes,
        Some(false) => Mark::No,
        None if whole || octets.len() > HEAD_OCTETS + NAME_OCTETS + 4 => Mark::No,
        None => Mark::Maybe,
    }
}
