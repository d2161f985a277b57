//! Addresses of devices.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Family;
use crate::error::Result;
use crate::handle::{Handle, Request};
use crate::wire::{self, Message};

const HEADER: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;

/// What the kernel does by itself when an address is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixRoute {
    /// A route to the prefix through the device.
    #[default]
    Add,
    /// No route.
    Skip,
}

/// `struct ifaddrmsg`.
fn header(family: u8, length: u8, scope: u8, index: u32) -> [u8; HEADER] {
    let [a, b, c, d] = index.to_ne_bytes();
    [family, length, 0, scope, a, b, c, d]
}

fn message(kind: u16, flags: u16, index: u32, address: IpNet, address_flags: u32) -> Message {
    let family = Family::of(address.addr()).raw();
    let mut message =
        Message::new(kind, flags).fixed(&header(family, address.prefix_len(), 0, index));
    message.attr_ip(IFA_LOCAL, address.addr());
    message.attr_ip(IFA_ADDRESS, address.addr());
    if address_flags != 0 {
        message.attr_u32(IFA_FLAGS, address_flags);
    }
    message
}

/// Adds an address (with its prefix length) to a device, fails with `EEXIST` when it has it. IPv6: usable at once, without
/// duplicate address detection.
pub fn add(index: u32, address: IpNet, route: PrefixRoute) -> Request {
    let mut flags = if address.addr().is_ipv6() {
        IFA_F_NODAD
    } else {
        0
    };
    if route == PrefixRoute::Skip {
        flags |= IFA_F_NOPREFIXROUTE;
    }
    let message = message(libc::RTM_NEWADDR, wire::CREATE_NEW, index, address, flags);
    Request::new("add address", format!("{address} to link {index}"), message)
}

/// Removes an address.
pub fn delete(index: u32, address: IpNet) -> Request {
    let message = message(libc::RTM_DELADDR, wire::ACK, index, address, 0);
    Request::new(
        "delete address",
        format!("{address} of link {index}"),
        message,
    )
}

/// An address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Interface index.
    pub index: u32,
    /// Address and prefix length.
    pub address: IpNet,
    /// `RT_SCOPE_*`: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// `IFA_F_*`, all 32 bits.
    pub flags: u32,
}

impl Address {
    fn parse(payload: &[u8]) -> Option<Self> {
        let (mut local, mut prefix): (Option<IpAddr>, Option<IpAddr>) = (None, None);
        let mut flags = u32::from(*payload.get(2)?);
        for (kind, value) in wire::attributes(payload.get(HEADER..)?) {
            match kind {
                IFA_LOCAL => local = wire::ip(value),
                IFA_ADDRESS => prefix = wire::ip(value),
                IFA_FLAGS => flags = wire::u32_at(value, 0)?,
                _ => (),
            }
        }
        // On point-to-point devices IFA_ADDRESS is the other side's; IPv6 has only IFA_ADDRESS.
        let address = IpNet::new(local.or(prefix)?, *payload.get(1)?).ok()?;
        Some(Self {
            index: wire::u32_at(payload, 4)?,
            address,
            scope: *payload.get(3)?,
            flags,
        })
    }
}

impl Handle {
    /// Lists the addresses of the namespace, of one device (by index) or of all.
    pub fn addresses(&self, index: Option<u32>) -> Result<Vec<Address>> {
        let message = Message::new(libc::RTM_GETADDR, wire::DUMP).fixed(&header(
            libc::AF_UNSPEC as u8,
            0,
            0,
            index.unwrap_or(0),
        ));
        let object = index.map_or_else(
            || "addresses".to_owned(),
            |index| format!("addresses of link {index}"),
        );
        let answers = self.query("list", &object, message, libc::RTM_NEWADDR)?;
        Ok(answers
            .iter()
            .filter_map(|payload| Address::parse(payload))
            .filter(|address| index.is_none_or(|index| address.index == index))
            .collect())
    }
}
