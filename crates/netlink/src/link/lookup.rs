//! Devices as the kernel describes them.

use super::{
    AdminState, IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO,
    IFLA_MASTER, IFLA_MTU, IFLA_PROP_LIST, INFO_HEADER, LinkRef, info_header,
};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::mac::Mac;
use crate::wire::{self, Message};

const IFLA_LINK: u16 = 5;
const IFLA_STATS64: u16 = 23;
const IFLA_LINK_NETNSID: u16 = 37;

/// What a device counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Received and dropped.
    pub rx_dropped: u64,
    /// Dropped instead of sent.
    pub tx_dropped: u64,
}

/// A device as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Alternative names.
    pub alternative_names: Vec<String>,
    /// Kind as `ip -d link` prints it (`veth`, `vxlan`, `bridge`, …), empty for physical devices.
    pub kind: String,
    /// `IFF_*` flags.
    pub flags: u32,
    /// Ethernet address; `None` where the device has none of 6 bytes.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// Index of the peer (veth) or lower device, in the namespace `peer_namespace_id` names.
    pub peer: Option<u32>,
    /// The kernel's id of the peer's namespace as seen from here; `None`: the same namespace.
    pub peer_namespace_id: Option<i32>,
    /// Counters.
    pub statistics: Statistics,
}

impl Link {
    /// The administrative state.
    pub fn state(&self) -> AdminState {
        if self.flags & libc::IFF_UP as u32 == 0 {
            AdminState::Down
        } else {
            AdminState::Up
        }
    }

    /// Administratively up and with a carrier (`IFF_LOWER_UP`).
    pub fn has_carrier(&self) -> bool {
        self.flags & 0x1_0000 != 0
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let mut link = Self {
            index: wire::u32_at(payload, 4)?,
            flags: wire::u32_at(payload, 8)?,
            ..Self::default()
        };
        for (kind, value) in wire::attributes(payload.get(INFO_HEADER..)?) {
            match kind {
                IFLA_IFNAME => link.name = wire::text(value),
                IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
                IFLA_MTU => link.mtu = wire::u32_at(value, 0)?,
                IFLA_MASTER => link.master = wire::u32_at(value, 0),
                IFLA_LINK => link.peer = wire::u32_at(value, 0).filter(|&index| index != 0),
                IFLA_LINK_NETNSID => {
                    link.peer_namespace_id = wire::u32_at(value, 0).map(|id| id as i32);
                }
                IFLA_STATS64 => link.statistics = statistics(value)?,
                IFLA_PROP_LIST => {
                    link.alternative_names = wire::attributes(value)
                        .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
                        .map(|(_, name)| wire::text(name))
                        .collect();
                }
                IFLA_LINKINFO => {
                    link.kind = wire::attributes(value)
                        .find(|(kind, _)| *kind == IFLA_INFO_KIND)
                        .map_or_else(String::new, |(_, kind)| wire::text(kind));
                }
                _ => (),
            }
        }
        Some(link)
    }
}

/// `struct rtnl_link_stats64`, the first eight counters.
fn statistics(value: &[u8]) -> Option<Statistics> {
    let at = |position: usize| wire::u64_at(value, position * size_of::<u64>());
    Some(Statistics {
        rx_packets: at(0)?,
        tx_packets: at(1)?,
        rx_bytes: at(2)?,
        tx_bytes: at(3)?,
        rx_errors: at(4)?,
        tx_errors: at(5)?,
        rx_dropped: at(6)?,
        tx_dropped: at(7)?,
    })
}

impl Handle {
    /// Looks up one device.
    pub fn link<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<Link> {
        let link = link.into();
        let message = link.header(libc::RTM_GETLINK, libc::NLM_F_REQUEST as u16, None);
        let object = link.to_string();
        let answers = self.query("look up", &object, message, libc::RTM_NEWLINK)?;
        let payload = answers
            .first()
            .ok_or_else(|| Error::new("look up", &*object, libc::ENODEV))?;
        Link::parse(payload).ok_or_else(|| {
            Error::new("look up", object, libc::EBADMSG)
                .with_detail("the kernel's answer is malformed")
        })
    }

    /// Looks up one device, `None` when there is none.
    pub fn find_link<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<Option<Link>> {
        match self.link(link) {
            Ok(link) => Ok(Some(link)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists all devices of the namespace.
    pub fn links(&self) -> Result<Vec<Link>> {
        let message = Message::new(libc::RTM_GETLINK, wire::DUMP).fixed(&info_header(0, None));
        let answers = self.query("list", "links", message, libc::RTM_NEWLINK)?;
        Ok(answers
            .iter()
            .filter_map(|payload| Link::parse(payload))
            .collect())
    }
}
