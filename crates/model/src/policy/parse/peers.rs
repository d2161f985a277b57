//! Peers: selectors with their implied namespace and cluster, entities, and addresses.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{ClusterDefault, ParseOptions, group_label};
use crate::labels::{CLUSTER, NAMESPACE, NAMESPACE_LABELS, Source};
use crate::policy::cidr::CidrSelector;
use crate::policy::field::{Field, Invalid};
use crate::policy::rule::{GroupTerm, PeerTerm, Peers};
use crate::selector::{KeySource, Keys, LabelSelector, ParsedSelector, Requirement, SelectorKey};

/// Reads a prefix; a bare address is a prefix of full length. Host bits are cleared.
pub(super) fn parse_cidr(field: &Field<'_>) -> Result<IpNet, Invalid> {
    let text = field.text()?;
    let net = text
        .parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| net.trunc())
        .ok_or_else(|| field.error(format!("{text:?} is not an address or a CIDR")))
}

/// Reads the `except` list of a prefix.
pub(super) fn parse_except(field: &Field<'_>, net: Option<&IpNet>) -> Result<Vec<IpNet>, Invalid> {
    let mut except = Vec::new();
    for item in field.list("except")?.unwrap_or_default() {
        let inner = parse_cidr(&item)?;
        if net.is_some_and(|net| !net.contains(&inner)) {
            return Err(item.error(format!(
                "{inner} does not lie inside the prefix it is taken from"
            )));
        }
        except.push(inner);
    }
    Ok(except)
}

/// Where a peer selector of a Cilium policy stands, which decides what it leaves unsaid.
pub(super) struct PeerContext<'a> {
    pub(super) options: &'a ParseOptions,
    /// Namespace of the policy, `None` for a cluster-wide one.
    pub(super) namespace: Option<&'a str>,
    /// Whether the policy's subject is endpoints without labels yet, whose peers need no namespace.
    pub(super) for_init: bool,
}

fn names(requirement: &Requirement, key: &str) -> bool {
    let k8s = matches!(
        &requirement.key.source,
        KeySource::Any | KeySource::Is(Source::K8s)
    );
    k8s && &*requirement.key.key == key
}

fn names_namespace_label(requirement: &Requirement) -> bool {
    let k8s = matches!(
        &requirement.key.source,
        KeySource::Any | KeySource::Is(Source::K8s)
    );
    k8s && requirement
        .key
        .key
        .strip_prefix(NAMESPACE_LABELS)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Requires the local cluster, if the options say so and the selector does not name one.
pub(super) fn implied_cluster<'a>(
    mut requirements: impl Iterator<Item = &'a Requirement>,
    options: &ParseOptions,
) -> Option<Requirement> {
    let named = requirements.any(|requirement| names(requirement, CLUSTER));
    let local = options.cluster_default == ClusterDefault::Local && !named;
    local.then(|| Requirement::equals(SelectorKey::k8s(CLUSTER), options.cluster.clone()))
}

/// A selector of a Cilium policy's peers.
///
/// A selector over reserved labels stays as written. Else it is about pods: of the policy's namespace unless it names
/// a namespace or a label of one, and of the local cluster unless it names a cluster.
pub(super) fn parse_endpoints(
    field: &Field<'_>,
    context: &PeerContext<'_>,
) -> Result<LabelSelector, Invalid> {
    let parsed = ParsedSelector::parse(field, Keys::Sourced)?;
    if parsed
        .all()
        .any(|requirement| requirement.key.is_reserved())
    {
        return Ok(parsed.into_selector([]));
    }
    let by_name = parsed
        .all()
        .any(|requirement| names(requirement, NAMESPACE));
    let by_label = parsed.all().any(names_namespace_label);
    let namespace = match context.namespace {
        _ if by_name => None,
        Some(namespace) if !by_label => {
            Some(Requirement::equals(SelectorKey::k8s(NAMESPACE), namespace))
        }
        None if context.for_init => None,
        // Only pods have a namespace: `DoesNotExist` on a label of the namespace must not select the world.
        _ => Some(Requirement::exists(SelectorKey::k8s(NAMESPACE))),
    };
    let cluster = implied_cluster(parsed.all(), context.options);
    Ok(parsed.into_selector(namespace.into_iter().chain(cluster)))
}

fn reserved(name: &str) -> PeerTerm {
    PeerTerm::Labels(LabelSelector::one(Requirement::exists(
        SelectorKey::reserved(name),
    )))
}

