//! `map`: the agent's view of its tables, and the content of any map.

use std::ffi::OsString;

use kernel::{Map, MapError, Maps, PerCpuMap};
use serde::Deserialize;
use serde_json::{Value, json};

use super::absent;
use super::bpf::shown::{Shown, hook_counter};
use super::context::{Context, Outcome};
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum MapCommand {
    /// Tables that the agent keeps
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Entries of one map in the kernel
    Get {
        /// Its name, as `map list` and `bpf fs show` have it
        name: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct List {
    maps: Vec<Listed>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Listed {
    path: String,
    entries: u64,
}

pub(super) fn run(context: &mut Context<'_>, command: &MapCommand) -> anyhow::Result<Outcome> {
    match command {
        MapCommand::List { output } => {
            let answer = context.get::<List>("/v1/map")?;
            context.table(output.output.as_ref(), &answer.raw, || {
                let mut table = Table::new(&["Name", "Num entries"]);
                for map in &answer.typed.maps {
                    table.row([map.path.clone(), map.entries.to_string()]);
                }
                table
            })
        }
        MapCommand::Get { name, output } => get(context, name, output),
        MapCommand::Other(words) => Err(absent::refuse("map", words)),
    }
}

/// Prints all entries of a map, sorted by their text.
pub(super) fn get(
    context: &mut Context<'_>,
    name: &str,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let maps = context.maps()?;
    let found = entries(&maps, name)?;
    let mut found = found.ok_or_else(|| {
        anyhow::anyhow!("there is no map {name:?}; there are {}", NAMES.join(", "))
    })?;
    found.sort();
    let value = found
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect::<Vec<Value>>();
    context.table(output.output.as_ref(), &Value::Array(value), || {
        let mut table = Table::new(&["Key", "Value"]);
        for (key, value) in found {
            table.row([key, value]);
        }
        table
    })
}

type Entries = Result<Vec<(String, String)>, MapError>;

/// Array maps have an entry for every index; those that are all zero say nothing.
fn plain<K: datapath::abi::Plain + Shown, V: datapath::abi::Plain + Shown>(
    map: &Map<K, V>,
) -> Entries {
    let set = |value: &V| value.as_bytes().iter().any(|byte| *byte != 0);
    Ok(map
        .dump()?
        .into_iter()
        .filter(|(_, value)| set(value))
        .map(|(key, value)| (key.shown(), value.shown()))
        .collect())
}

/// One value per CPU, those that are zero left out.
fn per_cpu<K: datapath::abi::Plain, V: datapath::abi::Plain + Shown>(
    map: &PerCpuMap<K, V>,
    key_text: impl Fn(&K) -> String,
) -> Entries {
    let mut all = Vec::new();
    for (key, values) in map.dump()? {
        let set = values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.as_bytes().iter().any(|byte| *byte != 0));
        let text: Vec<String> = set
            .map(|(cpu, value)| format!("cpu{cpu}: {}", value.shown()))
            .collect();
        if !text.is_empty() {
            all.push((key_text(&key), text.join("; ")));
        }
    }
    Ok(all)
}

macro_rules! by_name {
    ($($name:ident => $read:expr;)+) => {
        /// Names of all maps with entries.
        const NAMES: &[&str] = &[$(stringify!($name)),+];

        /// The entries of a map as text; nothing for a name that no map has.
        fn entries(maps: &Maps, name: &str) -> anyhow::Result<Option<Vec<(String, String)>>> {
            $(if name == stringify!($name) {
                let read: fn(&Maps) -> Entries = $read;
                return Ok(Some(read(maps)?));
            })+
            Ok(None)
        }
    };
}

by_name! {
    connections => |maps| plain(&maps.connections);
    openings => |maps| plain(&maps.openings);
    aliases => |maps| plain(&maps.aliases);
    fragments => |maps| plain(&maps.fragments);
    endpoints => |maps| plain(&maps.endpoints);
    hops => |maps| plain(&maps.hops);
    traffic => |maps| per_cpu(&maps.traffic, Shown::shown);
    addresses => |maps| plain(&maps.addresses);
    cidrs => |maps| plain(&maps.cidrs);
    policies => |maps| plain(&maps.policies);
    policy_peers => |maps| plain(&maps.policy_peers);
    policy_ports => |maps| plain(&maps.policy_ports);
    known_identities => |maps| plain(&maps.known_identities);
    frontends => |maps| plain(&maps.frontends);
    service_slots => |maps| plain(&maps.service_slots);
    backends => |maps| plain(&maps.backends);
    affinity => |maps| plain(&maps.affinity);
    socket_peers => |maps| plain(&maps.socket_peers);
    generations => |maps| plain(&maps.generations);
    node => |maps| plain(&maps.node);
    masquerade_spare => |maps| plain(&maps.masquerade_spare);
    lost_events => |maps| per_cpu(&maps.lost_events, Shown::shown);
    lost_samples => |maps| per_cpu(&maps.lost_samples, Shown::shown);
    followed => |maps| plain(&maps.followed);
    drops => |maps| per_cpu(&maps.drops, Shown::shown);
    hooks => |maps| per_cpu(&maps.hooks, |index| hook_counter(*index));
}
