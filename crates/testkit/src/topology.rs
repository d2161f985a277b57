//! Machines made of namespaces: an underlay switch, nodes with their own cgroup and eBPF file system, and processes in them.
//!
//! Everything of one topology carries its name: namespaces `<name>-…`, the cgroup `<name>` under the cgroup2 mount, files
//! under `/run/axoneme/<name>`. Dropping it removes all of that; [`Topology::create`] first removes what a killed run left.

mod interrupt;
mod process;
mod sweep;

use std::fs;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ipnet::IpNet;
use netlink::address::PrefixRoute;
use netlink::link::{AdminState, Veth, VethEnd};
use netlink::route::Route;
use netlink::{Handle, NamedNamespace, Namespace, address, link, route};

pub use interrupt::hand_over;
pub use process::{Process, Started};
pub use sweep::{cgroup_mount, end, sweep, sweep_dead};

/// Name of every node's and host's interface on the underlay.
pub const UPLINK: &str = "eth0";

const BRIDGE: &str = "br0";

/// A set of namespaces joined by one switch.
pub struct Topology {
    name: String,
    directory: PathBuf,
    cgroup: PathBuf,
    switch: Option<NamedNamespace>,
    /// A name in the kernel that one process can hold at a time, and that goes with the process.
    _claim: UnixListener,
}

impl Topology {
    /// Makes the switch, the cgroup and the directory; whatever an earlier run of that name left goes first.
    /// The name is at most eight lower-case letters and digits and begins with `ax`.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        let fits = name.starts_with("ax")
            && name.len() <= 8
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ensure!(
            fits,
            "topology name {name:?}: at most eight lower-case letters and digits, beginning with ax"
        );
        sweep_abandoned();
        let claim =
            claim(name).with_context(|| format!("topology {name} is in use by another process"))?;
        interrupt::hold(name);
        sweep(name)?;
        let cgroup = sweep::cgroup_mount()?.join(name);
        let directory = sweep::directory(name);
        sweep::make_directory(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        fs::create_dir_all(&cgroup)
            .with_context(|| format!("create cgroup {}", cgroup.display()))?;
        let mut topology = Self {
            name: name.to_owned(),
            directory,
            cgroup,
            switch: None,
            _claim: claim,
        };
        let switch = NamedNamespace::create(&format!("{name}-sw"))?;
        let handle = Handle::open_in(&switch)?;
        handle.run_all(&[
            link::create_bridge(BRIDGE),
            link::set_up(BRIDGE),
            link::set_up("lo"),
        ])?;
        topology.switch = Some(switch);
        Ok(topology)
    }

    /// The topology's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its cgroup; everything that runs in it is below.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Takes a machine's cable out of the switch: whatever it sends is lost, and it does not notice.
    pub fn cut(&self, machine: &Machine) -> anyhow::Result<()> {
        self.set_switch(machine, 0)
    }

    /// Puts it back.
    pub fn plug(&self, machine: &Machine) -> anyhow::Result<()> {
        let switch = self.switch.as_ref().context("the switch is gone")?;
        let bridge = Handle::open_in(switch)?.link(BRIDGE)?.index;
        self.set_switch(machine, bridge)
    }

    /// The bridge that the machine's port belongs to, 0 for none.
    fn set_switch(&self, machine: &Machine, bridge: u32) -> anyhow::Result<()> {
        let switch = self.switch.as_ref().context("the switch is gone")?;
        let port = format!("p-{}", machine.name());
        Handle::open_in(switch)?.run(&link::set_master(port.as_str(), bridge))?;
        Ok(())
    }

