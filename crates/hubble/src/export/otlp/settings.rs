//! Where the collector is, and what it is told.

use std::{path::PathBuf, time::Duration};

use api::hubble::flow::FlowFilter;
use tonic::codegen::http::Uri;

use crate::{export::SettingError, filter::Selection, relay::ClientFiles};

/// Port of a collector whose URL has none (OTLP/gRPC).
const PORT: u16 = 4317;

/// Address of a collector: `http://HOST[:PORT]`, or `https://` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Scheme, host and port.
    pub(super) origin: Uri,
    /// To connect to.
    pub(super) address: String,
    /// Name that its certificate must have; none for plain text.
    pub(super) server_name: Option<String>,
}

impl Collector {
    /// Reads a URL; why not, if it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
        let wanted = || format!("{text:?}: http://HOST:PORT or https://HOST:PORT is needed");
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(wanted)?;
        let is_encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wanted()),
        };
        let has_user = uri.authority().is_some_and(|of| of.as_str().contains('@'));
        // A path would be that of OTLP over HTTP, which is another protocol.
        if has_user || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wanted());
        }
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(PORT));
        let scheme = if is_encrypted { "https" } else { "http" };
        let origin = format!("{scheme}://{address}");
        Ok(Self {
            origin: origin
                .parse()
                .map_err(|error| format!("{text:?}: {error}"))?,
            address,
            server_name: is_encrypted.then(|| host.trim_matches(['[', ']']).to_owned()),
        })
    }

    /// Whether it is talked to by TLS.
    pub const fn is_encrypted(&self) -> bool {
        self.server_name.is_some()
    }
}

/// Which kinds of telemetry are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet {
    /// A record for each flow and each request.
    pub logs: bool,
    /// Durations of requests and bytes of edges.
    pub metrics: bool,
    /// Requests that belong to a trace.
    pub traces: bool,
}

/// What is exported, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to.
    pub collector: Collector,
    /// What.
    pub signals: SignalSet,
    /// How often metrics are sent.
    pub interval: Duration,
    /// Records and spans only of flows that one of these selects; none for all.
    pub include_filters: Vec<FlowFilter>,
    /// No records and spans of flows that one of these selects.
    pub exclude_filters: Vec<FlowFilter>,
    /// File of headers that are sent with each request, a line `NAME: VALUE` each.
    pub headers: Option<PathBuf>,
    /// For TLS: authorities of the collector, and the certificate and key that are shown to it.
    pub tls: Option<ClientFiles>,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the node.
    pub node: String,
}

impl Settings {
    /// Checks everything that can be wrong with them.
    pub fn check(&self) -> Result<(), SettingError> {
        self.selection().map(|_| ())
    }

    pub(super) fn selection(&self) -> Result<Selection, SettingError> {
        Selection::compile(&self.include_filters, &self.exclude_filters).map_err(|error| {
            let list = match error.list {
                "whitelist" => "includeFilters",
                _ => "excludeFilters",
            };
            let place = format!("{list}[{}].{}", error.index, error.field);
            SettingError::new(place, &error.reason)
        })
    }
}

#[cfg(test)]
mod tests;
