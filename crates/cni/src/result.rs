//! The result of ADD, in the shape of each version of the specification.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::error::{Code, Error};
use crate::version::Version;

/// An interface that exists after ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Ethernet address, may be empty.
    pub mac: String,
    /// MTU in bytes, printed from 1.1.0 on.
    pub mtu: Option<u32>,
    /// Path of the namespace; empty: the node's.
    pub sandbox: String,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Position in the list of interfaces.
    pub interface: Option<usize>,
    /// With its prefix length.
    pub address: IpNet,
    /// Next hop.
    pub gateway: Option<IpAddr>,
}

/// A route in the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub destination: IpNet,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// MTU metric in bytes, printed from 1.1.0 on.
    pub mtu: Option<u32>,
}

/// What ADD made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Success {
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes.
    pub routes: Vec<Route>,
    /// `dns`, passed through.
    pub dns: Map<String, Value>,
}

impl Success {
    /// Prints it for a version.
    pub fn print(&self, version: Version) -> String {
        if version < Version::V0_3_0 {
            self.print_old(version)
        } else {
            self.print_lists(version)
        }
        .to_string()
    }

    /// 0.1.0 and 0.2.0: one address per family, no interfaces.
    fn print_old(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".into(), version.as_str().into());
        for (key, wanted_v4) in [("ip4", true), ("ip6", false)] {
            let Some(first) = self
                .addresses
                .iter()
                .find(|a| a.address.addr().is_ipv4() == wanted_v4)
            else {
                continue;
            };
            let routes: Vec<Value> = self
                .routes
                .iter()
                .filter(|route| route.destination.addr().is_ipv4() == wanted_v4)
                .map(|route| route.print(version))
                .collect();
            let mut entry = Map::new();
            entry.insert("ip".into(), first.address.to_string().into());
            if let Some(gateway) = first.gateway {
                entry.insert("gateway".into(), gateway.to_string().into());
            }
            entry.insert("routes".into(), routes.into());
            object.insert(key.into(), entry.into());
        }
        object.insert("dns".into(), self.dns.clone().into());
        object.into()
    }

    fn print_lists(&self, version: Version) -> Value {
        let interfaces: Vec<Value> = self
            .interfaces
            .iter()
            .map(|interface| interface.print(version))
            .collect();
        let addresses: Vec<Value> = self
            .addresses
            .iter()
            .map(|address| address.print(version))
            .collect();
        let routes: Vec<Value> = self
            .routes
            .iter()
            .map(|route| route.print(version))
            .collect();
        json!({
            "cniVersion": version.as_str(),
            "interfaces": interfaces,
            "ips": addresses,
            "routes": routes,
            "dns": self.dns,
        })
    }

    /// Reads a `prevResult` of any version.
    pub fn parse(value: &Value) -> Result<Self, Error> {
        let object = value
            .as_object()
            .ok_or_else(|| wrong("prevResult", "must be an object"))?;
        let mut result = Self {
            interfaces: entries(object, "interfaces", Interface::parse)?,
            addresses: entries(object, "ips", Address::parse)?,
            routes: entries(object, "routes", Route::parse)?,
            dns: object
                .get("dns")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        };
        for key in ["ip4", "ip6"] {
            let Some(old) = object.get(key).filter(|old| !old.is_null()) else {
                continue;
            };
            let path = format!("prevResult.{key}");
            let entry = old
                .as_object()
                .ok_or_else(|| wrong(&path, "must be an object"))?;
            result.addresses.push(Address {
                interface: None,
                address: field(entry, "ip", &path)?
                    .ok_or_else(|| wrong(&format!("{path}.ip"), "is missing"))?,
                gateway: field(entry, "gateway", &path)?,
            });
            result
                .routes
                .extend(list(entry, "routes", &path, Route::parse)?);
        }
        for (position, address) in result.addresses.iter().enumerate() {
            if address
                .interface
                .is_some_and(|interface| interface >= result.interfaces.len())
            {
                return Err(wrong(
                    &format!("prevResult.ips[{position}].interface"),
                    "is no position in interfaces",
                ));
            }
        }
        Ok(result)
    }

    /// Appends what another plugin made after this.
    pub(crate) fn extend(&mut self, other: Self) {
        let offset = self.interfaces.len();
        self.interfaces.extend(other.interfaces);
        self.addresses
            .extend(other.addresses.into_iter().map(|a| Address {
                interface: a.interface.map(|i| i + offset),
                ..a
            }));
        self.routes.extend(other.routes);
    }

