//! The table of built-in kinds.

use super::{Column, Kind, Origin, Scope, StatusResource, Version, resource_name};

use Scope::{Cluster, Namespaced};
use StatusResource::{Inline, Separate};

/// One line of the table.
struct Row {
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    scope: Scope,
    status: StatusResource,
    /// (heading, type, priority, path)
    columns: &'static [(&'static str, &'static str, i64, &'static str)],
}

const AGE: (&str, &str, i64, &str) = ("Age", "date", 0, ".metadata.creationTimestamp");
const VALID: (&str, &str, i64, &str) = (
    "Valid",
    "string",
    0,
    ".status.conditions[?(@.type=='Valid')].status",
);

#[rustfmt::skip]
const KUBERNETES: &[Row] = &[
    Row { group: "", versions: &["v1"], kind: "Pod", plural: "pods", short_names: &["po"], scope: Namespaced, status: Separate, columns: &[] },
    Row { group: "", versions: &["v1"], kind: "Namespace", plural: "namespaces", short_names: &["ns"], scope: Cluster, status: Separate, columns: &[] },
    Row { group: "", versions: &["v1"], kind: "Node", plural: "nodes", short_names: &["no"], scope: Cluster, status: Separate, columns: &[] },
    Row { group: "", versions: &["v1"], kind: "Service", plural: "services", short_names: &["svc"], scope: Namespaced, status: Separate, columns: &[] },
    Row { group: "", versions: &["v1"], kind: "ServiceAccount", plural: "serviceaccounts", short_names: &["sa"], scope: Namespaced, status: Inline, columns: &[AGE] },
    Row { group: "", versions: &["v1"], kind: "ConfigMap", plural: "configmaps", short_names: &["cm"], scope: Namespaced, status: Inline, columns: &[] },
    Row { group: "", versions: &["v1"], kind: "Secret", plural: "secrets", short_names: &[], scope: Namespaced, status: Inline, columns: &[] },
    Row { group: "", versions: &["v1"], kind: "Event", plural: "events", short_names: &["ev"], scope: Namespaced, status: Inline,
          columns: &[("Last Seen", "date", 0, ".lastTimestamp"), ("Type", "string", 0, ".type"), ("Reason", "string", 0, ".reason"),
                     ("Object", "string", 0, ".involvedObject.name"), ("Message", "string", 0, ".message")] },
    Row { group: "", versions: &["v1"], kind: "Endpoints", plural: "endpoints", short_names: &["ep"], scope: Namespaced, status: Inline, columns: &[AGE] },
    Row { group: "discovery.k8s.io", versions: &["v1"], kind: "EndpointSlice", plural: "endpointslices", short_names: &[], scope: Namespaced, status: Inline, columns: &[] },
    Row { group: "networking.k8s.io", versions: &["v1"], kind: "NetworkPolicy", plural: "networkpolicies", short_names: &["netpol"], scope: Namespaced, status: Inline, columns: &[] },
    Row { group: "coordination.k8s.io", versions: &["v1"], kind: "Lease", plural: "leases", short_names: &[], scope: Namespaced, status: Inline,
          columns: &[("Holder", "string", 0, ".spec.holderIdentity"), AGE] },
    Row { group: "apiextensions.k8s.io", versions: &["v1"], kind: "CustomResourceDefinition", plural: "customresourcedefinitions", short_names: &["crd", "crds"],
          scope: Cluster, status: Separate, columns: &[("Created At", "string", 0, ".metadata.creationTimestamp")] },
];

