//! `axoneme context`: which cluster the other commands would mean.

use std::io::Write;

use serde_json::json;
use store::{Client, Options};

use super::access::AccessArgs;
use crate::dbg::context::Outcome;
use crate::output::{OutputArgs, Table};

/// Arguments of the command.
#[derive(clap::Args, Debug)]
pub(crate) struct ContextArgs {
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(crate) fn run(args: &ContextArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let kubeconfig = args.access.kubeconfig();
    if kubeconfig.is_none() && args.access.is_server_known() {
        writeln!(
            out,
            "This is a pod: its own cluster is meant, by its service account"
        )?;
        return Ok(Outcome::Good);
    }
    anyhow::ensure!(
        kubeconfig.is_some(),
        "no kubeconfig is known: name one with --kubeconfig or KUBECONFIG"
    );
    let names = Client::context(&Options {
        kubeconfig,
        context: args.access.context.clone(),
        ..Options::named("axoneme")
    })?;
    if let Some(format) = &args.output.output {
        let value = json!({ "context": names.context, "cluster": names.cluster, "server": names.server,
            "user": names.user, "namespace": names.namespace, "contexts": names.all });
        format.write(out, &value)?;
        return Ok(Outcome::Good);
    }
    let mut table = Table::new(&[]);
    table.row(["Context:", &names.context]);
    table.row(["Cluster:", &names.cluster]);
    table.row(["API server:", &names.server]);
    table.row(["User:", &names.user]);
    let others: Vec<&str> = names
        .all
        .iter()
        .filter(|name| **name != names.context)
        .map(String::as_str)
        .collect();
    if !others.is_empty() {
        table.row(["Others:", &others.join(", ")]);
    }
    table.write(out)?;
    Ok(Outcome::Good)
}
