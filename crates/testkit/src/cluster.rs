//! A cluster on one machine: the embedded API server, nodes with agents, and stand-ins for their kubelets.

mod objects;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use local_api::health::{State, StatusResponse};
use local_api::{Client, Method, Request};
use netlink::{Handle, link};
use serde_json::Value;

use crate::kubelet::Kubelet;
use crate::programs::program;
use crate::topology::{Machine, Process, Topology};
use objects::{node_object, place_of};

/// Where services get their addresses from.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:10:96::/112";

const UNDERLAY_MTU: u32 = 1550;

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
    agent: Option<Process>,
    arguments: Vec<String>,
    starts: u32,
}

/// The cluster. Dropping it removes everything.
pub struct Cluster {
    // Fields are dropped in this order: what runs goes before where it runs.
    /// The nodes.
    pub nodes: Vec<Node>,
    operator: Option<Process>,
    apiserver: Option<Process>,
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

/// Where a relay listens.
pub fn relay_address() -> String {
    format!("{}:4245", underlay_v4(CONTROL))
}

/// Port of the operator's metrics.
pub const OPERATOR_METRICS: u16 = 9963;

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
        let apiserver = start_apiserver(&control, &socket)?;
        let api = Client::new(&socket);
        let mut cluster = Self {
            nodes: Vec::new(),
            operator: None,
            apiserver: Some(apiserver),
            control,
            outside,
            api,
            options,
            topology,
        };
        cluster.wait_for_api()?;
        if !cluster.options.operator.is_empty() {
            cluster.operator = Some(cluster.start_operator()?);
        }
        // As the chart does.
        let name = json!({ "name": model::in_force::NAMESPACE });
        cluster.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": name }))?;
        for index in 0..cluster.options.nodes {
            cluster.add_node(index)?;
        }
        for node in &mut cluster.nodes {
            node.wait_ready(Duration::from_mins(1))?;
        }
        Ok(cluster)
    }

    fn wait_for_api(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while self
            .api
            .send(&Request::new(Method::Get, "/readyz"))
            .map_or(true, |answer| answer.status != 200)
        {
            let server = self
                .apiserver
                .as_mut()
                .context("the API server is stopped")?;
            if let Some(status) = server.ended()? {
                bail!("the API server ended with {status}: {}", server.output());
            }
            if Instant::now() > end {
                bail!("the API server does not answer: {}", server.output());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
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
            plugin: program("axoneme-cni")?,
            agent_socket: machine.directory().join("agent.sock"),
            state_dir: machine.directory().join("state"),
            api: self.api.clone(),
        };
        let mut node = Node {
            machine,
            kubelet,
            agent: None,
            arguments,
            starts: 0,
        };
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

    /// Creates or replaces an object.
    pub fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let (collection, name) = place_of(object)?;
        let path = format!("{collection}/{name}");
        let found = match self.api.send(&Request::new(Method::Get, path.as_str())) {
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
            .put(&path, &new)
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

    /// Starts a relay over the flow servers of all nodes, which must listen; it is not ready yet.
    pub fn start_relay(&self) -> anyhow::Result<Process> {
        let first = self.nodes.first().context("a cluster without nodes")?;
        let peers = first.machine.directory().join("hubble.sock");
        let arguments = [
            "serve".to_owned(),
            format!("--peer-service=unix://{}", peers.display()),
            format!("--listen-address={}", relay_address()),
            "--health-listen-address=".to_owned(),
            "--disable-client-tls".to_owned(),
            "--disable-server-tls".to_owned(),
        ];
        self.control
            .start("relay", None, &program("axoneme-relay")?, &arguments)
    }

    /// Starts an operator that collects every second, and serves metrics at the API server's address.
    pub fn start_operator(&self) -> anyhow::Result<Process> {
        let kubeconfig = self.kubeconfig().display().to_string();
        let metrics = format!("{}:{OPERATOR_METRICS}", underlay_v4(CONTROL));
        let ours = [
            ("k8s-kubeconfig-path", &*kubeconfig),
            ("operator-prometheus-serve-addr", &metrics),
            ("enable-metrics", "true"),
            ("cluster-pool-ipv4-cidr", "10.244.0.0/16"),
            ("identity-gc-interval", "1s"),
            ("cilium-endpoint-gc-interval", "1s"),
            ("unmanaged-pod-watcher-interval", "0"),
        ];
        let asked = self.options.operator.iter();
        let asked = asked.map(|(key, value)| (&**key, &**value));
        let arguments: Vec<String> = ours
            .into_iter()
            .chain(asked)
            .map(|(key, value)| format!("--{key}={value}"))
            .collect();
        self.control
            .start("operator", None, &program("axoneme-operator")?, &arguments)
    }

    /// Runs the command line on the machine of the API server and the relay; what it printed.
    pub fn ask(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let mut process = self
            .control
            .start(name, None, &program("axoneme")?, &words)?;
        let status = process.wait(Duration::from_secs(20))?;
        let output = process.output();
        fs::remove_file(process.log()).context("remove the output")?;
        if !status.success() {
            bail!(
                "axoneme {} ended with {status}: {output}",
                arguments.join(" ")
            );
        }
        Ok(output)
    }

    /// Stops the API server, as a crash would.
    pub fn kill_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver
            .take()
            .map_or(Ok(()), |mut server| server.kill())
    }

    /// Starts it again.
    pub fn start_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver = Some(start_apiserver(&self.control, self.api.socket())?);
        self.wait_for_api()
    }
}

