//! What a socket measures of its connection, into the connection's entry.

use crate::abi::{
    Address,
    connection::{ConnectionKey, RoundTrip, Way, kind},
};
use crate::maps::{Maps, Table};
use crate::stages::{connection::way, nat::Ends};
use crate::wire::ip::TCP;

/// An end as its socket knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its address.
    pub address: Address,
    /// Its port, network order.
    pub port: u16,
}

/// Writes what the socket of `local` measures of its connection with `remote`; nothing where that is no connection of a pod.
#[inline(always)]
pub fn note(local: &End, remote: &End, measured: RoundTrip, maps: &impl Maps) {
    let kind = if local.address.is_v4() { 0 } else { kind::V6 };
    let (key, local_is_low) = ConnectionKey::of(
        (&local.address, local.port),
        (&remote.address, remote.port),
        TCP,
        kind,
    );
    if let Some(entry) = maps.connection(Table::Answered, &key) {
        entry.set_round_trip(way(local_is_low, entry.flags()), measured);
        return;
    }
    let alias = ConnectionKey {
        kind: key.kind | kind::ALIAS,
        ..key
    };
    let Some(primary) = maps.alias(&alias) else {
        return;
    };
    if let Some(entry) = maps.connection(Table::Answered, &primary) {
        // Only who answers has a socket with the tuple after a rewrite.
        let ends = Ends::of(&primary, entry.flags()).rewritten(entry);
        if ends.responder == (local.address, local.port) {
            entry.set_round_trip(Way::Reply, measured);
        }
    }
}
