//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.

use std::sync::Arc;

use super::peers::{PeerContext, PeerFields, in_namespace, parse_peers};
use super::{ParseOptions, automatic_labels, key_of, ports, uid_of};
use crate::labels::{Label, NAMESPACE, Source};
use crate::policy::field::{Field, Invalid};
use crate::policy::rule::{
    Action, DefaultDeny, Direction, Kind, ObjectKey, Peers, PolicyObject, Ports, Rule, Section,
    Subject, Tier,
};
use crate::selector::{
    KeySource, Keys, LabelSelector, Operator, ParsedSelector, Requirement, SelectorKey,
};

/// The four lists of rules of a section.
const LISTS: [(&str, Direction, Action); 4] = [
    ("ingress", Direction::Ingress, Action::Allow),
    ("ingressDeny", Direction::Ingress, Action::Deny),
    ("egress", Direction::Egress, Action::Allow),
    ("egressDeny", Direction::Egress, Action::Deny),
];

const FROM: PeerFields = PeerFields {
    endpoints: "fromEndpoints",
    cidr: "fromCIDR",
    cidr_set: "fromCIDRSet",
    entities: "fromEntities",
};
const TO: PeerFields = PeerFields {
    endpoints: "toEndpoints",
    cidr: "toCIDR",
    cidr_set: "toCIDRSet",
    entities: "toEntities",
};

pub(super) fn parse(
    root: &Field<'_>,
    kind: Kind,
    options: &ParseOptions,
) -> Result<PolicyObject, Invalid> {
    let key = key_of(root, kind)?;
    let uid = uid_of(root)?;
    let mut object = PolicyObject {
        key,
        uid,
        sections: Vec::new(),
        warnings: Vec::new(),
    };
    let one = root.get("spec")?;
    let many = root.list("specs")?.unwrap_or_default();
    for section in one.iter().chain(&many) {
        let parsed = parse_section(
            section,
            &object.key,
            &object.uid,
            options,
            &mut object.warnings,
        )?;
        object.sections.push(parsed);
    }
    if object.sections.is_empty() {
        return Err(root.error("must have spec, or specs with at least one item"));
    }
    Ok(object)
}

fn parse_section(
    field: &Field<'_>,
    key: &ObjectKey,
    uid: &str,
    options: &ParseOptions,
    warnings: &mut Vec<String>,
) -> Result<Section, Invalid> {
    field.only(&[
        "endpointSelector",
        "nodeSelector",
        "ingress",
        "ingressDeny",
        "egress",
        "egressDeny",
        "enableDefaultDeny",
        "labels",
        "description",
        "log",
    ])?;
    let subject = parse_subject(field, key, warnings)?;
    let context = PeerContext {
        options,
        namespace: (key.kind == Kind::CiliumNetworkPolicy).then_some(&*key.namespace),
        for_init: selects_init(subject.selector()),
    };
    let mut rules = Vec::new();
    for (name, direction, action) in LISTS {
        for entry in field.list(name)?.unwrap_or_default() {
            rules.push(Arc::new(parse_entry(
                &entry, direction, action, &context, warnings,
            )?));
        }
    }
    if rules.is_empty() {
        return Err(field
            .error("must have at least one entry in ingress, ingressDeny, egress or egressDeny"));
    }
    let default = |direction| parse_default_deny(field, direction, &rules);
    Ok(Section {
        subject,
        ingress_default: default(Direction::Ingress)?,
        egress_default: default(Direction::Egress)?,
        labels: parse_labels(field, key, uid)?,
        description: field
            .get("description")?
            .map_or(Ok(""), |text| text.text())?
            .into(),
        log: parse_log(field)?,
        path: field.path().into(),
        rules,
    })
}

fn parse_default_deny(
    field: &Field<'_>,
    direction: Direction,
    rules: &[Arc<Rule>],
) -> Result<DefaultDeny, Invalid> {
    let said = match field.get("enableDefaultDeny")? {
        None => None,
        Some(said) => {
            said.only(&["ingress", "egress"])?;
            said.get(&direction.to_string())?
                .map(|value| value.truth())
                .transpose()?
        }
    };
    let on = said.unwrap_or_else(|| rules.iter().any(|rule| rule.direction == direction));
    Ok(if on {
        DefaultDeny::On
    } else {
        DefaultDeny::Off
    })
}

fn parse_subject(
    field: &Field<'_>,
    key: &ObjectKey,
    warnings: &mut Vec<String>,
) -> Result<Subject, Invalid> {
    match (field.get("endpointSelector")?, field.get("nodeSelector")?) {
        (Some(endpoints), None) => {
            let mut parsed = ParsedSelector::parse(&endpoints, Keys::Sourced)?;
            if key.kind == Kind::CiliumClusterwideNetworkPolicy {
                return Ok(Subject::Endpoints(parsed.into_selector([])));
            }
            // Whatever it says, and whatever it selects on: a namespaced policy is about its own namespace only.
            let own = in_namespace(&key.namespace);
            parsed.labels.retain(|requirement| {
                let k8s = matches!(&requirement.key.source, KeySource::Any | KeySource::Is(Source::K8s));
                let overridden = k8s && &*requirement.key.key == NAMESPACE;
                if overridden && requirement.operator != own.operator {
                    warnings.push(format!(
                        "{}.matchLabels: {requirement} has no effect: the policy applies to namespace {} only",
                        endpoints.path(),
                        key.namespace
                    ));
                }
                !overridden
            });
            Ok(Subject::Endpoints(parsed.into_selector([own])))
        }
        (None, Some(nodes)) if key.kind == Kind::CiliumClusterwideNetworkPolicy => Ok(
            Subject::Nodes(ParsedSelector::parse(&nodes, Keys::Sourced)?.into_selector([])),
        ),
        (None, Some(nodes)) => Err(nodes.error("is only for CiliumClusterwideNetworkPolicy")),
        _ => Err(field.error("must have exactly one of endpointSelector and nodeSelector")),
    }
}

