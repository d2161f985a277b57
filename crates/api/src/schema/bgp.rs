//! The BGP control plane.

use schemars::JsonSchema;

use super::status::Condition;
use super::{Address, Time};
use crate::cilium::LabelSelector;

/// Which nodes speak BGP, with whom.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ClusterConfigSpec {
    /// Nodes; without it, all.
    pub node_selector: Option<LabelSelector>,
    /// BGP instances of each node.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub bgp_instances: Vec<Instance>,
}

/// A BGP instance.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Instance {
    /// Name, unique among the instances.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Autonomous system of the instance.
    #[schemars(rename = "localASN", range(min = 1, max = 4_294_967_295_i64))]
    pub local_asn: Option<i64>,
    /// Port to listen on; without it the instance does not listen.
    #[schemars(range(min = 1, max = 65535))]
    pub local_port: Option<i32>,
    /// Peers.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Option<Vec<Peer>>,
}

/// A peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Peer {
    /// Name, unique among the peers of the instance.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Address.
    #[schemars(with = "Option<Address>")]
    pub peer_address: Option<String>,
    /// Autonomous system of the peer; 0 accepts any.
    #[schemars(rename = "peerASN", range(min = 0, max = 4_294_967_295_i64), extend("x-default" = 0))]
    pub peer_asn: Option<i64>,
    /// How the peer is found instead of by its address.
    pub auto_discovery: Option<AutoDiscovery>,
    /// CiliumBGPPeerConfig with the rest.
    pub peer_config_ref: Option<PeerConfigName>,
}

/// How a peer is found.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct AutoDiscovery {
    /// By which means.
    #[schemars(extend("enum" = ["DefaultGateway"]))]
    pub mode: String,
    /// For mode DefaultGateway.
    pub default_gateway: Option<DefaultGateway>,
}

/// The gateway of the default route is the peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct DefaultGateway {
    /// Family of the route.
    #[schemars(extend("enum" = ["ipv4", "ipv6"]))]
    pub address_family: String,
}

/// A CiliumBGPPeerConfig.
#[derive(JsonSchema)]
pub struct PeerConfigName {
    /// Name.
    pub name: String,
}

/// What several peers have in common.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PeerConfigSpec {
    /// Connection.
    pub transport: Option<Transport>,
    /// Timers.
    pub timers: Option<Timers>,
    /// Secret with the key `password` in the namespace of BGP secrets.
    pub auth_secret_ref: Option<String>,
    /// Graceful restart (RFC 4724).
    pub graceful_restart: Option<GracefulRestart>,
    /// Hops that the peer may be away.
    #[schemars(range(min = 1, max = 255), extend("x-default" = 1))]
    pub ebgp_multihop: Option<i32>,
    /// Address families; without it unicast of IPv4 and IPv6.
    pub families: Option<Vec<AdvertisedFamily>>,
}

/// Connection to a peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Transport {
    /// Port of the peer.
    #[schemars(range(min = 1, max = 65535), extend("x-default" = 179))]
    pub peer_port: Option<i32>,
    /// Interface whose address is the source.
    pub source_interface: Option<String>,
}

/// Timers of a session, in seconds (RFC 4271).
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("x-kubernetes-validations" = [{
    "rule": "self.keepAliveTimeSeconds <= self.holdTimeSeconds",
    "message": "keepAliveTimeSeconds must be at most holdTimeSeconds",
}]))]
pub struct Timers {
    /// Pause before a connection is tried again.
    #[schemars(range(min = 1, max = 2_147_483_647), extend("x-default" = 120))]
    pub connect_retry_time_seconds: Option<i32>,
    /// Silence after which the peer is given up.
    #[schemars(range(min = 3, max = 65535), extend("x-default" = 90))]
    pub hold_time_seconds: Option<i32>,
    /// Pause between signs of life.
    #[schemars(range(min = 1, max = 65535), extend("x-default" = 30))]
    pub keep_alive_time_seconds: Option<i32>,
}

