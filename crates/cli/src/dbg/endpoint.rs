//! `endpoint`: the workloads of this node.

use std::ffi::OsString;

use local_api::endpoint::{
    Endpoint, EndpointConfigurationStatus, EndpointHealth, EndpointStatus, EndpointStatusChange,
    LabelConfiguration,
};
use local_api::policy::Enforcement;
use local_api::{Method, Request};
use serde::Serialize;
use serde_json::{Value, json};

use super::absent;
use super::context::{Context, Outcome};
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum EndpointCommand {
    /// All endpoints
    List {
        /// Without a header
        #[arg(long)]
        no_headers: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// One endpoint, all of it
    Get {
        /// Number, or cni-attachment-id:, container-id:, pod-name:NAMESPACE/POD, ipv4:, ipv6:
        #[arg(required_unless_present = "labels")]
        id: Option<String>,
        /// All endpoints with these labels instead, as k8s:app=web
        #[arg(short, long, value_delimiter = ',', conflicts_with = "id")]
        labels: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Health of one endpoint
    Health {
        /// As for get
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Labels of one endpoint
    Labels {
        /// As for get
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Log of one endpoint
    Log {
        /// As for get
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Options of one endpoint, which are those of the node
    Config {
        /// As for get
        id: String,
        /// Refused: no option can be set for one endpoint
        #[arg(value_name = "OPTION=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove an endpoint; its pod loses the network
    Disconnect {
        /// As for get
        id: String,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

pub(super) fn run(context: &mut Context<'_>, command: &EndpointCommand) -> anyhow::Result<Outcome> {
    match command {
        EndpointCommand::List { no_headers, output } => {
            let answer = context.get::<Vec<Endpoint>>("/v1/endpoint")?;
            context.table(output.output.as_ref(), &answer.raw, || {
                list(&answer.typed, !no_headers)
            })
        }
        EndpointCommand::Get { id, labels, output } => get(context, id.as_deref(), labels, output),
        EndpointCommand::Health { id, output } => {
            let answer = context.get::<EndpointHealth>(&path(id, "/healthz"))?;
            context.table(output.output.as_ref(), &answer.raw, || {
                health(&answer.typed)
            })
        }
        EndpointCommand::Labels { id, output } => {
            let answer = context.get::<LabelConfiguration>(&path(id, "/labels"))?;
            let labels = answer
                .typed
                .status
                .map(|status| status.security_relevant)
                .unwrap_or_default();
            if !context.formatted(output.output.as_ref(), &answer.raw)? {
                for label in labels {
                    writeln!(context.out, "{label}")?;
                }
            }
            Ok(Outcome::Good)
        }
        EndpointCommand::Log { id, output } => {
            let answer = context.get::<Vec<EndpointStatusChange>>(&path(id, "/log"))?;
            context.table(output.output.as_ref(), &answer.raw, || log(&answer.typed))
        }
        EndpointCommand::Config { id, set, output } => config(context, id, set, output),
        EndpointCommand::Disconnect { id } => {
            let request = Request::new(Method::Delete, path(id, ""));
            context
                .client
                .send(&request)
                .map_err(super::context::agent_error)?;
            writeln!(context.out, "Endpoint {id} is removed")?;
            Ok(Outcome::Good)
        }
        EndpointCommand::Other(words) => Err(absent::refuse("endpoint", words)),
    }
}

fn path(id: &str, below: &str) -> String {
    format!("/v1/endpoint/{}{below}", local_api::client::encode(id))
}

/// The word that a value has on the wire; nothing where there is none.
pub(super) fn word(value: Option<impl Serialize>) -> String {
    match value.map(serde_json::to_value) {
        Some(Ok(Value::String(word))) => word,
        _ => String::new(),
    }
}

fn get(
    context: &mut Context<'_>,
    id: Option<&str>,
    labels: &[String],
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let found = if let Some(id) = id {
        vec![context.get::<Value>(&path(id, ""))?.raw]
    } else {
        let all = context.get::<Vec<Value>>("/v1/endpoint")?.typed;
        all.into_iter()
            .filter(|endpoint| has_labels(endpoint, labels))
            .collect()
    };
    anyhow::ensure!(
        !found.is_empty(),
        "no endpoint of this node has the labels {}",
        labels.join(",")
    );
    let format = output.output.clone().unwrap_or(crate::output::Format::Json);
    format.write(context.out, &json!(found))?;
    Ok(Outcome::Good)
}

fn has_labels(endpoint: &Value, wanted: &[String]) -> bool {
    let all = endpoint
        .pointer("/status/labels/security-relevant")
        .and_then(Value::as_array);
    let has =
        |label: &String| all.is_some_and(|all| all.iter().any(|own| own.as_str() == Some(label)));
    wanted.iter().all(has)
}

fn log(changes: &[EndpointStatusChange]) -> Table {
    let mut table = Table::new(&["Timestamp", "Status", "State", "Message"]);
    for change in changes {
        table.row([
            change.timestamp.clone(),
            change.code.clone(),
            word(change.state),
            change.message.clone(),
        ]);
    }
    table
}

fn config(
    context: &mut Context<'_>,
    id: &str,
    set: &[String],
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    if let Some(asked) = set.first() {
        anyhow::bail!(
            "endpoint config: {asked} cannot be set, endpoints have no options of their own; `config` shows those of the node"
        );
    }
    let answer = context.get::<EndpointConfigurationStatus>(&path(id, "/config"))?;
    context.table(output.output.as_ref(), &answer.raw, || {
        options(&answer.typed)
    })
}

fn options(of: &EndpointConfigurationStatus) -> Table {
    let mut options = of.immutable.clone();
    options.extend(of.realized.clone().unwrap_or_default().options);
    let mut table = Table::new(&["OPTION", "VALUE"]);
    for (option, value) in options {
        table.row([option, value]);
    }
    table
}

fn health(of: &EndpointHealth) -> Table {
    let mut table = Table::new(&[]);
    table.row(["Overall Health:".to_owned(), word(of.overall_health)]);
    table.row(["BPF Health:".to_owned(), word(of.bpf)]);
    table.row(["Policy Health:".to_owned(), word(of.policy)]);
    table.row(["Connected:", if of.connected { "yes" } else { "no" }]);
    table
}

/// Both directions in upstream's words.
fn enforcement(of: Option<Enforcement>) -> (&'static str, &'static str) {
    const ON: &str = "Enabled";
    const OFF: &str = "Disabled";
    const AUDIT: &str = "Disabled (Audit)";
    match of {
        None | Some(Enforcement::None) => (OFF, OFF),
        Some(Enforcement::Ingress) => (ON, OFF),
        Some(Enforcement::Egress) => (OFF, ON),
        Some(Enforcement::Both) => (ON, ON),
        Some(Enforcement::AuditIngress) => (AUDIT, OFF),
        Some(Enforcement::AuditEgress) => (OFF, AUDIT),
        Some(Enforcement::AuditBoth) => (AUDIT, AUDIT),
    }
}

pub(super) fn list(endpoints: &[Endpoint], header: bool) -> Table {
    let columns = [
        "ENDPOINT",
        "POLICY (ingress)",
        "POLICY (egress)",
        "IDENTITY",
        "LABELS (source:key[=value])",
        "IPv6",
        "IPv4",
        "STATUS",
    ];
    let mut table = Table::new(if header { &columns } else { &[] });
    if header {
        table.row(["", "ENFORCEMENT", "ENFORCEMENT"]);
    }
    let mut endpoints: Vec<&Endpoint> = endpoints.iter().collect();
    endpoints.sort_by_key(|endpoint| endpoint.id);
    for endpoint in endpoints {
        let status = endpoint.status.clone().unwrap_or_default();
        let (cells, labels) = cells(endpoint.id, &status);
        table.tall_row(cells, 4, &labels);
    }
    table
}

fn cells(id: i64, status: &EndpointStatus) -> (Vec<String>, Vec<String>) {
    let realized = status
        .policy
        .as_ref()
        .and_then(|policy| policy.realized.as_ref());
    let (ingress, egress) = enforcement(realized.and_then(|policy| policy.policy_enabled));
    let identity = status.identity.as_ref();
    let networking = status.networking.as_ref();
    let address = networking
        .and_then(|networking| networking.addressing.first())
        .cloned()
        .unwrap_or_default();
    let labels = match (&status.labels, identity) {
        (Some(labels), _) if !labels.security_relevant.is_empty() => {
            labels.security_relevant.clone()
        }
        (_, Some(identity)) => identity.labels.clone(),
        _ => Vec::new(),
    };
    let cells = vec![
        id.to_string(),
        ingress.to_owned(),
        egress.to_owned(),
        identity.map_or_else(|| "<none>".to_owned(), |identity| identity.id.to_string()),
        String::new(),
        address.ipv6,
        address.ipv4,
        word(status.state),
    ];
    (cells, labels)
}
