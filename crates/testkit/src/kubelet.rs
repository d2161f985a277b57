//! A stand-in for a kubelet: makes sandboxes, calls the CNI plugin as one would, starts programs, writes pod status.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use local_api::{Method, Request};
use netlink::{Handle, NamedNamespace, address, link};
use serde_json::{Value, json};

use crate::topology::{Machine, Process};

/// What is to run.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its annotations.
    pub annotations: Vec<(String, String)>,
    /// Named ports, TCP.
    pub ports: Vec<(String, u16)>,
}

impl Pod {
    /// A pod with the label `app` and no ports.
    pub fn new(namespace: &str, name: &str, app: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: vec![("app".to_owned(), app.to_owned())],
            annotations: Vec::new(),
            ports: Vec::new(),
        }
    }

    /// The same with an annotation.
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The same with a named TCP port.
    pub fn port(mut self, name: &str, port: u16) -> Self {
        self.ports.push((name.to_owned(), port));
        self
    }

    /// The object that a scheduler has bound to `node`.
    pub fn object(&self, node: &str) -> Value {
        let map = |pairs: &[(String, String)]| -> serde_json::Map<String, Value> {
            let pairs = pairs.iter();
            pairs.map(|(k, v)| (k.clone(), v.clone().into())).collect()
        };
        let (labels, annotations) = (map(&self.labels), map(&self.annotations));
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|(name, port)| json!({ "name": name, "containerPort": port, "protocol": "TCP" }))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": self.namespace, "name": self.name, "labels": labels, "annotations": annotations },
            "spec": { "nodeName": node, "serviceAccountName": "default",
                      "containers": [{ "name": "main", "image": "local", "ports": ports }] },
        })
    }
}

/// A pod with its sandbox.
pub struct RunningPod {
    /// What it is.
    pub pod: Pod,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Its network namespace.
    pub sandbox: NamedNamespace,
    /// Time from calling the plugin to its answer.
    pub add_took: Duration,
    container_id: String,
    processes: Vec<Process>,
}

impl RunningPod {
    /// Its IPv4 address.
    pub fn ipv4(&self) -> anyhow::Result<IpAddr> {
        self.addresses
            .iter()
            .copied()
            .find(IpAddr::is_ipv4)
            .with_context(|| format!("{} has no IPv4 address", self.pod.name))
    }

    /// Its IPv6 address.
    pub fn ipv6(&self) -> anyhow::Result<IpAddr> {
        self.addresses
            .iter()
            .copied()
            .find(IpAddr::is_ipv6)
            .with_context(|| format!("{} has no IPv6 address", self.pod.name))
    }

    /// Takes its addresses away: what arrives is for nobody, and nobody says so.
    pub fn deafen(&self) -> anyhow::Result<()> {
        let handle = Handle::open_in(&self.sandbox)?;
        for of in handle.addresses(None)? {
            if self.addresses.contains(&of.address.addr()) {
                handle.run(&address::delete(of.index, of.address))?;
            }
        }
        Ok(())
    }

    /// The programs that were started in it.
    pub fn processes(&mut self) -> &mut Vec<Process> {
        &mut self.processes
    }
}

/// The stand-in of one node.
pub struct Kubelet {
    /// Name of the node object.
    pub node: String,
    /// Address of the node, as pods' `hostIP`.
    pub node_address: IpAddr,
    /// The plugin.
    pub plugin: PathBuf,
    /// The agent's socket.
    pub agent_socket: PathBuf,
    /// The agent's state directory, where the plugin queues deletions.
    pub state_dir: PathBuf,
    /// The API server.
    pub api: local_api::Client,
}

impl Kubelet {
    /// Creates the object, the sandbox and the interface, and writes the status. No program runs yet.
    pub fn run(&self, machine: &Machine, topology: &str, pod: Pod) -> anyhow::Result<RunningPod> {
        let path = format!("/api/v1/namespaces/{}/pods", pod.namespace);
        let request = Request::new(Method::Post, path.as_str()).json(&pod.object(&self.node))?;
        let _: Value = self
            .api
            .call(&request)
            .with_context(|| format!("create pod {}", pod.name))?;
        let sandbox =
            NamedNamespace::create(&format!("{topology}-{}-{}", machine.name(), pod.name))?;
        Handle::open_in(&sandbox)?.run(&link::set_up("lo"))?;
        let container_id = format!("{topology}-{}-{}", machine.name(), pod.name);
        let start = Instant::now();
        let answer = self.plugin(machine, "ADD", &container_id, Some(&sandbox), &pod)?;
        let add_took = start.elapsed();
        let addresses = addresses_of(&answer)?;
        self.write_status(&pod, &addresses)?;
        Ok(RunningPod {
            pod,
            addresses,
            sandbox,
            add_took,
            container_id,
            processes: Vec::new(),
        })
    }