/// Graceful restart (RFC 4724).
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct GracefulRestart {
    /// Whether it is offered.
    pub enabled: bool,
    /// Seconds in which a restart must be done.
    #[schemars(range(min = 1, max = 4095), extend("x-default" = 120))]
    pub restart_time_seconds: Option<i32>,
}

/// An address family.
#[derive(JsonSchema)]
pub struct Family {
    /// Address family.
    #[schemars(extend("enum" = ["ipv4", "ipv6", "l2vpn", "ls", "opaque"]))]
    pub afi: String,
    /// Subsequent address family.
    #[schemars(extend("enum" = [
        "unicast", "multicast", "mpls_label", "encapsulation", "vpls", "evpn", "ls", "sr_policy", "mup", "mpls_vpn",
        "mpls_vpn_multicast", "route_target_constraints", "flowspec_unicast", "flowspec_vpn", "key_value",
    ]))]
    pub safi: String,
}

/// An address family and what is advertised in it.
#[derive(JsonSchema)]
pub struct AdvertisedFamily {
    /// Family.
    #[schemars(flatten)]
    pub family: Family,
    /// CiliumBGPAdvertisements by their labels.
    pub advertisements: Option<LabelSelector>,
}

/// What is advertised.
#[derive(JsonSchema)]
pub struct AdvertisementSpec {
    /// One entry for each kind of route.
    pub advertisements: Vec<Advertisement>,
}

/// Routes of one kind.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("x-kubernetes-validations" = [
    {"rule": "has(self.service) == (self.advertisementType == 'Service')", "message": "service must be set for type Service, and for no other"},
    {"rule": "has(self.interface) == (self.advertisementType == 'Interface')", "message": "interface must be set for type Interface, and for no other"},
    {"rule": "self.advertisementType != 'PodCIDR' || !has(self.selector)", "message": "selector has no meaning for type PodCIDR"},
]))]
pub struct Advertisement {
    /// Kind of route.
    #[schemars(extend("enum" = ["PodCIDR", "CiliumPodIPPool", "Service", "Interface"]))]
    pub advertisement_type: String,
    /// Which addresses of services.
    pub service: Option<AdvertisedService>,
    /// Which interface.
    pub interface: Option<AdvertisedInterface>,
    /// Which pools or services.
    pub selector: Option<LabelSelector>,
    /// Path attributes.
    pub attributes: Option<Attributes>,
}

/// Which addresses of services are advertised.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct AdvertisedService {
    /// Kinds of addresses.
    #[schemars(length(min = 1))]
    pub addresses: Vec<ServiceAddress>,
    /// Length of the prefix that stands for IPv4 addresses.
    #[schemars(rename = "aggregationLengthIPv4", range(min = 0, max = 31))]
    pub aggregation_length_ipv4: Option<i32>,
    /// Length of the prefix that stands for IPv6 addresses.
    #[schemars(rename = "aggregationLengthIPv6", range(min = 0, max = 127))]
    pub aggregation_length_ipv6: Option<i32>,
}

/// A kind of address of services.
#[derive(JsonSchema)]
pub enum ServiceAddress {
    /// Of a load balancer.
    #[schemars(rename = "LoadBalancerIP")]
    LoadBalancer,
    /// Inside the cluster.
    #[schemars(rename = "ClusterIP")]
    Cluster,
    /// From outside.
    #[schemars(rename = "ExternalIP")]
    External,
}

/// An interface whose addresses are advertised.
#[derive(JsonSchema)]
pub struct AdvertisedInterface {
    /// Name.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// Path attributes.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Attributes {
    /// Communities.
    pub communities: Option<Communities>,
    /// Preference inside the autonomous system.
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub local_preference: Option<i64>,
}

/// Communities of routes.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Communities {
    /// Numbers up to 4294967295, or two up to 65535 with a colon between (RFC 1997).
    pub standard: Option<Vec<String>>,
    /// By their names, as `no-export`.
    pub well_known: Option<Vec<String>>,
    /// Three numbers with colons between (RFC 8092).
    pub large: Option<Vec<String>>,
}

