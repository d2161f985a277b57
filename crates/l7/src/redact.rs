//! What of other people's texts may be kept, and how it is written.
//!
//! Bodies never. Of headers those in [`HEADERS`]. Of a request's target the path: no query, no fragment, no user
//! information. Whatever becomes text has its control characters escaped, and those that turn the writing direction.

use std::fmt::Write;

#[cfg(test)]
mod tests;

/// Headers whose value may be kept.
pub const HEADERS: [&str; 2] = ["host", "traceparent"];

/// Octets of a text that are kept, at the most.
pub const TEXT_OCTETS: usize = 1024;

/// Octets of a host that are kept: a name (RFC 1035, section 2.3.4) and a port.
pub const HOST_OCTETS: usize = 261;

/// Text of octets, at most [`TEXT_OCTETS`] of them.
pub fn text(octets: &[u8]) -> String {
    let kept = octets.get(..TEXT_OCTETS).unwrap_or(octets);
    let mut text = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_plain(character) {
                text.push(character);
            } else {
                text.extend(character.escape_default());
            }
        }
        for octet in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    if kept.len() < octets.len() {
        text.push('…');
    }
    text
}

/// Neither a control character nor one that changes how those beside it are shown.
fn is_plain(character: char) -> bool {
    let steers = matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !character.is_control() && !steers && character != '\\'
}

/// The path of a request's target (RFC 9112, section 3.2): without scheme, authority, query and fragment. An authority
/// alone, as CONNECT has it, gives an empty path.
pub fn path(target: &[u8]) -> String {
    let end = target
        .iter()
        .position(|octet| matches!(octet, b'?' | b'#'))
        .unwrap_or(target.len());
    let target = &target[..end];
    if target.starts_with(b"/") || target == b"*" {
        return text(target);
    }
    match split_authority(target) {
        Some((_, [])) => "/".into(),
        Some((_, path)) => text(path),
        None => String::new(),
    }
}

/// The host of a request's target, if it has one.
pub fn target_host(target: &[u8]) -> Option<String> {
    if target.starts_with(b"/") || target == b"*" {
        return None;
    }
    let authority = split_authority(target).map_or(target, |(authority, _)| authority);
    Some(host(authority))
}

/// Host and port without user information, in lower case.
pub fn host(authority: &[u8]) -> String {
    let after = authority.iter().rposition(|octet| *octet == b'@');
    let host = after.map_or(authority, |at| &authority[at + 1..]);
    let end = host
        .iter()
        .position(|octet| matches!(octet, b'/' | b'?' | b'#'));
    let host = &host[..end.unwrap_or(host.len())];
    text(host.get(..HOST_OCTETS).unwrap_or(host)).to_lowercase()
}

/// A `traceparent` (W3C Trace Context, section 3.2) as it is, or nothing.
pub fn traceparent(value: &[u8]) -> Option<String> {
    let shape = [2, 32, 16, 2];
    let mut parts = value.split(|octet| *octet == b'-');
    let is_hex = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
    let first = shape.iter().all(|length| {
        parts
            .next()
            .is_some_and(|part| part.len() == *length && part.iter().all(is_hex))
    });
    // Versions after 00 may have more parts.
    let whole = first && (parts.next().is_none() || !value.starts_with(b"00-"));
    let text = std::str::from_utf8(value).ok().filter(|_| whole)?;
    text.get(..55).map(Into::into)
}

/// Authority and the path behind it of a target with a scheme.
fn split_authority(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let scheme = target.windows(3).position(|three| three == b"://")?;
    let rest = &target[scheme + 3..];
    let path = rest.iter().position(|octet| *octet == b'/');
    Some(rest.split_at(path.unwrap_or(rest.len())))
}
