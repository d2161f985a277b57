//! What of a run can be seen on the machine: links, routes, namespaces, mounts, cgroups, files. Two of them are compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use netlink::{Family, Handle};

use crate::topology::cgroup_mount;

/// The machine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Reads it.
    pub fn take() -> anyhow::Result<Self> {
        let handle = Handle::open().context("open netlink")?;
        let mut found = BTreeSet::new();
        for link in handle.links().context("list links")? {
            found.insert(format!("link {} {}", link.name, link.kind));
        }
        for family in [Family::V4, Family::V6] {
            for route in handle.routes(family, None).context("list routes")? {
                found.insert(format!(
                    "route {} {:?} {:?}",
                    route.destination, route.gateway, route.device
                ));
            }
        }
        for name in fs::read_dir(netlink::namespace::DIRECTORY)
            .into_iter()
            .flatten()
            .flatten()
        {
            found.insert(format!("namespace {}", name.file_name().display()));
        }
        for line in fs::read_to_string("/proc/self/mounts")
            .context("read /proc/self/mounts")?
            .lines()
        {
            found.insert(format!(
                "mount {}",
                line.split(' ').nth(1).unwrap_or_default()
            ));
        }
        groups(&cgroup_mount()?, &mut found);
        for name in [
            "net/ipv4/ip_forward",
            "net/ipv6/conf/all/forwarding",
            "net/ipv4/conf/all/rp_filter",
        ] {
            found.insert(format!(
                "sysctl {name}={}",
                fs::read_to_string(format!("/proc/sys/{name}"))
                    .unwrap_or_default()
                    .trim()
            ));
        }
        for entry in fs::read_dir("/run/axoneme").into_iter().flatten().flatten() {
            found.insert(format!("file {}", entry.path().display()));
        }
        Ok(Self(found))
    }

    /// What is here and not in `before`, and with a minus what was there and is gone. What bears the name of another
    /// topology (`ax…`, not `name`) is not ours to judge: it runs at the same time.
    pub fn since(&self, before: &Self, name: &str) -> Vec<String> {
        let added = self.0.difference(&before.0).cloned();
        let gone = before.0.difference(&self.0).map(|gone| format!("-{gone}"));
        added
            .chain(gone)
            .filter(|entry| entry.contains(name) || !is_of_a_topology(entry))
            .collect()
    }
}

fn is_of_a_topology(entry: &str) -> bool {
    let words = entry.split(['/', ' ']).skip(1);
    words
        .filter(|word| word.starts_with("ax"))
        .any(|word| word != "axoneme")
}

fn groups(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(format!("cgroup {}", entry.path().display()));
            groups(&entry.path(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[&str]) -> Footprint {
        Footprint(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    #[test]
    fn what_another_topology_does_meanwhile_is_not_ours() {
        let (before, after) = (
            of(&["link lo "]),
            of(&[
                "link lo ",
                "namespace axt1-n1",
                "mount /run/axoneme/axt1/n1/bpf",
            ]),
        );
        assert_eq!(after.since(&before, "axdemo"), Vec::<String>::new());
    }

    #[test]
    fn what_we_leave_and_what_we_take_away_are_both_named() {
        let (before, after) = (
            of(&["route a"]),
            of(&["link cilium_host veth", "namespace axdemo-n1"]),
        );
        assert_eq!(
            after.since(&before, "axdemo"),
            ["link cilium_host veth", "namespace axdemo-n1", "-route a"]
        );
    }
}
