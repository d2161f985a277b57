//! `hubble observe`: flows and agent events, of a server or a file.

mod file;
mod filters;
mod request;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use api::hubble::{
    flow::FlowFilter,
    observer::{
        GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest,
        observer_client::ObserverClient,
    },
};
use clap::{Args, Subcommand};
use futures::FutureExt as _;
use jiff::{Zoned, tz::TimeZone};

use super::{
    ConnectArgs, call_error,
    config::Settings,
    connect::Target,
    print::{Color, Envelope, Format, Names, Printer, Show, Style},
    time::TimeFormat,
};
use filters::FilterArgs;
use request::SelectorArgs;

/// Arguments of `observe`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ObserveArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    flows: FlowArgs,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Flows; what is observed when nothing else is named
    Flows(Box<FlowArgs>),
    /// What the agent itself does
    AgentEvents(Box<EventArgs>),
    /// Debug messages of the data plane
    DebugEvents(Box<EventArgs>),
}

#[derive(Args, Debug)]
struct FlowArgs {
    #[command(flatten)]
    selectors: SelectorArgs,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    raw: RawArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    flow_form: FlowFormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Read flows from this file (JSON lines, '-' is standard input) and not from a server
    #[arg(long, value_name = "FILE", help_heading = "Other")]
    input_file: Option<PathBuf>,
    /// Fields that are wanted of each flow; the server leaves out all others
    #[arg(
        long,
        alias = "experimental-field-mask",
        value_delimiter = ',',
        value_name = "FIELDS",
        help_heading = "Other"
    )]
    field_mask: Vec<String>,
    /// Ask only for the fields that are shown, unless the output is JSON
    #[arg(long, alias = "experimental-use-default-field-masks", num_args = 0..=1, require_equals = true, default_value_t = true,
        default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Other")]
    use_default_field_masks: bool,
}

