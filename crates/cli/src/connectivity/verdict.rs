//! What is expected of an attempt, what came of it, and whether the two agree.

use std::fmt;

use super::action::{Action, Probe};
use crate::cluster::pod::Pod;

/// At whose policy a packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// That of the caller.
    Egress,
    /// That of the callee.
    Ingress,
}

impl Side {
    /// As flows name it.
    pub(super) const fn direction(self) -> &'static str {
        match self {
            Self::Egress => "EGRESS",
            Self::Ingress => "INGRESS",
        }
    }
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// An answer.
    Answer,
    /// Silence, because no rule allows it.
    NotAllowed(Side),
    /// Silence, because a rule denies it.
    Denied(Side),
}

impl Expect {
    /// The opposite; for the test of the tests.
    pub(super) const fn inverted(self) -> Self {
        match self {
            Self::Answer => Self::NotAllowed(Side::Egress),
            Self::NotAllowed(_) | Self::Denied(_) => Self::Answer,
        }
    }

    /// Name of the drop's reason in flows.
    pub(super) const fn reason(self) -> Option<(&'static str, Side)> {
        match self {
            Self::Answer => None,
            Self::NotAllowed(side) => Some(("POLICY_DENIED", side)),
            Self::Denied(side) => Some(("POLICY_DENY", side)),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Side| match side {
            Side::Egress => "the caller's egress",
            Side::Ingress => "the callee's ingress",
        };
        match self {
            Self::Answer => f.write_str("an answer"),
            Self::NotAllowed(of) => write!(f, "silence: no rule of {} allows it", side(of)),
            Self::Denied(of) => write!(f, "silence: a rule of {} denies it", side(of)),
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// It was answered.
    Answer,
    /// Nothing came back in time.
    Silence,
    /// Something else, as a reset or an error page: neither allowed nor denied by policy.
    Other(String),
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("an answer"),
            Self::Silence => f.write_str("silence"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Whether it is as expected.
pub(super) fn agrees(expect: Expect, got: &Got) -> bool {
    match expect {
        Expect::Answer => *got == Got::Answer,
        Expect::NotAllowed(_) | Expect::Denied(_) => *got == Got::Silence,
    }
}

/// Source ports of attempts: each has a few of its own, so that its flows are known by them.
pub(super) const PORTS: u16 = 4;

/// Times of an attempt, in seconds: an answer is given more of it, so that a busy machine is no denial.
const PATIENCE: u32 = 6;
const SILENCE: u32 = 2;

/// The command of an attempt.
pub(super) fn command(action: &Action, expect: Expect, source_port: u16) -> Vec<String> {
    let seconds = if expect == Expect::Answer {
        PATIENCE
    } else {
        SILENCE
    };
    match action.probe {
        Probe::Http => {
            let host = if action.host.contains(':') {
                format!("[{}]", action.host)
            } else {
                action.host.clone()
            };
            let words = [
                "curl".to_owned(),
                "--silent".to_owned(),
                "--show-error".to_owned(),
                "--fail".to_owned(),
                "--output".to_owned(),
                "/dev/null".to_owned(),
                "--noproxy".to_owned(),
                "*".to_owned(),
                "--local-port".to_owned(),
                format!("{source_port}-{}", source_port + PORTS - 1),
                "--connect-timeout".to_owned(),
                seconds.to_string(),
                "--max-time".to_owned(),
                (2 * seconds).to_string(),
                format!("http://{host}:{}/", action.port),
            ];
            words.into()
        }
        Probe::Ping => ["ping", "-c", "1", "-W", &seconds.to_string(), &action.host]
            .map(str::to_owned)
            .into(),
    }
}

/// `curl`: a time limit was reached.
const CURL_TIMEOUT: i32 = 28;

/// What the exit code and the words of the command mean.
pub(super) fn outcome(probe: Probe, code: i32, said: &str) -> Got {
    let said = said.trim();
    match (probe, code) {
        (_, 0) => Got::Answer,
        (Probe::Http, CURL_TIMEOUT) | (Probe::Ping, 1) => Got::Silence,
        (Probe::Http, code) => Got::Other(format!("curl ended with {code}: {said}")),
        (Probe::Ping, code) => Got::Other(format!("ping ended with {code}: {said}")),
    }
}

/// Where the agent of a pod's node is found.
pub(super) fn agent_of<'a>(agents: &'a [Pod], pod: &Pod) -> Option<&'a Pod> {
    agents.iter().find(|agent| agent.node == pod.node)
}

#[cfg(test)]
mod tests;
