//! The kinds, and what their types do not say of them.

use api::cilium::{
    CiliumBGPAdvertisement, CiliumBGPClusterConfig, CiliumBGPNodeConfig,
    CiliumBGPNodeConfigOverride, CiliumBGPPeerConfig, CiliumCIDRGroup,
    CiliumClusterwideEnvoyConfig, CiliumClusterwideNetworkPolicy, CiliumEgressGatewayPolicy,
    CiliumEndpoint, CiliumEndpointSlice, CiliumEnvoyConfig, CiliumGatewayClassConfig,
    CiliumIdentity, CiliumL2AnnouncementPolicy, CiliumLoadBalancerIPPool,
    CiliumLocalRedirectPolicy, CiliumNetworkPolicy, CiliumNode, CiliumNodeConfig, CiliumPodIPPool,
};
use api::kubernetes::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::columns::{AGE, ENDPOINT, GATEWAY_CLASS, IDENTITY, LOAD_BALANCER_POOL, NODE, VALID};
use crate::definition::{Deprecated, Details, Family, StatusResource, definition};

use Family::{Bgp, Plain, Policy};
use StatusResource::{Inline, Separate};

/// The older version, when its schema is that of the newer.
const SAME: Option<Deprecated> = Some(older(|_| {}));

const fn older(change: fn(&mut Value)) -> Deprecated {
    Deprecated {
        name: "v2alpha1",
        change,
    }
}

/// The definitions of all our kinds.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = core();
    all.extend(features());
    all.extend(bgp());
    all
}

#[rustfmt::skip]
fn core() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<CiliumNetworkPolicy>(&Details { short_names: &["cnp", "ciliumnp"], family: Policy, status: Separate, columns: &[AGE, VALID], deprecated: None }),
        definition::<CiliumClusterwideNetworkPolicy>(&Details { short_names: &["ccnp"], family: Policy, status: Separate, columns: &[VALID], deprecated: None }),
        definition::<CiliumEndpoint>(&Details { short_names: &["cep", "ciliumep"], family: Plain, status: Inline, columns: ENDPOINT, deprecated: None }),
        definition::<CiliumEndpointSlice>(&Details { short_names: &["ces"], family: Plain, status: Inline, columns: &[], deprecated: None }),
        definition::<CiliumIdentity>(&Details { short_names: &["ciliumid"], family: Plain, status: Separate, columns: IDENTITY, deprecated: None }),
        definition::<CiliumNode>(&Details { short_names: &["cn", "ciliumn"], family: Plain, status: Separate, columns: NODE, deprecated: None }),
        definition::<CiliumNodeConfig>(&Details { short_names: &[], family: Plain, status: Inline, columns: &[], deprecated: SAME }),
        definition::<CiliumCIDRGroup>(&Details { short_names: &["ccg"], family: Plain, status: Inline, columns: &[], deprecated: SAME }),
        definition::<CiliumPodIPPool>(&Details { short_names: &["cpip"], family: Plain, status: Inline, columns: &[], deprecated: None }),
    ]
}

#[rustfmt::skip]
fn features() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<CiliumEgressGatewayPolicy>(&Details { short_names: &["cegp"], family: Policy, status: Inline, columns: &[AGE], deprecated: None }),
        definition::<CiliumLocalRedirectPolicy>(&Details { short_names: &["clrp"], family: Policy, status: Inline, columns: &[AGE], deprecated: None }),
        definition::<CiliumLoadBalancerIPPool>(&Details { short_names: &["ippools", "ippool", "lbippool", "lbippools"], family: Plain, status: Separate, columns: LOAD_BALANCER_POOL, deprecated: SAME }),
        definition::<CiliumL2AnnouncementPolicy>(&Details { short_names: &["l2announcement"], family: Plain, status: Separate, columns: &[AGE], deprecated: None }),
        definition::<CiliumEnvoyConfig>(&Details { short_names: &["cec"], family: Plain, status: Inline, columns: &[AGE], deprecated: None }),
        definition::<CiliumClusterwideEnvoyConfig>(&Details { short_names: &["ccec"], family: Plain, status: Inline, columns: &[AGE], deprecated: None }),
        definition::<CiliumGatewayClassConfig>(&Details { short_names: &["cgcc"], family: Plain, status: Separate, columns: GATEWAY_CLASS, deprecated: None }),
    ]
}

#[rustfmt::skip]
fn bgp() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<CiliumBGPClusterConfig>(&Details { short_names: &["cbgpcluster"], family: Bgp, status: Separate, columns: &[AGE], deprecated: SAME }),
        definition::<CiliumBGPPeerConfig>(&Details { short_names: &["cbgppeer"], family: Bgp, status: Separate, columns: &[AGE], deprecated: Some(older(with_local_port)) }),
        definition::<CiliumBGPAdvertisement>(&Details { short_names: &["cbgpadvert"], family: Bgp, status: Inline, columns: &[AGE], deprecated: Some(older(without_interfaces)) }),
        definition::<CiliumBGPNodeConfig>(&Details { short_names: &["cbgpnode"], family: Bgp, status: Separate, columns: &[AGE], deprecated: SAME }),
        definition::<CiliumBGPNodeConfigOverride>(&Details { short_names: &["cbgpnodeoverride"], family: Bgp, status: Inline, columns: &[AGE], deprecated: SAME }),
    ]
}

const TRANSPORT: &str = "/properties/spec/properties/transport/properties";
const ADVERTISEMENT: &str = "/properties/spec/properties/advertisements/items";

/// In the older version the port that a session begins at is said for all nodes.
fn with_local_port(schema: &mut Value) {
    if let Some(transport) = schema.pointer_mut(TRANSPORT) {
        transport["localPort"] = json!({
            "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535,
            "description": "Port that the session begins at.",
        });
    }
}

/// The older version cannot advertise interfaces.
fn without_interfaces(schema: &mut Value) {
    let Some(advertisement) = schema.pointer_mut(ADVERTISEMENT) else {
        return;
    };
    if let Some(properties) = advertisement["properties"].as_object_mut() {
        properties.remove("interface");
    }
    if let Some(types) = advertisement["properties"]["advertisementType"]["enum"].as_array_mut() {
        types.retain(|kind| kind != "Interface");
    }
    if let Some(rules) = advertisement["x-kubernetes-validations"].as_array_mut() {
        rules.retain(|rule| {
            let text = rule["rule"].as_str().unwrap_or_default();
            !text.contains("self.interface")
        });
    }
}
