//! Which secrets a policy refers to.

use std::collections::BTreeSet;

use model::endpoint::PodName;
use serde_json::Value;

/// The secrets of all rules of `spec` and `specs`. A name without a namespace is of `own`, the policy's; one of a policy
/// without a namespace is nobody's.
pub fn references(spec: Option<&Value>, specs: Option<&Value>, own: &str) -> BTreeSet<PodName> {
    let rules = spec.into_iter().chain(items(specs));
    let entries = rules.flat_map(|rule| {
        ["ingress", "egress"]
            .into_iter()
            .flat_map(|direction| items(rule.get(direction)))
    });
    let ports = entries.flat_map(|entry| items(entry.get("toPorts")));
    ports
        .flat_map(of_ports)
        .filter_map(|secret| named(secret, own))
        .collect()
}

fn of_ports(entry: &Value) -> impl Iterator<Item = &Value> {
    let tls = ["terminatingTLS", "originatingTLS"];
    let tls = tls.into_iter().filter_map(|side| entry.get(side));
    let requests = items(entry.pointer("/rules/http"));
    let headers = requests.flat_map(|request| items(request.get("headerMatches")));
    tls.chain(headers).filter_map(|of| of.get("secret"))
}

fn items(of: Option<&Value>) -> impl Iterator<Item = &Value> {
    of.and_then(Value::as_array).into_iter().flatten()
}

fn named(secret: &Value, own: &str) -> Option<PodName> {
    let text = |field: &str| {
        let text = secret.get(field).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let namespace = text("namespace").unwrap_or(own);
    let name = PodName {
        namespace: namespace.into(),
        name: text("name")?.into(),
    };
    (!namespace.is_empty()).then_some(name)
}
