//! Ports, protocols and message types of policy rules.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::l7::{Listener, Rules, ServerName, TlsContext};

/// Ports, and what may be said on them.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PortRule {
    /// Ports; without it, none.
    #[schemars(length(max = 40))]
    pub ports: Option<Vec<PortProtocol>>,
    /// What may be said on connections to them.
    pub rules: Option<Rules>,
    /// Names that a TLS client may ask for.
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub server_names: Option<Vec<ServerName>>,
    /// Certificate and key with which TLS from the client is ended.
    #[schemars(rename = "terminatingTLS")]
    pub terminating_tls: Option<TlsContext>,
    /// Authorities with which TLS to the server is begun.
    #[schemars(rename = "originatingTLS")]
    pub originating_tls: Option<TlsContext>,
    /// Envoy listener that connections are led to.
    pub listener: Option<Listener>,
}

/// Ports that are denied.
#[derive(JsonSchema)]
pub struct DenyPortRule {
    /// Ports; without it, none.
    #[schemars(length(max = 40))]
    pub ports: Option<Vec<PortProtocol>>,
}

/// A port, or a range of ports.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PortProtocol {
    /// Number as text, or name; 0 or nothing is every port.
    #[schemars(extend("pattern" = "^(0*([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])|([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*)?$"))]
    pub port: Option<String>,
    /// Last port of a range that begins with `port`.
    #[schemars(range(min = 0, max = 65535))]
    pub end_port: Option<i32>,
    /// TCP, UDP, SCTP, VRRP, IGMP, or ANY (TCP, UDP and SCTP), which is the default.
    #[schemars(extend("pattern" = "^([Tt][Cc][Pp]|[Uu][Dd][Pp]|[Ss][Cc][Tt][Pp]|[Vv][Rr][Rr][Pp]|[Ii][Gg][Mm][Pp]|[Aa][Nn][Yy])?$"))]
    pub protocol: Option<String>,
}

/// Types of ICMP messages.
#[derive(JsonSchema)]
pub struct IcmpRule {
    /// Types; without it, none.
    #[schemars(length(max = 40))]
    pub fields: Option<Vec<IcmpField>>,
}

/// A type of ICMP messages.
#[derive(JsonSchema)]
pub struct IcmpField {
    /// Number from 0 to 255, or name.
    #[schemars(rename = "type")]
    pub kind: IcmpType,
    /// Which ICMP.
    #[schemars(extend("enum" = ["IPv4", "IPv6", ""], "x-default" = "IPv4"))]
    pub family: Option<String>,
}

/// Names of message types, of ICMP and ICMPv6; `Extended…` are written with a space as well.
const ICMP_NAMES: &str = "DestinationUnreachable|DuplicateAddressConfirmationCodeSuffix|DuplicateAddressRequestCodeSuffix|Echo|EchoReply|\
     EchoRequest|ExtendedEcho ?Reply|ExtendedEcho ?Request|HomeAgentAddressDiscoveryReply|HomeAgentAddressDiscoveryRequest|\
     ICMPNodeInformationQuery|ICMPNodeInformationResponse|InverseNeighborDiscoveryAdvertisement|\
     InverseNeighborDiscoverySolicitation|MobilePrefixAdvertisement|MobilePrefixSolicitation|MulticastListenerDone|\
     MulticastListenerQuery|MulticastListenerReport|NeighborAdvertisement|NeighborSolicitation|PacketTooBig|ParameterProblem|\
     Photuris|Redirect|RedirectMessage|RouterAdvertisement|RouterRenumbering|RouterSelection|RouterSolicitation|TimeExceeded|\
     Timestamp|TimestampReply";

/// Number or name.
pub struct IcmpType;

impl JsonSchema for IcmpType {
    fn schema_name() -> Cow<'static, str> {
        "IcmpType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maximum": 255,
            "pattern": format!("^(0*(25[0-5]|2[0-4][0-9]|1[0-9]{{2}}|[0-9]{{1,2}})|{ICMP_NAMES})$"),
        })
    }
}
