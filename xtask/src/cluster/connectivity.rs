//! Our own command line on the cluster: its connectivity test, and whatever else a person asks it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::images::AGNHOST;
use super::layout::Layout;
use super::{control, daemon, families, network};
use crate::process::typed;

/// Runs `axoneme status --wait` and the connectivity test with every scenario that this cluster has what it needs for. Who is
/// outside of it is the world.
pub(super) fn run(layout: &Layout) -> Result<()> {
    succeed(axoneme(layout)?.args(["status", "--wait", "--wait-duration=3m"]))?;
    let family = layout.families.all().first().context("no family")?;
    let world = family.address(families::OUTSIDE);
    let other = family.address(families::OUTSIDE_OTHER);
    let report = layout.run.join("connectivity.xml");
    succeed(
        axoneme(layout)?
            .args(["connectivity", "test", "--flow-validation=strict"])
            .args(["--image-pull-policy=Never", "--test-concurrency=2"])
            .args(["--curl-image", AGNHOST])
            .args(["--external-ip", &world, "--external-other-ip", &other])
            .arg("--junit-file")
            .arg(report),
    )
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("'{}' failed ({status})", typed(command));
    }
    Ok(())
}

/// Becomes our command line: exit code and terminal are its own.
pub(super) fn become_axoneme(layout: &Layout, words: &[String]) -> Result<()> {
    Err(axoneme(layout)?.args(words).exec().into())
}

/// The command line that lies beside this program, in the control plane's namespace, as the administrator.
fn axoneme(layout: &Layout) -> Result<Command> {
    let program = std::env::current_exe()?.with_file_name("axoneme");
    if !program.exists() {
        bail!(
            "{} is missing: './x image --dev' builds it",
            program.display()
        );
    }
    let mut command = network::within(layout, control::PART, &program);
    command
        .env("KUBECONFIG", layout.kubeconfig("admin"))
        .env("PATH", daemon::path(layout));
    Ok(command)
}
