//! The part of each cgroup hierarchy that belongs to a cluster: one group for the control plane and one for each node, below one
//! that bears the cluster's name. Works on the hybrid layout; on a pure version 2 layout it is written and not proven.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

#[cfg(test)]
mod tests;

/// One hierarchy that is mounted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) root: PathBuf,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Version 1, with what `mount -o` is told: controllers, or a name.
    One(String),
    /// Version 2.
    Two,
}

/// All hierarchies, in the order they were mounted in.
pub(super) fn hierarchies() -> Result<Vec<Hierarchy>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    Ok(mounted(&text))
}

/// What is mounted according to a mountinfo (proc(5)).
fn mounted(text: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in text.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let after: Vec<&str> = after.split_whitespace().collect();
        let (Some(point), [kind, _, options]) = (before.split_whitespace().nth(4), &after[..])
        else {
            continue;
        };
        let kind = match *kind {
            "cgroup2" => Kind::Two,
            "cgroup" => Kind::One(own_options(options)),
            _ => continue,
        };
        if !found.iter().any(|other| other.kind == kind) {
            found.push(Hierarchy {
                root: PathBuf::from(point),
                kind,
            });
        }
    }
    found
}

/// Of a mount's options those that say which hierarchy it is.
fn own_options(options: &str) -> String {
    let general = ["rw", "ro", "xattr", "clone_children"];
    let own: Vec<&str> = options
        .split(',')
        .filter(|option| !general.contains(option) && !option.starts_with("release_agent"))
        .collect();
    // A hierarchy without controllers has a name instead, and is mounted by saying so.
    match own[..] {
        [name] if name.starts_with("name=") => format!("none,{name}"),
        _ => own.join(","),
    }
}

/// Whether all controllers are in the one version 2 hierarchy.
pub(super) fn is_pure(hierarchies: &[Hierarchy]) -> bool {
    hierarchies
        .iter()
        .all(|hierarchy| hierarchy.kind == Kind::Two)
}

/// Makes the groups of a part of the cluster, in every hierarchy.
pub(super) fn make(hierarchies: &[Hierarchy], cluster: &str, part: &str) -> Result<()> {
    for hierarchy in hierarchies {
        let above = hierarchy.root.join(cluster);
        let group = above.join(part);
        fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
        if matches!(&hierarchy.kind, Kind::One(options) if options.contains("cpuset")) {
            fill_cpuset(&hierarchy.root, &above)?;
        }
    }
    if let [one] = hierarchies
        && one.kind == Kind::Two
    {
        delegate(&one.root.join(cluster))?;
    }
    Ok(())
}

/// A cpuset of version 1 begins empty and takes no process so; its children copy it.
fn fill_cpuset(root: &Path, above: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        fs::write(above.join(file), fs::read(root.join(file))?)?;
    }
    fs::write(above.join("cgroup.clone_children"), "1")?;
    for entry in fs::read_dir(above)? {
        let group = entry?.path();
        if group.is_dir() {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(group.join(file), fs::read(root.join(file))?)?;
            }
            fs::write(group.join("cgroup.clone_children"), "1")?;
        }
    }
    Ok(())
}

/// Hands all controllers of a version 2 group on to its children.
pub(super) fn delegate(group: &Path) -> Result<()> {
    let controllers = fs::read_to_string(group.join("cgroup.controllers"))?;
    let wanted: Vec<String> = controllers
        .split_whitespace()
        .map(|name| format!("+{name}"))
        .collect();
    fs::write(group.join("cgroup.subtree_control"), wanted.join(" "))
        .with_context(|| format!("{}/cgroup.subtree_control", group.display()))
}

/// Puts a process, 0 for the caller, into a part's groups.
pub(super) fn join(hierarchies: &[Hierarchy], cluster: &str, part: &str) -> Result<()> {
    for hierarchy in hierarchies {
        let file = hierarchy.root.join(cluster).join(part).join("cgroup.procs");
        fs::write(&file, "0").with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Processes in a part's groups, or in all of the cluster's, as the hierarchy lists them that the kernel keeps exact.
pub(super) fn members(hierarchies: &[Hierarchy], path: &str) -> Vec<u32> {
    let mut pids = Vec::new();
    for hierarchy in hierarchies {
        collect(&hierarchy.root.join(path), &mut pids);
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn collect(group: &Path, pids: &mut Vec<u32>) {
    if let Ok(text) = fs::read_to_string(group.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    for below in folders(group) {
        collect(&below, pids);
    }
}

/// Removes the cluster's groups; those with processes stay and are named.
pub(super) fn remove(hierarchies: &[Hierarchy], cluster: &str) -> Result<()> {
    for hierarchy in hierarchies {
        let group = hierarchy.root.join(cluster);
        if group.exists() {
            prune(&group)?;
        }
    }
    Ok(())
}

fn prune(group: &Path) -> Result<()> {
    for below in folders(group) {
        prune(&below)?;
    }
    fs::remove_dir(group).with_context(|| group.display().to_string())
}

fn folders(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
