//! What a node's processes see instead of the machine's own: process table, cgroups, BPF file system, folders that they write to,
//! and settings of the whole machine, which they must not change.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::mount::{self, MountFlags, MountPropagationFlags};

use super::super::cgroups::{self, Hierarchy, Kind};
use super::super::layout::{Layout, Node};
use super::lies_in;

/// Folders of the machine that a node sees and writes to without changing them.
const COPIED: &[&str] = &["/etc", "/opt", "/var/lib", "/var/log"];

/// Folders that are a node's alone, on the disk itself: container images are layers too, and layers over layers do not work.
const OWN: &[&str] = &[
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
];

/// What the kubelet would write to the whole machine. It finds its own values, in files that are nobody's.
const SHIELDED: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

pub(super) fn set_up(layout: &Layout, node: &Node) -> Result<()> {
    for folder in COPIED.iter().chain(&["/run", "/sys", "/proc"]) {
        if lies_in(&layout.run, folder) {
            bail!(
                "the cache {} lies in {folder}, which a node has of its own",
                layout.run.display()
            );
        }
    }
    let hierarchies = cgroups::hierarchies()?;
    propagate("/", MountPropagationFlags::PRIVATE)?;
    // Containers may ask that mounts of theirs reach the node, and the other way round.
    propagate("/", MountPropagationFlags::SHARED)?;
    fresh("proc", "/proc", "")?;
    fresh("sysfs", "/sys", "")?;
    own_cgroups(&hierarchies)?;
    fresh("bpf", "/sys/fs/bpf", "")?;
    fresh("tmpfs", "/run", "mode=755")?;
    for folder in ["/run/lock", "/run/netns", "/run/containerd"] {
        fs::create_dir_all(folder)?;
    }
    own_folders(node)?;
    shield(node)?;
    names(node)
}

fn propagate(at: &str, how: MountPropagationFlags) -> Result<()> {
    mount::mount_change(at, how | MountPropagationFlags::REC)
        .with_context(|| format!("propagation of {at}"))
}

fn fresh(kind: &str, at: &str, options: &str) -> Result<()> {
    let options = std::ffi::CString::new(options)?;
    mount::mount(kind, at, kind, MountFlags::empty(), &*options)
        .with_context(|| format!("{kind} at {at}"))
}

fn bind(from: &Path, at: &Path) -> Result<()> {
    mount::mount_bind_recursive(from, at)
        .with_context(|| format!("{} at {}", from.display(), at.display()))
}

/// Every hierarchy once more: mounted in the node's cgroup namespace, its root is the node's own group.
fn own_cgroups(hierarchies: &[Hierarchy]) -> Result<()> {
    if !cgroups::is_pure(hierarchies) {
        fresh("tmpfs", "/sys/fs/cgroup", "mode=755")?;
    }
    for hierarchy in hierarchies {
        fs::create_dir_all(&hierarchy.root)?;
        let at = hierarchy.root.to_str().context("a path of cgroups")?;
        match &hierarchy.kind {
            Kind::One(options) => fresh("cgroup", at, options)?,
            Kind::Two => fresh("cgroup2", at, "")?,
        }
    }
    Ok(())
}

fn own_folders(node: &Node) -> Result<()> {
    for folder in COPIED {
        let name = folder.trim_start_matches('/').replace('/', "-");
        let (upper, work) = (
            node.folder.join(format!("{name}.upper")),
            node.folder.join(format!("{name}.work")),
        );
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let options = format!(
            "lowerdir={folder},upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        fresh("overlay", folder, &options)?;
    }
    for folder in OWN {
        let own = node
            .folder
            .join(folder.trim_start_matches('/').replace('/', "-"));
        fs::create_dir_all(&own)?;
        fs::create_dir_all(folder)?;
        bind(&own, Path::new(folder))?;
    }
    for folder in ["/etc/cni/net.d", "/opt/cni/bin", "/etc/kubernetes"] {
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

fn shield(node: &Node) -> Result<()> {
    let folder = node.folder.join("settings");
    fs::create_dir_all(&folder)?;
    for (name, value) in SHIELDED {
        let file = folder.join(name.replace('/', "-"));
        fs::write(&file, format!("{value}\n"))?;
        let at = Path::new("/proc/sys").join(name);
        if at.exists() {
            bind(&file, &at)?;
        }
    }
    Ok(())
}

/// The node's own names. Who asks outside the cluster gets no answer, and soon.
fn names(node: &Node) -> Result<()> {
    fs::write("/etc/hostname", format!("{}\n", node.name))?;
    fs::write("/etc/hosts", hosts(node))?;
    // It may be a link to where the machine's own resolver writes.
    if fs::symlink_metadata("/etc/resolv.conf").is_ok() {
        fs::remove_file("/etc/resolv.conf")?;
    }
    fs::write("/etc/resolv.conf", "search .\n")?;
    Ok(())
}

fn hosts(node: &Node) -> String {
    let own = node
        .addresses
        .iter()
        .map(|address| format!("{address} {}\n", node.name));
    std::iter::once("127.0.0.1 localhost\n::1 localhost\n".to_owned())
        .chain(own)
        .collect()
}
