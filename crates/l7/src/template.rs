//! Paths with what looks like an identifier replaced, so that they are few and say nothing of people.
//!
//! The same path always has the same template, whatever came before it, until a service has [`TEMPLATES`] of them; then
//! paths with a new template are `/*`.

use hashbrown::{HashMap, HashSet};

#[cfg(test)]
mod tests;

/// Templates of one service.
pub const TEMPLATES: usize = 256;

/// Services whose templates are kept; of more than these every path is `/*`.
pub const SERVICES: usize = 4096;

/// Segments of a path that are kept; the rest is `*`.
const SEGMENTS: usize = 12;

/// A segment longer than this is no word.
const WORD_OCTETS: usize = 48;

/// What stands for every path without a template of its own.
pub const REST: &str = "/*";

/// The templates of all services.
#[derive(Debug, Default)]
pub struct Templates {
    services: HashMap<u64, HashSet<String>>,
}

impl Templates {
    /// The template of a service's path.
    pub fn of(&mut self, service: u64, path: &str) -> String {
        let full = self.services.len() >= SERVICES;
        if full && !self.services.contains_key(&service) {
            return REST.into();
        }
        let known = self.services.entry(service).or_default();
        let template = template(path);
        if known.contains(&template) {
            return template;
        }
        if known.len() >= TEMPLATES {
            return REST.into();
        }
        known.insert(template.clone());
        template
    }

    /// Forgets a service that is gone.
    pub fn forget(&mut self, service: u64) {
        self.services.remove(&service);
    }
}

/// The template of a path.
pub fn template(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            out.push('/');
        }
        if number > SEGMENTS {
            out.push('*');
            break;
        }
        push_segment(segment, &mut out);
    }
    out
}

fn push_segment(segment: &str, out: &mut String) {
    let stem = segment.split(';').next().unwrap_or(segment);
    if let Some(kind) = kind(stem) {
        out.push_str(kind);
        return;
    }
    // `order-17.pdf` is `order-{id}.pdf`.
    let mut rest = stem;
    while !rest.is_empty() {
        let end = rest.find(is_separator).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        out.push_str(part_kind(part).unwrap_or(part));
        let separator = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..separator]);
        rest = &after[separator..];
    }
}

fn is_separator(character: char) -> bool {
    matches!(
        character,
        '-' | '_' | '.' | ',' | ':' | '~' | '=' | '+' | '!' | '(' | ')'
    )
}

/// What a whole segment is, if it is no word.
fn kind(segment: &str) -> Option<&'static str> {
    let octets = segment.as_bytes();
    let lower = segment.to_ascii_lowercase();
    if is_shaped(octets, b"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh") {
        return Some("{uuid}");
    }
    if is_date(octets) {
        return Some("{date}");
    }
    if segment.contains('@') || lower.contains("%40") {
        return Some("{email}");
    }
    if is_address(octets) {
        return Some("{address}");
    }
    if octets.len() > WORD_OCTETS || segment.contains(['%', '\\']) || !segment.is_ascii() {
        return Some("{text}");
    }
    is_token(octets).then_some("{token}")
}

/// What a part of a segment is, if it is no word.
fn part_kind(part: &str) -> Option<&'static str> {
    let octets = part.as_bytes();
    let digits = octets.iter().filter(|octet| octet.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    if digits == octets.len() {
        return Some("{id}");
    }
    let hex = octets.iter().all(u8::is_ascii_hexdigit);
    if hex && octets.len() >= 8 {
        return Some("{hash}");
    }
    // `v1`, `sha256`, `oauth2` and `ipv6` are words, `a1b2c3` and `u10293` are not.
    let changes = octets
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    (digits > 3 || changes > 2).then_some("{id}")
}

/// `h` is a hexadecimal digit, `d` a decimal one, others are themselves.
fn is_shaped(octets: &[u8], shape: &[u8]) -> bool {
    let fits = |(octet, shape): (&u8, &u8)| match shape {
        b'h' => octet.is_ascii_hexdigit(),
        b'd' => octet.is_ascii_digit(),
        shape => octet == shape,
    };
    octets.len() == shape.len() && octets.iter().zip(shape).all(fits)
}

/// A day, or a moment that begins with one (ISO 8601).
fn is_date(octets: &[u8]) -> bool {
    let day = octets.get(..10).unwrap_or_default();
    let shapes: [&[u8]; 3] = [b"dddd-dd-dd", b"dddd_dd_dd", b"dddd.dd.dd"];
    let is_day = shapes.iter().any(|shape| is_shaped(day, shape));
    is_day && matches!(octets.get(10), None | Some(b'T' | b't'))
}

fn is_address(octets: &[u8]) -> bool {
    let parts = |separator: u8| octets.split(move |octet| *octet == separator);
    let four = parts(b'.').count() == 4
        && parts(b'.').all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    let six =
        parts(b':').count() > 2 && parts(b':').all(|part| part.iter().all(u8::is_ascii_hexdigit));
    four || six
}

/// Long, of the letters of base64, with digits among them and no separator that words have.
fn is_token(octets: &[u8]) -> bool {
    let part = octets.split(|octet| matches!(octet, b'.' | b'-' | b'_'));
    part.into_iter().any(|part| {
        let digits = part.iter().any(u8::is_ascii_digit);
        let upper = part.iter().any(u8::is_ascii_uppercase);
        let lower = part.iter().any(u8::is_ascii_lowercase);
        let hex = part.iter().all(u8::is_ascii_hexdigit);
        part.len() >= 16 && !hex && digits && (upper && lower || part.len() >= 20)
    })
}
