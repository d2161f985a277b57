//! `debuginfo`: everything the agent knows, as text for a report or as it came.

use std::path::PathBuf;

use local_api::debuginfo::DebugInfo;

use super::context::{Context, Outcome};
use crate::output::OutputArgs;

#[derive(clap::Args, Debug)]
pub(super) struct DebuginfoArgs {
    /// Write into this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(context: &mut Context<'_>, args: &DebuginfoArgs) -> anyhow::Result<Outcome> {
    let answer = context.get::<DebugInfo>("/v1/debuginfo")?;
    let mut text = Vec::new();
    match &args.output.output {
        Some(format) => format.write(&mut text, &answer.raw)?,
        None => write(&mut text, &answer.typed)?,
    }
    match &args.file {
        None => context.out.write_all(&text)?,
        Some(path) => {
            std::fs::write(path, text)
                .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))?;
            writeln!(context.out, "Written to {}", path.display())?;
        }
    }
    Ok(Outcome::Good)
}

fn write(out: &mut Vec<u8>, info: &DebugInfo) -> anyhow::Result<()> {
    use std::io::Write as _;
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    writeln!(
        out,
        "# Versions\n\nAgent:  {}\nKernel: {}\n",
        info.cilium_version, info.kernel_version
    )?;
    let status = json(serde_json::to_string_pretty(&info.cilium_status));
    writeln!(out, "# Status\n\n{status}\n\n# Endpoints\n")?;
    super::endpoint::list(&info.endpoint_list, true).write(out)?;
    writeln!(
        out,
        "\n# Services\n\n{}\n",
        json(serde_json::to_string_pretty(&info.service_list))
    )?;
    let policy = info.policy.clone().unwrap_or_default();
    writeln!(
        out,
        "# Policy\n\n{}\nRevision: {}",
        policy.policy, policy.revision
    )?;
    for (name, text) in &info.subsystem {
        writeln!(out, "\n# {name}\n\n{text}")?;
    }
    Ok(())
}