#[rustfmt::skip]
const CILIUM: &[Row] = &[
    Row { group: "cilium.io", versions: &["v2"], kind: "CiliumNetworkPolicy", plural: "ciliumnetworkpolicies", short_names: &["cnp", "ciliumnp"],
          scope: Namespaced, status: Separate, columns: &[AGE, VALID] },
    Row { group: "cilium.io", versions: &["v2"], kind: "CiliumClusterwideNetworkPolicy", plural: "ciliumclusterwidenetworkpolicies", short_names: &["ccnp"],
          scope: Cluster, status: Separate, columns: &[VALID] },
    Row { group: "cilium.io", versions: &["v2"], kind: "CiliumIdentity", plural: "ciliumidentities", short_names: &["ciliumid"], scope: Cluster, status: Separate,
          columns: &[("Namespace", "string", 0, ".metadata.labels.io\\.kubernetes\\.pod\\.namespace"), AGE] },
    Row { group: "cilium.io", versions: &["v2"], kind: "CiliumEndpoint", plural: "ciliumendpoints", short_names: &["cep", "ciliumep"], scope: Namespaced, status: Inline,
          columns: &[("Security Identity", "integer", 0, ".status.identity.id"), ("Ingress Enforcement", "string", 1, ".status.policy.ingress.state"),
                     ("Egress Enforcement", "string", 1, ".status.policy.egress.state"), ("Endpoint State", "string", 0, ".status.state"),
                     ("IPv4", "string", 0, ".status.networking.addressing[0].ipv4"), ("IPv6", "string", 0, ".status.networking.addressing[0].ipv6")] },
    Row { group: "cilium.io", versions: &["v2"], kind: "CiliumNode", plural: "ciliumnodes", short_names: &["cn", "ciliumn"], scope: Cluster, status: Separate,
          columns: &[("CiliumInternalIP", "string", 0, ".spec.addresses[?(@.type=='CiliumInternalIP')].ip"),
                     ("InternalIP", "string", 0, ".spec.addresses[?(@.type=='InternalIP')].ip"), AGE] },
    Row { group: "cilium.io", versions: &["v2", "v2alpha1"], kind: "CiliumCIDRGroup", plural: "ciliumcidrgroups", short_names: &["ccg"], scope: Cluster, status: Inline, columns: &[] },
    Row { group: "cilium.io", versions: &["v2", "v2alpha1"], kind: "CiliumLoadBalancerIPPool", plural: "ciliumloadbalancerippools",
          short_names: &["ippools", "ippool", "lbippool", "lbippools"], scope: Cluster, status: Separate,
          columns: &[("Disabled", "boolean", 0, ".spec.disabled"), ("Conflicting", "string", 0, ".status.conditions[?(@.type=='cilium.io/PoolConflict')].status"),
                     ("IPs Available", "string", 0, ".status.conditions[?(@.type=='cilium.io/IPsAvailable')].message"), AGE] },
    Row { group: "cilium.io", versions: &["v2", "v2alpha1"], kind: "CiliumNodeConfig", plural: "ciliumnodeconfigs", short_names: &[], scope: Namespaced, status: Inline, columns: &[] },
    Row { group: "cilium.io", versions: &["v2alpha1"], kind: "CiliumPodIPPool", plural: "ciliumpodippools", short_names: &["cpip"], scope: Cluster, status: Inline, columns: &[] },
    Row { group: "cilium.io", versions: &["v2alpha1"], kind: "CiliumEndpointSlice", plural: "ciliumendpointslices", short_names: &["ces"], scope: Cluster, status: Inline, columns: &[] },
];

/// All built-in kinds.
pub(super) fn kinds() -> impl Iterator<Item = Kind> {
    let kubernetes = KUBERNETES.iter().map(|row| kind(row, Origin::Kubernetes));
    kubernetes.chain(CILIUM.iter().map(|row| kind(row, Origin::Custom)))
}

fn kind(row: &Row, origin: Origin) -> Kind {
    let columns: Vec<Column> = row
        .columns
        .iter()
        .map(|&(name, value_type, priority, path)| Column {
            name: name.to_owned(),
            value_type: value_type.to_owned(),
            priority,
            path: path.to_owned(),
        })
        .collect();
    let categories: &[&str] = match (row.group, row.plural) {
        ("", "pods" | "services") => &["all"],
        ("cilium.io", "ciliumnetworkpolicies" | "ciliumclusterwidenetworkpolicies") => {
            &["cilium", "ciliumpolicy"]
        }
        ("cilium.io", _) => &["cilium"],
        _ => &[],
    };
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Kind {
        group: row.group.to_owned(),
        kind: row.kind.to_owned(),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: owned(row.short_names),
        categories: owned(categories),
        scope: row.scope,
        origin,
        versions: row
            .versions
            .iter()
            .map(|&name| Version {
                name: name.to_owned(),
                status: row.status,
                columns: columns.clone(),
            })
            .collect(),
        resource: resource_name(row.group, row.plural),
    }
}
