//! NetworkPolicy of Kubernetes (networking.k8s.io/v1).

use std::sync::Arc;

use super::peers::{implied_cluster, in_namespace, of_terms, parse_cidr, parse_except};
use super::ports::{is_port_name, named, ranges};
use super::{ParseOptions, automatic_labels, key_of, uid_of};
use crate::labels::NAMESPACE;
use crate::policy::cidr::{CidrSelector, Reach};
use crate::policy::field::{Field, Invalid};
use crate::policy::rule::{
    Action, DefaultDeny, Direction, Kind, PeerTerm, Peers, PolicyObject, PortTerm, Ports, Protocol,
    Rule, Section, Subject, Tier,
};
use crate::selector::{Keys, LabelSelector, ParsedSelector, Requirement, SelectorKey};

pub(super) fn parse(root: &Field<'_>, options: &ParseOptions) -> Result<PolicyObject, Invalid> {
    let key = key_of(root, Kind::NetworkPolicy)?;
    let uid = uid_of(root)?;
    let spec = root.required("spec")?;
    spec.only(&["podSelector", "policyTypes", "ingress", "egress"])?;
    let subject = match spec.get("podSelector")? {
        Some(selector) => ParsedSelector::parse(&selector, Keys::Kubernetes)?
            .into_selector([in_namespace(&key.namespace)]),
        None => LabelSelector::one(in_namespace(&key.namespace)),
    };
    let types = parse_types(&spec)?;
    let mut rules = Vec::new();
    for direction in Direction::BOTH {
        // Read also when the direction is not in force, so that faults are found.
        let parsed = parse_rules(&spec, direction, &key.namespace, options)?;
        if types.contains(&direction) {
            rules.extend(parsed.into_iter().map(Arc::new));
        }
    }
    let default = |direction| {
        if types.contains(&direction) {
            DefaultDeny::On
        } else {
            DefaultDeny::Off
        }
    };
    let name = alias(root)?.unwrap_or_else(|| key.name.clone());
    let section = Section {
        subject: Subject::Endpoints(subject),
        ingress_default: default(Direction::Ingress),
        egress_default: default(Direction::Egress),
        rules,
        labels: automatic_labels(&key, &name, &uid).into(),
        description: "".into(),
        log: "".into(),
        path: "spec".into(),
    };
    Ok(PolicyObject {
        key,
        uid,
        sections: vec![section],
        warnings: Vec::new(),
    })
}

/// The name that an annotation gives the policy in its labels.
fn alias(root: &Field<'_>) -> Result<Option<Arc<str>>, Invalid> {
    let Some(annotations) = root.required("metadata")?.get("annotations")? else {
        return Ok(None);
    };
    for name in ["policy.cilium.io/name", "io.cilium.name"] {
        if let Some(value) = annotations.get(name)? {
            return value.text().map(|text| Some(text.into()));
        }
    }
    Ok(None)
}

/// Without policyTypes: ingress, and egress if there are egress rules.
fn parse_types(spec: &Field<'_>) -> Result<Vec<Direction>, Invalid> {
    let listed = spec.list("policyTypes")?.unwrap_or_default();
    let types = listed.iter().map(|item| match item.text()? {
        "Ingress" => Ok(Direction::Ingress),
        "Egress" => Ok(Direction::Egress),
        other => Err(item.error(format!("{other:?} must be Ingress or Egress"))),
    });
    let types = types.collect::<Result<Vec<_>, _>>()?;
    if !types.is_empty() {
        return Ok(types);
    }
    let egress = spec.list("egress")?.is_some_and(|rules| !rules.is_empty());
    Ok(if egress {
        Direction::BOTH.to_vec()
    } else {
        vec![Direction::Ingress]
    })
}

fn parse_rules(
    spec: &Field<'_>,
    direction: Direction,
    namespace: &Arc<str>,
    options: &ParseOptions,
) -> Result<Vec<Rule>, Invalid> {
    let (name, peers) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let mut rules = Vec::new();
    for entry in spec.list(name)?.unwrap_or_default() {
        entry.only(&[peers, "ports"])?;
        rules.push(Rule {
            tier: Tier::Normal,
            priority: 0,
            order: 0,
            action: Action::Allow,
            direction,
            peers: parse_peers(&entry, peers, namespace, options)?,
            ports: parse_ports(&entry)?,
            path: entry.path().into(),
        });
    }
    Ok(rules)
}

