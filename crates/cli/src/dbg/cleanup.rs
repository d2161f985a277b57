//! `post-uninstall-cleanup`: remove what agents left in this network namespace, and put back what they changed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kernel::PinDirectory;
use netlink::{Family, Handle, Link, link, route, sysctl};

use super::context::{Context, Outcome};

#[derive(clap::Args, Debug)]
pub(super) struct CleanupArgs {
    /// Do it; without this flag it is only listed
    #[arg(short, long)]
    force: bool,
    /// Also remove the agent's state directory
    #[arg(long)]
    all_state: bool,
    /// The agent's state directory
    #[arg(long, default_value = "/var/run/cilium", value_name = "DIRECTORY")]
    state_dir: PathBuf,
}

/// Devices that an agent makes. The other end of the pair goes with the first.
const DEVICES: [&str; 3] = ["cilium_host", "cilium_net", "cilium_vxlan"];
/// Host ends of pods begin with this.
const POD_PREFIX: &str = "lxc";
/// Values of sysctls before the agent, by name.
const BEFORE: &str = "sysctls-before.json";

/// One thing to undo.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Pinned links (whose removal detaches), programs and maps.
    Pins(PathBuf),
    Route(route::Route),
    Device(String),
    Sysctl {
        name: String,
        value: String,
    },
    File(PathBuf),
    Directory(PathBuf),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pins(path) => write!(
                f,
                "detach programs and remove pins under {}",
                path.display()
            ),
            Self::Route(route) => write!(f, "remove route to {}", route.destination),
            Self::Device(name) => write!(f, "remove device {name}"),
            Self::Sysctl { name, value } => write!(f, "set {name} back to {value}"),
            Self::File(path) | Self::Directory(path) => write!(f, "remove {}", path.display()),
        }
    }
}

pub(super) fn run(context: &mut Context<'_>, args: &CleanupArgs) -> anyhow::Result<Outcome> {
    let running = context
        .client
        .get::<serde_json::Value>("/v1/config")
        .is_ok();
    anyhow::ensure!(
        !(running && args.force),
        "the agent at {} is running and would put everything back; stop it first",
        context.client.socket().display()
    );
    let handle = Handle::open()?;
    let steps = plan(&handle, &context.bpf_root, args)?;
    if steps.is_empty() {
        writeln!(
            context.out,
            "Nothing is left of an agent in this network namespace."
        )?;
        return Ok(Outcome::Good);
    }
    if !args.force {
        writeln!(
            context.out,
            "Would, in this network namespace only (do it with -f):"
        )?;
    }
    let mut outcome = Outcome::Good;
    for step in steps {
        if !args.force {
            writeln!(context.out, "  {step}")?;
            continue;
        }
        match apply(&handle, &step) {
            Ok(()) => writeln!(context.out, "done: {step}")?,
            Err(error) => {
                outcome = Outcome::Bad;
                writeln!(context.out, "failed: {step}: {error:#}")?;
            }
        }
    }
    Ok(outcome)
}

/// What is there, in the order in which it has to go: programs first, so that nothing half there judges packets.
fn plan(handle: &Handle, bpf_root: &Path, args: &CleanupArgs) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let pins = PinDirectory::new(bpf_root);
    if pins.path().exists() {
        steps.push(Step::Pins(pins.path().to_owned()));
    }
    let links = handle.links()?;
    let mut routes = handle.routes(Family::V4, None)?;
    routes.extend(handle.routes(Family::V6, None)?);
    steps.extend(direct_routes(&routes, &links).into_iter().map(Step::Route));
    steps.extend(devices(&links).into_iter().map(Step::Device));
    let before = args.state_dir.join(BEFORE);
    steps.extend(
        sysctls(&before)?
            .into_iter()
            .map(|(name, value)| Step::Sysctl { name, value }),
    );
    if before.exists() {
        steps.push(Step::File(before));
    }
    if args.all_state && args.state_dir.exists() {
        steps.push(Step::Directory(args.state_dir.clone()));
    }
    Ok(steps)
}

/// Devices of an agent, and pods' host ends.
fn devices(links: &[Link]) -> Vec<String> {
    let is_ours = |link: &&Link| {
        let pod = link.name.starts_with(POD_PREFIX) && link.kind == "veth";
        pod || DEVICES.contains(&link.name.as_str())
    };
    links
        .iter()
        .filter(is_ours)
        .map(|link| link.name.clone())
        .collect()
}

/// Routes to other nodes' pods by the uplink. The kernel itself makes no route with a gateway, so those that bear its
/// protocol number are ours; routes by our devices go with them.
fn direct_routes(routes: &[route::Route], links: &[Link]) -> Vec<route::Route> {
    let ours = devices(links);
    let by_our_device = |route: &route::Route| {
        let device = links.iter().find(|link| route.device == Some(link.index));
        device.is_some_and(|link| ours.contains(&link.name))
    };
    let is_direct = |route: &&route::Route| {
        route.protocol == netlink::PROTOCOL
            && route.gateway.is_some()
            && route.destination.prefix_len() > 0
            && !by_our_device(route)
    };
    routes.iter().filter(is_direct).cloned().collect()
}

fn sysctls(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged; nothing was done", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn apply(handle: &Handle, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::Pins(path) => remove_pins(path),
        Step::Route(of) => Ok(handle.run(&route::delete(of).or_gone())?),
        Step::Device(name) => {
            // The other end of a pair goes with the first.
            if handle.find_link(name.as_str())?.is_some() {
                handle.run(&link::delete(name.as_str()).or_gone())?;
            }
            Ok(())
        }
        Step::Sysctl { name, value } => match sysctl::write(name, value) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        },
        Step::File(path) => Ok(std::fs::remove_file(path)?),
        Step::Directory(path) => Ok(std::fs::remove_dir_all(path)?),
    }
}

fn remove_pins(path: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(path)?;
    // The project's own directory, where no other layout is left in it.
    if let Some(parent) = path.parent() {
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
