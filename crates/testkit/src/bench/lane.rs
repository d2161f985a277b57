//! A lane: a client's place, a server's place, and the load between them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use netlink::{Namespace, sysctl};

use super::load::{Done, Kind};
use crate::cluster::Node;
use crate::kubelet::RunningPod;
use crate::programs::program;
use crate::topology::{Machine, Process, Started};

/// Client and server are on processors of their own on both sides of a comparison, where the machine has two.
const CLIENT_CPU: &str = "--cpu=0";
const SERVER_CPU: &str = "--cpu=1";

/// A namespace and a cgroup to start programs in.
#[derive(Debug)]
pub struct Place {
    namespace: Namespace,
    cgroup: PathBuf,
    directory: PathBuf,
}

impl Place {
    /// In a pod, as the kubelet's stand-in would start its program.
    pub fn pod(node: &Node, pod: &RunningPod) -> anyhow::Result<Self> {
        let cgroup = node.machine.cgroup().join("pods").join(&pod.pod.name);
        Self::new(&pod.sandbox.path(), &cgroup, node.machine.directory())
    }

    /// On a machine itself.
    pub fn machine(machine: &Machine) -> anyhow::Result<Self> {
        let path = machine.namespace().path();
        Self::new(path, machine.cgroup(), machine.directory())
    }

    /// In the namespace at `path`.
    pub fn new(path: &Path, cgroup: &Path, directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(cgroup)
            .with_context(|| format!("create cgroup {}", cgroup.display()))?;
        let namespace = Namespace::open(path)?;
        // New connections come faster than old ports are free again in the default range.
        sysctl::write_in(
            &namespace,
            &[("net/ipv4/ip_local_port_range", "10000 65000")],
        )?;
        Ok(Self {
            namespace,
            cgroup: cgroup.to_owned(),
            directory: directory.to_owned(),
        })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn start(&self, name: &str, args: &[String]) -> anyhow::Result<Process> {
        Process::start(&Started {
            namespace: &self.namespace,
            cgroup: &self.cgroup,
            directory: &self.directory,
            name,
            program: &program("axoneme-bench")?,
            args,
        })
    }
}

/// Client and server, and how the client reaches it.
pub struct Lane {
    name: String,
    client: Place,
    to: IpAddr,
    server: Process,
    server_place: Place,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

fn unique(name: &str) -> String {
    format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

impl Lane {
    /// Starts the server at `to` in its place, and waits until it answers the client.
    pub fn open(name: &str, client: Place, server: Place, to: IpAddr) -> anyhow::Result<Self> {
        let mut words: Vec<String> = ["load", "serve", "--at"].map(str::to_owned).to_vec();
        words.push(to.to_string());
        words.extend(two_processors().then(|| SERVER_CPU.to_owned()));
        let process = server.start(&unique("serve"), &words)?;
        let mut lane = Self {
            name: name.to_owned(),
            client,
            to,
            server: process,
            server_place: server,
        };
        let end = Instant::now() + Duration::from_secs(10);
        while let Err(error) = lane.make(Kind::ConnectRequestClose, Duration::from_millis(1)) {
            if let Some(status) = lane.server.ended()? {
                bail!(
                    "the server of {name} ended with {status}: {}",
                    lane.server.output()
                );
            }
            ensure!(Instant::now() < end, "{name} carries nothing: {error:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(lane)
    }

    /// What it is called in tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the client is.
    pub fn client(&self) -> &Place {
        &self.client
    }

    /// Where the server is.
    pub fn server(&self) -> &Place {
        &self.server_place
    }

    /// Makes load for `window`.
    pub fn make(&self, kind: Kind, window: Duration) -> anyhow::Result<Done> {
        self.make_to(kind, window, self.to, None)
    }

    /// The same to another address and port, such as a service's.
    pub fn make_to(
        &self,
        kind: Kind,
        window: Duration,
        to: IpAddr,
        port: Option<u16>,
    ) -> anyhow::Result<Done> {
        use clap::ValueEnum as _;
        let kind = kind.to_possible_value().context("a kind without a name")?;
        let mut words: Vec<String> = ["load", "make", "--kind"].map(str::to_owned).to_vec();
        words.push(kind.get_name().to_owned());
        words.extend(["--to".to_owned(), to.to_string()]);
        words.extend(["--window-ms".to_owned(), window.as_millis().to_string()]);
        words.extend(port.map(|port| format!("--port={port}")));
        words.extend(two_processors().then(|| CLIENT_CPU.to_owned()));
        let mut process = self.client.start(&unique("make"), &words)?;
        let status = process.wait(window + Duration::from_secs(15))?;
        let output = process.output();
        let _ = std::fs::remove_file(process.log());
        ensure!(
            status.success(),
            "load over {}: {}",
            self.name,
            output.trim()
        );
        let line = output.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("load over {}: {line:?}", self.name))
    }
}

fn two_processors() -> bool {
    std::thread::available_parallelism().is_ok_and(|count| count.get() >= 2)
}
