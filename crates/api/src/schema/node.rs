//! What is left as written in the status of a CiliumNode.

use schemars::JsonSchema;

/// State of one of a node's ranges.
#[derive(JsonSchema)]
pub struct PodCidrState {
    /// Whether it has free addresses, and whether it may be taken back.
    #[schemars(extend("enum" = ["released", "depleted", "in-use"]))]
    pub status: Option<String>,
}

/// Where the hand-shake about an address that goes back stands.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// The operator wants it back.
    MarkedForRelease,
    /// The agent does not use it.
    ReadyForRelease,
    /// The agent uses it.
    DoNotRelease,
    /// It went back.
    Released,
}

/// What the operator says about a node's addresses.
#[derive(JsonSchema)]
pub struct OperatorStatus {
    /// What is wrong.
    pub error: Option<String>,
}
