//! A cluster on one machine: the embedded API server, nodes with agents, and stand-ins for their kubelets.

mod control;
mod objects;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use local_api::health::{State, StatusResponse};
use local_api::{Client, Method, Request};
use netlink::{Handle, link};
use serde_json::{Value, json};

pub use control::{OPERATOR_METRICS, relay_address, relay_web};

use crate::kubelet::Kubelet;
use crate::programs::program;
use crate::topology::{Machine, Process, Topology};
use objects::node_object;
pub(crate) use objects::place_of;

/// Where services get their addresses from.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:10:96::/112";

const UNDERLAY_MTU: u32 = 1550;

/// How often an object is replaced that somebody else changes meanwhile.
const ATTEMPTS: usize = 10;

/// How the nodes are set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the topology.
    pub name: String,
    /// Number of nodes, 1 to 200.
    pub nodes: u8,
    /// Pods have IPv6 addresses too.
    pub ipv6: bool,
    /// Further configuration keys of the agents.
    pub agent: Vec<(String, String)>,
    /// Further configuration keys of an operator that runs from the start, if there are any.
    pub operator: Vec<(String, String)>,
    /// Folder of the agents and plugins to begin with, instead of ours.
    pub programs: Option<PathBuf>,
    /// Agents keep counts and records of flows in the folder of their node.
    pub records: bool,
}

impl Options {
    /// Two nodes, both families.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nodes: 2,
            ipv6: true,
            agent: Vec::new(),
            operator: Vec::new(),
            programs: None,
            records: false,
        }
    }

    /// With an operator that runs from the start, and another configuration key of it.
    pub fn with_operator(mut self, key: &str, value: &str) -> Self {
        self.operator.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With another configuration key.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.agent.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// One node: its machine, its agent, its kubelet's stand-in.
pub struct Node {
    /// The machine.
    pub machine: Machine,
    /// The kubelet's stand-in.
    pub kubelet: Kubelet,
    // Not a plain field: a test kills and starts it while others of its threads use the node.
    agent: Mutex<Option<Process>>,
    agent_program: PathBuf,
    arguments: Vec<String>,
}

/// The cluster. Dropping it removes everything.
pub struct Cluster {
    // Fields are dropped in this order: what runs goes before where it runs.
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The operator that the options ask for.
    pub operator: Option<Process>,
    // Not a plain field: a test kills and starts it while others of its threads use the cluster.
    apiserver: Mutex<Option<Process>>,
    control: Machine,
    /// A machine on the underlay that is not part of the cluster.
    pub outside: Machine,
    /// Client of the API server.
    pub api: Client,
    options: Options,
    /// The topology.
    pub topology: Topology,
}

/// Address of a machine on the underlay.
pub fn underlay_v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, host)
}

/// Its IPv6 twin.
pub fn underlay_v6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, u16::from(host))
}

const CONTROL: u8 = 10;
const FIRST_NODE: u8 = 11;
/// Last octet of the outside machine's address.
pub const OUTSIDE: u8 = 250;

