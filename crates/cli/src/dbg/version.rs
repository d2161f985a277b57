//! `version`: of this program and of the agent.

use local_api::debuginfo::DebugInfo;
use serde_json::json;

use super::context::{Context, Outcome};
use crate::output::OutputArgs;

#[derive(clap::Args, Debug)]
pub(super) struct VersionArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(context: &mut Context<'_>, args: &VersionArgs) -> anyhow::Result<Outcome> {
    let client = format!("axoneme {}", env!("CARGO_PKG_VERSION"));
    let daemon = context
        .get::<DebugInfo>("/v1/debuginfo")
        .map(|info| info.typed);
    let versions = match &daemon {
        Ok(info) => json!({
            "Client": { "Version": client },
            "Daemon": { "Version": info.cilium_version, "KernelVersion": info.kernel_version },
        }),
        Err(_) => json!({ "Client": { "Version": client } }),
    };
    if !context.formatted(args.output.output.as_ref(), &versions)? {
        writeln!(context.out, "Client: {client}")?;
        if let Ok(info) = &daemon {
            writeln!(
                context.out,
                "Daemon: {} (kernel {})",
                info.cilium_version, info.kernel_version
            )?;
        }
    }
    daemon.map(|_| Outcome::Good)
}