/// The sessions of one node, as the operator makes them from CiliumBGPClusterConfig.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct NodeConfigSpec {
    /// BGP instances.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub bgp_instances: Vec<NodeInstance>,
}

/// A BGP instance of a node.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct NodeInstance {
    /// Name.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Autonomous system of the instance.
    #[schemars(rename = "localASN", range(min = 1, max = 4_294_967_295_i64))]
    pub local_asn: Option<i64>,
    /// Port to listen on.
    #[schemars(range(min = 1, max = 65535))]
    pub local_port: Option<i32>,
    /// Router identifier, written as an IPv4 address.
    #[schemars(rename = "routerID", extend("format" = "ipv4"))]
    pub router_id: Option<String>,
    /// Peers.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Option<Vec<NodePeer>>,
}

/// A peer of a node.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct NodePeer {
    /// As in the cluster's configuration.
    #[schemars(flatten)]
    pub peer: Peer,
    /// Address that the session begins at.
    #[schemars(with = "Option<Address>")]
    pub local_address: Option<String>,
}

/// The sessions of one node as they are.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct NodeStatus {
    /// BGP instances.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub bgp_instances: Option<Vec<InstanceStatus>>,
    /// Present state, one entry for each type of condition.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// A BGP instance as it is.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Name.
    pub name: String,
    /// Autonomous system of the instance.
    #[schemars(rename = "localASN")]
    pub local_asn: Option<i64>,
    /// Peers.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Option<Vec<PeerStatus>>,
}

/// A session as it is.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PeerStatus {
    /// Name of the peer.
    pub name: String,
    /// Address of the peer.
    pub peer_address: String,
    /// Autonomous system of the peer.
    #[schemars(rename = "peerASN")]
    pub peer_asn: Option<i64>,
    /// State of the session, as `established`.
    pub peering_state: Option<String>,
    /// Since when it is established.
    #[schemars(with = "Option<Time>")]
    pub established_time: Option<String>,
    /// Timers that both have agreed on.
    pub timers: Option<AgreedTimers>,
    /// Routes by family.
    pub route_count: Option<Vec<RouteCount>>,
}

/// Timers that both ends have agreed on, in seconds.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct AgreedTimers {
    /// Silence after which the peer is given up.
    pub applied_hold_time_seconds: Option<i32>,
    /// Pause between signs of life.
    pub applied_keepalive_seconds: Option<i32>,
}

/// Routes of one family.
#[derive(JsonSchema)]
pub struct RouteCount {
    /// Family.
    #[schemars(flatten)]
    pub family: Family,
    /// Routes that came.
    pub received: Option<i32>,
    /// Routes that were sent.
    pub advertised: Option<i32>,
}

/// What is other on one node.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct OverrideSpec {
    /// BGP instances.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub bgp_instances: Vec<InstanceOverride>,
}

/// What is other in an instance.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct InstanceOverride {
    /// Name of the instance.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Router identifier, written as an IPv4 address.
    #[schemars(rename = "routerID", extend("format" = "ipv4"))]
    pub router_id: Option<String>,
    /// Port to listen on.
    #[schemars(range(min = 1, max = 65535))]
    pub local_port: Option<i32>,
    /// Autonomous system of the instance.
    #[schemars(rename = "localASN", range(min = 1, max = 4_294_967_295_i64))]
    pub local_asn: Option<i64>,
    /// Peers.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Option<Vec<PeerOverride>>,
}

/// What is other with a peer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PeerOverride {
    /// Name of the peer.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Address that the session begins at.
    #[schemars(with = "Option<Address>")]
    pub local_address: Option<String>,
    /// Port that the session begins at.
    #[schemars(range(min = 1, max = 65535))]
    pub local_port: Option<i32>,
}
