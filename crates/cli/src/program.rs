//! Which program this is, by the name it was called by, and what its command line means.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::apply::{self, ApplyArgs};
use crate::cluster::config::{self, ConfigCommand};
use crate::cluster::context::{self, ContextArgs};
use crate::cluster::install::{self, How, InstallArgs, UninstallArgs};
use crate::cluster::status::{self, StatusArgs};
use crate::cluster::sysdump::{self, SysdumpArgs};
use crate::cluster::version::{self, VersionArgs};
use crate::connectivity::{self, ConnectivityCommand};
use crate::dbg::context::Outcome;
use crate::dbg::health::{self, HealthArgs};
use crate::dbg::{self, DbgArgs};
use crate::hubble::{self, HubbleArgs};
use crate::node::{self, NodeCommand, Prepare};
use crate::questions::{
    self, AskArgs, DiffArgs, DnsArgs, FailingArgs, HttpArgs, KafkaArgs, LatencyArgs, QuestionArgs,
    ResolvedArgs, TcpArgs,
};
use crate::why::{self, WhyArgs};

/// Set to `agent` in the agent's image: there the name `cilium` means the node client, elsewhere the cluster's.
pub const IMAGE_VARIABLE: &str = "AXONEME_IMAGE";

/// Networking, security and observability for Kubernetes on eBPF
#[derive(Parser, Debug)]
#[command(name = "axoneme", version, propagate_version = false)]
struct Axoneme {
    #[command(subcommand)]
    family: Family,
}

#[derive(Subcommand, Debug)]
enum Family {
    /// This node: its agent and its eBPF maps
    Dbg(Box<DbgArgs>),
    /// Flows of a node or of a relay
    Hubble(Box<HubbleArgs>),
    /// Create or replace objects of files in the API server
    Apply(Box<ApplyArgs>),
    /// Why two may talk, or may not: policy, service, route, and what was last seen
    Why(Box<WhyArgs>),
    /// Who talks to whom, how much, and how well
    Map(Box<AskArgs>),
    /// What fails and why, the most frequent first
    Failing(Box<FailingArgs>),
    /// What policies deny, and which
    Denied(Box<FailingArgs>),
    /// What becomes of TCP connections: refused, unanswered, reset
    Tcp(Box<TcpArgs>),
    /// What is reached from outside the cluster, and by whom
    Exposed(Box<AskArgs>),
    /// What is requested over HTTP and gRPC, and how it is answered
    Http(Box<HttpArgs>),
    /// Which names are asked for, and how DNS servers answer
    Dns(Box<DnsArgs>),
    /// Who produces to which topics of Kafka, and who fetches from them
    Kafka(Box<KafkaArgs>),
    /// Who resolved a name, to which addresses
    Resolved(Box<ResolvedArgs>),
    /// How long first answers and requests take, between two or everywhere
    Latency(Box<LatencyArgs>),
    /// Services and workloads by their share of failures
    Worst(Box<AskArgs>),
    /// What is other than before: new, gone, failing more, slower
    Diff(Box<DiffArgs>),
    /// Get a node ready for its agent, and take leave of it
    #[command(subcommand)]
    Node(NodeCommand),
    /// Whether Axoneme is there and well, in the whole cluster
    Status(Box<StatusArgs>),
    /// Whether pods reach what they may, and nothing else
    #[command(subcommand)]
    Connectivity(ConnectivityCommand),
    /// Collect what somebody else needs to understand a cluster, without its secrets
    Sysdump(Box<SysdumpArgs>),
    /// Install Axoneme by its Helm chart
    Install(Box<InstallArgs>),
    /// Upgrade Axoneme, or change its values, by its Helm chart
    Upgrade(Box<InstallArgs>),
    /// Remove Axoneme
    Uninstall(Box<UninstallArgs>),
    /// The configuration of agents and operator
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Which cluster is meant
    Context(Box<ContextArgs>),
    /// Version of this program, and of the agents
    Version(Box<VersionArgs>),
    /// Completions for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Manual pages
    Man {
        /// Write one page per command into this directory instead of the first to standard output
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
}

/// Look at the agent and the eBPF maps of this node
#[derive(Parser, Debug)]
#[command(name = "cilium-dbg", version)]
struct NodeClient {
    #[command(flatten)]
    args: DbgArgs,
}

/// Observe flows
#[derive(Parser, Debug)]
#[command(name = "hubble", version)]
struct FlowClient {
    #[command(flatten)]
    args: HubbleArgs,
}

/// Which nodes are reached, as this node's probes tell
#[derive(Parser, Debug)]
#[command(name = "cilium-health", version)]
struct HealthClient {
    #[command(flatten)]
    args: HealthArgs,
}

/// Mount the control group file system (v2)
#[derive(Parser, Debug)]
#[command(name = "cilium-mount", version)]
struct Mounter {
    /// Where
    directory: PathBuf,
}

/// Where systemd sets sysctls, tell it to leave alone what the agent needs
#[derive(Parser, Debug)]
#[command(name = "cilium-sysctlfix", version)]
struct SysctlFixer {}

/// Run a program in namespaces of another process
#[derive(Parser, Debug)]
#[command(name = "nsenter", version)]
struct Enterer {
    #[command(flatten)]
    args: node::Enter,
}

/// What this program is called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Axoneme,
    /// `cilium` outside the agent's image.
    Cilium,
    NodeClient,
    FlowClient,
    HealthClient,
    Mounter,
    SysctlFixer,
    Enterer,
    /// A program of upstream's image that has nothing to do here, and why.
    Absent(&'static str),
}

impl Name {
    fn of(called: Option<&OsStr>, image: Option<&str>) -> Self {
        let base = called
            .and_then(|path| Path::new(path).file_name())
            .and_then(OsStr::to_str);
        match base {
            Some("cilium-dbg") => Self::NodeClient,
            Some("cilium") if image == Some("agent") => Self::NodeClient,
            Some("cilium") => Self::Cilium,
            Some("hubble") => Self::FlowClient,
            Some("cilium-mount") => Self::Mounter,
            Some("cilium-sysctlfix") => Self::SysctlFixer,
            Some("nsenter") => Self::Enterer,
            Some("cilium-health") => Self::HealthClient,
            Some("cilium-bugtool") => Self::Absent("`cilium-dbg debuginfo` collects this node"),
            _ => Self::Axoneme,
        }
    }

