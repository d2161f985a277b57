//! `identity`: numbers and the labels they stand for.

use std::collections::BTreeMap;
use std::ffi::OsString;

use local_api::identity::{Identity, IdentityEndpoints};
use model::identity::Reserved;

use super::absent;
use super::context::{Context, Outcome};
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum IdentityCommand {
    /// All identities that this node knows
    List {
        /// Only those of endpoints of this node, with their number
        #[arg(long)]
        endpoints: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// One identity
    Get {
        /// Its number
        #[arg(required_unless_present = "label")]
        id: Option<u32>,
        /// All that have these labels instead, as k8s:app=web
        #[arg(long, value_delimiter = ',', conflicts_with = "id")]
        label: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

pub(super) fn run(context: &mut Context<'_>, command: &IdentityCommand) -> anyhow::Result<Outcome> {
    match command {
        IdentityCommand::List {
            endpoints: false,
            output,
        } => {
            let answer = context.get::<Vec<Identity>>("/v1/identity")?;
            context.table(output.output.as_ref(), &answer.raw, || table(&answer.typed))
        }
        IdentityCommand::List {
            endpoints: true,
            output,
        } => {
            let answer = context.get::<Vec<IdentityEndpoints>>("/v1/identity/endpoints")?;
            context.table(output.output.as_ref(), &answer.raw, || {
                counted(&answer.typed)
            })
        }
        IdentityCommand::Get {
            id: Some(id),
            output,
            ..
        } => {
            let answer = context.get::<Identity>(&format!("/v1/identity/{id}"))?;
            context.table(output.output.as_ref(), &answer.raw, || {
                table(&[answer.typed])
            })
        }
        IdentityCommand::Get {
            id: None,
            label,
            output,
        } => {
            let all = context.get::<Vec<Identity>>("/v1/identity")?.typed;
            let has =
                |identity: &Identity| label.iter().all(|label| identity.labels.contains(label));
            let found: Vec<Identity> = all.into_iter().filter(has).collect();
            anyhow::ensure!(
                !found.is_empty(),
                "no identity has the labels {}",
                label.join(",")
            );
            context.table(
                output.output.as_ref(),
                &serde_json::to_value(&found)?,
                || table(&found),
            )
        }
        IdentityCommand::Other(words) => Err(absent::refuse("identity", words)),
    }
}

fn table(identities: &[Identity]) -> Table {
    let mut table = Table::new(&["ID", "LABELS"]);
    let sorted: BTreeMap<i64, &Identity> = identities
        .iter()
        .map(|identity| (identity.id, identity))
        .collect();
    for (id, identity) in sorted {
        table.tall_row(vec![id.to_string(), String::new()], 1, &identity.labels);
    }
    table
}

fn counted(identities: &[IdentityEndpoints]) -> Table {
    let mut table = Table::new(&["ID", "LABELS", "REFCOUNT"]);
    for of in identities {
        let identity = of.identity.clone().unwrap_or_default();
        table.tall_row(
            vec![
                identity.id.to_string(),
                String::new(),
                of.ref_count.to_string(),
            ],
            1,
            &identity.labels,
        );
    }
    table
}

/// The labels of an identity, or its number: reserved ones are known by name without asking.
pub(crate) fn labels_of(known: &[Identity], id: i64) -> Vec<String> {
    let reserved = u32::try_from(id)
        .ok()
        .and_then(|id| Reserved::from_id(model::identity::Identity(id)));
    let labels = known
        .iter()
        .find(|identity| identity.id == id)
        .map(|identity| identity.labels.clone());
    match (labels, reserved) {
        (Some(labels), _) if !labels.is_empty() => labels,
        (_, Some(reserved)) => vec![format!("reserved:{}", reserved.name())],
        _ => vec![id.to_string()],
    }
}
