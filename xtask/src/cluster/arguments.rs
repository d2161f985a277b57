//! What is typed after `./x cluster`, and what it means.

use anyhow::{Result, bail};

use super::families::Families;
use crate::ship::Build;

#[cfg(test)]
mod tests;

pub(super) const HELP: &str = "\
usage: ./x cluster [--name NAME] VERB

  up [--family ipv4|dual|ipv6] [--store crd|etcd] [--without-axoneme] [--without-node-cidrs] [--set VALUE=…]…
                   builds what is missing, starts the cluster, installs Axoneme by its chart; does nothing when it runs. With
                   --store etcd Axoneme has an etcd 3.6 of its own for identities, nodes and addresses. --set gives the chart
                   values besides, as helm's does
  down             ends and removes all of it; what was built stays in the cache
  status           what runs, since when, with how much memory
  kubectl …        kubectl in the control plane's namespace
  helm …           helm likewise
  axoneme …        this checkout's axoneme likewise, as it was built last
  load             gives the nodes the images that changed
  smoke            asks pods, services, names and node ports of the running cluster
  connectivity     the whole of 'axoneme connectivity test' on the running cluster, the world included
  test [--release] the image, up, wait until all is Ready, smoke test, connectivity test, down; takes what up takes. With
                   --release the image is the one for everybody, static and optimised, not one of the test profile
  conformance      up, Kubernetes' own tests of the network that need nothing we lack, down; counted as cargo counts tests;
                   of both families, those that are about both. Takes what up takes
  move             up, identities, nodes and addresses from objects of the API server to an etcd and back under connections, down
  density          up, 100 pods on each node at once, then more one at a time, down: what of a pod's start is ours
  e2e [--focus REGEX] [--procs N]
                   Kubernetes' own network tests whose names REGEX finds (default: conformance of Services, DNS, Networking), in N
                   processes (default 4)
  tool NAME        builds the module tools/NAME if it is not there yet, and prints the folder of its programs

--name: another cluster beside (default axk); it begins the names of its namespaces and cgroups";

/// The cluster that is meant, and what is to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) ask: Ask,
}

/// One thing that can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Help,
    Up(Choices),
    Down,
    Status,
    Kubectl(Vec<String>),
    Helm(Vec<String>),
    Axoneme(Vec<String>),
    Load,
    Smoke,
    Connectivity,
    /// Name of a folder in `tools/`.
    Tool(String),
    E2e(Selection),
    Test(Build, Choices),
    Conformance(Choices),
    Move,
    Density,
    /// What processes of the cluster are told; nobody types it.
    Stage(Stage, Vec<String>),
}

/// Which of Kubernetes' tests run, and how many at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) focus: String,
    pub(super) processes: u8,
}

/// How far `up` goes, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choices {
    pub(super) axoneme: Network,
    pub(super) node_cidrs: NodeCidrs,
    /// As it runs, or IPv4, if not said.
    pub(super) families: Option<Families>,
    /// As it runs, or objects of the API server, if not said.
    pub(super) store: Option<Store>,
    /// Values of the chart besides those that the cluster needs.
    pub(super) set: Vec<String>,
}

/// Whose network the cluster gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Network {
    /// Axoneme by its chart.
    #[default]
    Axoneme,
    /// Nobody's: the nodes stay NotReady.
    Nobody,
}

/// What agents share identities, nodes and addresses over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// Objects of the API server.
    Crd,
    /// An etcd of Axoneme's own.
    Etcd,
}

impl Store {
    pub(super) fn named(name: &str) -> Result<Self> {
        match name {
            "crd" => Ok(Self::Crd),
            "etcd" => Ok(Self::Etcd),
            _ => bail!("--store '{name}' is not crd or etcd"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crd => "crd",
            Self::Etcd => "etcd",
        }
    }
}

/// Whether the controller manager gives each node a range of pod addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NodeCidrs {
    #[default]
    Allocated,
    Left,
}

/// What a process of the cluster does before it becomes its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Joins a part's cgroups and network, then becomes the program that is named.
    Join,
    /// Of a node, in its cgroup namespace: makes the other namespaces.
    Settle,
    /// Process 1 of a node: mounts, containerd, kubelet.
    Init,
}

impl Stage {
    pub(super) fn word(self) -> &'static str {
        match self {
            Stage::Join => "stage-join",
            Stage::Settle => "stage-settle",
            Stage::Init => "stage-init",
        }
    }
}