    /// A machine on the underlay with these addresses, and a cgroup and directory of its own.
    pub fn machine(&self, name: &str, addresses: &[IpNet], mtu: u32) -> anyhow::Result<Machine> {
        let namespace = NamedNamespace::create(&format!("{}-{name}", self.name))?;
        let switch = self.switch.as_ref().context("the switch is gone")?;
        let port = format!("p-{name}");
        let inside = Handle::open_in(&namespace)?;
        inside.run(&link::create_veth(&Veth {
            end: VethEnd::named(UPLINK).mtu(mtu),
            state: AdminState::Up,
            peer: VethEnd::named(&port).mtu(mtu),
            peer_namespace: Some(switch),
        }))?;
        let outside = Handle::open_in(switch)?;
        let bridge = outside.link(BRIDGE)?.index;
        outside.run_all(&[
            link::set_master(port.as_str(), bridge),
            link::set_up(port.as_str()),
        ])?;
        let uplink = inside.link(UPLINK)?.index;
        let mut requests = vec![link::set_up("lo"), link::set_up(uplink)];
        requests.extend(
            addresses
                .iter()
                .map(|a| address::add(uplink, *a, PrefixRoute::Add)),
        );
        inside.run_all(&requests)?;
        let cgroup = self.cgroup.join(name);
        let directory = self.directory.join(name);
        fs::create_dir_all(&cgroup)
            .with_context(|| format!("create cgroup {}", cgroup.display()))?;
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        Ok(Machine {
            name: name.to_owned(),
            namespace,
            cgroup,
            directory,
            uplink,
            bpffs: None,
        })
    }
}

fn claim(name: &str) -> std::io::Result<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("axoneme-{name}"))?;
    UnixListener::bind_addr(&address)
}

/// Removes topologies that nobody holds any more, and what tests without one left: whoever made them was killed.
fn sweep_abandoned() {
    if let Err(error) = sweep_dead() {
        tracing::warn!("what killed tests left: {error:#}");
    }
    for name in sweep::names() {
        if let Ok(_held) = claim(&name)
            && let Err(error) = sweep(&name)
        {
            tracing::warn!("abandoned topology {name}: {error:#}");
        }
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.switch = None;
        if let Err(error) = sweep(&self.name) {
            tracing::warn!("topology {} is not wholly removed: {error:#}", self.name);
        }
        interrupt::let_go(&self.name);
    }
}

/// One machine: a network namespace with an uplink, a cgroup, a directory, perhaps an eBPF file system.
pub struct Machine {
    name: String,
    namespace: NamedNamespace,
    cgroup: PathBuf,
    directory: PathBuf,
    uplink: u32,
    bpffs: Option<PathBuf>,
}

impl Machine {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its cgroup.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Index of the interface on the underlay.
    pub fn uplink(&self) -> u32 {
        self.uplink
    }

    /// Mounts an eBPF file system of its own; says where.
    pub fn mount_bpffs(&mut self) -> anyhow::Result<PathBuf> {
        let path = self.directory.join("bpf");
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        rustix::mount::mount(
            "bpf",
            &path,
            "bpf",
            rustix::mount::MountFlags::empty(),
            None,
        )
        .with_context(|| format!("mount an eBPF file system at {}", path.display()))?;
        self.bpffs = Some(path.clone());
        Ok(path)
    }

    /// Takes its eBPF file system away with all that is pinned there, and mounts an empty one.
    pub fn forget_pins(&mut self) -> anyhow::Result<()> {
        if let Some(path) = self.bpffs.take() {
            rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH)
                .with_context(|| format!("unmount {}", path.display()))?;
        }
        self.mount_bpffs().map(|_| ())
    }

    /// A default route through `gateway`.
    pub fn default_route(&self, gateway: IpAddr) -> anyhow::Result<()> {
        let everything: IpNet = if gateway.is_ipv4() {
            "0.0.0.0/0".parse()?
        } else {
            "::/0".parse()?
        };
        let handle = Handle::open_in(&self.namespace)?;
        handle.run(&route::add(
            &Route::to(everything).dev(self.uplink).via(gateway),
        ))?;
        Ok(())
    }

    /// Starts a program in this machine: its namespace, its cgroup (or `group` below it), output to a file named after it.
    pub fn start(
        &self,
        name: &str,
        group: Option<&str>,
        program: &Path,
        args: &[String],
    ) -> anyhow::Result<Process> {
        self.start_in(&self.namespace, name, group, program, args)
    }

    /// The same in another network namespace: a pod of this machine.
    pub fn start_in(
        &self,
        namespace: &Namespace,
        name: &str,
        group: Option<&str>,
        program: &Path,
        args: &[String],
    ) -> anyhow::Result<Process> {
        let cgroup = group.map_or_else(|| self.cgroup.clone(), |group| self.cgroup.join(group));
        fs::create_dir_all(&cgroup)
            .with_context(|| format!("create cgroup {}", cgroup.display()))?;
        Process::start(&Started {
            namespace,
            cgroup: &cgroup,
            directory: &self.directory,
            name,
            program,
            args,
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(path) = self.bpffs.take() {
            let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
        }
    }
}
