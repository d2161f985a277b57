//! The shop: a DNS server, web → api → store behind services, a batch client that a policy denies, a broker between checkout
//! and billing; outside, clients of web and a server that web knows by its name.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use api::hubble::flow::Flow;
use local_api::{Method, Request};
use serde_json::{Value, json};

use super::broker;
use super::doorway::Doorway;
use super::faults::BROKEN_NAME;
use crate::cluster::{Cluster, OUTSIDE, Options, relay_web, underlay_v4};
use crate::flows;
use crate::kubelet::{Pod, RunningPod};
use crate::programs::program;
use crate::topology::Process;

/// Namespace of the shop's objects.
pub(super) const NAMESPACE: &str = "shop";
/// Port of the shop on every node.
pub(super) const NODE_PORT: u16 = 30080;
const NEWEST: u64 = 4000;
/// Who is outside, by the name that web knows.
pub(super) const OUTSIDE_NAME: &str = "news.example.com";

/// The pods, and on which node they are: web asks api across nodes, api asks store across nodes.
const PODS: &[(&str, usize)] = &[
    ("dns", 0),
    ("store", 0),
    ("api", 1),
    ("web", 0),
    ("batch", 1),
];

/// The cluster with the shop in it. Dropping it removes everything.
pub(super) struct Market {
    // Fields are dropped in this order: what runs goes before where it runs.
    outside: Vec<Process>,
    pods: Vec<(usize, RunningPod)>,
    /// Services by name, for the DNS server.
    services: Vec<String>,
    /// Leads to the relay's web interface.
    pub(super) doorway: Doorway,
    relay: Process,
    /// The cluster.
    pub(super) cluster: Cluster,
}

