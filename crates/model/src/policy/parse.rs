//! From objects as they are stored (JSON) to the ordered rule form; every refusal names the field.

use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::cidr::Reach;
use super::field::{Field, Invalid};
use super::rule::{Kind, ObjectKey, PolicyObject};
use crate::labels::{CIDR_GROUP_NAME, Label, LabelSet, Source};

mod cilium;
mod network_policy;
mod peers;
mod ports;

/// What selectors without a cluster label mean (`policy-default-local-cluster`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterDefault {
    /// Pods of this cluster.
    Local,
    /// Pods of all connected clusters.
    All,
}

/// Whether protocols without ports may be named (`enable-extended-ip-protocols`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedProtocols {
    /// VRRP and IGMP are refused.
    Off,
    /// They are accepted.
    On,
}

/// What the meaning of an object depends on besides its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Name of this cluster.
    pub cluster: Arc<str>,
    /// See [`ClusterDefault`].
    pub cluster_default: ClusterDefault,
    /// What Cilium's CIDR rules match: [`Reach::World`], or [`Reach::WorldAndNodes`] with
    /// `policy-cidr-match-mode=nodes`.
    pub cidr_reach: Reach,
    /// See [`ExtendedProtocols`].
    pub extended_protocols: ExtendedProtocols,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            cluster: "default".into(),
            cluster_default: ClusterDefault::Local,
            cidr_reach: Reach::World,
            extended_protocols: ExtendedProtocols::Off,
        }
    }
}

/// Reads a policy object of any supported kind, by its `kind`.
pub fn parse_policy(object: &Value, options: &ParseOptions) -> Result<PolicyObject, Invalid> {
    let root = Field::root(object);
    let kind = root.required("kind")?;
    match kind.text()? {
        "NetworkPolicy" => network_policy::parse(&root, options),
        "CiliumNetworkPolicy" => cilium::parse(&root, Kind::CiliumNetworkPolicy, options),
        "CiliumClusterwideNetworkPolicy" => {
            cilium::parse(&root, Kind::CiliumClusterwideNetworkPolicy, options)
        }
        other => Err(kind.error(format!("{other:?} is not a policy kind that is supported"))),
    }
}

/// Which object this is, also when the rest of it is faulty: kind, namespace and name.
pub fn object_key(object: &Value) -> Result<ObjectKey, Invalid> {
    let root = Field::root(object);
    let kind = root.required("kind")?;
    let kind = match kind.text()? {
        "NetworkPolicy" => Kind::NetworkPolicy,
        "CiliumNetworkPolicy" => Kind::CiliumNetworkPolicy,
        "CiliumClusterwideNetworkPolicy" => Kind::CiliumClusterwideNetworkPolicy,
        "ClusterNetworkPolicy" => Kind::ClusterNetworkPolicy,
        other => return Err(kind.error(format!("{other:?} is not a policy kind"))),
    };
    key_of(&root, kind)
}

fn key_of(root: &Field<'_>, kind: Kind) -> Result<ObjectKey, Invalid> {
    let metadata = root.required("metadata")?;
    let text = |name: &str| {
        let field = metadata.required(name)?;
        match field.text()? {
            "" => Err(field.error("must not be empty")),
            text => Ok(Arc::<str>::from(text)),
        }
    };
    let namespace = match kind {
        Kind::NetworkPolicy | Kind::CiliumNetworkPolicy => text("namespace")?,
        Kind::CiliumClusterwideNetworkPolicy | Kind::ClusterNetworkPolicy => "".into(),
    };
    Ok(ObjectKey {
        kind,
        namespace,
        name: text("name")?,
    })
}

fn uid_of(root: &Field<'_>) -> Result<Arc<str>, Invalid> {
    let uid = root.required("metadata")?.get("uid")?;
    uid.map_or(Ok("".into()), |uid| uid.text().map(Into::into))
}

/// The labels that every rule of an object carries by itself.
fn automatic_labels(key: &ObjectKey, name: &str, uid: &str) -> Vec<Label> {
    let mut labels = vec![
        Label::k8s("io.cilium.k8s.policy.derived-from", key.kind.as_str()),
        Label::k8s("io.cilium.k8s.policy.name", name),
    ];
    if !key.namespace.is_empty() {
        labels.push(Label::k8s(
            "io.cilium.k8s.policy.namespace",
            key.namespace.clone(),
        ));
    }
    if !uid.is_empty() {
        labels.push(Label::k8s("io.cilium.k8s.policy.uid", uid));
    }
    labels
}

/// A CiliumCIDRGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CidrGroup {
    /// metadata.name.
    pub name: Arc<str>,
    /// `cidrgroup:` labels of its members: its name, and its own metadata.labels.
    pub labels: LabelSet,
    /// The members, without host bits, sorted.
    pub members: Vec<IpNet>,
}

/// Reads a CiliumCIDRGroup.
pub fn parse_cidr_group(object: &Value) -> Result<CidrGroup, Invalid> {
    let root = Field::root(object);
    let metadata = root.required("metadata")?;
    let name: Arc<str> = metadata.required("name")?.text()?.into();
    let mut labels = vec![group_label(&name)];
    if let Some(own) = metadata.get("labels")? {
        for (key, value) in own.entries()? {
            labels.push(Label::new(Source::CidrGroup, key, value.text()?));
        }
    }
    let spec = root.required("spec")?;
    spec.only(&["externalCIDRs"])?;
    let members = spec.required("externalCIDRs")?.items()?;
    let mut members = members
        .iter()
        .map(peers::parse_cidr)
        .collect::<Result<Vec<_>, _>>()?;
    members.sort_unstable();
    members.dedup();
    Ok(CidrGroup {
        name,
        labels: labels.into_iter().collect(),
        members,
    })
}

/// The label by which a group is found by name.
fn group_label(name: &str) -> Label {
    Label::new(Source::CidrGroup, format!("{CIDR_GROUP_NAME}/{name}"), "")
}

#[cfg(test)]
mod tests;
