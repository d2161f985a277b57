//! Network devices: create, change, delete, look up.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use crate::handle::Request;
use crate::mac::Mac;
use crate::namespace::Namespace;
use crate::wire::{self, Message};

mod lookup;

pub use lookup::{Link, Statistics};

/// Longest device name in bytes (`IFNAMSIZ` less the NUL); longer ones can only be alternative names.
pub const NAME_MAX: usize = 15;

const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;
const INFO_HEADER: usize = 16;

// linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_GSO_MAX_SIZE: u16 = 41;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_GROUP: u16 = 2;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_GROUP6: u16 = 16;
const IFLA_VXLAN_LOCAL6: u16 = 17;
const IFLA_VXLAN_COLLECT_METADATA: u16 = 25;

/// Whether a device is administratively up (`IFF_UP`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AdminState {
    /// Not forwarding anything.
    #[default]
    Down,
    /// Enabled.
    Up,
}

/// How a request names its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRef<'a> {
    /// By interface index.
    Index(u32),
    /// By name (≤ 15 bytes) or, when longer, by alternative name.
    Name(&'a str),
}

impl From<u32> for LinkRef<'_> {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl<'a> From<&'a str> for LinkRef<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for LinkRef<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl std::fmt::Display for LinkRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(f, "link {index}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl LinkRef<'_> {
    fn header(self, kind: u16, flags: u16, change: Option<AdminState>) -> Message {
        let index = if let Self::Index(index) = self {
            index
        } else {
            0
        };
        let mut message = Message::new(kind, flags).fixed(&info_header(index, change));
        if let Self::Name(name) = self {
            put_name(&mut message, name);
        }
        message
    }
}

fn put_name(message: &mut Message, name: &str) {
    message.attr_str(
        if name.len() > NAME_MAX {
            IFLA_ALT_IFNAME
        } else {
            IFLA_IFNAME
        },
        name,
    );
}

/// `struct ifinfomsg`.
fn info_header(index: u32, change: Option<AdminState>) -> [u8; INFO_HEADER] {
    let up = libc::IFF_UP as u32;
    let (flags, mask) = match change {
        None => (0, 0),
        Some(AdminState::Up) => (up, up),
        Some(AdminState::Down) => (0, up),
    };
    let mut header = [0; INFO_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&mask.to_ne_bytes());
    header
}

/// One end of a veth pair to be made.
#[derive(Clone, Debug)]
pub struct VethEnd<'a> {
    name: &'a str,
    mac: Option<Mac>,
    mtu: Option<u32>,
}

impl<'a> VethEnd<'a> {
    /// An end with the kernel's random MAC and default MTU, down.
    pub fn named(name: &'a str) -> Self {
        Self {
            name,
            mac: None,
            mtu: None,
        }
    }

    /// With this Ethernet address.
    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = Some(mac);
        self
    }

    /// With this MTU in bytes.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = Some(bytes);
        self
    }

    fn put(&self, message: &mut Message) {
        message.attr_str(IFLA_IFNAME, self.name);
        if let Some(mac) = self.mac {
            message.attr(IFLA_ADDRESS, &mac.0);
        }
        if let Some(mtu) = self.mtu {
            message.attr_u32(IFLA_MTU, mtu);
        }
    }
}

/// A veth pair: `end` in the handle's namespace, `peer` there too or directly in another one, so that neither is moved.
#[derive(Clone, Debug)]
pub struct Veth<'a> {
    /// The end in the namespace of the handle that runs the request.
    pub end: VethEnd<'a>,
    /// State `end` is made in.
    pub state: AdminState,
    /// The other end. Made down: the kernel opens it before it knows its other half, so up fails with `ENOTCONN`.
    pub peer: VethEnd<'a>,
    /// Where the other end is made; `None`: the same namespace.
    pub peer_namespace: Option<&'a Namespace>,
}

/// How a VXLAN device chooses the network identifier and the remote address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VxlanMode {
    /// From each packet's tunnel key (`external`), as eBPF sets it.
    External,
    /// A fixed VNI and, for a point-to-point tunnel, a fixed remote address.
    Fixed {
        /// Network identifier, 24 bits.
        vni: u32,
        /// Where everything without a forwarding entry goes.
        remote: Option<IpAddr>,
    },
}

/// Whether a VXLAN device learns addresses from what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// `nolearning`.
    Off,
    /// The kernel's default.
    On,
}

