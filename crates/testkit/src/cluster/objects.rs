//! Objects of a cluster: those of its nodes, and where any of them is at the API server.

use anyhow::Context;
use serde_json::{Value, json};

use super::{underlay_v4, underlay_v6};

pub(super) fn node_object(name: &str, host: u8, number: u8, ipv6: bool) -> Value {
    let mut pod_cidrs = vec![format!("10.244.{number}.0/24")];
    if ipv6 {
        pod_cidrs.push(format!("fd00:10:244:{number:x}::/64"));
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": { "podCIDR": pod_cidrs.first(), "podCIDRs": pod_cidrs },
        "status": { "addresses": [
            { "type": "InternalIP", "address": underlay_v4(host) },
            { "type": "InternalIP", "address": underlay_v6(host) },
            { "type": "Hostname", "address": name },
        ] },
    })
}

/// The collection's path and the name of an object.
pub(crate) fn place_of(object: &Value) -> anyhow::Result<(String, String)> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").context("an object without apiVersion")?;
    let kind = text("/kind").context("an object without kind")?;
    let name = text("/metadata/name").with_context(|| format!("a {kind} without a name"))?;
    let root = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    let lower = kind.to_ascii_lowercase();
    let plural = match lower.as_str() {
        kind if kind.ends_with("policy") || kind.ends_with("identity") => {
            format!("{}ies", kind.trim_end_matches('y'))
        }
        kind => format!("{kind}s"),
    };
    let cluster_wide = lower.contains("clusterwide")
        || matches!(
            kind,
            "Node"
                | "Namespace"
                | "CiliumIdentity"
                | "CiliumNode"
                | "CiliumCIDRGroup"
                | "CiliumPodIPPool"
        );
    let collection = if cluster_wide {
        format!("{root}/{plural}")
    } else {
        format!(
            "{root}/namespaces/{}/{plural}",
            text("/metadata/namespace").unwrap_or("default")
        )
    };
    Ok((collection, name.to_owned()))
}
