//! The marks of each protocol.

use super::{Mark, Prefix};
use crate::{kafka, octets::Octets};

/// Methods of RFC 9110 and RFC 5789, and those of WebDAV (RFC 4918): others are found by the whole request line.
const METHODS: [&str; 16] = [
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
];

/// First octets of a client of HTTP/2 (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The stronger one, unless one of them says no.
fn both(to_server: Mark, to_client: Mark) -> Mark {
    match (to_server, to_client) {
        (Mark::No, _) | (_, Mark::No) => Mark::No,
        (Mark::Yes, _) | (_, Mark::Yes) => Mark::Yes,
        (Mark::Maybe, Mark::Maybe) => Mark::Maybe,
    }
}

/// Yes only if both say so.
fn needs_both(to_server: Mark, to_client: Mark) -> Mark {
    match (to_server, to_client) {
        (Mark::No, _) | (_, Mark::No) => Mark::No,
        (Mark::Yes, Mark::Yes) => Mark::Yes,
        _ => Mark::Maybe,
    }
}

/// Whether octets begin with a mark, as far as they go.
fn begins(octets: &[u8], mark: &[u8]) -> Mark {
    let length = octets.len().min(mark.len());
    if octets[..length] != mark[..length] {
        Mark::No
    } else if length == mark.len() {
        Mark::Yes
    } else {
        Mark::Maybe
    }
}

pub(super) fn http1(to_server: &Prefix, to_client: &Prefix) -> Mark {
    both(
        http1_request(&to_server.octets, to_server.closed),
        http1_answer(&to_client.octets),
    )
}

/// A request line (RFC 9112, section 3), as far as it was seen; `cut`: nothing of it follows.
fn http1_request(octets: &[u8], cut: bool) -> Mark {
    // Empty lines before a request are to be ignored (RFC 9112, section 2.2).
    let blank = octets
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n'));
    let octets = &octets[blank.count().min(4)..];
    if octets.starts_with(b"PRI ") {
        return Mark::No;
    }
    let line = match octets.iter().position(|octet| *octet == b'\n') {
        Some(end) => return whole_request_line(&octets[..end]),
        None => octets,
    };
    let Some(end) = line.iter().position(|octet| *octet == b' ') else {
        let token = line.len() <= 20 && line.iter().copied().all(is_method_octet);
        return if token { Mark::Maybe } else { Mark::No };
    };
    let (method, target) = (&line[..end], &line[end + 1..]);
    let known = METHODS.iter().any(|known| known.as_bytes() == method);
    let printable = target
        .iter()
        .all(|octet| (0x20..0x7f).contains(octet) || *octet == b'\r');
    match target.first() {
        None if method.iter().copied().all(is_method_octet) => Mark::Maybe,
        // The line goes on behind what was sampled of it.
        Some(b'/') if known && printable && cut => Mark::Yes,
        Some(_) if printable && method.iter().copied().all(is_method_octet) => Mark::Maybe,
        _ => Mark::No,
    }
}

/// Whether octets behind which something is missing begin a request: with a method that is known, because what is left of one
/// looks like another.
pub(crate) fn begins_http1_request(octets: &[u8]) -> bool {
    let mut words = octets.split(|octet| *octet == b' ');
    let method = words.next().unwrap_or_default();
    let known = METHODS.iter().any(|known| known.as_bytes() == method);
    known && http1_request(octets, false) == Mark::Yes
}

fn whole_request_line(line: &[u8]) -> Mark {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|octet| *octet == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let fits = method
        .is_some_and(|word| !word.is_empty() && word.iter().copied().all(is_method_octet))
        && target.is_some_and(|word| !word.is_empty())
        && matches!(version, Some(b"HTTP/1.1" | b"HTTP/1.0"))
        && words.next().is_none();
    if fits { Mark::Yes } else { Mark::No }
}

fn is_method_octet(octet: u8) -> bool {
    octet.is_ascii_uppercase() || octet == b'-'
}

/// A status line (RFC 9112, section 4), as far as it was seen.
pub(crate) fn http1_answer(octets: &[u8]) -> Mark {
    let shape = b"HTTP/1.v ddd";
    for (octet, shape) in octets.iter().zip(shape) {
        let fits = match shape {
            b'v' => matches!(octet, b'0' | b'1'),
            b'd' => octet.is_ascii_digit(),
            shape => octet == shape,
        };
        if !fits {
            return Mark::No;
        }
    }
    match octets.get(shape.len()) {
        Some(b' ' | b'\r' | b'\n') => Mark::Yes,
        Some(_) => Mark::No,
        None => Mark::Maybe,
    }
}

/// Whether octets begin with a whole status line's code.
pub fn is_http1_answer_start(octets: &[u8]) -> bool {
    http1_answer(octets) == Mark::Yes
}

pub(super) fn http2(to_server: &Prefix, to_client: &Prefix) -> Mark {
    let preface = begins(&to_server.octets, PREFACE);
    if preface == Mark::Yes {
        return Mark::Yes;
    }
    let frames = needs_both(frames(to_server), frames(to_client));
    match (preface, frames) {
        (_, Mark::Yes) => Mark::Yes,
        (Mark::No, Mark::No) => Mark::No,
        _ => Mark::Maybe,
    }
}