/// A VXLAN device.
#[derive(Clone, Debug)]
pub struct Vxlan<'a> {
    /// Device name.
    pub name: &'a str,
    /// Where VNI and remote come from.
    pub mode: VxlanMode,
    /// Address learning.
    pub learning: Learning,
    /// UDP destination port.
    pub port: u16,
    /// Source address of the outer header.
    pub local: Option<IpAddr>,
    /// Index of the underlay device.
    pub underlay: Option<u32>,
    /// Ethernet address, else random.
    pub mac: Option<Mac>,
    /// MTU in bytes, else the kernel's choice.
    pub mtu: Option<u32>,
}

/// Creates a veth pair.
pub fn create_veth(veth: &Veth<'_>) -> Request {
    let mut message =
        Message::new(libc::RTM_NEWLINK, wire::CREATE_NEW).fixed(&info_header(0, Some(veth.state)));
    veth.end.put(&mut message);
    message.nested(IFLA_LINKINFO, |info| {
        info.attr_str(IFLA_INFO_KIND, "veth");
        info.nested(IFLA_INFO_DATA, |data| {
            data.nested(VETH_INFO_PEER, |peer| {
                peer.put(&info_header(0, None));
                veth.peer.put(peer);
                if let Some(namespace) = veth.peer_namespace {
                    peer.attr_u32(IFLA_NET_NS_FD, namespace.as_raw_fd() as u32);
                }
            });
        });
    });
    Request::new(
        "create veth",
        format!("{} with peer {}", veth.end.name, veth.peer.name),
        message,
    )
}

fn create_kind(
    kind: &'static str,
    operation: &'static str,
    name: &str,
    index: u32,
    fill: impl FnOnce(&mut Message),
) -> Request {
    let mut message =
        Message::new(libc::RTM_NEWLINK, wire::CREATE_NEW).fixed(&info_header(index, None));
    message.attr_str(IFLA_IFNAME, name);
    message.nested(IFLA_LINKINFO, |info| {
        info.attr_str(IFLA_INFO_KIND, kind);
        fill(info);
    });
    Request::new(operation, name, message)
}

/// Creates a bridge, down, with the kernel's defaults.
pub fn create_bridge(name: &str) -> Request {
    create_bridge_at(name, 0)
}

/// The same with an index of the caller's choice, which must be free; 0 leaves it to the kernel.
pub fn create_bridge_at(name: &str, index: u32) -> Request {
    create_kind("bridge", "create bridge", name, index, |_| ())
}

/// Creates a dummy device, down; `EOPNOTSUPP` on kernels built without it.
pub fn create_dummy(name: &str) -> Request {
    create_kind("dummy", "create dummy", name, 0, |_| ())
}

/// Creates a VXLAN device, down.
pub fn create_vxlan(vxlan: &Vxlan<'_>) -> Request {
    let mut message =
        Message::new(libc::RTM_NEWLINK, wire::CREATE_NEW).fixed(&info_header(0, None));
    message.attr_str(IFLA_IFNAME, vxlan.name);
    if let Some(mac) = vxlan.mac {
        message.attr(IFLA_ADDRESS, &mac.0);
    }
    if let Some(mtu) = vxlan.mtu {
        message.attr_u32(IFLA_MTU, mtu);
    }
    message.nested(IFLA_LINKINFO, |info| {
        info.attr_str(IFLA_INFO_KIND, "vxlan");
        info.nested(IFLA_INFO_DATA, |data| put_vxlan(data, vxlan));
    });
    Request::new("create vxlan", vxlan.name, message)
}

fn put_vxlan(data: &mut Message, vxlan: &Vxlan<'_>) {
    match vxlan.mode {
        VxlanMode::External => data.attr_u8(IFLA_VXLAN_COLLECT_METADATA, 1),
        VxlanMode::Fixed { vni, remote } => {
            data.attr_u32(IFLA_VXLAN_ID, vni);
            if let Some(remote) = remote {
                data.attr_ip(
                    if remote.is_ipv4() {
                        IFLA_VXLAN_GROUP
                    } else {
                        IFLA_VXLAN_GROUP6
                    },
                    remote,
                );
            }
        }
    }
    data.attr_u8(
        IFLA_VXLAN_LEARNING,
        u8::from(vxlan.learning == Learning::On),
    );
    data.attr_be16(IFLA_VXLAN_PORT, vxlan.port);
    if let Some(local) = vxlan.local {
        data.attr_ip(
            if local.is_ipv4() {
                IFLA_VXLAN_LOCAL
            } else {
                IFLA_VXLAN_LOCAL6
            },
            local,
        );
    }
    if let Some(underlay) = vxlan.underlay {
        data.attr_u32(IFLA_VXLAN_LINK, underlay);
    }
}

