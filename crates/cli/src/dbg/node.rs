//! `node`: the nodes of the cluster and their pod prefixes.

use std::ffi::OsString;

use local_api::node::{ClusterNodeStatus, NodeAddressingElement, NodeElement};

use super::absent;
use super::context::{Context, Outcome};
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum NodeCommand {
    /// All nodes
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

pub(super) fn run(context: &mut Context<'_>, command: &NodeCommand) -> anyhow::Result<Outcome> {
    match command {
        NodeCommand::List { output } => {
            let answer = context.get::<ClusterNodeStatus>("/v1/cluster/nodes")?;
            context.table(output.output.as_ref(), &answer.raw, || {
                table(&answer.typed.nodes_added)
            })
        }
        NodeCommand::Other(words) => Err(absent::refuse("node", words)),
    }
}

fn cells(of: Option<&NodeAddressingElement>) -> [String; 2] {
    of.map(|element| [element.ip.clone(), element.alloc_range.clone()])
        .unwrap_or_default()
}

pub(super) fn table(nodes: &[NodeElement]) -> Table {
    let mut table = Table::new(&[
        "Name",
        "IPv4 Address",
        "Endpoint CIDR",
        "IPv6 Address",
        "Endpoint CIDR",
        "Source",
    ]);
    let mut nodes: Vec<&NodeElement> = nodes.iter().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    for node in nodes {
        let addressing = node.primary_address.clone().unwrap_or_default();
        let [ipv4, range4] = cells(addressing.ipv4.as_ref());
        let [ipv6, range6] = cells(addressing.ipv6.as_ref());
        table.row([
            node.name.clone(),
            ipv4,
            range4,
            ipv6,
            range6,
            node.source.clone(),
        ]);
    }
    table
}
