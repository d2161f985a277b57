//! Which calls there are, in which versions their layout is known here, and the heads of requests and answers
//! (Kafka's protocol guide, "Messages").

use super::wire::Body;
use crate::octets::Octets;

/// A call by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Api {
    pub(super) key: i16,
    /// First version with compact forms.
    flexible: i16,
    /// Last version whose layout is known here.
    last: i16,
}

pub(super) const PRODUCE: i16 = 0;
pub(super) const FETCH: i16 = 1;
pub(super) const METADATA: i16 = 3;
pub(super) const OFFSET_COMMIT: i16 = 8;
pub(super) const OFFSET_FETCH: i16 = 9;
pub(super) const FIND_COORDINATOR: i16 = 10;
pub(super) const JOIN_GROUP: i16 = 11;
pub(super) const HEARTBEAT: i16 = 12;
pub(super) const LEAVE_GROUP: i16 = 13;
pub(super) const SYNC_GROUP: i16 = 14;
pub(super) const API_VERSIONS: i16 = 18;
pub(super) const CREATE_TOPICS: i16 = 19;
pub(super) const CONSUMER_GROUP_HEARTBEAT: i16 = 68;

const fn api(key: i16, flexible: i16, last: i16) -> Api {
    Api {
        key,
        flexible,
        last,
    }
}

const KNOWN: [Api; 13] = [
    api(PRODUCE, 9, 13),
    api(FETCH, 12, 18),
    api(METADATA, 9, 13),
    api(OFFSET_COMMIT, 8, 10),
    api(OFFSET_FETCH, 6, 10),
    api(FIND_COORDINATOR, 3, 6),
    api(JOIN_GROUP, 6, 9),
    api(HEARTBEAT, 4, 4),
    api(LEAVE_GROUP, 4, 5),
    api(SYNC_GROUP, 4, 5),
    api(API_VERSIONS, 3, 4),
    api(CREATE_TOPICS, 5, 7),
    api(CONSUMER_GROUP_HEARTBEAT, 0, 1),
];

/// Numbers of calls that are taken for plausible, and their versions: some more than there are.
const LAST_KEY: i16 = 100;
const LAST_VERSION: i16 = 25;

/// Octets of a request that are taken for plausible: the default of brokers (`socket.request.max.bytes`).
pub(super) const REQUEST_OCTETS: u32 = 100 << 20;

/// Octets of a client's name that are taken for plausible.
const CLIENT_OCTETS: usize = 255;

/// What a request begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) key: i16,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) client: Option<&'a [u8]>,
}

/// Reads what a request begins with, behind its length. Nothing if it is none or not all there.
pub(super) fn head<'a>(octets: &mut Octets<'a>) -> Option<Head<'a>> {
    let (key, version) = (octets.u16()?.cast_signed(), octets.u16()?.cast_signed());
    let correlation = octets.u32()?.cast_signed();
    let client = match octets.u16()?.cast_signed() {
        -1 => None,
        length => Some(octets.take(usize::try_from(length).ok()?)?),
    };
    let printable = |text: &[u8]| {
        text.len() <= CLIENT_OCTETS && text.iter().all(|octet| (0x20..0x7f).contains(octet))
    };
    let fits = (0..=LAST_KEY).contains(&key)
        && (0..=LAST_VERSION).contains(&version)
        && correlation >= 0
        && client.is_none_or(printable);
    fits.then_some(Head {
        key,
        version,
        correlation,
        client,
    })
}

/// Whether the first octets of a request, its length included, can begin one; they may end early.
pub(super) fn may_begin(octets: &[u8]) -> bool {
    // Each field by itself: the first octets of numbers that are small.
    let limits = [
        (4, 0),
        (5, LAST_KEY as u8),
        (6, 0),
        (7, LAST_VERSION as u8),
        (8, 0x7f),
    ];
    let length = octets
        .first_chunk::<4>()
        .map(|length| u32::from_be_bytes(*length));
    length.is_none_or(|length| (10..=REQUEST_OCTETS).contains(&length))
        && octets
            .first()
            .is_none_or(|octet| *octet <= (REQUEST_OCTETS >> 24) as u8)
        && limits
            .iter()
            .all(|(at, most)| octets.get(*at).is_none_or(|octet| octet <= most))
}

fn known(key: i16, version: i16) -> Option<Api> {
    let known = KNOWN.into_iter().find(|api| api.key == key);
    known.filter(|api| version <= api.last)
}

/// The body of a request whose head was read, if its layout is known.
pub(super) fn request(key: i16, version: i16, octets: Octets<'_>) -> Option<Body<'_>> {
    let api = known(key, version)?;
    let flexible = version >= api.flexible;
    let mut body = Body::new(octets.rest(), version, flexible);
    body.tags()?;
    Some(body)
}

/// The body of an answer behind its number, if its layout is known.
pub(super) fn answer(key: i16, version: i16, octets: &[u8]) -> Option<Body<'_>> {
    let api = known(key, version)?;
    let flexible = version >= api.flexible;
    let mut body = Body::new(octets, version, flexible);
    // An answer about versions must be readable by those who know none of them.
    if key != API_VERSIONS {
        body.tags()?;
    }
    Some(body)
}