    /// Name for usage lines.
    const fn shown(self) -> &'static str {
        match self {
            Self::Axoneme | Self::Absent(_) => "axoneme",
            Self::Cilium => "cilium",
            Self::NodeClient => "cilium-dbg",
            Self::FlowClient => "hubble",
            Self::HealthClient => "cilium-health",
            Self::Mounter => "cilium-mount",
            Self::SysctlFixer => "cilium-sysctlfix",
            Self::Enterer => "nsenter",
        }
    }
}

/// Runs the command line; the first argument is the name of the program.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let image = std::env::var(IMAGE_VARIABLE).ok();
    let name = Name::of(arguments.first().map(OsString::as_os_str), image.as_deref());
    match name {
        Name::NodeClient => dbg::run(parse::<NodeClient>(name, arguments).args),
        Name::FlowClient => asynchronous(hubble::run(parse::<FlowClient>(name, arguments).args)),
        Name::HealthClient => health::main(&parse::<HealthClient>(name, arguments).args),
        Name::Mounter => {
            let directory = parse::<Mounter>(name, arguments).directory;
            on_node(&NodeCommand::Prepare(Prepare::cgroup(directory)))
        }
        Name::SysctlFixer => {
            parse::<SysctlFixer>(name, arguments);
            on_node(&NodeCommand::Prepare(Prepare::only_sysctls()))
        }
        Name::Enterer => on_node(&NodeCommand::Enter(parse::<Enterer>(name, arguments).args)),
        Name::Absent(why) => with_stdout(|_| Err(anyhow::anyhow!(why))),
        Name::Axoneme | Name::Cilium => family(parse::<Axoneme>(name, arguments).family),
    }
}

