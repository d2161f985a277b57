//! The agent's explanation of a pair of identities: which rules were considered, which decided, what would turn it around.

use local_api::{Client, Method, Request};
use serde::{Deserialize, Serialize};

use super::party::Port;
use crate::dbg::context::{Answer, agent_error};

/// Answer of `GET /v1/axoneme/explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Proof {
    /// `allowed`, `denied` or `denied-by-default`.
    pub(crate) verdict: String,
    /// The source's policy; nothing where the source is not governed by any.
    pub(crate) egress: Option<Reason>,
    /// The destination's policy.
    pub(crate) ingress: Option<Reason>,
    /// Both in words.
    pub(crate) text: String,
}

/// One direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Reason {
    pub(crate) verdict: String,
    pub(crate) decided_by: String,
    pub(crate) considered: Vec<Considered>,
    pub(crate) change: String,
}

/// A rule that selects the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Considered {
    pub(crate) rule: String,
    pub(crate) action: String,
    /// `Decides`, `Outranked`, `OtherPeer` or `OtherPort`.
    pub(crate) standing: String,
}

impl Proof {
    /// Whether it may talk.
    pub(crate) fn is_allowed(&self) -> bool {
        self.verdict == "allowed"
    }

    /// The verdict in words.
    pub(crate) fn word(&self) -> &'static str {
        match self.verdict.as_str() {
            "allowed" => "allowed",
            "denied-by-default" => "denied, because no rule allows it",
            _ => "denied by a rule",
        }
    }
}

/// Asks the agent.
pub(crate) fn explain(
    client: &Client,
    from: u32,
    to: u32,
    port: Port,
) -> anyhow::Result<Answer<Proof>> {
    let request = Request::new(Method::Get, format!("{}/explain", local_api::EXTENSIONS))
        .query("from", &from.to_string())
        .query("to", &to.to_string())
        .query("port", &port.number.to_string())
        .query("protocol", &port.protocol.to_string().to_ascii_lowercase());
    let raw: serde_json::Value = client.call(&request).map_err(agent_error)?;
    let typed = serde_json::from_value(raw.clone())?;
    Ok(Answer { raw, typed })
}