#[derive(Args, Debug)]
struct EventArgs {
    #[command(flatten)]
    selectors: SelectorArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Raw filters")]
struct RawArgs {
    /// A filter as JSON that flows must match; can be repeated
    #[arg(long, value_name = "JSON")]
    allowlist: Vec<String>,
    /// A filter as JSON that flows must not match; can be repeated
    #[arg(long, value_name = "JSON")]
    denylist: Vec<String>,
    /// Print the filters that would be sent, and send nothing
    #[arg(long)]
    print_raw_filters: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Formatting")]
struct FormArgs {
    /// Form of the output
    #[arg(short, long, default_value = "compact", env = "HUBBLE_OUTPUT")]
    output: Format,
    /// Print the name of the node
    #[arg(long)]
    print_node_name: bool,
    /// Form of times; JSON is always RFC 3339 in UTC
    #[arg(long, default_value = "StampMilli")]
    time_format: TimeFormat,
    /// Print no warnings and no states of nodes
    #[arg(short, long)]
    silent_errors: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Flow formatting")]
struct FlowFormArgs {
    /// Print the names of the policies that decided
    #[arg(long)]
    print_policy_names: bool,
    /// Print addresses and no names, as --ip-translation=false
    #[arg(long)]
    numeric: bool,
    /// Print names in place of addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true,
        default_missing_value = "true", action = clap::ArgAction::Set)]
    ip_translation: bool,
    /// Colours of the compact and dict forms
    #[arg(long, default_value = "auto")]
    color: Color,
}

/// Fields that are shown, asked for when the output is for people.
const SHOWN_FIELDS: [&str; 27] = [
    "time",
    "verdict",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "Type",
    "node_name",
    "source_names",
    "destination_names",
    "l7",
    "event_type",
    "source_service",
    "destination_service",
    "traffic_direction",
    "policy_match_type",
    "is_reply",
    "sock_xlate_point",
    "auth_type",
    "drop_reason_desc",
    "Summary",
    "ip_trace_id",
];

/// Fields that are shown with the names of policies.
const POLICY_FIELDS: [&str; 4] = [
    "egress_allowed_by",
    "ingress_allowed_by",
    "egress_denied_by",
    "ingress_denied_by",
];

/// Runs `observe`.
pub(super) async fn run(
    args: ObserveArgs,
    file: &Settings,
    debug: bool,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    match args.what {
        None => flows(args.flows, file, debug, out).await,
        Some(What::Flows(args)) => flows(*args, file, debug, out).await,
        Some(What::AgentEvents(args)) => agent_events(*args, file, debug, out).await,
        Some(What::DebugEvents(args)) => debug_events(*args, file, out).await,
    }
}

async fn flows(
    args: FlowArgs,
    file: &Settings,
    debug: bool,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let (allow, deny) = args.lists()?;
    if args.raw.print_raw_filters {
        write!(out, "{}", raw_filters(&allow, &deny)?)?;
        return Ok(());
    }
    let request = args.request(allow, deny)?;
    let style = args.style(debug);
    let silent = args.form.silent_errors;
    let mut err = Warnings { silent };
    let mut printer = Printer::new(style, out, &mut err);
    if let Some(path) = &args.input_file {
        for response in file::read(path, &request)? {
            printer.response(&response)?;
        }
        return Ok(printer.flush()?);
    }
    let connection = Target::new(args.connect, file)?.connect().await?;
    let follow = request.follow;
    let call = |status| call_error("failed to get flows", &status);
    let mut flows = ObserverClient::new(connection)
        .get_flows(request)
        .await
        .map_err(call)?
        .into_inner();
    loop {
        let next = if let Some(next) = flows.message().now_or_never() {
            next
        } else {
            // A flush for each of many would cost more than the flows.
            if follow {
                printer.flush()?;
            }
            flows.message().await
        };
        match next {
            Ok(Some(response)) => printer.response(&response)?,
            Ok(None) => return Ok(printer.flush()?),
            Err(status) => {
                printer.flush()?;
                return Err(call(status));
            }
        }
    }
}

async fn agent_events(
    args: EventArgs,
    file: &Settings,
    debug: bool,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let selection = args.selectors.selection(&Zoned::now())?;
    let style = args.form.style(debug);
    let connection = Target::new(args.connect, file)?.connect().await?;
    let call = |status| call_error("failed to get agent events", &status);
    let mut events = ObserverClient::new(connection)
        .get_agent_events(GetAgentEventsRequest {
            number: selection.number,
            follow: selection.follow,
            since: selection.since,
            until: selection.until,
            first: selection.first,
        })
        .await
        .map_err(call)?
        .into_inner();
    let mut err = Warnings {
        silent: args.form.silent_errors,
    };
    let mut printer = Printer::new(style, out, &mut err);
    while let Some(event) = events.message().await.map_err(call)? {
        printer.agent_event(&event)?;
        if selection.follow {
            printer.flush()?;
        }
    }
    Ok(printer.flush()?)
}

async fn debug_events(
    args: EventArgs,
    file: &Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let selection = args.selectors.selection(&Zoned::now())?;
    let connection = Target::new(args.connect, file)?.connect().await?;
    let call = |status| call_error("failed to get debug events", &status);
    let mut events = ObserverClient::new(connection)
        .get_debug_events(GetDebugEventsRequest {
            number: selection.number,
            follow: selection.follow,
            since: selection.since,
            until: selection.until,
            first: selection.first,
        })
        .await
        .map_err(call)?
        .into_inner();
    while let Some(event) = events.message().await.map_err(call)? {
        // Only JSON keeps all of a message whose form is that of another data plane.
        writeln!(out, "{}", serde_json::to_string(&event)?)?;
        out.flush()?;
    }
    Ok(())
}

/// Standard error, unless nothing shall be printed there.
struct Warnings {
    silent: bool,
}

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.silent {
            Ok(bytes.len())
        } else {
            io::stderr().write(bytes)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl FlowArgs {
    /// Filters of the flags, then the raw ones.
    fn lists(&self) -> anyhow::Result<(Vec<FlowFilter>, Vec<FlowFilter>)> {
        let (mut allow, mut deny) = self.filters.lists()?;
        allow.extend(request::raw("--allowlist", &self.raw.allowlist)?);
        deny.extend(request::raw("--denylist", &self.raw.denylist)?);
        Ok((allow, deny))
    }

    fn request(
        &self,
        allow: Vec<FlowFilter>,
        deny: Vec<FlowFilter>,
    ) -> anyhow::Result<GetFlowsRequest> {
        let selection = self.selectors.selection(&Zoned::now())?;
        let paths = self.mask();
        Ok(GetFlowsRequest {
            number: selection.number,
            first: selection.first,
            follow: selection.follow,
            since: selection.since,
            until: selection.until,
            whitelist: allow,
            blacklist: deny,
            field_mask: (!paths.is_empty()).then_some(pbjson_types::FieldMask { paths }),
            ..GetFlowsRequest::default()
        })
    }

    fn mask(&self) -> Vec<String> {
        if !self.field_mask.is_empty() {
            return self.field_mask.clone();
        }
        if self.form.output.is_json() || !self.use_default_field_masks {
            return Vec::new();
        }
        let policies = self.flow_form.print_policy_names.then_some(POLICY_FIELDS);
        SHOWN_FIELDS
            .into_iter()
            .chain(policies.into_iter().flatten())
            .map(str::to_owned)
            .collect()
    }

    fn style(&self, debug: bool) -> Style {
        let color = match self.flow_form.color {
            Color::Always => Show::Yes,
            Color::Never => Show::No,
            Color::Auto => io::stdout().is_terminal().into(),
        };
        let names = if self.flow_form.ip_translation && !self.flow_form.numeric {
            Names::Translated
        } else {
            Names::Addresses
        };
        let policy_names = self.flow_form.print_policy_names.into();
        Style {
            color,
            names,
            policy_names,
            ..self.form.style(debug)
        }
    }
}

impl FormArgs {
    fn style(&self, debug: bool) -> Style {
        let legacy = std::env::var("HUBBLE_COMPAT")
            .is_ok_and(|value| value.split(',').any(|word| word == "legacy-json-output"));
        Style {
            format: self.output,
            color: Show::No,
            names: Names::Translated,
            node_name: self.print_node_name.into(),
            policy_names: Show::No,
            time: self.time_format,
            zone: TimeZone::system(),
            envelope: if legacy {
                Envelope::FlowOnly
            } else {
                Envelope::Response
            },
            debug: debug.into(),
        }
    }
}

/// The lists as YAML of JSON texts, as `--allowlist` and `--denylist` take them.
fn raw_filters(allow: &[FlowFilter], deny: &[FlowFilter]) -> anyhow::Result<String> {
    use std::fmt::Write as _;

    let mut text = String::new();
    for (name, filters) in [("allowlist", allow), ("denylist", deny)] {
        if filters.is_empty() {
            continue;
        }
        text.push_str(name);
        text.push_str(":\n");
        for filter in filters {
            let json = serde_json::to_string(filter)?.replace('\'', "''");
            writeln!(text, "    - '{json}'")?;
        }
    }
    Ok(if text.is_empty() { "{}\n".into() } else { text })
}

#[cfg(test)]
mod tests;