/// What a named entity stands for.
pub(super) fn parse_entity(
    field: &Field<'_>,
    options: &ParseOptions,
) -> Result<Vec<PeerTerm>, Invalid> {
    let name = field.text()?;
    Ok(match name {
        "all" => vec![PeerTerm::Everyone],
        "world" => ["world", "world-ipv4", "world-ipv6"].map(reserved).to_vec(),
        "cluster" => {
            let fixed = [
                "host",
                "remote-node",
                "init",
                "ingress",
                "health",
                "unmanaged",
                "kube-apiserver",
            ];
            let local = Requirement::equals(SelectorKey::k8s(CLUSTER), options.cluster.clone());
            fixed
                .map(reserved)
                .into_iter()
                .chain([PeerTerm::Labels(LabelSelector::one(local))])
                .collect()
        }
        "world-ipv4" | "world-ipv6" | "host" | "init" | "ingress" | "unmanaged" | "remote-node"
        | "health" | "none" | "kube-apiserver" => vec![reserved(name)],
        other => return Err(field.error(format!("{other:?} is not an entity"))),
    })
}

/// Whether a text can be the name of an object: an RFC 1123 subdomain of at most 253 characters.
fn is_subdomain(text: &str) -> bool {
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let label = |label: &str| {
        let bytes = label.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|c| edge(Some(c)) || *c == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn parse_cidr_rule(field: &Field<'_>, context: &PeerContext<'_>) -> Result<PeerTerm, Invalid> {
    field.only(&["cidr", "cidrGroupRef", "cidrGroupSelector", "except"])?;
    let reach = context.options.cidr_reach;
    match (
        field.get("cidr")?,
        field.get("cidrGroupRef")?,
        field.get("cidrGroupSelector")?,
    ) {
        (Some(cidr), None, None) => {
            let net = parse_cidr(&cidr)?;
            let except = parse_except(field, Some(&net))?;
            Ok(PeerTerm::Cidr(CidrSelector::new(net, except, reach)))
        }
        (None, Some(name), None) => {
            let text = name.text()?;
            if !is_subdomain(text) {
                return Err(name.error(
                    "must be the name of a CiliumCIDRGroup: at most 253 lower case letters, digits, '-' and '.'",
                ));
            }
            let label = group_label(text);
            let key = SelectorKey {
                source: KeySource::Is(Source::CidrGroup),
                key: label.key,
            };
            let selector = LabelSelector::one(Requirement::exists(key));
            Ok(PeerTerm::Groups(GroupTerm {
                selector,
                except: parse_except(field, None)?,
                reach,
            }))
        }
        (None, None, Some(selector)) => {
            let selector = ParsedSelector::parse(&selector, Keys::CidrGroups)?.into_selector([]);
            Ok(PeerTerm::Groups(GroupTerm {
                selector,
                except: parse_except(field, None)?,
                reach,
            }))
        }
        _ => Err(field.error("must have exactly one of cidr, cidrGroupRef and cidrGroupSelector")),
    }
}

/// The names of the peer fields of one direction.
pub(super) struct PeerFields {
    pub(super) endpoints: &'static str,
    pub(super) cidr: &'static str,
    pub(super) cidr_set: &'static str,
    pub(super) entities: &'static str,
}

/// The peers of one entry: `None` if it names no kind of peer; naming one with an empty list is nobody.
pub(super) fn parse_peers(
    field: &Field<'_>,
    fields: &PeerFields,
    context: &PeerContext<'_>,
) -> Result<Option<Peers>, Invalid> {
    let mut found: Option<(&'static str, Vec<PeerTerm>)> = None;
    for kind in [
        fields.endpoints,
        fields.cidr,
        fields.cidr_set,
        fields.entities,
    ] {
        let Some(items) = field.list(kind)? else {
            continue;
        };
        if let Some((other, _)) = &found {
            return Err(field.error(format!(
                "{other} and {kind} cannot be combined in one entry"
            )));
        }
        let mut terms = Vec::new();
        for item in &items {
            if kind == fields.endpoints {
                terms.push(PeerTerm::Labels(parse_endpoints(item, context)?));
            } else if kind == fields.cidr {
                let reach = context.options.cidr_reach;
                terms.push(PeerTerm::Cidr(CidrSelector::new(
                    parse_cidr(item)?,
                    [],
                    reach,
                )));
            } else if kind == fields.cidr_set {
                terms.push(parse_cidr_rule(item, context)?);
            } else {
                terms.extend(parse_entity(item, context.options)?);
            }
        }
        found = Some((kind, terms));
    }
    Ok(found.map(|(_, terms)| of_terms(terms)))
}

/// Terms as peers: sorted, and "anybody" when one of them is everyone.
pub(super) fn of_terms(mut terms: Vec<PeerTerm>) -> Peers {
    if terms.contains(&PeerTerm::Everyone) {
        return Peers::Any;
    }
    terms.sort_unstable();
    terms.dedup();
    Peers::Of(terms)
}

/// The namespace requirement of a policy's own namespace.
pub(super) fn in_namespace(namespace: &Arc<str>) -> Requirement {
    Requirement::equals(SelectorKey::k8s(NAMESPACE), namespace.clone())
}
