//! `axoneme status`: whether all of Axoneme is there and well, from what the API server tells and what each agent says.

mod gather;
mod judge;
mod show;

use std::io::Write;
use std::time::{Duration, Instant};

use super::ClusterArgs;
use super::progress::Progress;
use crate::dbg::context::Outcome;
use crate::output::{OutputArgs, Paint};
use judge::Report;

/// Pause between two looks while waiting.
const AGAIN: Duration = Duration::from_secs(2);

/// Arguments of the command.
#[derive(clap::Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Look until all is well
    #[arg(long)]
    wait: bool,
    /// How long
    #[arg(long, value_parser = crate::hubble::duration, default_value = "5m", value_name = "DURATION")]
    wait_duration: Duration,
    /// Be content with errors that are none, only warnings
    #[arg(long)]
    ignore_warnings: bool,
    /// Every agent and every pod without an agent, not only those that are not well
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl StatusArgs {
    /// Waits so long until all is well.
    pub(crate) fn waiting(cluster: &ClusterArgs, wait_duration: Duration) -> Self {
        Self {
            cluster: cluster.clone(),
            wait: true,
            wait_duration,
            ignore_warnings: false,
            verbose: false,
            output: OutputArgs::default(),
        }
    }

    fn is_well(&self, report: &Report) -> bool {
        report.errors.is_empty() && (self.ignore_warnings || report.warnings.is_empty())
    }
}

/// Runs the command; it fails unless all is well.
pub(crate) fn run(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let report = crate::program::block_on(look(args))?;
    let value = serde_json::to_value(&report)?;
    match &args.output.output {
        Some(format) => format.write(out, &value)?,
        None => show::write(&report, Paint::of_stdout(), args.verbose, out)?,
    }
    Ok(if args.is_well(&report) {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

async fn look(args: &StatusArgs) -> anyhow::Result<Report> {
    let cluster = args.cluster.open().await?;
    let mut progress = Progress::new();
    let deadline = Instant::now() + args.wait_duration;
    loop {
        let found = gather::facts(&cluster)
            .await
            .map(|facts| judge::report(&facts));
        let late = !args.wait || Instant::now() >= deadline;
        match found {
            Ok(report) if late || args.is_well(&report) => return Ok(report),
            Ok(report) => progress.say(&waiting(&report)),
            Err(error) if late => return Err(error),
            Err(error) => progress.say(&format!("waiting for the API server: {error:#}")),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What stands in the way, in one line.
fn waiting(report: &Report) -> String {
    let mut all = report.errors.iter().chain(&report.warnings);
    let more = report.errors.len() + report.warnings.len() - 1;
    let first = all.next().map(ToString::to_string).unwrap_or_default();
    if more == 0 {
        format!("waiting: {first}")
    } else {
        format!("waiting: {first} (and {more} more)")
    }
}

#[cfg(test)]
mod tests;
