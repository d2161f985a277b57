//! `axoneme node …`: what is done to a node around its agent: mounts, the CNI plugin, and the removal of its configuration.
//!
//! The programs that upstream's chart calls by other names (`cilium-mount`, `cilium-sysctlfix`, `nsenter`) are these commands.

mod conf;
mod namespaces;
mod prepare;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::dbg::context::Outcome;

/// Commands of the family.
#[derive(Subcommand, Debug)]
pub(crate) enum NodeCommand {
    /// Get a node ready for its agent: only what is asked for, and only where it is not so already
    Prepare(Prepare),
    /// Remove the CNI configuration that the agent wrote, if its configuration says so (cni-uninstall)
    RemoveConf(RemoveConf),
    /// Run a program in namespaces of another process
    Enter(Enter),
}

/// What is to be prepared, in this order.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Prepare {
    /// Install the CNI plugin into this directory; plugins of others stay
    #[arg(long, value_name = "DIRECTORY")]
    plugins: Option<PathBuf>,
    /// Do the rest in the mount and control group namespaces of process 1 under this /proc
    #[arg(long, value_name = "DIRECTORY")]
    host_proc: Option<PathBuf>,
    /// Mount the eBPF file system here
    #[arg(long, value_name = "DIRECTORY")]
    mount_bpf: Option<PathBuf>,
    /// Mount the control group file system (v2) here
    #[arg(long, value_name = "DIRECTORY")]
    mount_cgroup: Option<PathBuf>,
    /// Where systemd sets sysctls, tell it to leave alone what the agent needs
    #[arg(long)]
    sysctls: bool,
}

/// Whose configuration, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemoveConf {
    /// Configuration of the agent, one file a key
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/tmp/cilium/config-map"
    )]
    config_dir: PathBuf,
    /// Directory of CNI configurations
    #[arg(long, value_name = "DIRECTORY", default_value = "/host/etc/cni/net.d")]
    conf_dir: PathBuf,
}

/// Which namespaces, and what to run in them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Enter {
    /// Mount namespace
    #[arg(long, value_name = "FILE")]
    mount: Option<PathBuf>,
    /// Control group namespace
    #[arg(long, value_name = "FILE")]
    cgroup: Option<PathBuf>,
    /// Network namespace
    #[arg(long, value_name = "FILE")]
    net: Option<PathBuf>,
    /// Program and its words
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

impl Prepare {
    /// What `cilium-mount DIRECTORY` means.
    pub(crate) fn cgroup(directory: PathBuf) -> Self {
        Self {
            mount_cgroup: Some(directory),
            ..Self::default()
        }
    }

    /// What `cilium-sysctlfix` means.
    pub(crate) fn only_sysctls() -> Self {
        Self {
            sysctls: true,
            ..Self::default()
        }
    }
}

/// Runs a command: one line for each thing that was changed.
pub(crate) fn run(command: &NodeCommand, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match command {
        NodeCommand::Prepare(args) => prepare::run(args, out),
        NodeCommand::RemoveConf(args) => conf::remove(args, out),
        NodeCommand::Enter(args) => namespaces::exec(args),
    }
}