fn parse<T: CommandFactory + FromArgMatches>(name: Name, arguments: &[OsString]) -> T {
    let command = T::command().name(name.shown()).bin_name(name.shown());
    let parsed = command
        .try_get_matches_from(arguments)
        .and_then(|matches| T::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| error.exit())
}

fn family(family: Family) -> ExitCode {
    match family {
        Family::Dbg(args) => dbg::run(*args),
        Family::Hubble(args) => asynchronous(hubble::run(*args)),
        Family::Apply(args) => with_stdout(|out| apply::run(&args, out)),
        Family::Why(args) => with_stdout(|out| why::run(&args, out)),
        Family::Map(args) => question(QuestionArgs::Map(*args)),
        Family::Failing(args) => question(QuestionArgs::Failing(*args)),
        Family::Denied(args) => question(QuestionArgs::Denied(*args)),
        Family::Tcp(args) => question(QuestionArgs::Tcp(*args)),
        Family::Exposed(args) => question(QuestionArgs::Exposed(*args)),
        Family::Http(args) => question(QuestionArgs::Http(*args)),
        Family::Dns(args) => question(QuestionArgs::Dns(*args)),
        Family::Kafka(args) => question(QuestionArgs::Kafka(*args)),
        Family::Resolved(args) => question(QuestionArgs::Resolved(*args)),
        Family::Latency(args) => question(QuestionArgs::Latency(*args)),
        Family::Worst(args) => question(QuestionArgs::Worst(*args)),
        Family::Diff(args) => with_stdout(|out| questions::compare(&args, out)),
        Family::Node(command) => on_node(&command),
        Family::Status(args) => with_stdout(|out| status::run(&args, out)),
        Family::Connectivity(command) => with_stdout(|out| connectivity::run(&command, out)),
        Family::Sysdump(args) => with_stdout(|out| sysdump::run(&args, out)),
        Family::Install(args) => with_stdout(|out| install::install(&args, How::Install, out)),
        Family::Upgrade(args) => with_stdout(|out| install::install(&args, How::Upgrade, out)),
        Family::Uninstall(args) => with_stdout(|_| install::uninstall(&args)),
        Family::Config(command) => with_stdout(|out| config::run(&command, out)),
        Family::Context(args) => with_stdout(|out| context::run(&args, out)),
        Family::Version(args) => with_stdout(|out| version::run(&args, out)),
        Family::Completion { shell } => with_stdout(|out| {
            clap_complete::generate(shell, &mut Axoneme::command(), "axoneme", &mut Through(out));
            Ok(Outcome::Good)
        }),
        Family::Man { dir } => with_stdout(|out| man(dir.as_deref(), out)),
    }
}

fn question(args: QuestionArgs) -> ExitCode {
    with_stdout(|out| questions::run(args, out))
}

fn on_node(command: &NodeCommand) -> ExitCode {
    with_stdout(|out| node::run(command, out))
}

/// A sized writer, which the generator asks for.
struct Through<'a>(&'a mut dyn Write);

impl Write for Through<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn man(directory: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let command = Axoneme::command();
    match directory {
        None => clap_mangen::Man::new(command).render(&mut Through(out))?,
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            clap_mangen::generate_to(command, directory)?;
        }
    }
    Ok(Outcome::Good)
}

/// Runs what needs an async runtime, on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

fn asynchronous(future: impl Future<Output = ExitCode>) -> ExitCode {
    block_on(async { Ok(future.await) }).unwrap_or(ExitCode::FAILURE)
}

fn with_stdout(run: impl FnOnce(&mut dyn Write) -> anyhow::Result<Outcome>) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = run(&mut out);
    finish(done, &mut out)
}

/// The exit code; an error is printed in one line, a closed pipe is none.
pub(crate) fn finish(done: anyhow::Result<Outcome>, out: &mut dyn Write) -> ExitCode {
    // What was printed before an error stays readable.
    let done = done.and_then(|outcome| out.flush().map(|()| outcome).map_err(Into::into));
    if done.is_err() {
        let _ = out.flush();
    }
    match done {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "Error: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// The causes of an error, each told once: many repeat the one below them.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{separator}{cause}");
        }
    }
    text
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
