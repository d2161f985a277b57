//! Conditions and the statuses that consist of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::Time;

/// One aspect of the object's present state.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Condition {
    /// What it states, in CamelCase or prefixed as `cilium.io/PoolConflict`.
    #[schemars(rename = "type", length(max = 316))]
    #[schemars(extend("pattern" = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"))]
    pub condition: String,
    /// Whether it is so.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// A word for programs.
    #[schemars(length(min = 1, max = 1024), extend("pattern" = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// When the status last changed.
    #[schemars(with = "Time")]
    pub last_transition_time: String,
    /// Generation of the object that the condition is about.
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// What is stated of an object.
#[derive(JsonSchema)]
pub struct Conditions {
    /// Present state, one entry for each type of condition.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// One aspect of a policy's present state.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PolicyCondition {
    /// What it states, as `Valid`.
    #[schemars(rename = "type")]
    pub condition: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When the status last changed.
    #[schemars(with = "Option<Time>")]
    pub last_transition_time: Option<String>,
    /// A word for programs.
    pub reason: Option<String>,
    /// A sentence for people; of a policy that is not valid, what is wrong with it.
    pub message: Option<String>,
    /// Generation of the object that the condition is about.
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// State of a policy that was derived from another one.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct DerivedPolicy {
    /// Whether it is enforced.
    pub enforcing: Option<bool>,
    /// Whether it was accepted.
    pub ok: Option<bool>,
    /// Why it was not.
    pub error: Option<String>,
    /// Revision of the policies that holds it.
    pub local_policy_revision: Option<i64>,
    /// When this was written.
    #[schemars(with = "Option<Time>")]
    pub last_updated: Option<String>,
    /// Annotations of the policy it was derived from.
    pub annotations: Option<BTreeMap<String, String>>,
}
