//! `axoneme dbg …`, also as a program named `cilium-dbg`: this node, by its agent's REST API and its eBPF maps.

mod absent;
mod api_server;
pub(crate) mod bpf;
mod build_config;
mod cleanup;
mod config;
pub(crate) mod context;
mod debuginfo;
mod endpoint;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod ip;
mod map;
mod monitor;
mod node;
mod policy;
mod preflight;
mod reconcile;
pub(crate) mod service;
mod status;
mod version;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use local_api::Client;

use crate::output::Paint;
use context::{Context, Outcome};

/// Where the flow server of a node listens unless told otherwise.
pub(crate) const FLOW_SOCKET: &str = "unix:///var/run/cilium/hubble.sock";

/// Arguments of the family.
#[derive(Args, Debug)]
#[command(
    after_help = "The remaining commands of cilium-dbg are there as well and say why they do nothing here."
)]
pub(crate) struct DbgArgs {
    /// Socket of the agent [default: $AXONEME_SOCK, $CILIUM_SOCK or /var/run/cilium/cilium.sock]
    #[arg(
        short = 'H',
        long = "host",
        alias = "socket",
        global = true,
        value_name = "SOCKET"
    )]
    host: Option<String>,
    /// Where the eBPF file system is mounted
    #[arg(
        long,
        global = true,
        value_name = "DIRECTORY",
        default_value = "/sys/fs/bpf"
    )]
    bpf_root: PathBuf,
    /// Flow server of this node, for monitor
    #[arg(long, global = true, value_name = "ADDRESS", env = "HUBBLE_SERVER", default_value = FLOW_SOCKET)]
    server: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// How the agent is, and what it depends on
    Status(status::StatusArgs),
    /// Versions of this program and of the agent
    Version(version::VersionArgs),
    /// Workloads of this node
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Security identities and their labels
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// What addresses are taken for
    #[command(subcommand)]
    Ip(ip::IpCommand),
    /// Policies in force
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Services and their backends
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Nodes of the cluster
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Which nodes are reached, as this node's probes tell
    #[command(subcommand)]
    Health(health::HealthCommand),
    /// Tables of the data plane
    #[command(subcommand)]
    Map(map::MapCommand),
    /// The data plane's own words, read from its maps
    #[command(subcommand)]
    Bpf(bpf::BpfCommand),
    /// Follow what the data plane sees
    Monitor(monitor::MonitorArgs),
    /// What the agent runs with
    Config(config::ConfigArgs),
    /// Everything the agent knows, for a report
    Debuginfo(debuginfo::DebuginfoArgs),
    /// Whether the kernel is as the agent wants it
    Reconcile(reconcile::ReconcileArgs),
    /// What this kernel lacks, and what is lost by that
    Features(reconcile::FeaturesArgs),
    /// Write the agent's configuration out of the cluster's objects, one file a key
    BuildConfig(build_config::BuildConfigArgs),
    /// What can be looked at before an upgrade
    #[command(subcommand)]
    Preflight(preflight::PreflightCommand),
    /// Remove what agents left in this network namespace
    PostUninstallCleanup(cleanup::CleanupArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Runs a command; errors go to standard error, a closed pipe is none.
pub(crate) fn run(args: DbgArgs) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = execute(args, &mut out);
    crate::program::finish(done, &mut out)
}

/// The client of the socket that flag or environment name.
pub(crate) fn client(host: Option<&str>) -> Client {
    let socket = match host {
        Some(host) => host.strip_prefix("unix://").unwrap_or(host).into(),
        None => local_api::socket_path(|name| std::env::var(name).ok()),
    };
    Client::new(socket)
}

fn execute(args: DbgArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let context = &mut Context {
        client: client(args.host.as_deref()),
        bpf_root: args.bpf_root,
        flows: args.server,
        paint: Paint::of_stdout(),
        out,
    };
    match args.command {
        Command::Status(args) => status::run(context, &args),
        Command::Version(args) => version::run(context, &args),
        Command::Endpoint(command) => endpoint::run(context, &command),
        Command::Identity(command) => identity::run(context, &command),
        Command::Ip(command) => ip::run(context, &command),
        Command::Policy(command) => policy::run(context, &command),
        Command::Service(command) => service::run(context, &command),
        Command::Node(command) => node::run(context, &command),
        Command::Health(command) => {
            health::run(&health::beside(&context.client), &command, context.out)
        }
        Command::Map(command) => map::run(context, &command),
        Command::Bpf(command) => bpf::run(context, &command),
        Command::Monitor(args) => monitor::run(context, &args),
        Command::Config(args) => config::run(context, &args),
        Command::Debuginfo(args) => debuginfo::run(context, &args),
        Command::Reconcile(args) => reconcile::run(context, &args),
        Command::Features(args) => reconcile::features(context, &args),
        Command::BuildConfig(args) => build_config::run(context, &args),
        Command::Preflight(command) => preflight::run(context, &command),
        Command::PostUninstallCleanup(args) => cleanup::run(context, &args),
        Command::Other(words) => Err(absent::refuse("", &words)),
    }
}
