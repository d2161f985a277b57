//! The CNI plugin: parse, make the interface, ask the agent.
//!
//! One process per call, started by the container runtime as `axoneme-cni` (or `cilium-cni`; as `loopback` see there), CNI 1.1 with results in the shape
//! of the version asked for (0.1.0 to 1.1.0). Arguments come in the environment, the network configuration on standard
//! input; the result, or an error object, goes to standard output.
//!
//! # ADD
//! `GET /v1/config` → addresses from `POST /v1/ipam`, while a thread inside the pod's namespace makes the veth pair there, its
//! host end directly in the namespace the plugin runs in, down → `PUT /v1/endpoint/cilium-local:0`, while that thread sets
//! addresses and routes → result. The agent attaches its programs and brings the host end up; until then nothing can
//! flow. All or nothing: whatever fails, the link and the addresses go again.
//!
//! What the agent is sent (`EndpointChangeRequest`): `container-id`, `container-interface-name` (together the attachment
//! `<container id>:<interface>`), `container-netns-path` as an agent in a pod sees it
//! (`/var/run/cilium/netns/<base name>`), `properties.cni-netns-path` as the runtime gave it, `netns-cookie` (decimal),
//! `interface-name`/`interface-index`/`host-mac` (host end), `mac` (pod end), `addressing` with expiry UUIDs and pools,
//! `k8s-pod-name`/`k8s-namespace`/`k8s-uid`, `state: waiting-for-identity`, `sync-build-endpoint: true`; chained also
//! `datapath-configuration.external-ipam: true`.
//!
//! The host end is named `lxc` + the first 12 hexadecimal digits of SHA-256 of `<container id>:<interface>`
//! ([`attachment::Attachment::host_link`]).
//!
//! # DEL
//! Takes the link away and asks for `DELETE /v1/endpoint` with container id and interface. When the agent cannot be asked the
//! same body waits in `<state-dir>/deleteQueue` ([`queue`]) and DEL still succeeds.
//!
//! # Configuration keys
//! `cniVersion`, `name`, `type`, `mtu`, `chaining-mode`, `prevResult`, `log-file`, `enable-debug`, `cni.dev/valid-attachments`
//! as upstream and the specification have them; ours: `agent-socket` (before `AXONEME_SOCK`, `CILIUM_SOCK` and the
//! default) and `state-dir` (default `/var/run/cilium`).

mod add;
mod agent;
pub mod attachment;
mod chained;
mod check;
mod del;
pub mod error;
mod gc;
pub mod input;
mod log;
pub mod loopback;
mod pod;
pub mod queue;
pub mod result;
mod status;
pub mod version;

use std::time::Duration;

use crate::agent::Agent;
use crate::error::{Code, Error};
use crate::input::{Command, Config};
use crate::log::Log;
use crate::version::Version;

/// How long the agent is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long ADD and CHECK try to reach the agent.
    pub reach: Duration,
    /// How long one answer may take once the agent is reached; an endpoint is built in it.
    pub answer: Duration,
    /// How long DEL, STATUS and each undoing step spend on the agent.
    pub brief: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reach: Duration::from_secs(30),
            answer: Duration::from_secs(90),
            brief: Duration::from_secs(4),
        }
    }
}

/// What one call prints and how its process exits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output; empty where the specification wants nothing.
    pub stdout: String,
    /// 0, or 1 with an error object in `stdout`.
    pub exit: i32,
}

/// Carries out one call: `variable` reads the environment, `stdin` is the network configuration.
///
/// Works on the network namespace of the calling thread as the node's.
pub fn run(variable: &dyn Fn(&str) -> Option<String>, stdin: &[u8], limits: Limits) -> Outcome {
    let version = Config::version_of(stdin);
    Outcome::of(call(variable, stdin, limits), version)
}

impl Outcome {
    fn of(result: Result<String, Error>, version: Version) -> Self {
        match result {
            Ok(stdout) => Self { stdout, exit: 0 },
            Err(error) => Self {
                stdout: error.to_json(version),
                exit: 1,
            },
        }
    }
}

fn call(
    variable: &dyn Fn(&str) -> Option<String>,
    stdin: &[u8],
    limits: Limits,
) -> Result<String, Error> {
    let command = Command::parse(variable)?;
    if matches!(command, Command::Version) {
        return Ok(version::answer(Config::asked_version(stdin)?));
    }
    let config = Config::parse(stdin)?;
    command.check_version(config.version)?;
    let log = Log::open(&config, &command);
    let socket = config
        .agent_socket
        .clone()
        .unwrap_or_else(|| local_api::socket_path(variable));
    let agent = Agent::new(socket, limits);
    let outcome = match &command {
        Command::Add(arguments) => add::run(arguments, &config, &agent, &log),
        Command::Del(arguments) => {
            del::run(arguments, &config, &agent, &log).map(|()| String::new())
        }
        Command::Check(arguments) => check::run(arguments, &config, &agent).map(|()| String::new()),
        Command::Status => status::run(&agent).map(|()| String::new()),
        Command::Gc => gc::run(&config, &agent, &log).map(|()| String::new()),
        Command::Version => Ok(String::new()),
    };
    match &outcome {
        Ok(_) => log.info("done"),
        Err(error) => log.error(&error.to_string()),
    }
    outcome
}

/// Parses a network configuration and throws it away: the fuzz target's entry.
pub fn parse_stdin(stdin: &[u8]) -> Result<(), Error> {
    let _ = Config::asked_version(stdin);
    let config = Config::parse(stdin)?;
    for version in Version::ALL {
        let previous = config.previous.clone().unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&previous.print(version)).map_err(|e| {
            Error::new(
                Code::Decode,
                format!("prevResult is not printed as JSON: {e}"),
            )
        })?;
    }
    Ok(())
}