impl Node {
    /// Starts the agent; it is not ready yet.
    pub fn start_agent(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        // The agent's own processes are in a group of their own, so that the node's pods are its siblings.
        self.agent = Some(self.machine.start(
            "agent",
            Some("agent"),
            &program("axoneme-agent")?,
            &self.arguments,
        )?);
        Ok(())
    }

    /// Kills the agent, as a crash would.
    pub fn kill_agent(&mut self) -> anyhow::Result<()> {
        self.agent.take().map_or(Ok(()), |mut agent| agent.kill())
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

    /// The agent's process.
    pub fn agent(&mut self) -> anyhow::Result<&mut Process> {
        self.agent.as_mut().context("the agent is stopped")
    }

    /// Client of the agent's REST API.
    pub fn client(&self) -> Client {
        Client::new(&self.kubelet.agent_socket)
    }

    /// Waits until the agent says that it is healthy.
    pub fn wait_ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        let client = self.client();
        let healthy = || {
            let answer = client.get::<StatusResponse>("/v1/healthz").ok()?;
            (answer.cilium?.state? == State::Ok).then_some(())
        };
        while healthy().is_none() {
            let name = self.machine.name().to_owned();
            let agent = self.agent()?;
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
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn start_apiserver(control: &Machine, socket: &Path) -> anyhow::Result<Process> {
    let directory = control.directory();
    let token = directory.join("token");
    if !token.exists() {
        let secret: [u8; 16] = rand::random();
        let secret = format!("{:032x}", u128::from_ne_bytes(secret));
        fs::write(&token, secret).context("write the token")?;
    }
    let flag = |name: &str, value: String| format!("--{name}={value}");
    let arguments = [
        flag("data-dir", directory.join("data").display().to_string()),
        flag("socket", socket.display().to_string()),
        flag("listen", format!("{}:6443", underlay_v4(CONTROL))),
        flag("tls-cert", "self-made".to_owned()),
        flag("token-file", token.display().to_string()),
        flag("service-cluster-ip-range", SERVICE_CIDRS.to_owned()),
        flag(
            "write-kubeconfig",
            directory.join("kubeconfig").display().to_string(),
        ),
    ];
    control.start(
        "apiserver",
        None,
        &program("axoneme-apiserver")?,
        &arguments,
    )
}

/// An address as the host part of a URL.
pub fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