impl Cluster {
    /// Starts API server and nodes, and waits until every agent is ready.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let topology = Topology::create(&options.name)?;
        let machine = |name: &str, host: u8| {
            let addresses = [
                format!("{}/24", underlay_v4(host)).parse()?,
                format!("{}/64", underlay_v6(host)).parse()?,
            ];
            topology.machine(name, &addresses, UNDERLAY_MTU)
        };
        let control = machine("cp", CONTROL)?;
        let outside = machine("out", OUTSIDE)?;
        let socket = control.directory().join("api.sock");
        let apiserver = control::start_apiserver(&control, &socket)?;
        let api = Client::new(&socket);
        let mut cluster = Self {
            nodes: Vec::new(),
            operator: None,
            apiserver: Mutex::new(Some(apiserver)),
            control,
            outside,
            api,
            options,
            topology,
        };
        cluster.wait_for_api()?;
        if !cluster.options.operator.is_empty() {
            cluster.operator = Some(cluster.start_operator(&[])?);
        }
        // As the chart does.
        let name = json!({ "name": model::in_force::NAMESPACE });
        cluster.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": name }))?;
        for index in 0..cluster.options.nodes {
            cluster.add_node(index)?;
        }
        for node in &cluster.nodes {
            node.wait_ready(Duration::from_mins(1))?;
        }
        Ok(cluster)
    }

    fn add_node(&mut self, index: u8) -> anyhow::Result<()> {
        let (name, host) = (format!("n{}", index + 1), FIRST_NODE + index);
        let addresses = [
            format!("{}/24", underlay_v4(host)).parse()?,
            format!("{}/64", underlay_v6(host)).parse()?,
        ];
        let mut machine = self.topology.machine(&name, &addresses, UNDERLAY_MTU)?;
        let bpffs = machine.mount_bpffs()?;
        self.create(&node_object(&name, host, index + 1, self.options.ipv6))?;
        let arguments = self.agent_arguments(&machine, &name, &bpffs);
        let kubelet = Kubelet {
            node: name,
            node_address: underlay_v4(host).into(),
            plugin: PathBuf::new(),
            agent_socket: machine.directory().join("agent.sock"),
            state_dir: machine.directory().join("state"),
            api: self.api.clone(),
        };
        let mut node = Node {
            machine,
            kubelet,
            agent: Mutex::default(),
            agent_program: PathBuf::new(),
            arguments,
        };
        node.use_programs(self.options.programs.as_deref())?;
        node.start_agent()?;
        self.nodes.push(node);
        Ok(())
    }

    fn agent_arguments(&self, machine: &Machine, name: &str, bpffs: &Path) -> Vec<String> {
        let file = |name: &str| machine.directory().join(name).display().to_string();
        let mut keys = vec![
            ("k8s-node-name", name.to_owned()),
            (
                "k8s-kubeconfig-path",
                self.kubeconfig().display().to_string(),
            ),
            ("bpf-root", bpffs.display().to_string()),
            ("cgroup-root", machine.cgroup().display().to_string()),
            ("state-dir", file("state")),
            ("socket-path", file("agent.sock")),
            ("hubble-socket-path", file("hubble.sock")),
            ("devices", crate::topology::UPLINK.to_owned()),
            ("enable-ipv6", self.options.ipv6.to_string()),
            ("bpf-ct-global-tcp-max", "65536".to_owned()),
            // An endpoint and a connection more on each node, which few tests want.
            ("enable-health-checking", "false".to_owned()),
        ];
        if self.options.records {
            keys.push(("hubble-data-dir", file("flows")));
        }
        // What was asked for stands in place of ours: the agent takes a key once.
        keys.retain(|(key, _)| self.options.agent.iter().all(|(asked, _)| asked != key));
        keys.extend(
            self.options
                .agent
                .iter()
                .map(|(key, value)| (key.as_str(), value.clone())),
        );
        keys.into_iter()
            .map(|(key, value)| format!("--{key}={value}"))
            .collect()
    }

    /// Kubeconfig of the API server, for agents and commands.
    pub fn kubeconfig(&self) -> PathBuf {
        self.control.directory().join("kubeconfig")
    }

    /// Creates or replaces an object, also one whose status somebody else writes meanwhile.
    pub fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let (collection, name) = place_of(object)?;
        let path = format!("{collection}/{name}");
        for _ in 1..ATTEMPTS {
            match self.replace(object, &path) {
                Err(error) if status_of(&error) == Some(409) => {}
                done => return done,
            }
        }
        self.replace(object, &path)
    }

    fn replace(&self, object: &Value, path: &str) -> anyhow::Result<()> {
        let found = match self.api.send(&Request::new(Method::Get, path)) {
            Err(error) if error.is_not_found() => return self.create(object),
            found => found?,
        };
        let old: Value =
            serde_json::from_slice(&found.body).with_context(|| format!("read {path}"))?;
        let mut new = object.clone();
        let version = old
            .pointer("/metadata/resourceVersion")
            .cloned()
            .unwrap_or_default();
        new.get_mut("metadata")
            .and_then(Value::as_object_mut)
            .context("no metadata")?
            .insert("resourceVersion".into(), version);
        let _: Value = self
            .api
            .put(path, &new)
            .with_context(|| format!("replace {path}"))?;
        Ok(())
    }

    /// Creates an object.
    pub fn create(&self, object: &Value) -> anyhow::Result<()> {
        let (collection, name) = place_of(object)?;
        let _: Value = self
            .api
            .post(&collection, object)
            .with_context(|| format!("create {collection}/{name}"))?;
        Ok(())
    }

    /// Deletes an object, which need not exist.
    pub fn delete(&self, object: &Value) -> anyhow::Result<()> {
        let (collection, name) = place_of(object)?;
        match self.api.delete(&format!("{collection}/{name}")) {
            Err(error) if !error.is_not_found() => {
                Err(error).with_context(|| format!("delete {collection}/{name}"))
            }
            _ => Ok(()),
        }
    }
}