pub(super) fn read(words: &[String]) -> Result<Part> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut name = "axk".to_owned();
    if words.first() == Some(&"--name") {
        let Some(given) = words.get(1) else {
            bail!("--name needs a name");
        };
        name = checked_name(given)?;
        words.drain(..2);
    }
    let Some((verb, rest)) = words.split_first() else {
        return Ok(Part {
            name,
            ask: Ask::Help,
        });
    };
    let owned = || rest.iter().map(|word| (*word).to_owned()).collect();
    let ask = match *verb {
        "up" => Ask::Up(choices(verb, rest)?),
        "kubectl" => Ask::Kubectl(owned()),
        "helm" => Ask::Helm(owned()),
        "axoneme" => Ask::Axoneme(owned()),
        "help" | "-h" | "--help" => Ask::Help,
        "down" => alone(verb, rest, Ask::Down)?,
        "status" => alone(verb, rest, Ask::Status)?,
        "load" => alone(verb, rest, Ask::Load)?,
        "e2e" => Ask::E2e(selection(rest)?),
        "tool" => tool(rest)?,
        "smoke" => alone(verb, rest, Ask::Smoke)?,
        "connectivity" => alone(verb, rest, Ask::Connectivity)?,
        "test" => match rest.split_first() {
            Some((&"--release", rest)) => Ask::Test(Build::Release, choices(verb, rest)?),
            _ => Ask::Test(Build::Dev, choices(verb, rest)?),
        },
        "density" => alone(verb, rest, Ask::Density)?,
        "move" => alone(verb, rest, Ask::Move)?,
        "conformance" => Ask::Conformance(choices(verb, rest)?),
        other => stage(other, rest)?,
    };
    Ok(Part { name, ask })
}

fn alone(verb: &str, rest: &[&str], ask: Ask) -> Result<Ask> {
    match rest.first() {
        None => Ok(ask),
        Some(word) => bail!("'{verb}' takes no '{word}'"),
    }
}

fn choices(verb: &str, words: &[&str]) -> Result<Choices> {
    let mut choices = Choices::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--without-axoneme" => choices.axoneme = Network::Nobody,
            "--without-node-cidrs" => choices.node_cidrs = NodeCidrs::Left,
            "--family" => {
                let name = words.next().copied().unwrap_or_default();
                choices.families = Some(Families::named(name)?);
            }
            "--store" => {
                let name = words.next().copied().unwrap_or_default();
                choices.store = Some(Store::named(name)?);
            }
            "--set" => match words.next() {
                Some(value) if value.contains('=') => choices.set.push((*value).to_owned()),
                _ => bail!("--set needs VALUE=…"),
            },
            other => bail!("'{verb}' takes no '{other}'"),
        }
    }
    Ok(choices)
}

fn selection(words: &[&str]) -> Result<Selection> {
    let mut selection = Selection {
        focus: r"\[sig-network\] (Services|DNS|Networking).*\[Conformance\]".to_owned(),
        processes: 4,
    };
    for pair in words.chunks(2) {
        match pair {
            ["--focus", expression] => (*expression).clone_into(&mut selection.focus),
            ["--procs", number] => match number.parse() {
                Ok(number @ 1..) => selection.processes = number,
                _ => bail!("--procs '{number}' is no number of processes"),
            },
            _ => bail!("'e2e' takes no '{}'", pair.join(" ")),
        }
    }
    Ok(selection)
}

fn tool(rest: &[&str]) -> Result<Ask> {
    match rest {
        [name] => Ok(Ask::Tool((*name).to_owned())),
        _ => bail!("'tool' takes one name of a folder in tools/"),
    }
}

fn stage(verb: &str, rest: &[&str]) -> Result<Ask> {
    let stages = [Stage::Join, Stage::Settle, Stage::Init];
    match stages.into_iter().find(|stage| stage.word() == verb) {
        Some(stage) if !rest.is_empty() => Ok(Ask::Stage(
            stage,
            rest.iter().map(|word| (*word).to_owned()).collect(),
        )),
        _ => bail!("no verb '{verb}'; './x cluster help' lists them"),
    }
}

/// A name becomes part of names of folders, namespaces and devices.
fn checked_name(name: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !begins || name.len() > 8 || !name.bytes().all(plain) {
        bail!(
            "'{name}' is no name of a cluster: at most 8 small letters and digits, a letter first"
        );
    }
    Ok(name.to_owned())
}
