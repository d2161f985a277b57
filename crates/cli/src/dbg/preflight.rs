//! `preflight`: what can be looked at before an upgrade, by the version that is to come.

use std::ffi::OsString;

use anyhow::Context as _;
use api::cilium::{CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy};
use api::kubernetes::Resource;
use model::policy::{ExtendedProtocols, ParseOptions, object_key, parse_policy};
use serde::Serialize;
use serde_json::Value;
use store::{Client, Scope};

use super::absent;
use super::api_server::ApiServerArgs;
use super::context::{Context, Outcome};
use crate::output::{OutputArgs, Table, visible};

const PAGE: u32 = 500;

#[derive(clap::Subcommand, Debug)]
pub(super) enum PreflightCommand {
    /// Read every policy of the cluster as this version's agents would, and name those that they would refuse
    ///
    /// Exit code 1 if there are any. Protocols that only `enable-extended-ip-protocols` allows are taken as allowed.
    ValidateCnp(ValidateArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(clap::Args, Debug)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    server: ApiServerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A policy that agents would refuse.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refused {
    pub(super) kind: &'static str,
    /// Empty for kinds of the whole cluster.
    pub(super) namespace: String,
    pub(super) name: String,
    /// The field's path, and what is wrong with it.
    pub(super) error: String,
}

/// How many policies were read, and which would be refused.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Findings {
    pub(super) policies: usize,
    pub(super) refused: Vec<Refused>,
}

impl Findings {
    /// Reads one object of a kind as an agent would.
    pub(super) fn judge(&mut self, kind: &'static str, mut object: Value) {
        self.policies += 1;
        // Items of a list need not say again what the list says.
        object["kind"] = kind.into();
        let options = ParseOptions {
            extended_protocols: ExtendedProtocols::On,
            ..ParseOptions::default()
        };
        let Err(error) = parse_policy(&object, &options) else {
            return;
        };
        let (namespace, name) = match object_key(&object) {
            Ok(key) => (key.namespace.to_string(), key.name.to_string()),
            Err(_) => (String::new(), String::new()),
        };
        self.refused.push(Refused {
            kind,
            namespace,
            name,
            error: error.to_string(),
        });
    }
}

pub(super) fn run(
    context: &mut Context<'_>,
    command: &PreflightCommand,
) -> anyhow::Result<Outcome> {
    let args = match command {
        PreflightCommand::ValidateCnp(args) => args,
        PreflightCommand::Other(words) => return Err(absent::refuse("preflight", words)),
    };
    let findings = crate::program::block_on(read(args))?;
    let outcome = if findings.refused.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    };
    if context.formatted(
        args.output.output.as_ref(),
        &serde_json::to_value(&findings)?,
    )? {
        return Ok(outcome);
    }
    let (read, refused) = (findings.policies, findings.refused.len());
    if refused > 0 {
        let mut table = Table::new(&["KIND", "NAMESPACE", "NAME", "ERROR"]);
        for of in &findings.refused {
            table.row([
                of.kind.to_owned(),
                visible(&of.namespace).into_owned(),
                visible(&of.name).into_owned(),
                visible(&of.error).into_owned(),
            ]);
        }
        table.write(context.out)?;
    }
    writeln!(
        context.out,
        "{read} policies read, {refused} would be refused"
    )?;
    Ok(outcome)
}

async fn read(args: &ValidateArgs) -> anyhow::Result<Findings> {
    let client = args.server.client().await?;
    let mut findings = Findings::default();
    list::<CiliumNetworkPolicy>(&client, &mut findings).await?;
    list::<CiliumClusterwideNetworkPolicy>(&client, &mut findings).await?;
    Ok(findings)
}

/// A kind that is not registered has no objects.
async fn list<R: Resource>(client: &Client, findings: &mut Findings) -> anyhow::Result<()> {
    let mut token = String::new();
    loop {
        let page = client.list_page::<R>(&Scope::default(), PAGE, &token).await;
        let page = match page {
            Err(error) if error.is_not_found() => return Ok(()),
            page => page?,
        };
        for item in &page.items {
            let object = serde_json::from_str(item.get()).context(R::PLURAL)?;
            findings.judge(R::KIND, object);
        }
        token = page.metadata.continue_token;
        if token.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
