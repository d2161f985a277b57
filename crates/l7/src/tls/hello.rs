//! The hellos of client and server (RFC 8446, sections 4.1 and 4.2), as far as they were seen.

use crate::{octets::Octets, record::Seen, redact};

/// Protocols of one client that are kept.
const PROTOCOLS: usize = 16;

/// Octets of a protocol's name that are kept.
const PROTOCOL_OCTETS: usize = 64;

/// By this random value a server asks for another hello (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const PROTOCOLS: u16 = 16;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const VERSIONS: u16 = 43;
}

#[derive(Debug)]
pub(super) struct ClientHello {
    pub(super) server_name: Seen<String>,
    pub(super) protocols: Seen<Vec<String>>,
    /// It may send data before the server has answered.
    pub(super) early_data: bool,
}

#[derive(Debug)]
pub(super) struct ServerHello {
    pub(super) version: Seen<u16>,
    pub(super) protocol: Seen<String>,
    /// It asks for another hello of the client.
    pub(super) retry: bool,
}

/// Gives the extensions one by one; says whether these are all.
fn extensions<'a>(octets: &mut Octets<'a>, take: &mut impl FnMut(u16, &'a [u8])) -> bool {
    // A hello may end before them.
    let Some(length) = octets.u16() else {
        return octets.is_empty();
    };
    let whole = octets.rest().len() >= usize::from(length);
    let mut rest = Octets::new(octets.rest().get(..length.into()).unwrap_or(octets.rest()));
    while !rest.is_empty() {
        let Some((kind, value)) = (|| Some((rest.u16()?, rest.counted_u16()?)))() else {
            return false;
        };
        take(kind, value);
    }
    whole
}

fn certain_if<T>(whole: bool) -> Seen<T> {
    if whole { Seen::Absent } else { Seen::Unknown }
}

impl ClientHello {
    pub(super) fn read(octets: &[u8], whole: bool) -> Self {
        let mut rest = Octets::new(octets);
        let (mut server_name, mut protocols, mut early_data) = (None, None, false);
        let head = skip_to_extensions(&mut rest);
        let all = head.is_some()
            && extensions(&mut rest, &mut |kind, value| match kind {
                extension::SERVER_NAME => server_name = name(value),
                extension::PROTOCOLS => protocols = Some(names(value)),
                extension::EARLY_DATA => early_data = true,
                _ => {}
            });
        let certain = whole && all;
        Self {
            server_name: server_name.map_or(certain_if(certain), Seen::Known),
            protocols: protocols.map_or(certain_if(certain), Seen::Known),
            early_data: early_data || !certain,
        }
    }
}

/// Version, random value, session, ciphers, compression.
fn skip_to_extensions(rest: &mut Octets<'_>) -> Option<()> {
    rest.take(34)?;
    let session = rest.u8()?;
    rest.take(session.into())?;
    rest.counted_u16()?;
    let compressions = rest.u8()?;
    rest.take(compressions.into())?;
    Some(())
}

impl ServerHello {
    pub(super) fn read(octets: &[u8], whole: bool) -> Self {
        let mut rest = Octets::new(octets);
        let (mut chosen, mut protocol) = (None, None);
        let legacy = rest.u16();
        let retry = rest.take(32) == Some(&RETRY);
        let head = rest.u8().and_then(|session| {
            // Session, cipher, compression.
            rest.take(usize::from(session) + 3)
        });
        let all = head.is_some()
            && extensions(&mut rest, &mut |kind, value| match kind {
                extension::VERSIONS => chosen = Octets::new(value).u16(),
                extension::PROTOCOLS => protocol = names(value).into_iter().next(),
                _ => {}
            });
        let certain = whole && all;
        let version = chosen.or(legacy.filter(|_| certain));
        Self {
            version: version.map_or(Seen::Unknown, Seen::Known),
            protocol: protocol.map_or(certain_if(certain), Seen::Known),
            retry,
        }
    }
}

/// The server's name (RFC 6066, section 3).
fn name(value: &[u8]) -> Option<String> {
    let mut rest = Octets::new(value);
    let mut list = Octets::new(rest.counted_u16()?);
    let (kind, name) = (list.u8()?, list.counted_u16()?);
    (kind == 0).then(|| redact::host(name))
}

/// Names of protocols (RFC 7301, section 3.1).
fn names(value: &[u8]) -> Vec<String> {
    let mut rest = Octets::new(value);
    let mut list = Octets::new(rest.counted_u16().unwrap_or_default());
    let mut names = Vec::new();
    while let Some(length) = list.u8()
        && let Some(name) = list.take(length.into())
        && names.len() < PROTOCOLS
    {
        names.push(redact::text(&name[..name.len().min(PROTOCOL_OCTETS)]));
    }
    names
}