impl Node {
    /// Starts the agent; it is not ready yet.
    pub fn start_agent(&self) -> anyhow::Result<()> {
        // The agent's own processes are in a group of their own, so that the node's pods are its siblings.
        let started =
            self.machine
                .start("agent", Some("agent"), &self.agent_program, &self.arguments)?;
        *held(&self.agent) = Some(started);
        Ok(())
    }

    /// Takes agent and plugin from this folder from the next start on; from ours without one.
    pub fn use_programs(&mut self, folder: Option<&Path>) -> anyhow::Result<()> {
        let find = |name| match folder {
            Some(folder) => Ok(folder.join(name)),
            None => program(name),
        };
        self.agent_program = find("axoneme-agent")?;
        self.kubelet.plugin = find("axoneme-cni")?;
        Ok(())
    }

    /// Gives the agent another value of a key from its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        let begin = format!("--{key}=");
        self.arguments.retain(|given| !given.starts_with(&begin));
        self.arguments.push(begin + value);
    }

    /// Ends the agent in order.
    pub fn stop_agent(&self) -> anyhow::Result<()> {
        let agent = held(&self.agent).take();
        agent.map_or(Ok(()), |mut agent| {
            agent.stop(Duration::from_secs(10)).map(drop)
        })
    }

    /// Kills the agent, as a crash would.
    pub fn kill_agent(&self) -> anyhow::Result<()> {
        let agent = held(&self.agent).take();
        agent.map_or(Ok(()), |mut agent| agent.kill())
    }

    /// What a loss of power takes from the node: its agent, the agent's devices, what is pinned, and its state. The sandboxes
    /// of its pods are the caller's to take.
    pub fn lose_power(&mut self) -> anyhow::Result<()> {
        self.kill_agent()?;
        let handle = Handle::open_in(self.machine.namespace())?;
        for device in ["cilium_host", "cilium_vxlan"] {
            handle.run(&link::delete(device).or_gone())?;
        }
        self.machine.forget_pins()?;
        let state = &self.kubelet.state_dir;
        fs::remove_dir_all(state).with_context(|| format!("remove {}", state.display()))
    }

    /// The agent's process id, if one was started and not stopped since.
    pub fn pid(&self) -> Option<u32> {
        held(&self.agent).as_ref().map(Process::pid)
    }

    /// The agent's process.
    pub fn agent(&mut self) -> anyhow::Result<&mut Process> {
        let agent = self.agent.get_mut();
        let agent = agent.unwrap_or_else(PoisonError::into_inner);
        agent.as_mut().context("the agent is stopped")
    }

    /// Client of the agent's REST API.
    pub fn client(&self) -> Client {
        Client::new(&self.kubelet.agent_socket)
    }

    /// Waits until the agent says that it is healthy.
    pub fn wait_ready(&self, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        let client = self.client();
        let healthy = || {
            let answer = client.get::<StatusResponse>("/v1/healthz").ok()?;
            (answer.cilium?.state? == State::Ok).then_some(())
        };
        while healthy().is_none() {
            std::thread::sleep(Duration::from_millis(10));
            let name = self.machine.name();
            let mut agent = held(&self.agent);
            let agent = agent.as_mut().context("the agent is stopped")?;
            if let Some(status) = agent.ended()? {
                bail!(
                    "the agent of {name} ended with {status}: {}",
                    agent.output()
                );
            }
            if Instant::now() > end {
                bail!(
                    "the agent of {name} is not ready after {limit:?}: {}",
                    agent.output()
                );
            }
        }
        Ok(())
    }
}

/// What a Mutex holds, also after a test's thread has panicked.
fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address as the host part of a URL.
pub fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The status with which the API server refused.
pub(crate) fn status_of(error: &anyhow::Error) -> Option<u16> {
    error.downcast_ref::<local_api::Error>()?.status()
}
