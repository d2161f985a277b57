//! What policies may say about the content of connections.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::peer::FqdnSelector;

/// What may be said; one kind of protocol.
#[derive(JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["http"]}, {"required": ["kafka"]}, {"required": ["dns"]}, {"required": ["l7proto"]},
    {"not": {"anyOf": [{"required": ["http"]}, {"required": ["kafka"]}, {"required": ["dns"]}, {"required": ["l7proto"]}]}},
]))]
pub struct Rules {
    /// HTTP requests.
    pub http: Option<Vec<HttpRule>>,
    /// Kafka requests; deprecated.
    pub kafka: Option<Vec<KafkaRule>>,
    /// DNS queries.
    pub dns: Option<Vec<FqdnSelector>>,
    /// Name of another parser; deprecated.
    pub l7proto: Option<String>,
    /// Keys and values for it; deprecated.
    pub l7: Option<Vec<BTreeMap<String, String>>>,
}

/// An HTTP request. Method, path and host are regular expressions that match as a whole; what is absent matches all.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct HttpRule {
    /// Method.
    pub method: Option<String>,
    /// Path.
    pub path: Option<String>,
    /// Host header.
    pub host: Option<String>,
    /// Headers that must be there, as `Name` or `Name: value`.
    pub headers: Option<Vec<String>>,
    /// Headers that must have a value, and what happens if they have not.
    pub header_matches: Option<Vec<HeaderMatch>>,
}

/// A header that must have a value.
#[derive(JsonSchema)]
pub struct HeaderMatch {
    /// Name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Value.
    pub value: Option<String>,
    /// Secret that holds the value.
    pub secret: Option<SecretName>,
    /// What happens if the value is another; without it the request is denied.
    #[schemars(extend("enum" = ["LOG", "ADD", "DELETE", "REPLACE"]))]
    pub mismatch: Option<String>,
}

/// A secret.
#[derive(JsonSchema)]
pub struct SecretName {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: Option<String>,
}

/// A Kafka request.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct KafkaRule {
    /// A set of API keys by name.
    #[schemars(extend("enum" = ["produce", "consume"]))]
    pub role: Option<String>,
    /// API key by name.
    pub api_key: Option<String>,
    /// Version of the API.
    pub api_version: Option<String>,
    /// Client identifier.
    #[schemars(rename = "clientID")]
    pub client_id: Option<String>,
    /// Topic.
    #[schemars(length(max = 255))]
    pub topic: Option<String>,
}

/// A name that a TLS client asks for: `*.` stands for one label, `**.` for one or more.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct ServerName(
    #[schemars(length(min = 1), extend("pattern" = "^(\\*?\\*\\.)?([-a-zA-Z0-9_]+\\.?)+$"))]
    pub  String,
);

/// Certificates and keys.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct TlsContext {
    /// Where they are.
    pub secret: SecretName,
    /// Item with the authorities; `ca.crt` without it.
    #[schemars(rename = "trustedCA")]
    pub trusted_ca: Option<String>,
    /// Item with the certificate; `tls.crt` without it.
    pub certificate: Option<String>,
    /// Item with the key; `tls.key` without it.
    pub private_key: Option<String>,
}

/// An Envoy listener.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Listener {
    /// Object that defines it.
    pub envoy_config: EnvoyConfigName,
    /// Name of the listener.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Which of several listeners wins: 1 before 100.
    #[schemars(range(min = 1, max = 100))]
    pub priority: Option<i32>,
}

/// A CiliumEnvoyConfig or CiliumClusterwideEnvoyConfig.
#[derive(JsonSchema)]
pub struct EnvoyConfigName {
    /// Kind; without it, that of the policy's own scope.
    #[schemars(extend("enum" = ["CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"]))]
    pub kind: Option<String>,
    /// Name.
    #[schemars(length(min = 1))]
    pub name: String,
}