/// Frames of HTTP/2 (RFC 9113, section 4.1) that fill the first segment exactly: a connection joined midway.
fn frames(prefix: &Prefix) -> Mark {
    let mut octets = Octets::new(&prefix.octets);
    let mut end = 0;
    while end < prefix.first_segment {
        if octets.is_empty() && !prefix.closed {
            return Mark::Maybe;
        }
        let Some(length) = frame_length(&mut octets) else {
            return Mark::No;
        };
        end += 9 + u64::from(length);
        if octets.take(length as usize).is_none() {
            break;
        }
    }
    // The last one may go on in another segment.
    let exactly = end > 0 && end == prefix.first_segment;
    if exactly { Mark::Yes } else { Mark::Maybe }
}

/// The length of a frame whose head is plausible: type, length, flags and stream fit together.
pub(crate) fn frame_length(octets: &mut Octets<'_>) -> Option<u32> {
    let (length, kind, flags, stream) = (octets.u24()?, octets.u8()?, octets.u8()?, octets.u32()?);
    let (on_stream, lengths, known_flags) = match kind {
        0 => (true, 0..=0xff_ffff, 0x9),
        1 => (true, 1..=0xff_ffff, 0x2d),
        2 => (true, 5..=5, 0),
        3 => (true, 4..=4, 0),
        4 => (false, 0..=600, 0x1),
        6 => (false, 8..=8, 0x1),
        7 => (false, 8..=0x3fff, 0),
        8 => (stream != 0, 4..=4, 0),
        9 => (true, 0..=0xff_ffff, 0x4),
        _ => return None,
    };
    let fits = (stream != 0) == on_stream
        && stream < 1 << 31
        && lengths.contains(&length)
        && flags & !known_flags == 0;
    fits.then_some(length)
}

pub(super) fn tls(to_server: &Prefix, to_client: &Prefix) -> Mark {
    let hello = |prefix: &Prefix, kind| handshake(&prefix.octets, kind);
    let mut midway = needs_both(application(to_server), application(to_client));
    if midway == Mark::Maybe && application(to_server) == Mark::No {
        midway = Mark::No;
    }
    let hellos = both(hello(to_server, 1), hello(to_client, 2));
    match (hellos, midway) {
        (Mark::Yes, _) | (_, Mark::Yes) => Mark::Yes,
        (Mark::No, Mark::No) => Mark::No,
        _ => Mark::Maybe,
    }
}

/// A record with a handshake message of this type, or an alert instead of it (RFC 8446, sections 4, 5.1 and 6).
fn handshake(octets: &[u8], kind: u8) -> Mark {
    let alert = octets.first() == Some(&21) && kind != 1;
    for (at, octet) in octets.iter().take(9).enumerate() {
        let fits = match (at, octet) {
            (0, octet) => *octet == if alert { 21 } else { 22 },
            (1, octet) => *octet == 3,
            (2, octet) => *octet <= 4,
            (3, octet) => *octet <= 0x40,
            (5, octet) if alert => matches!(octet, 1 | 2),
            (5, octet) => *octet == kind,
            // A hello is shorter than 128 KiB.
            (6, octet) if !alert => *octet <= 1,
            _ => true,
        };
        if !fits {
            return Mark::No;
        }
    }
    let whole = if alert { 7 } else { 9 };
    if octets.len() >= whole {
        Mark::Yes
    } else {
        Mark::Maybe
    }
}

/// Records of application data, as after a handshake: a connection joined midway.
fn application(prefix: &Prefix) -> Mark {
    begins(&prefix.octets, &[23, 3, 3])
}

pub(super) fn dns(to_server: &Prefix, to_client: &Prefix) -> Mark {
    both(
        dns_over_tcp(&to_server.octets, false),
        dns_over_tcp(&to_client.octets, true),
    )
}

/// A message of DNS behind its length (RFC 1035, section 4.2.2), as far as it was seen.
pub(crate) fn dns_over_tcp(octets: &[u8], answer: bool) -> Mark {
    let mut rest = Octets::new(octets);
    let Some(length) = rest.u16() else {
        return Mark::Maybe;
    };
    if !(17..=0xfff0).contains(&length) || (!answer && length > 512) {
        return Mark::No;
    }
    crate::dns::looks_like_message(rest.rest(), length.into(), answer)
}

/// A request, and an answer that has its number: either alone is no proof. The first segments of both sides, the latest, and
/// those after the other side spoke: what fills several segments begins there.
pub(super) fn kafka(to_server: &Prefix, to_client: &Prefix) -> Mark {
    let asked = to_server.segments().map(kafka::is_request);
    let told = to_client.segments().map(kafka::answer_number);
    let answered = |number: &i32| {
        let mut all = to_client
            .segments()
            .into_iter()
            .flat_map(kafka::answer_numbers);
        all.any(|answer| answer == *number)
    };
    if asked.iter().flatten().any(answered) {
        return Mark::Yes;
    }
    // An answer that is there and no number can be: nobody begins with one.
    let hopeless = |octets: &[u8]| !octets.is_empty() && !kafka::may_be_request(octets);
    if hopeless(&to_server.octets) && hopeless(&to_server.latest) {
        return Mark::No;
    }
    let long = to_client.octets.len() >= 8 && told.iter().all(Option::is_none);
    if long { Mark::No } else { Mark::Maybe }
}
