//! `status`: how the agent is, one line per part, in upstream's order.

mod lines;

use std::time::{Duration, Instant};

use local_api::debuginfo::DebugInfo;
use local_api::health::{State, StatusResponse};
use local_api::probes::HealthStatusResponse;
use serde_json::Value;

use super::context::{Context, Outcome};
use crate::output::OutputArgs;

#[derive(clap::Args, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "one per flag of the command line"
)]
pub(super) struct StatusArgs {
    /// Only OK, or what is wrong
    #[arg(long)]
    brief: bool,
    /// Everything: --all-* together, and details
    #[arg(long)]
    verbose: bool,
    /// All addresses in use
    #[arg(long)]
    all_addresses: bool,
    /// All clusters, also those that are ready
    #[arg(long)]
    all_clusters: bool,
    /// All background tasks, also those that are well
    #[arg(long)]
    all_controllers: bool,
    /// All of the health of parts
    #[arg(long)]
    all_health: bool,
    /// All nodes
    #[arg(long)]
    all_nodes: bool,
    /// All redirects to proxies
    #[arg(long)]
    all_redirects: bool,
    /// Fail when the API server cannot be reached
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    require_k8s_connectivity: String,
    /// Ask until all is well
    #[arg(long)]
    wait: bool,
    /// How long to ask, in seconds
    #[arg(long, default_value_t = 300)]
    wait_duration: u64,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(context: &mut Context<'_>, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let require = match args.require_k8s_connectivity.as_str() {
        "true" => true,
        "false" => false,
        other => anyhow::bail!("--require-k8s-connectivity: {other:?} is neither true nor false"),
    };
    let deadline = Instant::now() + Duration::from_secs(args.wait_duration);
    let (raw, status) = loop {
        match ask(context) {
            Ok((raw, status)) if !args.wait || problem(&status, require).is_none() => {
                break (raw, status);
            }
            Ok(found) if Instant::now() >= deadline => break found,
            Err(error) if !args.wait || Instant::now() >= deadline => return Err(error),
            _ => std::thread::sleep(Duration::from_millis(500)),
        }
    };
    let problem = problem(&status, require);
    let outcome = if problem.is_none() {
        Outcome::Good
    } else {
        Outcome::Bad
    };
    if context.formatted(args.output.output.as_ref(), &raw)? {
        return Ok(outcome);
    }
    if args.brief {
        writeln!(
            context.out,
            "{}",
            problem.unwrap_or_else(|| "OK".to_owned())
        )?;
        return Ok(outcome);
    }
    let details = lines::Details {
        addresses: args.verbose || args.all_addresses,
        clusters: args.verbose || args.all_clusters,
        controllers: args.verbose || args.all_controllers,
        nodes: args.verbose || args.all_nodes,
        redirects: args.verbose || args.all_redirects,
        verbose: args.verbose || args.all_health,
    };
    let health = health(context, &status);
    lines::write(
        context.out,
        context.paint,
        (&status, health.as_ref()),
        details,
    )?;
    Ok(outcome)
}

/// What probes of other nodes tell, of an agent that makes some.
fn health(context: &Context<'_>, status: &StatusResponse) -> Option<HealthStatusResponse> {
    let part = status.cluster.as_ref()?.cilium_health.as_ref()?;
    (part.state == Some(State::Ok)).then_some(())?;
    // One that cannot be asked has no line.
    super::health::beside(&context.client)
        .get("/v1beta/status")
        .ok()
}

/// The status, of an agent that is not ready as well: that one may answer 503 and tells by `debuginfo`.
fn ask(context: &Context<'_>) -> anyhow::Result<(Value, StatusResponse)> {
    let answer = context.client.get::<Value>("/v1/healthz");
    let raw = match answer {
        Err(error) if error.status() == Some(503) => {
            let info = context.get::<DebugInfo>("/v1/debuginfo")?;
            info.raw.get("cilium-status").cloned().unwrap_or_default()
        }
        answer => answer.map_err(super::context::agent_error)?,
    };
    let status = serde_json::from_value(raw.clone())?;
    Ok((raw, status))
}

/// The first thing that is not well.
fn problem(status: &StatusResponse, require_kubernetes: bool) -> Option<String> {
    let say = |part: &str, state: Option<State>, msg: &str| match state {
        Some(State::Ok | State::Disabled) => None,
        None => Some(format!("{part}: no state")),
        Some(state) => Some(format!("{part}: {state:?} {msg}").trim_end().to_owned()),
    };
    let own = status.cilium.clone().unwrap_or_default();
    let kubernetes = status.kubernetes.as_ref().filter(|_| require_kubernetes);
    let hubble = status.hubble.as_ref();
    None.or_else(|| {
        status
            .kvstore
            .as_ref()
            .and_then(|part| say("kvstore", part.state, &part.msg))
    })
    .or_else(|| kubernetes.and_then(|part| say("kubernetes", part.state, &part.msg)))
    .or_else(|| say("cilium", own.state, &own.msg))
    .or_else(|| hubble.and_then(|part| say("hubble", part.state, &part.msg)))
}