impl Market {
    /// Starts cluster and shop, and tells each step. The web interface is at the port of 127.0.0.1, if nobody else has it.
    pub(super) fn open(
        name: &str,
        port: u16,
        tell: &mut dyn FnMut(String),
    ) -> anyhow::Result<Self> {
        tell("starting the API server, an underlay and two nodes with their agents".to_owned());
        let begun = Instant::now();
        let options = Options::named(name)
            .with("hubble-listen-address", ":4244")
            .with("hubble-disable-tls", "true");
        let cluster = Cluster::start(options)?;
        tell(format!(
            "  ready after {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        let mut market = Self {
            outside: Vec::new(),
            pods: Vec::new(),
            services: Vec::new(),
            doorway: Doorway::open(port, cluster.control().namespace(), relay_web())?,
            relay: cluster.start_relay()?,
            cluster,
        };
        market.create_objects()?;
        for &(pod, node) in PODS.iter().chain(broker::PODS) {
            market.add_pod(pod, node, tell)?;
        }
        broker::start(&mut market)?;
        tell("starting a server and clients outside the cluster".to_owned());
        market.start_outside()?;
        market.start_programs()?;
        tell("waiting for the broker".to_owned());
        broker::serve(&mut market)?;
        Ok(market)
    }

    fn start_outside(&mut self) -> anyhow::Result<()> {
        let demo = program("axoneme-demo")?;
        let serve = words(&["app", "http", "--listen", "[::]:80", "--name", OUTSIDE_NAME]);
        let server = self.cluster.outside.start("news", None, &demo, &serve)?;
        for (index, host) in [11, 12].into_iter().enumerate() {
            let url = format!("http://{}:{NODE_PORT}/", underlay_v4(host));
            let client = self.cluster.outside.start(
                &format!("client{index}"),
                None,
                &demo,
                &load(&url, None),
            )?;
            self.outside.push(client);
        }
        // After the clients, which are asked for by their number.
        self.outside.push(server);
        Ok(())
    }

    fn create_objects(&mut self) -> anyhow::Result<()> {
        self.cluster.create(
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        )?;
        self.open_service("dns", 53, 53)?;
        for name in ["web", "api", "store"] {
            self.open_service(name, 80, 8080)?;
        }
        self.open_service(broker::BROKER, broker::PORT, broker::PORT)?;
        self.cluster.create(&policy())
    }

    /// Creates a service of the pod of that name, and lets the DNS server know it.
    pub(super) fn open_service(
        &mut self,
        name: &str,
        port: u16,
        target: u16,
    ) -> anyhow::Result<()> {
        self.cluster.create(&service(name, port, target))?;
        self.services.push(name.to_owned());
        self.write_names()
    }

    /// The names that the DNS server knows: services by their usual names, and who is outside.
    fn write_names(&self) -> anyhow::Result<()> {
        let mut text = format!("{} {OUTSIDE_NAME}\n", underlay_v4(OUTSIDE));
        for service in &self.services {
            let address = self.service_address(service)?;
            writeln!(
                text,
                "{address} {service} {service}.{NAMESPACE} {service}.{NAMESPACE}.svc.cluster.local"
            )?;
        }
        let path = self.names_file();
        // Whole at once: the server may be reading it.
        let new = path.with_extension("new");
        fs::write(&new, text).with_context(|| format!("write {}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("replace {}", path.display()))
    }

    fn names_file(&self) -> PathBuf {
        self.cluster.topology.directory().join("names")
    }

    pub(super) fn service_address(&self, name: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{name}");
        let object: Value = self
            .cluster
            .api
            .call(&Request::new(Method::Get, path.as_str()))?;
        let address = object.pointer("/spec/clusterIP").and_then(Value::as_str);
        Ok(address
            .with_context(|| format!("service {name} has no ClusterIP"))?
            .to_owned())
    }

    /// Runs a pod, in which no program runs yet.
    pub(super) fn add_pod(
        &mut self,
        name: &str,
        node: usize,
        tell: &mut dyn FnMut(String),
    ) -> anyhow::Result<()> {
        let machine = self
            .cluster
            .nodes
            .get(node)
            .with_context(|| format!("no node {node}"))?;
        let pod = machine.kubelet.run(
            &machine.machine,
            self.cluster.topology.name(),
            Pod::new(NAMESPACE, name, name),
        )?;
        let millis = pod.add_took.as_secs_f64() * 1e3;
        tell(format!(
            "  pod {name:<6} on {} has {:<13} CNI ADD took {millis:.1} ms",
            machine.machine.name(),
            pod.ipv4()?
        ));
        self.pods.push((node, pod));
        Ok(())
    }

    fn start_programs(&mut self) -> anyhow::Result<()> {
        let dns = format!("{}:53", self.service_address("dns")?);
        let serve = |name: &str, calls: Option<&str>| {
            let mut words = words(&["app", "http", "--listen", "[::]:8080", "--name", name]);
            if let Some(url) = calls {
                words.extend(self::words(&["--call", url, "--dns", &dns]));
            }
            words
        };
        let names = self.names_file().display().to_string();
        let mut resolve = words(&["app", "dns", "--listen", "0.0.0.0:53", "--names", &names]);
        resolve.extend(words(&["--servfail", BROKEN_NAME]));
        let all = [
            ("dns", resolve),
            ("store", serve("store", None)),
            ("api", serve("api", Some("http://store/"))),
            ("web", serve("web", Some("http://api/"))),
            ("batch", self.load("http://store/")?),
            ("web", self.load(&format!("http://{OUTSIDE_NAME}/"))?),
        ];
        for (pod, args) in all {
            self.exec(pod, &args)?;
        }
        Ok(())
    }

    /// Starts one of our programs in a pod, beside those that run in it.
    pub(super) fn exec(&mut self, pod: &str, args: &[String]) -> anyhow::Result<()> {
        self.exec_program(pod, &program("axoneme-demo")?, args)
    }

    /// Starts any program in a pod, beside those that run in it.
    pub(super) fn exec_program(
        &mut self,
        pod: &str,
        program: &Path,
        args: &[String],
    ) -> anyhow::Result<()> {
        let (node, running) = self
            .pods
            .iter_mut()
            .find(|(_, running)| running.pod.name == pod)
            .with_context(|| format!("no pod {pod}"))?;
        let node = self.cluster.nodes.get(*node).context("no such node")?;
        node.kubelet.exec(&node.machine, running, program, args)
    }

    /// A pod that runs.
    pub(super) fn pod(&self, name: &str) -> anyhow::Result<&RunningPod> {
        let mut all = self.pods.iter().map(|(_, running)| running);
        all.find(|running| running.pod.name == name)
            .with_context(|| format!("no pod {name}"))
    }

    /// A program that asks for a URL again and again, with names from the shop's DNS server.
    pub(super) fn load(&self, url: &str) -> anyhow::Result<Vec<String>> {
        let dns = format!("{}:53", self.service_address("dns")?);
        Ok(load(url, Some(&dns)))
    }

    /// Fails with its output when a process has ended that should not.
    pub(super) fn still_runs(&mut self) -> anyhow::Result<()> {
        let pods = self
            .pods
            .iter_mut()
            .flat_map(|(_, pod)| pod.processes().iter_mut());
        let others = self.outside.iter_mut().chain([&mut self.relay]);
        let mut all: Vec<&mut Process> = pods.chain(others).collect();
        for node in &mut self.cluster.nodes {
            all.push(node.agent()?);
        }
        for process in all {
            if let Some(status) = process.ended()? {
                bail!(
                    "{} ended with {status}: {}",
                    process.name(),
                    tail(&process.output())
                );
            }
        }
        Ok(())
    }

    /// Newest flows of all nodes.
    pub(super) fn flows(&self) -> anyhow::Result<Vec<Flow>> {
        let mut all = Vec::new();
        for node in &self.cluster.nodes {
            all.extend(flows::get(
                &node.machine.directory().join("hubble.sock"),
                NEWEST,
            )?);
        }
        Ok(all)
    }

    /// Results so far of the client outside that asks the given node.
    pub(super) fn client(&self, node: usize) -> anyhow::Result<Results> {
        Ok(Results::read(
            &self
                .outside
                .get(node)
                .with_context(|| format!("no client {node}"))?
                .output(),
        ))
    }

    /// Results so far of the batch client.
    pub(super) fn batch(&mut self) -> anyhow::Result<Results> {
        Ok(Results::read(&self.said("batch")?))
    }

    /// What the first program of a pod has printed so far.
    pub(super) fn said(&mut self, pod: &str) -> anyhow::Result<String> {
        let mut all = self.pods.iter_mut();
        let (_, running) = all
            .find(|(_, running)| running.pod.name == pod)
            .with_context(|| format!("no pod {pod}"))?;
        let first = running.processes().first();
        let first = first.with_context(|| format!("nothing runs in pod {pod}"))?;
        Ok(first.output())
    }

    /// Waits until every pod's program answers or the time is over; results say which.
    pub(super) fn wait(
        limit: Duration,
        mut holds: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            match holds() {
                Err(error) if Instant::now() > end => {
                    return Err(error.context(format!("not within {limit:?}")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Deletes all pods as their kubelets would.
    pub(super) fn close(mut self) -> anyhow::Result<()> {
        self.outside.clear();
        for (node, pod) in std::mem::take(&mut self.pods) {
            let node = self.cluster.nodes.get(node).context("no such node")?;
            node.kubelet.delete(&node.machine, pod)?;
        }
        Ok(())
    }
}

/// What a load program has written.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    /// Whether each request was answered, oldest first.
    pub(super) outcomes: Vec<bool>,
    /// Why the last failed request failed.
    pub(super) last_error: String,
}

impl Results {
    fn read(output: &str) -> Self {
        let mut results = Self::default();
        for line in output.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let Some(ok) = line.get("ok").and_then(Value::as_bool) else {
                continue;
            };
            results.outcomes.push(ok);
            if let Some(error) = line.get("error").and_then(Value::as_str) {
                error.clone_into(&mut results.last_error);
            }
        }
        results
    }

    /// The newest `number` are all as given; `from` are older and do not count.
    pub(super) fn newest(&self, number: usize, expected: bool, from: usize) -> anyhow::Result<()> {
        let newer = self.outcomes.get(from..).unwrap_or_default();
        let tail = newer
            .get(newer.len().saturating_sub(number)..)
            .unwrap_or_default();
        if tail.len() == number && tail.iter().all(|&ok| ok == expected) {
            return Ok(());
        }
        let answered = newer.iter().filter(|&&ok| ok).count();
        bail!(
            "{answered} of {} requests answered; last error: {}",
            newer.len(),
            self.last_error
        )
    }
}

/// The policy of the demo: only api may connect to store.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": NAMESPACE, "name": "store-only-for-api" },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": "store" } },
            "ingress": [{
                "fromEndpoints": [{ "matchLabels": { "app": "api" } }],
                "toPorts": [{ "ports": [{ "port": "8080", "protocol": "TCP" }] }],
            }],
        },
    })
}

fn service(name: &str, port: u16, target: u16) -> Value {
    let mut ports =
        vec![json!({ "name": "tcp", "port": port, "targetPort": target, "protocol": "TCP" })];
    if port == 53 {
        ports.push(json!({ "name": "udp", "port": port, "targetPort": target, "protocol": "UDP" }));
    }
    let mut spec = json!({ "selector": { "app": name }, "ports": ports });
    if name == "web" {
        spec["type"] = json!("NodePort");
        spec["ports"][0]["nodePort"] = json!(NODE_PORT);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": NAMESPACE, "name": name }, "spec": spec })
}

fn load(url: &str, dns: Option<&str>) -> Vec<String> {
    let mut words = words(&["app", "load", "--every-ms", "300", "--url", url]);
    if let Some(dns) = dns {
        words.extend(self::words(&["--dns", dns]));
    }
    words
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(5)..)
        .unwrap_or_default()
        .join(" | ")
}
