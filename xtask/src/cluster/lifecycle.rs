//! From nothing to a cluster, and back to nothing.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::arguments::{Choices, Network, Store};
use super::control::{self, kubectl};
use super::families::Families;
use super::layout::{Layout, netns_file};
use super::steps::{Steps, Wait, wait_until};
use super::{
    addons, certificates, cgroups, daemon, debian, golang, images, install, network, node,
};
use crate::place::Place;
use crate::setup;

/// Does what is missing of all that makes a cluster; each step finds out for itself.
pub(super) fn up(place: &Place, layout: &Layout, choices: &Choices) -> Result<()> {
    let layout = &spoken(layout, choices.families)?;
    let store = stored(layout, choices.store)?;
    let steps = Steps::begin();
    steps.step("programs and images", || {
        programs(place, layout, choices.axoneme, store)
    })?;
    steps.step("keys, namespaces and groups", || {
        claim(layout)?;
        fs::write(layout.run.join(STORE_NOTE), store.name())?;
        certificates::make(layout)?;
        network::make(layout)?;
        let hierarchies = cgroups::hierarchies()?;
        for part in [control::PART, network::OUTSIDE] {
            cgroups::make(&hierarchies, &layout.name, part)?;
        }
        for node in layout.nodes() {
            cgroups::make(&hierarchies, &layout.name, node.name)?;
        }
        Ok(())
    })?;
    control::start_api(layout)?;
    if store == Store::Etcd {
        control::start_store(layout)?;
    }
    control::start_outside(layout)?;
    for node in layout.nodes() {
        node::start(layout, &node)?;
    }
    // Images are read while the API starts: one waits for the disk, the other for the processor.
    std::thread::scope(|scope| {
        let loads = scope.spawn(|| {
            steps.step("images on the nodes", || {
                for node in layout.nodes() {
                    node::wait_for_runtime(layout, &node)?;
                }
                images::load(place, layout)
            })
        });
        steps.step("API ready", || control::wait_for_api(layout))?;
        control::start_controllers(layout, choices.node_cidrs)?;
        steps.step("nodes registered", || nodes_registered(layout))?;
        steps.step("CoreDNS applied", || addons::apply(layout))?;
        loads.join().expect("a load does not panic")
    })?;
    if choices.axoneme == Network::Axoneme {
        steps.step("Axoneme installed", || {
            install::axoneme(place, layout, store, &choices.set)
        })?;
        steps.step("all Ready", || all_ready(layout))?;
    }
    steps.close("cluster is up");
    Ok(())
}

fn programs(place: &Place, layout: &Layout, network: Network, store: Store) -> Result<()> {
    setup::ensure(place)?;
    images::pack(place, layout)?;
    debian::link(layout)?;
    if network == Network::Axoneme {
        golang::build(place, layout, golang::HELM)?;
        install::image(place)?;
    }
    if store == Store::Etcd {
        let folder = golang::tool(place, layout, "etcd")?;
        layout.link(&folder.join("etcd"), control::STORE)?;
    }
    Ok(())
}

/// The cluster in the families that are asked for; one that is there keeps its own.
pub(super) fn spoken(layout: &Layout, families: Option<Families>) -> Result<Layout> {
    let mut layout = layout.clone();
    let Some(families) = families else {
        return Ok(layout);
    };
    if layout.run.join("owned").exists() && layout.families != families {
        let name = layout.families.name();
        bail!("the cluster is there as {name}; './x cluster down' first");
    }
    layout.families = families;
    Ok(layout)
}

/// Says what the agents of a cluster that is there share things over.
const STORE_NOTE: &str = "store";

/// What is asked for, else as it is. To change it while the cluster runs is a move from one to the other, of which `up` knows
/// nothing.
fn stored(layout: &Layout, wanted: Option<Store>) -> Result<Store> {
    let there = fs::read_to_string(layout.run.join(STORE_NOTE)).ok();
    let there = there.map(|name| Store::named(&name)).transpose()?;
    match (there, wanted) {
        (Some(there), Some(wanted)) if there != wanted => {
            let name = there.name();
            bail!("the cluster is there with the store {name}; './x cluster down' first")
        }
        (there, wanted) => Ok(there.or(wanted).unwrap_or(Store::Crd)),
    }
}

/// Names of namespaces and groups are the whole machine's: those that another checkout made are not ours to use or end.
fn claim(layout: &Layout) -> Result<()> {
    let owned = layout.run.join("owned");
    if owned.exists() {
        return Ok(());
    }
    let group_exists = cgroups::hierarchies()?
        .iter()
        .any(|hierarchy| hierarchy.root.join(&layout.name).exists());
    if group_exists || netns_file(&layout.netns("bridge")).exists() {
        bail!(
            "a cluster '{}' that was not started from {} runs here; --name gives this one another name",
            layout.name,
            layout.built.display()
        );
    }
    fs::create_dir_all(&layout.run)?;
    fs::write(&owned, layout.families.name()).with_context(|| owned.display().to_string())
}

fn nodes_registered(layout: &Layout) -> Result<()> {
    let nodes = layout.nodes();
    wait_until(Duration::from_mins(2), || {
        for node in &nodes {
            if daemon::running(layout, &format!("node-{}", node.name)).is_none() {
                let log = daemon::tail(&layout.logs().join(format!("node-{}.log", node.name)), 8);
                bail!("node {} ended:\n{log}", node.name);
            }
        }
        let names = kubectl(layout, &["get", "nodes", "--output=name"])?;
        Ok(if names.lines().count() == nodes.len() {
            Wait::Done
        } else {
            Wait::For(format!(
                "of {} nodes only [{}]",
                nodes.len(),
                names.trim().replace('\n', ", ")
            ))
        })
    })
}

/// Waits until every node is Ready, and every workload of the system as it was asked for.
pub(super) fn all_ready(layout: &Layout) -> Result<()> {
    let limit = "--timeout=180s";
    kubectl(
        layout,
        &["wait", "--for=condition=Ready", "nodes", "--all", limit],
    )?;
    let system = "--namespace=kube-system";
    let workloads = kubectl(
        layout,
        &[system, "get", "daemonsets,deployments", "--output=name"],
    )?;
    for workload in workloads.lines() {
        kubectl(layout, &[system, "rollout", "status", workload, limit])?;
    }
    Ok(())
}

/// Ends and removes all of the cluster; nothing to do is fine.
pub(super) fn down(layout: &Layout) -> Result<()> {
    if !layout.run.exists() {
        println!("no cluster '{}'", layout.name);
        return Ok(());
    }
    let steps = Steps::begin();
    if layout.run.join("owned").exists() {
        let hierarchies = cgroups::hierarchies()?;
        steps.step("processes ended", || daemon::end_all(layout, &hierarchies))?;
        steps.step("namespaces and groups removed", || {
            network::remove(layout)?;
            let mut last = Ok(());
            // The kernel empties a group a little after the last process has ended.
            for _ in 0..50 {
                last = cgroups::remove(&hierarchies, &layout.name);
                if last.is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            last
        })?;
    }
    steps.step("state removed", || {
        fs::remove_dir_all(&layout.run).with_context(|| layout.run.display().to_string())
    })
}