    /// Starts a program in a pod.
    pub fn exec(
        &self,
        machine: &Machine,
        pod: &mut RunningPod,
        program: &Path,
        args: &[String],
    ) -> anyhow::Result<()> {
        let name = format!("{}-{}", pod.pod.name, pod.processes.len());
        let group = format!("pods/{}", pod.pod.name);
        let process = machine.start_in(&pod.sandbox, &name, Some(&group), program, args)?;
        pod.processes.push(process);
        Ok(())
    }

    /// Ends the programs, deletes the interface, the sandbox and the object.
    pub fn delete(&self, machine: &Machine, mut pod: RunningPod) -> anyhow::Result<()> {
        pod.processes.clear();
        self.plugin(
            machine,
            "DEL",
            &pod.container_id,
            Some(&pod.sandbox),
            &pod.pod,
        )?;
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            pod.pod.namespace, pod.pod.name
        );
        self.api.delete(&path)?;
        Ok(())
    }

    /// Calls the plugin with the environment and configuration that a runtime gives it; its answer as JSON.
    pub fn plugin(
        &self,
        machine: &Machine,
        verb: &str,
        container_id: &str,
        sandbox: Option<&NamedNamespace>,
        pod: &Pod,
    ) -> anyhow::Result<Value> {
        let child = self.start_plugin(machine, verb, container_id, sandbox, pod)?;
        let output = child.wait_with_output().context("wait for the plugin")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            let log = String::from_utf8_lossy(&output.stderr);
            bail!(
                "CNI {verb} of {}/{}: {} {}",
                pod.namespace,
                pod.name,
                said.trim(),
                log.trim()
            );
        }
        if output.stdout.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("CNI {verb}: the answer is not JSON"))
    }

    /// The plugin, started, with all that it reads.
    pub fn start_plugin(
        &self,
        machine: &Machine,
        verb: &str,
        container_id: &str,
        sandbox: Option<&NamedNamespace>,
        pod: &Pod,
    ) -> anyhow::Result<Child> {
        let conf = json!({
            "cniVersion": "1.1.0", "name": "cilium", "type": "cilium-cni",
            "agent-socket": self.agent_socket, "state-dir": self.state_dir,
        });
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={}",
            pod.namespace, pod.name
        );
        let mut command = Command::new(&self.plugin);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", container_id)
            .env(
                "CNI_NETNS",
                sandbox.map(NamedNamespace::path).unwrap_or_default(),
            )
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", args)
            .env("CNI_PATH", self.plugin.parent().unwrap_or(&self.plugin))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = machine
            .namespace()
            .run(|| command.spawn())?
            .with_context(|| format!("start {}", self.plugin.display()))?;
        // Before it has read what to do, so that whoever ends the topology ends it too.
        let group = machine.cgroup().join("cgroup.procs");
        std::fs::write(&group, child.id().to_string())
            .with_context(|| format!("move the plugin to {}", group.display()))?;
        child
            .stdin
            .take()
            .context("the plugin has no standard input")?
            .write_all(conf.to_string().as_bytes())?;
        Ok(child)
    }

    fn write_status(&self, pod: &Pod, addresses: &[IpAddr]) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let mut object: Value = self.api.call(&Request::new(Method::Get, path.as_str()))?;
        let all: Vec<Value> = addresses
            .iter()
            .map(|address| json!({ "ip": address }))
            .collect();
        let status = json!({
            "phase": "Running", "hostIP": self.node_address, "podIP": addresses.first(), "podIPs": all,
            "conditions": [{ "type": "Ready", "status": "True" }],
        });
        object
            .as_object_mut()
            .context("a pod that is not an object")?
            .insert("status".to_owned(), status);
        let request = Request::new(Method::Put, format!("{path}/status")).json(&object)?;
        let _: Value = self
            .api
            .call(&request)
            .with_context(|| format!("write status of pod {}", pod.name))?;
        Ok(())
    }
}

/// The addresses in a plugin's answer, IPv4 first.
pub fn addresses_of(answer: &Value) -> anyhow::Result<Vec<IpAddr>> {
    let ips = answer
        .get("ips")
        .and_then(Value::as_array)
        .context("the plugin's answer has no ips")?;
    let mut addresses = Vec::new();
    for ip in ips {
        let text = ip
            .get("address")
            .and_then(Value::as_str)
            .context("an ip without address")?;
        let net: ipnet::IpNet = text
            .parse()
            .with_context(|| format!("address {text:?} of the plugin's answer"))?;
        addresses.push(net.addr());
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok(addresses)
}