/// An absent or empty list is everybody, as the API defines it.
fn parse_peers(
    entry: &Field<'_>,
    name: &str,
    namespace: &Arc<str>,
    options: &ParseOptions,
) -> Result<Peers, Invalid> {
    let items = entry.list(name)?.unwrap_or_default();
    if items.is_empty() {
        return Ok(Peers::Any);
    }
    let terms = items
        .iter()
        .map(|item| parse_peer(item, namespace, options));
    Ok(of_terms(terms.collect::<Result<Vec<_>, _>>()?))
}

fn parse_peer(
    field: &Field<'_>,
    namespace: &Arc<str>,
    options: &ParseOptions,
) -> Result<PeerTerm, Invalid> {
    field.only(&["podSelector", "namespaceSelector", "ipBlock"])?;
    let pods = field.get("podSelector")?;
    let namespaces = field.get("namespaceSelector")?;
    if let Some(block) = field.get("ipBlock")? {
        if pods.is_some() || namespaces.is_some() {
            return Err(
                field.error("ipBlock cannot be combined with podSelector or namespaceSelector")
            );
        }
        block.only(&["cidr", "except"])?;
        let net = parse_cidr(&block.required("cidr")?)?;
        let except = parse_except(&block, Some(&net))?;
        return Ok(PeerTerm::Cidr(CidrSelector::new(
            net,
            except,
            Reach::Everything,
        )));
    }
    let mut requirements = Vec::new();
    match (&pods, &namespaces) {
        (None, None) => {
            return Err(field.error("must have podSelector, namespaceSelector or ipBlock"));
        }
        (_, None) => requirements.push(in_namespace(namespace)),
        (_, Some(selector)) => {
            let parsed = ParsedSelector::parse(selector, Keys::Namespaces)?;
            requirements.extend(parsed.all().cloned());
            // Only pods have a namespace: `DoesNotExist` alone must not select the world.
            requirements.push(Requirement::exists(SelectorKey::k8s(NAMESPACE)));
        }
    }
    if let Some(selector) = &pods {
        requirements.extend(
            ParsedSelector::parse(selector, Keys::Kubernetes)?
                .all()
                .cloned(),
        );
    }
    let cluster = implied_cluster(requirements.iter(), options);
    Ok(PeerTerm::Labels(
        requirements.into_iter().chain(cluster).collect(),
    ))
}

/// An absent or empty list is every port of every protocol.
fn parse_ports(entry: &Field<'_>) -> Result<Ports, Invalid> {
    let items = entry.list("ports")?.unwrap_or_default();
    if items.is_empty() {
        return Ok(Ports::All);
    }
    let mut terms = Vec::new();
    for item in &items {
        terms.extend(parse_port(item)?);
    }
    terms.sort_unstable();
    terms.dedup();
    Ok(Ports::Of(terms))
}

fn parse_port(field: &Field<'_>) -> Result<Vec<PortTerm>, Invalid> {
    field.only(&["protocol", "port", "endPort"])?;
    let protocol = match field.get("protocol")? {
        None => Protocol::TCP,
        Some(name) => match name.text()? {
            "TCP" => Protocol::TCP,
            "UDP" => Protocol::UDP,
            "SCTP" => Protocol::SCTP,
            other => return Err(name.error(format!("{other:?} must be TCP, UDP or SCTP"))),
        },
    };
    let (port, end) = (field.get("port")?, field.get("endPort")?);
    let number = |field: &Field<'_>, least: u16| {
        let number = field.integer()?;
        let port = u16::try_from(number).ok().filter(|port| *port >= least);
        port.ok_or_else(|| field.error(format!("must be from {least} to 65535, is {number}")))
    };
    match (port, end) {
        (None, None) => Ok(ranges(&[protocol], 0, u16::MAX)),
        (None, Some(end)) => Err(end.error("needs port")),
        (Some(port), end) if port.value().is_string() => match (port.text()?, end) {
            (_, Some(end)) => Err(end.error("needs a port that is a number")),
            (name, None) if is_port_name(name) => Ok(named(&[protocol], name)),
            (name, None) => Err(port.error(format!("{name:?} is not a port name"))),
        },
        (Some(port), end) => {
            let first = number(&port, 1)?;
            let last = end.as_ref().map_or(Ok(first), |end| number(end, first))?;
            Ok(ranges(&[protocol], first, last))
        }
    }
}