/// Deletes a device; of a veth pair both ends go.
pub fn delete<'a>(link: impl Into<LinkRef<'a>>) -> Request {
    let link = link.into();
    Request::new(
        "delete",
        link.to_string(),
        link.header(libc::RTM_DELLINK, wire::ACK, None),
    )
}

fn change<'a>(
    operation: &'static str,
    link: impl Into<LinkRef<'a>>,
    state: Option<AdminState>,
    fill: impl FnOnce(&mut Message),
) -> Request {
    let link = link.into();
    let mut message = link.header(libc::RTM_NEWLINK, wire::ACK, state);
    fill(&mut message);
    Request::new(operation, link.to_string(), message)
}

/// Brings a device up.
pub fn set_up<'a>(link: impl Into<LinkRef<'a>>) -> Request {
    change("bring up", link, Some(AdminState::Up), |_| ())
}

/// Takes a device down.
pub fn set_down<'a>(link: impl Into<LinkRef<'a>>) -> Request {
    change("take down", link, Some(AdminState::Down), |_| ())
}

/// Sets the MTU in bytes.
pub fn set_mtu<'a>(link: impl Into<LinkRef<'a>>, bytes: u32) -> Request {
    change("set MTU of", link, None, |m| m.attr_u32(IFLA_MTU, bytes))
}

/// Renames a device. By index only: a name in the request would be taken as the new one.
pub fn rename(index: u32, name: &str) -> Request {
    change("rename", index, None, |m| m.attr_str(IFLA_IFNAME, name))
}

/// Sets the Ethernet address.
pub fn set_mac<'a>(link: impl Into<LinkRef<'a>>, mac: Mac) -> Request {
    change("set MAC of", link, None, |m| m.attr(IFLA_ADDRESS, &mac.0))
}

/// Makes a device a port of the bridge with index `master`; 0 takes it out again.
pub fn set_master<'a>(link: impl Into<LinkRef<'a>>, master: u32) -> Request {
    change("set master of", link, None, |m| {
        m.attr_u32(IFLA_MASTER, master);
    })
}

/// Largest segments, in bytes, that a device may be handed (GSO) or may merge (GRO), per family; `None` leaves a limit alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadSizes {
    /// GSO of IPv6 (and of all before Linux 6.3).
    pub gso: Option<u32>,
    /// GRO of IPv6.
    pub gro: Option<u32>,
    /// GSO of IPv4.
    pub gso_ipv4: Option<u32>,
    /// GRO of IPv4.
    pub gro_ipv4: Option<u32>,
}

/// Sets the GSO and GRO size limits.
pub fn set_offload_sizes<'a>(link: impl Into<LinkRef<'a>>, sizes: OffloadSizes) -> Request {
    let limits = [
        (IFLA_GSO_MAX_SIZE, sizes.gso),
        (IFLA_GRO_MAX_SIZE, sizes.gro),
        (IFLA_GSO_IPV4_MAX_SIZE, sizes.gso_ipv4),
        (IFLA_GRO_IPV4_MAX_SIZE, sizes.gro_ipv4),
    ];
    change("set GSO and GRO sizes of", link, None, |m| {
        for (kind, bytes) in limits {
            if let Some(bytes) = bytes {
                m.attr_u32(kind, bytes);
            }
        }
    })
}

fn alternative_name(
    operation: &'static str,
    kind: u16,
    flags: u16,
    index: u32,
    name: &str,
) -> Request {
    let mut message = LinkRef::Index(index).header(kind, flags, None);
    message.nested(IFLA_PROP_LIST, |list| list.attr_str(IFLA_ALT_IFNAME, name));
    Request::new(operation, format!("{name} of link {index}"), message)
}

/// Adds an alternative name (up to 127 bytes, unique in the namespace).
pub fn add_alternative_name(index: u32, name: &str) -> Request {
    alternative_name(
        "add alternative name",
        RTM_NEWLINKPROP,
        wire::CREATE_NEW,
        index,
        name,
    )
}

/// Removes an alternative name.
pub fn delete_alternative_name(index: u32, name: &str) -> Request {
    alternative_name(
        "delete alternative name",
        RTM_DELLINKPROP,
        wire::ACK,
        index,
        name,
    )
}
