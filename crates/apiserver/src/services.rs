//! What the server assigns to a service: families, cluster addresses, node ports.

mod addresses;
mod ports;

use ipnet::IpNet;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

use crate::error::ApiError;
use crate::kinds::Kind;
use crate::object;
use crate::store::Transaction;

/// Where assignments are taken from.
#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    /// Ranges of addresses, at most one per family; the first is the default.
    pub(crate) addresses: Vec<IpNet>,
    /// Node ports.
    pub(crate) node_ports: RangeInclusive<u16>,
}

/// IPv4 or IPv6, as services spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A service on its way into the store.
struct Draft<'a> {
    kind: &'a Kind,
    name: String,
    owner: String,
    old: Option<&'a Value>,
    new: &'a mut Value,
}

impl Draft<'_> {
    fn refuse(&self, field: &str, message: &str) -> ApiError {
        ApiError::invalid(self.kind, &self.name, field, message)
    }

    fn spec(&mut self, field: &str, value: Option<Value>) {
        let spec = self
            .new
            .as_object_mut()
            .map(|map| map.entry("spec").or_insert_with(|| json!({})));
        if let Some(spec) = spec.and_then(Value::as_object_mut) {
            match value {
                Some(value) => spec.insert(field.to_owned(), value),
                None => spec.remove(field),
            };
        }
    }
}

/// A text at a JSON pointer; empty when absent.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The texts of a list at a JSON pointer.
fn texts(object: &Value, pointer: &str) -> Vec<String> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn service_type(service: &Value) -> &str {
    match text(service, "/spec/type") {
        "" => "ClusterIP",
        other => other,
    }
}

/// Assigns what `new` asks for and does not have yet, and gives back what `old` had and `new` has not.
pub(crate) fn assign(
    transaction: &mut Transaction<'_>,
    ranges: &Ranges,
    kind: &Kind,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<(), ApiError> {
    let name = object::meta(new, "name").to_owned();
    let owner = format!("{}/{name}", object::meta(new, "namespace"));
    let mut draft = Draft {
        kind,
        name,
        owner,
        old,
        new,
    };
    if !matches!(
        service_type(draft.new),
        "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName"
    ) {
        return Err(draft.refuse(
            "spec.type",
            "must be ClusterIP, NodePort, LoadBalancer or ExternalName",
        ));
    }
    addresses::assign(transaction, &ranges.addresses, &mut draft)?;
    ports::assign(transaction, &ranges.node_ports, &mut draft)
}

/// Gives back all that a removed service had.
pub(crate) fn release(transaction: &mut Transaction<'_>, old: &Value) {
    for claim in addresses::claims(old).into_iter().chain(ports::claims(old)) {
        transaction.release(&claim);
    }
}

#[cfg(test)]
mod tests;
