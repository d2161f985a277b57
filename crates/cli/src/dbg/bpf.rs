//! `bpf`: the data plane's own tables, read from the pinned maps.

pub(crate) mod ct;
mod endpoint;
mod ipcache;
mod lb;
mod metrics;
mod policy;
pub(super) mod shown;

use std::ffi::OsString;
use std::net::IpAddr;

use datapath::abi::endpoint::Endpoint;
use ipnet::IpNet;
use local_api::identity::Identity;
use serde_json::{Value, json};

use super::context::{Context, Outcome};
use super::identity::labels_of;
use super::{absent, map};
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum BpfCommand {
    /// Connections
    #[command(subcommand)]
    Ct(CtCommand),
    /// Address translation of connections
    #[command(subcommand)]
    Nat(NatCommand),
    /// Services
    #[command(subcommand)]
    Lb(LbCommand),
    /// Verdicts of policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Addresses and prefixes
    #[command(subcommand)]
    Ipcache(IpcacheCommand),
    /// Local endpoints
    #[command(subcommand)]
    Endpoint(ListCommand),
    /// Packets forwarded and dropped, by reason
    #[command(subcommand)]
    Metrics(ListCommand),
    /// Fragmented datagrams under way
    #[command(subcommand)]
    Frag(ListCommand),
    /// Prefixes that are not masqueraded
    #[command(subcommand)]
    Ipmasq(ListCommand),
    /// Sockets whose destination was translated
    #[command(subcommand)]
    Socknat(ListCommand),
    /// Facts about the node that programs read
    #[command(subcommand)]
    Config(ListCommand),
    /// Where the maps, programs and links are pinned
    #[command(subcommand)]
    Fs(FsCommand),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum ListCommand {
    /// All entries
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum CtCommand {
    /// All connections, or those of an endpoint
    List {
        /// `global`, or the number of an endpoint
        #[arg(default_value = "global")]
        of: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Forget connections: their next packet is judged anew, translated ones break
    Flush {
        /// `global`, or the number of an endpoint
        of: String,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum NatCommand {
    /// All translations
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Forget all translated connections; they break
    Flush,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum LbCommand {
    /// Frontends with their backends
    List {
        /// Only frontends
        #[arg(long, conflicts_with_all = ["backends", "revnat"])]
        frontends: bool,
        /// Only backends
        #[arg(long, conflicts_with = "revnat")]
        backends: bool,
        /// Numbers of services and their frontends
        #[arg(long)]
        revnat: bool,
        /// Source ranges; services have none in this version, and the flag says so
        #[arg(long, hide = true)]
        source_ranges: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// Verdicts for an endpoint
    Get {
        /// Number of the endpoint
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        endpoint: Option<u16>,
        /// All endpoints
        #[arg(long)]
        all: bool,
        /// Numbers of identities instead of their labels
        #[arg(short, long)]
        numeric: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum IpcacheCommand {
    /// All rows
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The row that a packet of this address meets
    Get {
        /// Address or prefix
        address: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The row of exactly this prefix
    Match {
        /// Address or prefix
        address: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum FsCommand {
    /// The directory and the links in it
    Show {
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

pub(super) fn run(context: &mut Context<'_>, command: &BpfCommand) -> anyhow::Result<Outcome> {
    match command {
        BpfCommand::Ct(command) => connections(context, command),
        BpfCommand::Nat(command) => translations(context, command),
        BpfCommand::Lb(command) => services(context, command),
        BpfCommand::Policy(command) => policies(context, command),
        BpfCommand::Ipcache(command) => addresses(context, command),
        BpfCommand::Endpoint(ListCommand::List { output }) => {
            let all = local_endpoints(context)?;
            context.table(output.output.as_ref(), &endpoint::json(&all), || {
                endpoint::table(&all)
            })
        }
        BpfCommand::Metrics(ListCommand::List { output }) => {
            let maps = context.maps()?;
            let sums = metrics::sums(&maps.drops.dump()?, &maps.hooks.dump()?);
            context.table(output.output.as_ref(), &metrics::json(&sums), || {
                metrics::table(&sums)
            })
        }
        BpfCommand::Frag(ListCommand::List { output }) => map::get(context, "fragments", output),
        BpfCommand::Ipmasq(ListCommand::List { output }) => {
            map::get(context, "masquerade_spare", output)
        }
        BpfCommand::Socknat(ListCommand::List { output }) => {
            map::get(context, "socket_peers", output)
        }
        BpfCommand::Config(ListCommand::List { output }) => map::get(context, "node", output),
        BpfCommand::Fs(FsCommand::Show { output }) => pins(context, output),
        BpfCommand::Endpoint(ListCommand::Other(words)) => {
            Err(absent::refuse("bpf endpoint", words))
        }
        BpfCommand::Metrics(ListCommand::Other(words)) => Err(absent::refuse("bpf metrics", words)),
        BpfCommand::Frag(ListCommand::Other(words))
        | BpfCommand::Ipmasq(ListCommand::Other(words))
        | BpfCommand::Socknat(ListCommand::Other(words))
        | BpfCommand::Config(ListCommand::Other(words))
        | BpfCommand::Fs(FsCommand::Other(words))
        | BpfCommand::Other(words) => Err(absent::refuse("bpf", words)),
    }
}

/// 0 for all endpoints.
fn endpoint_number(of: &str) -> anyhow::Result<u16> {
    if of == "global" {
        return Ok(0);
    }
    of.parse()
        .map_err(|_| anyhow::anyhow!("{of:?} is neither `global` nor the number of an endpoint"))
}

fn connections(context: &mut Context<'_>, command: &CtCommand) -> anyhow::Result<Outcome> {
    match command {
        CtCommand::List { of, output } => {
            let endpoint = endpoint_number(of)?;
            let mut all = ct::read(&context.maps()?)?;
            all.retain(|entry| entry.is_of(endpoint));
            if !context.formatted(
                output.output.as_ref(),
                &all.iter().map(ct::Entry::json).collect(),
            )? {
                for entry in all {
                    writeln!(context.out, "{}", entry.line())?;
                }
            }
        }
        CtCommand::Flush { of } => {
            let endpoint = endpoint_number(of)?;
            let count = ct::flush(&context.maps()?, |entry| entry.is_of(endpoint))?;
            writeln!(context.out, "Flushed {count} connections")?;
        }
        CtCommand::Other(words) => return Err(absent::refuse("bpf ct", words)),
    }
    Ok(Outcome::Good)
}

fn translations(context: &mut Context<'_>, command: &NatCommand) -> anyhow::Result<Outcome> {
    match command {
        NatCommand::List { output } => {
            let all = ct::read(&context.maps()?)?;
            let lines: Vec<String> = all.iter().flat_map(ct::Entry::rewrites).collect();
            if !context.formatted(output.output.as_ref(), &json!(lines))? {
                for line in lines {
                    writeln!(context.out, "{line}")?;
                }
            }
        }
        NatCommand::Flush => {
            let count = ct::flush(&context.maps()?, |entry| !entry.rewrites().is_empty())?;
            writeln!(context.out, "Flushed {count} translated connections")?;
        }
        NatCommand::Other(words) => return Err(absent::refuse("bpf nat", words)),
    }
    Ok(Outcome::Good)
}

fn services(context: &mut Context<'_>, command: &LbCommand) -> anyhow::Result<Outcome> {
    let LbCommand::List {
        frontends,
        backends,
        revnat,
        source_ranges,
        output,
    } = command
    else {
        let LbCommand::Other(words) = command else {
            return Ok(Outcome::Good);
        };
        return Err(absent::refuse("bpf lb", words));
    };
    anyhow::ensure!(
        !source_ranges,
        "--source-ranges: services do not limit who may call them in this version, and so there is no table of it"
    );
    let tables = lb::Tables::read(&context.maps()?)?;
    context.table(output.output.as_ref(), &tables.json(), || {
        match (frontends, backends, revnat) {
            (_, true, _) => tables.list_backends(),
            (true, ..) | (.., true) => tables.list_frontends(),
            _ => tables.list(),
        }
    })
}

fn local_endpoints(context: &Context<'_>) -> anyhow::Result<Vec<Endpoint>> {
    let mut all: Vec<Endpoint> = context
        .maps()?
        .endpoints
        .dump()?
        .into_iter()
        .map(|(_, of)| of)
        .collect();
    all.retain(|of| of.ifindex != 0);
    all.sort_by_key(|of| of.id);
    Ok(all)
}

fn policies(context: &mut Context<'_>, command: &PolicyCommand) -> anyhow::Result<Outcome> {
    let PolicyCommand::Get {
        endpoint,
        numeric,
        output,
        ..
    } = command
    else {
        let PolicyCommand::Other(words) = command else {
            return Ok(Outcome::Good);
        };
        return Err(absent::refuse("bpf policy", words));
    };
    let mut endpoints = local_endpoints(context)?;
    if let Some(id) = endpoint {
        endpoints.retain(|of| of.id == *id);
        anyhow::ensure!(
            !endpoints.is_empty(),
            "there is no endpoint {id} in the maps; `bpf endpoint list` shows all"
        );
    }
    let tables = policy::Tables::read(&context.maps()?)?;
    let lines: Vec<policy::Line> = endpoints.iter().flat_map(|of| tables.lines(of)).collect();
    // The maps can be read without an agent; then identities stay numbers.
    let known: Vec<Identity> = match numeric {
        true => Vec::new(),
        false => context
            .get("/v1/identity")
            .map(|answer| answer.typed)
            .unwrap_or_default(),
    };
    context.table(output.output.as_ref(), &policy::json(&lines), || {
        policy::table(&lines, |number| {
            if *numeric {
                vec![number.to_string()]
            } else {
                labels_of(&known, number.into())
            }
        })
    })
}

fn net(text: &str) -> anyhow::Result<IpNet> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| anyhow::anyhow!("{text:?} is neither an address nor a prefix"))
}

fn addresses(context: &mut Context<'_>, command: &IpcacheCommand) -> anyhow::Result<Outcome> {
    match command {
        IpcacheCommand::List { output } => {
            let tables = ipcache::Tables::read(&context.maps()?)?;
            context.table(output.output.as_ref(), &tables.json(), || tables.list())
        }
        IpcacheCommand::Get { address, output } => {
            let wanted = net(address)?;
            let tables = ipcache::Tables::read(&context.maps()?)?;
            let (found, text) = tables.longest(wanted).ok_or_else(|| {
                anyhow::anyhow!(
                    "no row holds {address}: it is taken for the world outside the cluster"
                )
            })?;
            one_address(context, output, found, &text)
        }
        IpcacheCommand::Match { address, output } => {
            let wanted = net(address)?;
            let tables = ipcache::Tables::read(&context.maps()?)?;
            let text = tables
                .get(wanted)
                .ok_or_else(|| anyhow::anyhow!("there is no row of {wanted}"))?;
            one_address(context, output, wanted, &text)
        }
        IpcacheCommand::Other(words) => Err(absent::refuse("bpf ipcache", words)),
    }
}

/// In the form of `list`, where a format is asked for.
fn one_address(
    context: &mut Context<'_>,
    output: &OutputArgs,
    prefix: IpNet,
    text: &str,
) -> anyhow::Result<Outcome> {
    match &output.output {
        Some(format) => format.write(context.out, &json!({ (prefix.to_string()): [text] }))?,
        None => writeln!(context.out, "{prefix} maps to {text}")?,
    }
    Ok(Outcome::Good)
}

fn pins(context: &mut Context<'_>, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let pins = kernel::PinDirectory::new(&context.bpf_root);
    let path = pins.path().display();
    anyhow::ensure!(
        pins.path().is_dir(),
        "cannot list {path}: no agent has run on this node, or it was cleaned up"
    );
    let links = pins.links()?;
    let value: Value = json!({ "directory": pins.path(), "links": links });
    context.table(output.output.as_ref(), &value, || {
        let mut table = Table::new(&[]);
        table.tall_row(
            vec!["Directory:".to_owned(), String::new()],
            1,
            &[pins.path().display().to_string()],
        );
        table.tall_row(vec!["Links:".to_owned(), String::new()], 1, &links);
        table
    })
}

#[cfg(test)]
mod tests;
