//! `./x cluster`: a real Kubernetes of two nodes on this machine, in namespaces of its own, with Axoneme as its network.

use anyhow::{Result, bail};

use crate::place::Place;
use crate::{Verb, machine};

mod addons;
mod arguments;
mod certificates;
mod cgroups;
mod connectivity;
mod control;
mod daemon;
mod debian;
mod density;
mod e2e;
mod families;
mod golang;
mod images;
mod install;
mod layout;
mod lifecycle;
mod network;
mod node;
mod smoke;
mod status;
mod steps;
mod transfer;

use arguments::{Ask, Part};
use layout::Layout;

pub(crate) const VERB: Verb = Verb {
    name: "cluster",
    about: "a real Kubernetes on this machine: up, down, status, kubectl, test, e2e, …",
    run,
};

fn run(place: &Place, words: &[String]) -> Result<()> {
    let Part { name, ask } = arguments::read(words)?;
    let layout = Layout::new(place, &name);
    if let Ask::Help = ask {
        println!("{}", arguments::HELP);
        return Ok(());
    }
    if let (false, Some(why)) = (matches!(ask, Ask::Tool(_)), machine::refuses_ebpf()) {
        bail!("the cluster cannot run: {why}");
    }
    match ask {
        Ask::Help => Ok(()),
        Ask::Up(choices) => lifecycle::up(place, &layout, &choices),
        Ask::Down => lifecycle::down(&layout),
        Ask::Status => status::print(&layout),
        Ask::Test(build, choices) => smoke::test(place, &layout, build, &choices),
        Ask::Conformance(choices) => e2e::conformance(place, &layout, &choices),
        Ask::Move => transfer::run(place, &layout),
        Ask::Density => density::run(place, &layout),
        Ask::Tool(name) => {
            println!("{}", golang::tool(place, &layout, &name)?.display());
            Ok(())
        }
        Ask::Stage(stage, words) => node::stage(&layout, stage, &words),
        Ask::Kubectl(_)
        | Ask::Helm(_)
        | Ask::Axoneme(_)
        | Ask::Load
        | Ask::Smoke
        | Ask::Connectivity
        | Ask::E2e(_) => on_running(place, &layout, &ask),
    }
}

/// Where the programs of `tools/NAME` lie; compiled if they are not there yet.
pub(crate) fn tool(place: &Place, name: &str) -> Result<std::path::PathBuf> {
    golang::tool(place, &Layout::new(place, "axk"), name)
}

/// What makes sense only while the cluster runs.
fn on_running(place: &Place, layout: &Layout, ask: &Ask) -> Result<()> {
    control::ensure_runs(layout)?;
    match ask {
        Ask::Kubectl(words) => control::become_client(layout, "kubectl", words),
        Ask::Helm(words) => {
            golang::build(place, layout, golang::HELM)?;
            control::become_client(layout, "helm", words)
        }
        Ask::Axoneme(words) => connectivity::become_axoneme(layout, words),
        Ask::Connectivity => connectivity::run(layout),
        Ask::Load => images::load(place, layout),
        Ask::E2e(selection) => e2e::selected(place, layout, selection),
        _ => smoke::run(layout),
    }
}
