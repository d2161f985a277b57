//! The agent's REST types, and a small client over its unix socket.
//!
//! The types carry upstream's names on the wire, so that upstream's node client understands the answers. Scalars and lists
//! that are zero or empty are left out when written and zero or empty when absent, as upstream's generated models do;
//! fields that upstream requires are always written. Nothing here decides anything.
//!
//! # What the agent and the CNI plugin tell each other
//! 1. `GET /v1/config` → [`DaemonConfiguration`](config::DaemonConfiguration). The plugin uses `status.addressing` (which
//!    families are on, and the router addresses), `deviceMTU`, `routeMTU`, `datapathMode` (only `veth`), `ipam-mode`,
//!    the GSO/GRO sizes and `ipLocalReservedPorts`.
//! 2. `POST /v1/ipam?family=ipv4|ipv6&owner=<namespace>/<pod>` with header `expiration: true`, one call for each family that
//!    is on → 201 [`IpamResponse`](ipam::IpamResponse). The agent releases the address by itself unless an endpoint with its
//!    `expiration-uuid` is created in time. `DELETE /v1/ipam/<ip>?owner=<owner>&pool=<pool>` gives it back; an address that
//!    belongs to somebody else by then must stay.
//! 3. `PUT /v1/endpoint/cilium-local:0` with [`EndpointChangeRequest`](endpoint::EndpointChangeRequest) → 201
//!    [`Endpoint`](endpoint::Endpoint). With `sync-build-endpoint` the answer comes when the host end is up with its programs
//!    and the first policy is in force. Any other answer: nothing remains, and the plugin gives the addresses back. The pod
//!    end's addresses and routes are set while this call runs.
//! 4. `DELETE /v1/endpoint` with [`EndpointBatchDeleteRequest`](endpoint::EndpointBatchDeleteRequest) → 200, or 404 when there
//!    is none. The agent gives the addresses back. When it cannot be reached the same body waits in `<state>/deleteQueue`.
//!    A runtime may kill the plugin during call 3 and start a DEL at once, so the agent carries out calls on one attachment one
//!    after the other, in the order they came.
//! 5. `GET /v1/endpoint/cni-attachment-id:<container id>:<interface>` → the endpoint, for CHECK.
//! 6. `GET /v1/endpoint` → all, for GC, which deletes attachments the runtime does not know by call 4.

pub mod client;
pub mod config;
pub mod debuginfo;
pub mod endpoint;
pub mod fqdn;
pub mod health;
pub mod identity;
pub mod ipam;
pub mod map;
pub mod node;
pub mod policy;
pub mod probes;
pub mod service;

mod http;

pub use client::{Client, Error, Method, Request, Timeouts};

/// Where the agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/cilium/cilium.sock";

/// Environment variables that name the socket, the first one set counts.
pub const SOCKET_VARIABLES: [&str; 2] = ["AXONEME_SOCK", "CILIUM_SOCK"];

/// Prefix of all paths that upstream's clients know.
pub const BASE: &str = "/v1";

/// Prefix of the paths that only this agent has.
pub const EXTENSIONS: &str = "/v1/axoneme";

/// The socket to talk to: what the environment names, else [`DEFAULT_SOCKET`]. A `unix://` prefix is accepted.
pub fn socket_path(variable: impl Fn(&str) -> Option<String>) -> std::path::PathBuf {
    SOCKET_VARIABLES
        .iter()
        .filter_map(|name| variable(name))
        .find(|value| !value.is_empty())
        .map_or_else(
            || DEFAULT_SOCKET.into(),
            |value| value.strip_prefix("unix://").unwrap_or(&value).into(),
        )
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
