//! A node: network, mount, process, name, IPC and cgroup namespaces of its own, with containerd and a kubelet in them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::arguments::Stage;
use super::layout::{Layout, Node, netns_file};
use super::steps::{Wait, wait_until};
use super::{cgroups, daemon};

mod config;
mod mounts;

/// Starts a node's processes, unless they run.
pub(super) fn start(layout: &Layout, node: &Node) -> Result<()> {
    let us = std::env::current_exe()?.into_os_string();
    let own = |stage: Stage| -> Vec<OsString> {
        let words = ["cluster", "--name", &layout.name, stage.word(), node.name];
        std::iter::once(us.clone())
            .chain(words.map(OsString::from))
            .collect()
    };
    let mut command = own(Stage::Join);
    command.extend(["unshare", "--cgroup", "--"].map(OsString::from));
    command.extend(own(Stage::Settle));
    let words: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
    daemon::start(layout, &format!("node-{}", node.name), &words)
}

/// A command inside a running node, in all its namespaces.
pub(super) fn within(layout: &Layout, node: &Node) -> Result<Command> {
    let record = daemon::running(layout, &format!("node-{}", node.name));
    let pid = record
        .and_then(daemon::first_process)
        .with_context(|| format!("node {} does not run", node.name))?;
    let mut command = Command::new("nsenter");
    command
        .args(["--all", "--target", &pid.to_string(), "--"])
        .env("PATH", daemon::path(layout));
    Ok(command)
}

/// Waits until the node's container runtime answers.
pub(super) fn wait_for_runtime(layout: &Layout, node: &Node) -> Result<()> {
    wait_until(Duration::from_mins(1), || {
        let answered = within(layout, node).and_then(|mut command| {
            let status = command
                .args(["ctr", "version"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            Ok(status.success())
        });
        Ok(match answered {
            Ok(true) => Wait::Done,
            _ => Wait::For(format!(
                "no container runtime on {}:\n{}",
                node.name,
                daemon::tail(&layout.logs().join(format!("node-{}.log", node.name)), 8)
            )),
        })
    })
}

/// What a process of the cluster does on its way to its program; does not come back.
pub(super) fn stage(layout: &Layout, stage: Stage, words: &[String]) -> Result<()> {
    match (stage, words) {
        (Stage::Join, [part, program @ ..]) if !program.is_empty() => join(layout, part, program),
        (Stage::Settle, [node]) => settle(layout, &known(layout, node)?),
        (Stage::Init, [node]) => init(layout, &known(layout, node)?),
        _ => bail!("'{}' needs other words", stage.word()),
    }
}

fn known(layout: &Layout, name: &str) -> Result<Node> {
    let mut nodes = layout.nodes().into_iter();
    nodes
        .find(|node| node.name == name)
        .with_context(|| format!("no node '{name}'"))
}

fn join(layout: &Layout, part: &str, program: &[String]) -> Result<()> {
    cgroups::join(&cgroups::hierarchies()?, &layout.name, part)?;
    let error = Command::new("nsenter")
        .arg(format!(
            "--net={}",
            netns_file(&layout.netns(part)).display()
        ))
        .arg("--")
        .args(program)
        .exec();
    Err(error).context("nsenter")
}

/// In version 2 a group with controllers for its children holds no process itself: ours go into a child of the group that
/// the cgroup namespace has as its root.
fn settle(layout: &Layout, node: &Node) -> Result<()> {
    let hierarchies = cgroups::hierarchies()?;
    if cgroups::is_pure(&hierarchies) {
        let part = format!("{}/init", node.name);
        cgroups::make(&hierarchies, &layout.name, &part)?;
        cgroups::join(&hierarchies, &layout.name, &part)?;
        for hierarchy in &hierarchies {
            cgroups::delegate(&hierarchy.root.join(&layout.name).join(node.name))?;
        }
    }
    let error = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--uts", "--ipc"])
        .args(["--propagation", "private", "--kill-child", "--"])
        .arg(std::env::current_exe()?)
        .args([
            "cluster",
            "--name",
            &layout.name,
            Stage::Init.word(),
            node.name,
        ])
        .exec();
    Err(error).context("unshare")
}

/// Sets up what the node's processes see, starts them, and keeps the kubelet running.
fn init(layout: &Layout, node: &Node) -> Result<()> {
    mounts::set_up(layout, node)?;
    rustix::system::sethostname(node.name.as_bytes()).context("host name")?;
    let containerd = node.folder.join("containerd.toml");
    fs::write(&containerd, config::containerd())?;
    let kubelet = node.folder.join("kubelet.yaml");
    fs::write(
        &kubelet,
        config::kubelet(&layout.keys(), node, layout.families.dns()),
    )?;
    let runtime = program(
        layout,
        node,
        "containerd",
        &[format!("--config={}", containerd.display())],
    )?;
    let flags = [
        format!("--config={}", kubelet.display()),
        format!(
            "--kubeconfig={}",
            layout.kubeconfig(&format!("node-{}", node.name)).display()
        ),
        format!("--hostname-override={}", node.name),
        format!("--node-ip={}", node.addresses.join(",")),
        "--root-dir=/var/lib/kubelet".to_owned(),
    ];
    keep(layout, node, runtime.id(), &flags)
}

/// Starts the kubelet again whenever it ends, as a service would be, and buries whose parents ended.
fn keep(layout: &Layout, node: &Node, containerd: u32, flags: &[String]) -> Result<()> {
    let mut kubelet = program(layout, node, "kubelet", flags)?.id();
    loop {
        let ended = rustix::process::wait(rustix::process::WaitOptions::empty())?;
        let Some((pid, status)) = ended else { continue };
        let pid = pid.as_raw_nonzero().get() as u32;
        if pid == containerd {
            bail!("containerd ended: {status:?}");
        }
        if pid == kubelet {
            eprintln!("the kubelet ended ({status:?}) and is started again");
            sleep(Duration::from_secs(1));
            kubelet = program(layout, node, "kubelet", flags)?.id();
        }
    }
}

fn program(layout: &Layout, node: &Node, name: &str, flags: &[String]) -> Result<Child> {
    let log = log(layout, node, name);
    let log = File::options().create(true).append(true).open(&log)?;
    Command::new(layout.program(name))
        .args(flags)
        .env("HOME", "/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

/// Where a node's program writes.
pub(super) fn log(layout: &Layout, node: &Node, name: &str) -> PathBuf {
    layout.logs().join(format!("{name}-{}.log", node.name))
}

/// Whether one folder lies in another.
fn lies_in(path: &Path, folder: &str) -> bool {
    path.starts_with(folder)
}
