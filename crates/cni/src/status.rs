//! STATUS: could an ADD succeed now?

use local_api::health::State;

use crate::agent::Agent;
use crate::error::{Code, Error};

pub(crate) fn run(agent: &Agent) -> Result<(), Error> {
    let answer = agent.health().map_err(|error| {
        Error::new(
            Code::NotAvailable,
            format!("the agent is not available: {error}"),
        )
    })?;
    let status = answer.cilium.unwrap_or_default();
    match status.state {
        Some(State::Ok) => Ok(()),
        Some(State::Warning) => Err(Error::new(
            Code::LimitedConnectivity,
            format!("the agent works with losses: {}", status.msg),
        )),
        Some(State::Failure | State::Disabled) | None => Err(Error::new(
            Code::NotAvailable,
            format!("the agent is not ready: {}", status.msg),
        )),
    }
}
