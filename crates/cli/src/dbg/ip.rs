//! `ip`: what the agent takes addresses and prefixes for.

use std::ffi::OsString;
use std::net::IpAddr;

use ipnet::IpNet;
use local_api::identity::{Identity, IpListEntry};

use super::absent;
use super::context::{Context, Outcome};
use super::identity::labels_of;
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum IpCommand {
    /// All addresses and prefixes
    List {
        /// Numbers of identities instead of their labels
        #[arg(short, long)]
        numeric: bool,
        /// Also the node to tunnel to and the encryption key
        #[arg(short, long)]
        verbose: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// What one address or prefix is taken for
    Get {
        /// Address or prefix; of an address the longest prefix that holds it
        #[arg(required_unless_present = "labels")]
        address: Option<String>,
        /// All addresses whose identity has these labels instead, as k8s:app=web
        #[arg(short, long, value_delimiter = ',', conflicts_with = "address")]
        labels: Vec<String>,
        /// Numbers of identities instead of their labels
        #[arg(short, long)]
        numeric: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// How rows are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Labels,
    Numbers,
}

impl Shown {
    fn of(numeric: bool) -> Self {
        if numeric { Self::Numbers } else { Self::Labels }
    }
}

pub(super) fn run(context: &mut Context<'_>, command: &IpCommand) -> anyhow::Result<Outcome> {
    match command {
        IpCommand::List {
            numeric,
            verbose,
            output,
        } => {
            let answer = context.get::<Vec<IpListEntry>>("/v1/ip")?;
            if context.formatted(output.output.as_ref(), &answer.raw)? {
                return Ok(Outcome::Good);
            }
            show(context, answer.typed, Shown::of(*numeric), *verbose)
        }
        IpCommand::Get {
            address,
            labels,
            numeric,
            output,
        } => {
            let all = context.get::<Vec<IpListEntry>>("/v1/ip")?.typed;
            let found: Vec<IpListEntry> = if let Some(address) = address {
                vec![longest(&all, address)?.clone()]
            } else {
                let known = context.get::<Vec<Identity>>("/v1/identity")?.typed;
                let has = |entry: &IpListEntry| {
                    let own = labels_of(&known, entry.identity);
                    labels.iter().all(|label| own.contains(label))
                };
                all.into_iter().filter(has).collect()
            };
            anyhow::ensure!(
                !found.is_empty(),
                "no address has the labels {}",
                labels.join(",")
            );
            if context.formatted(output.output.as_ref(), &serde_json::to_value(&found)?)? {
                return Ok(Outcome::Good);
            }
            show(context, found, Shown::of(*numeric), true)
        }
        IpCommand::Other(words) => Err(absent::refuse("ip", words)),
    }
}

/// The row of a prefix, or the longest one that holds an address.
pub(crate) fn longest<'a>(
    all: &'a [IpListEntry],
    address: &str,
) -> anyhow::Result<&'a IpListEntry> {
    let wanted: IpNet = match address.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => address
            .parse()
            .map_err(|_| anyhow::anyhow!("{address:?} is neither an address nor a prefix"))?,
    };
    let holds = |entry: &&IpListEntry| {
        entry
            .cidr
            .parse::<IpNet>()
            .is_ok_and(|net| net.contains(&wanted))
    };
    let length = |entry: &&IpListEntry| {
        entry
            .cidr
            .parse::<IpNet>()
            .map_or(0, |net| net.prefix_len())
    };
    let found = all.iter().filter(holds).max_by_key(length);
    found.ok_or_else(|| {
        anyhow::anyhow!("no row holds {address}: it is taken for the world outside the cluster")
    })
}

fn show(
    context: &mut Context<'_>,
    entries: Vec<IpListEntry>,
    shown: Shown,
    verbose: bool,
) -> anyhow::Result<Outcome> {
    let known = match shown {
        Shown::Numbers => Vec::new(),
        Shown::Labels => context.get::<Vec<Identity>>("/v1/identity")?.typed,
    };
    let mut entries = entries;
    entries.sort_by_key(|entry| entry.cidr.parse::<IpNet>().ok());
    let mut table = Table::new(if verbose {
        &["IP", "IDENTITY", "SOURCE", "HOST", "ENCRYPT_KEY"]
    } else {
        &["IP", "IDENTITY", "SOURCE"]
    });
    for entry in entries {
        let labels = match shown {
            Shown::Numbers => vec![entry.identity.to_string()],
            Shown::Labels => labels_of(&known, entry.identity),
        };
        let source = entry
            .metadata
            .map(|metadata| metadata.source)
            .unwrap_or_default();
        let mut cells = vec![entry.cidr, String::new(), source];
        if verbose {
            cells.extend([entry.host_ip, entry.encrypt_key.to_string()]);
        }
        table.tall_row(cells, 1, &labels);
    }
    table.write(context.out)?;
    Ok(Outcome::Good)
}
