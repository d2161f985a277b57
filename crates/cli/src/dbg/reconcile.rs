//! `reconcile` and `features`: whether the kernel is as the agent wants it, and what the kernel cannot do.

use serde::Deserialize;

use super::context::{Context, Outcome};
use crate::output::{OutputArgs, Table};

#[derive(clap::Args, Debug)]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct FeaturesArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Answer of `GET /v1/axoneme/reconcile`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Reconcile {
    pub(super) settled: bool,
    pub(super) waiting_for: Vec<String>,
    pub(super) error: Option<String>,
    pub(super) last_commit: Commit,
    pub(super) tables: Vec<TablePlan>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Commit {
    pub(super) written: u64,
    pub(super) removed: u64,
    pub(super) raised: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TablePlan {
    pub(super) table: String,
    pub(super) entries: u64,
    pub(super) write: u64,
    pub(super) remove: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Feature {
    name: String,
    missing: Option<String>,
    lost: String,
}

pub(super) fn run(context: &mut Context<'_>, args: &ReconcileArgs) -> anyhow::Result<Outcome> {
    let answer = context.get::<Reconcile>("/v1/axoneme/reconcile")?;
    let outcome = if answer.typed.settled {
        Outcome::Good
    } else {
        Outcome::Bad
    };
    if context.formatted(args.output.output.as_ref(), &answer.raw)? {
        return Ok(outcome);
    }
    let of = answer.typed;
    let state = match (&of.error, of.waiting_for.as_slice()) {
        (Some(error), _) => context.paint.bad(&format!("failed: {error}")),
        (None, []) if of.settled => context.paint.good("settled: the kernel is as desired"),
        (None, []) => context.paint.warn("changes are left to write"),
        (None, waiting) => context
            .paint
            .warn(&format!("waiting for {}", waiting.join(", "))),
    };
    writeln!(context.out, "State:        {state}")?;
    let commit = of.last_commit;
    writeln!(
        context.out,
        "Last commit:  {} written, {} removed, {} generations raised\n",
        commit.written, commit.removed, commit.raised
    )?;
    let mut table = Table::new(&["TABLE", "ENTRIES", "TO WRITE", "TO REMOVE"]);
    for plan in of.tables {
        table.row([
            plan.table,
            plan.entries.to_string(),
            plan.write.to_string(),
            plan.remove.to_string(),
        ]);
    }
    table.write(context.out)?;
    Ok(outcome)
}

pub(super) fn features(context: &mut Context<'_>, args: &FeaturesArgs) -> anyhow::Result<Outcome> {
    let answer = context.get::<Vec<Feature>>("/v1/axoneme/features")?;
    context.table(args.output.output.as_ref(), &answer.raw, || {
        let mut table = Table::new(&["FEATURE", "STATE", "WITHOUT IT"]);
        for feature in &answer.typed {
            let state = feature
                .missing
                .as_ref()
                .map_or_else(|| "there".to_owned(), |why| format!("missing: {why}"));
            table.row([feature.name.clone(), state, feature.lost.clone()]);
        }
        table
    })
}
