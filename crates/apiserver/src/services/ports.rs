//! Node ports, and the health port of services that keep traffic on its node.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rand::Rng;
use serde_json::{Value, json};

use super::{Draft, service_type, text};
use crate::error::ApiError;
use crate::store::Transaction;

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn number(port: &Value, field: &str) -> u16 {
    port.get(field)
        .and_then(Value::as_u64)
        .and_then(|number| u16::try_from(number).ok())
        .unwrap_or(0)
}

fn protocol(port: &Value) -> &str {
    port.get("protocol")
        .and_then(Value::as_str)
        .unwrap_or("TCP")
}

fn claim_of(protocol: &str, port: u16) -> String {
    format!("port/{protocol}/{port}")
}

/// Claims of a stored service.
pub(super) fn claims(service: &Value) -> Vec<String> {
    let nodes = ports(service).filter(|port| number(port, "nodePort") != 0);
    let mut claims: Vec<String> = nodes
        .map(|port| claim_of(protocol(port), number(port, "nodePort")))
        .collect();
    let health = service
        .get("spec")
        .map_or(0, |spec| number(spec, "healthCheckNodePort"));
    if health != 0 {
        claims.push(claim_of("TCP", health));
    }
    claims
}

/// Sets `nodePort` of every port and `healthCheckNodePort`, where the type has them.
pub(super) fn assign(
    transaction: &mut Transaction<'_>,
    range: &RangeInclusive<u16>,
    draft: &mut Draft<'_>,
) -> Result<(), ApiError> {
    let held = draft.old.map(claims).unwrap_or_default();
    let has_ports = match service_type(draft.new) {
        "NodePort" => true,
        "LoadBalancer" => {
            draft.new.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false))
        }
        _ => false,
    };
    let may_have_ports = matches!(service_type(draft.new), "NodePort" | "LoadBalancer");
    let mut list: Vec<Value> = ports(draft.new).cloned().collect();
    let mut given_here = BTreeSet::new();
    for (index, port) in list.iter_mut().enumerate() {
        let field = format!("spec.ports[{index}].nodePort");
        let asked = number(port, "nodePort");
        let kept = asked != 0 && held.contains(&claim_of(protocol(port), asked));
        if !may_have_ports {
            if asked != 0 && !kept {
                return Err(draft.refuse(
                    &field,
                    "is only possible with the types NodePort and LoadBalancer",
                ));
            }
            port.as_object_mut().map(|port| port.remove("nodePort"));
            continue;
        }
        let asked = if asked == 0 {
            before(draft.old, port)
        } else {
            asked
        };
        if asked == 0 && !has_ports {
            continue;
        }
        let given = take(transaction, range, draft, &field, protocol(port), asked)?;
        if !given_here.insert((protocol(port).to_owned(), given)) {
            return Err(draft.refuse(&field, &format!("{given} is there twice")));
        }
        if let Some(port) = port.as_object_mut() {
            port.insert("nodePort".to_owned(), given.into());
        }
    }
    if !list.is_empty() {
        draft.spec("ports", Some(Value::Array(list)));
    }
    assign_health(transaction, range, draft)?;
    let now = claims(draft.new);
    held.iter()
        .filter(|claim| !now.contains(claim))
        .for_each(|claim| transaction.release(claim));
    Ok(())
}

/// The node port that the port of the same name had before; a port alone may have no name.
fn before(old: Option<&Value>, port: &Value) -> u16 {
    let name = |port: &Value| {
        port.get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let same = |other: &&Value| name(other) == name(port);
    old.and_then(|old| ports(old).find(same))
        .map_or(0, |port| number(port, "nodePort"))
}

fn assign_health(
    transaction: &mut Transaction<'_>,
    range: &RangeInclusive<u16>,
    draft: &mut Draft<'_>,
) -> Result<(), ApiError> {
    let field = "spec.healthCheckNodePort";
    let needed = service_type(draft.new) == "LoadBalancer"
        && text(draft.new, "/spec/externalTrafficPolicy") == "Local";
    let value = |service: &Value| {
        service
            .get("spec")
            .map_or(0, |spec| number(spec, "healthCheckNodePort"))
    };
    if !needed {
        draft.spec("healthCheckNodePort", None);
        return Ok(());
    }
    let asked = match value(draft.new) {
        0 => draft.old.map_or(0, value),
        asked => asked,
    };
    let given = take(transaction, range, draft, field, "TCP", asked)?;
    draft.spec("healthCheckNodePort", Some(json!(given)));
    Ok(())
}

/// Claims the port asked for, or a free one when 0.
fn take(
    transaction: &mut Transaction<'_>,
    range: &RangeInclusive<u16>,
    draft: &Draft<'_>,
    field: &str,
    protocol: &str,
    asked: u16,
) -> Result<u16, ApiError> {
    let given = if asked == 0 {
        pick(transaction, range, draft, field, protocol)?
    } else {
        asked
    };
    if !range.contains(&given) {
        let message = format!(
            "{given} is not in the range of node ports, {}-{}",
            range.start(),
            range.end()
        );
        return Err(draft.refuse(field, &message));
    }
    let claim = claim_of(protocol, given);
    match transaction.claimed_by(&claim)? {
        Some(owner) if owner != draft.owner => {
            return Err(draft.refuse(field, &format!("{given} is already allocated to {owner}")));
        }
        _ => transaction.claim(&claim, &draft.owner),
    }
    Ok(given)
}

fn pick(
    transaction: &Transaction<'_>,
    range: &RangeInclusive<u16>,
    draft: &Draft<'_>,
    field: &str,
    protocol: &str,
) -> Result<u16, ApiError> {
    let length = u32::from(range.end() - range.start()) + 1;
    let start = rand::rng().random_range(0..length);
    for step in 0..length {
        let port = range.start() + ((start + step) % length) as u16;
        if transaction.claimed_by(&claim_of(protocol, port))?.is_none() {
            return Ok(port);
        }
    }
    Err(draft.refuse(field, "all node ports are in use"))
}