fn selects_init(selector: &LabelSelector) -> bool {
    let init = SelectorKey::reserved("init");
    let asks = |requirement: &Requirement| {
        matches!(requirement.operator, Operator::In(_) | Operator::Exists)
    };
    selector
        .requirements()
        .iter()
        .any(|requirement| requirement.key == init && asks(requirement))
}

fn parse_labels(field: &Field<'_>, key: &ObjectKey, uid: &str) -> Result<Arc<[Label]>, Invalid> {
    let mut labels = Vec::new();
    for item in field.list("labels")?.unwrap_or_default() {
        item.only(&["key", "value", "source"])?;
        let text = |name: &str| item.get(name)?.map_or(Ok(""), |text| text.text());
        let name = item.required("key")?.text()?;
        let source = match text("source")? {
            "" => Source::Unspec,
            word => Source::from_word(word),
        };
        labels.push(Label::new(source, name, text("value")?));
    }
    labels.extend(automatic_labels(key, &key.name, uid));
    Ok(labels.into())
}

/// The longest `log.value`.
const MAX_LOG: usize = 32;

fn parse_log(field: &Field<'_>) -> Result<Arc<str>, Invalid> {
    let Some(log) = field.get("log")? else {
        return Ok("".into());
    };
    log.only(&["value"])?;
    let Some(value) = log.get("value")? else {
        return Ok("".into());
    };
    let text = value.text()?;
    if text.chars().count() > MAX_LOG || text.chars().any(char::is_control) {
        return Err(value.error(format!("must be at most {MAX_LOG} printable characters")));
    }
    Ok(text.into())
}

fn parse_entry(
    field: &Field<'_>,
    direction: Direction,
    action: Action,
    context: &PeerContext<'_>,
    warnings: &mut Vec<String>,
) -> Result<Rule, Invalid> {
    let fields = check_fields(field, direction)?;
    let peers = parse_peers(field, fields, context)?;
    let ports = parse_entry_ports(field, context, warnings)?;
    let (peers, ports) = match (peers, ports) {
        // An entry that names neither peers nor ports matches nothing, unlike in a NetworkPolicy.
        (None, None) => (Peers::Of(Vec::new()), Ports::All),
        (peers, ports) => (peers.unwrap_or(Peers::Any), ports.unwrap_or(Ports::All)),
    };
    let path = field.path().into();
    Ok(Rule {
        tier: Tier::Normal,
        priority: 0,
        order: 0,
        action,
        direction,
        peers,
        ports,
        path,
    })
}

fn parse_entry_ports(
    field: &Field<'_>,
    context: &PeerContext<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Ports>, Invalid> {
    let mut terms = Vec::new();
    let (to_ports, icmps) = (field.list("toPorts")?, field.list("icmps")?);
    match (&to_ports, &icmps) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(field.error("toPorts and icmps cannot be combined in one entry"));
        }
        (Some(items), None) => {
            for item in items {
                terms.extend(ports::parse_port_rule(
                    item,
                    context.options.extended_protocols,
                )?);
            }
        }
        (None, Some(items)) => {
            for item in items {
                terms.extend(ports::parse_icmp_rule(item)?);
            }
        }
    }
    if terms.is_empty() {
        let name = if to_ports.is_some() {
            "toPorts"
        } else {
            "icmps"
        };
        warnings.push(format!(
            "{}.{name} names no port, so the entry matches nothing",
            field.path()
        ));
    }
    terms.sort_unstable();
    terms.dedup();
    Ok(Some(Ports::Of(terms)))
}

/// Removed upstream: the schema admits only the empty list.
fn refuse_requires(field: &Field<'_>) -> Result<(), Invalid> {
    for name in ["fromRequires", "toRequires"] {
        if field.list(name)?.is_some_and(|items| !items.is_empty()) {
            return Err(field.error(format!("{name} is no longer supported")));
        }
    }
    Ok(())
}

fn refuse_authentication(field: &Field<'_>) -> Result<(), Invalid> {
    let Some(authentication) = field.get("authentication")? else {
        return Ok(());
    };
    let mode = authentication.required("mode")?;
    match mode.text()? {
        "disabled" => Ok(()),
        _ => Err(mode.error("is not supported by this version; the object is not applied")),
    }
}

/// Refuses what is unknown or not enforced yet, and says what the peers' fields are called.
fn check_fields(field: &Field<'_>, direction: Direction) -> Result<&'static PeerFields, Invalid> {
    let fields = match direction {
        Direction::Ingress => {
            field.only(&[
                "fromEndpoints",
                "fromCIDR",
                "fromCIDRSet",
                "fromEntities",
                "fromNodes",
                "fromGroups",
                "fromRequires",
                "toPorts",
                "icmps",
                "authentication",
            ])?;
            &FROM
        }
        Direction::Egress => {
            field.only(&[
                "toEndpoints",
                "toCIDR",
                "toCIDRSet",
                "toEntities",
                "toNodes",
                "toGroups",
                "toRequires",
                "toServices",
                "toFQDNs",
                "toPorts",
                "icmps",
                "authentication",
            ])?;
            &TO
        }
    };
    field.without(&[
        "fromNodes",
        "fromGroups",
        "toNodes",
        "toGroups",
        "toServices",
        "toFQDNs",
    ])?;
    refuse_requires(field)?;
    refuse_authentication(field)?;
    Ok(fields)
}
