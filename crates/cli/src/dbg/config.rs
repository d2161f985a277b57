//! `config`: what the agent runs with.

use std::collections::BTreeMap;

use local_api::config::DaemonConfiguration;
use serde_json::Value;

use super::context::{Context, Outcome};
use super::endpoint::word;
use crate::output::{OutputArgs, Table};

#[derive(clap::Args, Debug)]
pub(super) struct ConfigArgs {
    /// `get KEY` for one value; nothing for all
    words: Vec<String>,
    /// All keys; the same as nothing
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(context: &mut Context<'_>, args: &ConfigArgs) -> anyhow::Result<Outcome> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["get"] => show(context, args),
        [change] if change.contains('=') => anyhow::bail!(
            "{change}: the agent reads its configuration at start; change its configuration directory (or the ConfigMap) and restart it"
        ),
        ["get", key] | [key] => one(context, key),
        _ => anyhow::bail!("use `config` for all keys or `config get KEY` for one"),
    }
}

fn values(of: &DaemonConfiguration) -> BTreeMap<String, String> {
    let status = of.status.clone().unwrap_or_default();
    let realized = status
        .realized
        .or_else(|| of.spec.clone())
        .unwrap_or_default();
    let mut all = status.immutable;
    all.extend(realized.options);
    if let Some(enforcement) = realized.policy_enforcement {
        all.insert("policy-enforcement".to_owned(), word(Some(enforcement)));
    }
    all
}

fn show(context: &mut Context<'_>, args: &ConfigArgs) -> anyhow::Result<Outcome> {
    let answer = context.get::<DaemonConfiguration>("/v1/config")?;
    if context.formatted(args.output.output.as_ref(), &answer.raw)? {
        return Ok(Outcome::Good);
    }
    let mut table = Table::new(&["KEY", "VALUE"]);
    for (key, value) in values(&answer.typed) {
        table.row([key, value]);
    }
    table.write(context.out)?;
    let status = answer.typed.status.unwrap_or_default();
    for (list, what) in [
        ("Unknown", "nobody knows this key, it has no effect"),
        ("Drifted", "the cluster has another value by now"),
    ] {
        let keys = status.daemon_configuration_map.get(list);
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        for key in keys.filter_map(Value::as_str) {
            let warning = context.paint.warn(&format!("{key}: {what}"));
            writeln!(context.out, "{warning}")?;
        }
    }
    Ok(Outcome::Good)
}

fn one(context: &mut Context<'_>, key: &str) -> anyhow::Result<Outcome> {
    let answer = context.get::<DaemonConfiguration>("/v1/config")?;
    let all = values(&answer.typed);
    let value = all
        .get(key)
        .ok_or_else(|| anyhow::anyhow!("{key}: there is no such key; `config` lists all"))?;
    writeln!(context.out, "{value}")?;
    Ok(Outcome::Good)
}
