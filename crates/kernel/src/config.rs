//! Sizes of the maps.

/// How many entries each map may hold. A start with another size than that of the pinned map replaces it, see
/// [`crate::resize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Answered connections, 344 bytes of kernel memory each, taken at start.
    pub connections: u32,
    /// Connections without an answer yet, of the same size.
    pub openings: u32,
    /// Rewritten connections (services, masquerade).
    pub aliases: u32,
    /// Fragmented datagrams under way.
    pub fragments: u32,
    /// Addresses of pods and nodes of the cluster.
    pub addresses: u32,
    /// Prefixes.
    pub cidrs: u32,
    /// Rows (policy, peer).
    pub policy_peers: u32,
    /// Rows (policy, class, port prefix).
    pub policy_ports: u32,
    /// Peers that all policies of this node know.
    pub known_identities: u32,
    /// Service addresses and ports.
    pub frontends: u32,
    /// Backends of services, one entry per service and backend.
    pub service_slots: u32,
    /// Backends.
    pub backends: u32,
    /// Clients with session affinity.
    pub affinity: u32,
    /// Sockets whose peer was translated.
    pub socket_peers: u32,
    /// Distinct (endpoint, reason, direction, rule) of drops.
    pub drops: u32,
    /// Bytes of the event ring, a power of two.
    pub event_bytes: u32,
    /// Bytes of the ring of samples, a power of two.
    pub sample_bytes: u32,
    /// Connections about which user space has said lately how they are sampled.
    pub followed: u32,
}

impl Default for Config {
    /// A small node: about 46 MiB of kernel memory at start, the rest on use.
    fn default() -> Self {
        Self {
            connections: 65_536,
            openings: 16_384,
            aliases: 65_536,
            fragments: 8_192,
            addresses: 131_072,
            cidrs: 65_536,
            policy_peers: 524_288,
            policy_ports: 524_288,
            known_identities: 131_072,
            frontends: 65_536,
            service_slots: 1_048_576,
            backends: 131_072,
            affinity: 65_536,
            socket_peers: 65_536,
            drops: 16_384,
            event_bytes: 1 << 20,
            sample_bytes: 4 << 20,
            followed: 16_384,
        }
    }
}

impl Config {
    /// Names the first value that no kernel would take.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("connections", self.connections),
            ("openings", self.openings),
            ("aliases", self.aliases),
            ("fragments", self.fragments),
            ("addresses", self.addresses),
            ("cidrs", self.cidrs),
            ("policy_peers", self.policy_peers),
            ("policy_ports", self.policy_ports),
            ("known_identities", self.known_identities),
            ("frontends", self.frontends),
            ("service_slots", self.service_slots),
            ("backends", self.backends),
            ("affinity", self.affinity),
            ("socket_peers", self.socket_peers),
            ("drops", self.drops),
            ("followed", self.followed),
        ];
        for (field, value) in counts {
            if !(256..=1 << 24).contains(&value) {
                return Err(ConfigError::Size { field, value });
            }
        }
        let rings = [
            ("event_bytes", self.event_bytes),
            ("sample_bytes", self.sample_bytes),
        ];
        for (field, value) in rings {
            if !value.is_power_of_two() || value < 4096 {
                return Err(ConfigError::Ring { field, value });
            }
        }
        Ok(())
    }
}

/// A size that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too few or too many entries.
    #[error("{field} = {value}: must lie between 256 and 16777216")]
    Size {
        /// Field of [`Config`].
        field: &'static str,
        /// What it was.
        value: u32,
    },
    /// Not a size of a ring.
    #[error("{field} = {value}: must be a power of two, 4096 at least")]
    Ring {
        /// Field of [`Config`].
        field: &'static str,
        /// What it was.
        value: u32,
    },
}