    /// The interface of this name inside a pod, with its position.
    pub(crate) fn pod_interface(&self, name: &str) -> Option<(usize, &Interface)> {
        self.interfaces
            .iter()
            .enumerate()
            .find(|(_, i)| i.name == name && !i.sandbox.is_empty())
    }
}

fn wrong(field: &str, what: &str) -> Error {
    Error::new(Code::InvalidConfig, format!("{field} {what}"))
}

fn entries<T>(
    object: &Map<String, Value>,
    key: &str,
    parse: impl Fn(&Map<String, Value>, &str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    list(object, key, "prevResult", parse)
}

fn list<T>(
    object: &Map<String, Value>,
    key: &str,
    parent: &str,
    parse: impl Fn(&Map<String, Value>, &str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let path = format!("{parent}.{key}");
    let list = match object.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong(&path, "must be a list")),
    };
    list.iter()
        .enumerate()
        .map(|(position, entry)| {
            let path = format!("{path}[{position}]");
            parse(
                entry
                    .as_object()
                    .ok_or_else(|| wrong(&path, "must be an object"))?,
                &path,
            )
        })
        .collect()
}

/// A field that is text and parses, `None` when absent or empty.
fn field<T: std::str::FromStr>(
    object: &Map<String, Value>,
    key: &str,
    parent: &str,
) -> Result<Option<T>, Error> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| {
            wrong(
                &format!("{parent}.{key}"),
                &format!("is {text:?}, which does not parse"),
            )
        }),
        Some(_) => Err(wrong(&format!("{parent}.{key}"), "must be a string")),
    }
}

fn number(object: &Map<String, Value>, key: &str, parent: &str) -> Result<Option<u32>, Error> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(
                &format!("{parent}.{key}"),
                "must be a number from 0 to 4294967295",
            )),
        },
    }
}

impl Interface {
    fn parse(object: &Map<String, Value>, path: &str) -> Result<Self, Error> {
        Ok(Self {
            name: field(object, "name", path)?.unwrap_or_default(),
            mac: field(object, "mac", path)?.unwrap_or_default(),
            mtu: number(object, "mtu", path)?,
            sandbox: field(object, "sandbox", path)?.unwrap_or_default(),
        })
    }

    fn print(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), self.name.as_str().into());
        if !self.mac.is_empty() {
            object.insert("mac".into(), self.mac.as_str().into());
        }
        if let Some(mtu) = self.mtu.filter(|_| version >= Version::V1_1_0) {
            object.insert("mtu".into(), mtu.into());
        }
        if !self.sandbox.is_empty() {
            object.insert("sandbox".into(), self.sandbox.as_str().into());
        }
        object.into()
    }
}

impl Address {
    fn parse(object: &Map<String, Value>, path: &str) -> Result<Self, Error> {
        Ok(Self {
            interface: number(object, "interface", path)?.map(|position| position as usize),
            address: field(object, "address", path)?
                .ok_or_else(|| wrong(&format!("{path}.address"), "is missing"))?,
            gateway: field(object, "gateway", path)?,
        })
    }

    fn print(&self, version: Version) -> Value {
        let mut object = Map::new();
        if version < Version::V1_0_0 {
            object.insert(
                "version".into(),
                if self.address.addr().is_ipv4() {
                    "4"
                } else {
                    "6"
                }
                .into(),
            );
        }
        if let Some(interface) = self.interface {
            object.insert("interface".into(), interface.into());
        }
        object.insert("address".into(), self.address.to_string().into());
        if let Some(gateway) = self.gateway {
            object.insert("gateway".into(), gateway.to_string().into());
        }
        object.into()
    }
}

impl Route {
    fn parse(object: &Map<String, Value>, path: &str) -> Result<Self, Error> {
        Ok(Self {
            destination: field(object, "dst", path)?
                .ok_or_else(|| wrong(&format!("{path}.dst"), "is missing"))?,
            gateway: field(object, "gw", path)?,
            mtu: number(object, "mtu", path)?,
        })
    }

    fn print(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("dst".into(), self.destination.to_string().into());
        if let Some(gateway) = self.gateway {
            object.insert("gw".into(), gateway.to_string().into());
        }
        if let Some(mtu) = self.mtu.filter(|_| version >= Version::V1_1_0) {
            object.insert("mtu".into(), mtu.into());
        }
        object.into()
    }
}

#[cfg(test)]
mod tests;
