//! Under which names the web listener is asked: a page of somebody else whose name leads to this address (DNS rebinding) is
//! refused, since a browser takes it for one of ours.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Names that nobody outside of this machine or cluster can have: without a dot, there is no such name to buy.
const OURS: [&str; 3] = ["localhost", "hubble-ui", "hubble-relay"];
/// What the names of services end with. No such top-level domain exists.
const OF_SERVICES: [&str; 2] = [".svc", ".svc.cluster.local"];

/// Names besides addresses and those of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// Reads names, separated by commas: `NAME`, `*.DOMAIN` for names with one label more, or `*` for any.
    pub fn read(text: &str) -> Result<Self, String> {
        let given = text.split(',').map(str::trim);
        let mut names = Vec::new();
        for name in given.filter(|name| !name.is_empty()) {
            let rest = name.strip_prefix("*.").unwrap_or(name);
            let valid = |label: &str| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
            };
            if name != "*" && !rest.split('.').all(valid) {
                return Err(format!("names of hosts without ports, not {name:?}"));
            }
            names.push(name.to_ascii_lowercase());
        }
        Ok(Self { names })
    }

    /// Whether a request may name this host, which may have a port.
    fn has(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_address = match name.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .is_some_and(|of| of.parse::<Ipv6Addr>().is_ok()),
            None => name.parse::<Ipv4Addr>().is_ok(),
        };
        is_address
            || OURS.contains(&name.as_str())
            || OF_SERVICES.iter().any(|end| name.ends_with(end))
            || self.names.iter().any(|known| is_meant(known, &name))
    }
}

fn is_meant(known: &str, name: &str) -> bool {
    match known.strip_prefix("*.") {
        Some(domain) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        None => known == "*" || known == name,
    }
}

/// The host of `HOST` or `HOST:PORT`.
fn without_port(host: &str) -> Option<&str> {
    // The colons of an address of IPv6 are in brackets.
    let end = host.rfind(']').map_or(0, |at| at + 1);
    let (name, port) = match host.get(end..)?.find(':') {
        Some(at) => (host.get(..end + at)?, host.get(end + at + 1..)?),
        None => (host, ""),
    };
    port.bytes().all(|of| of.is_ascii_digit()).then_some(name)
}

/// Lets only requests pass that name one of our hosts.
pub(super) async fn checked(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::HOST);
    let named = match request.uri().host() {
        Some(host) => Some(host),
        None => header.and_then(|value| value.to_str().ok()),
    };
    match named {
        Some(host) if hosts.has(host) => next.run(request).await,
        Some(host) => refused(&format!(
            "{host:?} is no name of this host; name it in web-hosts (hubble.ui.ingress.hosts of the chart)"
        )),
        None => refused("the request names no host"),
    }
}

fn refused(reason: &str) -> Response {
    let body = serde_json::json!({ "error": reason });
    (StatusCode::MISDIRECTED_REQUEST, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests;
