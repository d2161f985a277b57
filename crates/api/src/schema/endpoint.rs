//! Diagnostics in a CiliumEndpoint.

use schemars::JsonSchema;

/// An identity and a port.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct IdentityPort {
    /// Number of the identity.
    pub identity: Option<i64>,
    /// Labels of the identity.
    pub identity_labels: Option<std::collections::BTreeMap<String, String>>,
    /// Port; 0 is every port.
    pub dest_port: Option<i32>,
    /// Number of the protocol; 0 is every protocol.
    pub protocol: Option<i64>,
}

/// Health in a word for each part.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Health {
    /// All in all.
    pub overall_health: Option<String>,
    /// Of the data path.
    pub bpf: Option<String>,
    /// Of the policy.
    pub policy: Option<String>,
    /// Whether the endpoint is reachable.
    pub connected: Option<bool>,
}

/// A loop that works on the endpoint.
#[derive(JsonSchema)]
pub struct Controller {
    /// Name.
    pub name: Option<String>,
    /// Identifier.
    pub uuid: Option<String>,
    /// How it is set up.
    pub configuration: Option<ControllerConfiguration>,
    /// How it goes.
    pub status: Option<ControllerStatus>,
}

/// How a loop is set up; times in nanoseconds.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct ControllerConfiguration {
    /// Whether it tries again after a failure.
    pub error_retry: Option<bool>,
    /// Pause after the first failure.
    pub error_retry_base: Option<i64>,
    /// Pause between runs.
    pub interval: Option<i64>,
}

/// How a loop goes.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct ControllerStatus {
    /// Failures since the last success.
    pub consecutive_failure_count: Option<i64>,
    /// Failures in all.
    pub failure_count: Option<i64>,
    /// Successes in all.
    pub success_count: Option<i64>,
    /// What the last failure said.
    pub last_failure_msg: Option<String>,
    /// When it last failed.
    pub last_failure_timestamp: Option<String>,
    /// When it last succeeded.
    pub last_success_timestamp: Option<String>,
}

/// Something that happened to the endpoint.
#[derive(JsonSchema)]
pub struct LogEntry {
    /// A word for programs.
    pub code: Option<String>,
    /// A sentence for people.
    pub message: Option<String>,
    /// State of the endpoint then.
    pub state: Option<String>,
    /// When.
    pub timestamp: Option<String>,
}
