//! Neighbour entries: fixed link addresses, and addresses answered for.

use std::net::IpAddr;

use crate::Family;
use crate::error::Result;
use crate::handle::{Handle, Request};
use crate::mac::Mac;
use crate::wire::{self, Message};

const HEADER: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const NTF_PROXY: u8 = 0x08;

/// `struct ndmsg`.
fn header(family: u8, index: u32, state: u16, flags: u8) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header[10] = flags;
    header
}

fn message(
    kind: u16,
    flags: u16,
    index: u32,
    address: IpAddr,
    state: u16,
    neighbour_flags: u8,
) -> Message {
    let mut message = Message::new(kind, flags).fixed(&header(
        Family::of(address).raw(),
        index,
        state,
        neighbour_flags,
    ));
    message.attr_ip(NDA_DST, address);
    message
}

/// Sets a permanent entry, replacing what is there.
pub fn set_permanent(index: u32, address: IpAddr, mac: Mac) -> Request {
    let mut message = message(
        libc::RTM_NEWNEIGH,
        wire::REPLACE,
        index,
        address,
        NUD_PERMANENT,
        0,
    );
    message.attr(NDA_LLADDR, &mac.0);
    Request::new(
        "set neighbour",
        format!("{address} at {mac} on link {index}"),
        message,
    )
}

/// Deletes an entry.
pub fn delete(index: u32, address: IpAddr) -> Request {
    Request::new(
        "delete neighbour",
        format!("{address} on link {index}"),
        message(libc::RTM_DELNEIGH, wire::ACK, index, address, 0, 0),
    )
}

/// Answers ARP or neighbour solicitations for `address` on this device (with the device's proxy sysctl on).
pub fn add_proxy(index: u32, address: IpAddr) -> Request {
    Request::new(
        "add proxy neighbour",
        format!("{address} on link {index}"),
        message(
            libc::RTM_NEWNEIGH,
            wire::REPLACE,
            index,
            address,
            NUD_PERMANENT,
            NTF_PROXY,
        ),
    )
}

/// Stops answering for `address`.
pub fn delete_proxy(index: u32, address: IpAddr) -> Request {
    Request::new(
        "delete proxy neighbour",
        format!("{address} on link {index}"),
        message(libc::RTM_DELNEIGH, wire::ACK, index, address, 0, NTF_PROXY),
    )
}

/// An entry of the neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Interface index.
    pub index: u32,
    /// Protocol address.
    pub address: IpAddr,
    /// Link address, when resolved.
    pub mac: Option<Mac>,
    /// `NUD_*` bits.
    pub state: u16,
    /// `NTF_*` bits.
    pub flags: u8,
}

impl Neighbour {
    /// Set by hand, never expires.
    pub fn is_permanent(&self) -> bool {
        self.state & NUD_PERMANENT != 0
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (mut address, mut mac) = (None, None);
        for (kind, value) in wire::attributes(payload.get(HEADER..)?) {
            match kind {
                NDA_DST => address = wire::ip(value),
                NDA_LLADDR => mac = value.try_into().ok().map(Mac),
                _ => (),
            }
        }
        Some(Self {
            index: wire::u32_at(payload, 4)?,
            address: address?,
            mac,
            state: wire::u16_at(payload, 8)?,
            flags: *payload.get(10)?,
        })
    }
}

impl Handle {
    /// Lists the neighbours of one family.
    pub fn neighbours(&self, family: Family) -> Result<Vec<Neighbour>> {
        self.neighbours_with(family, 0)
    }

    /// Lists the addresses of one family that are answered for by proxy.
    pub fn proxy_neighbours(&self, family: Family) -> Result<Vec<Neighbour>> {
        self.neighbours_with(family, NTF_PROXY)
    }

    fn neighbours_with(&self, family: Family, flags: u8) -> Result<Vec<Neighbour>> {
        let message =
            Message::new(libc::RTM_GETNEIGH, wire::DUMP).fixed(&header(family.raw(), 0, 0, flags));
        let answers = self.query("list", "neighbours", message, libc::RTM_NEWNEIGH)?;
        Ok(answers
            .iter()
            .filter_map(|payload| Neighbour::parse(payload))
            .collect())
    }
}
