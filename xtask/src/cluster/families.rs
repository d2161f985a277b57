//! The addresses of a cluster, in each family that it speaks.

use anyhow::{Result, bail};

#[cfg(test)]
mod tests;

/// Numbers that end addresses, in both families alike.
pub(super) const BRIDGE: u8 = 1;
pub(super) const CONTROL: u8 = 10;
pub(super) const OUTSIDE: u8 = 100;
/// The outside's other address.
pub(super) const OUTSIDE_OTHER: u8 = 101;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The address of who has this number on the bridge.
    pub(super) fn address(self, number: u8) -> String {
        match self {
            Family::V4 => format!("172.30.0.{number}"),
            Family::V6 => format!("fd00:172:30::{number}"),
        }
    }

    /// Bits of the bridge's prefix.
    pub(super) fn bits(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    fn services(self) -> &'static str {
        match self {
            Family::V4 => "10.96.0.0/16",
            Family::V6 => "fd00:10:96::/112",
        }
    }

    fn pods(self) -> &'static str {
        match self {
            Family::V4 => "10.244.0.0/16",
            Family::V6 => "fd00:10:244::/56",
        }
    }

    /// The service of the API, which has the first address.
    pub(super) fn api_service(self) -> &'static str {
        match self {
            Family::V4 => "10.96.0.1",
            Family::V6 => "fd00:10:96::1",
        }
    }

    fn dns_service(self) -> &'static str {
        match self {
            Family::V4 => "10.96.0.10",
            Family::V6 => "fd00:10:96::a",
        }
    }
}

/// What a cluster speaks; where one is enough, the first one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Families {
    #[default]
    Ipv4,
    Dual,
    Ipv6,
}

impl Families {
    pub(super) fn named(name: &str) -> Result<Families> {
        let all = [Families::Ipv4, Families::Dual, Families::Ipv6];
        match all.into_iter().find(|families| families.name() == name) {
            Some(families) => Ok(families),
            None => bail!("'{name}' is none of ipv4, dual, ipv6"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Families::Ipv4 => "ipv4",
            Families::Dual => "dual",
            Families::Ipv6 => "ipv6",
        }
    }

    pub(super) fn all(self) -> &'static [Family] {
        match self {
            Families::Ipv4 => &[Family::V4],
            Families::Dual => &[Family::V4, Family::V6],
            Families::Ipv6 => &[Family::V6],
        }
    }

    pub(super) fn has(self, family: Family) -> bool {
        self.all().contains(&family)
    }

    /// All addresses of who has this number.
    pub(super) fn addresses(self, number: u8) -> Vec<String> {
        self.all()
            .iter()
            .map(|family| family.address(number))
            .collect()
    }

    /// Where the API server listens.
    pub(super) fn api(self) -> String {
        self.all()[0].address(CONTROL)
    }

    pub(super) fn dns(self) -> &'static str {
        self.all()[0].dns_service()
    }

    pub(super) fn services(self) -> String {
        self.list(Family::services)
    }

    pub(super) fn pods(self) -> String {
        self.list(Family::pods)
    }

    fn list(self, range: fn(Family) -> &'static str) -> String {
        let ranges: Vec<&str> = self.all().iter().map(|family| range(*family)).collect();
        ranges.join(",")
    }

    /// How the controller manager is told the size of a node's range of pods.
    pub(super) fn node_masks(self) -> &'static [&'static str] {
        match self {
            Families::Ipv4 => &["--node-cidr-mask-size=24"],
            Families::Dual => &[
                "--node-cidr-mask-size-ipv4=24",
                "--node-cidr-mask-size-ipv6=64",
            ],
            Families::Ipv6 => &["--node-cidr-mask-size=64"],
        }
    }
}

/// Host and port as URLs and sockets have them.
pub(super) fn host_port(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}
