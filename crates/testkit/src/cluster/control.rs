//! What runs beside the nodes: the API server, an operator, a relay, commands.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use local_api::{Method, Request};

use super::{CONTROL, Cluster, SERVICE_CIDRS, held, underlay_v4};
use crate::programs::program;
use crate::topology::{Machine, Process};

/// Port of the operator's metrics.
pub const OPERATOR_METRICS: u16 = 9963;

/// Where a relay listens.
pub fn relay_address() -> String {
    format!("{}:4245", underlay_v4(CONTROL))
}

/// Where it has its web interface.
pub fn relay_web() -> SocketAddr {
    (underlay_v4(CONTROL), 4248).into()
}

impl Cluster {
    pub(super) fn wait_for_api(&self) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while self
            .api
            .send(&Request::new(Method::Get, "/readyz"))
            .map_or(true, |answer| answer.status != 200)
        {
            std::thread::sleep(Duration::from_millis(20));
            let mut server = held(&self.apiserver);
            let server = server.as_mut().context("the API server is stopped")?;
            if let Some(status) = server.ended()? {
                bail!("the API server ended with {status}: {}", server.output());
            }
            if Instant::now() > end {
                bail!("the API server does not answer: {}", server.output());
            }
        }
        Ok(())
    }

    /// Starts a relay over the flow servers of all nodes, which must listen; it is not ready yet.
    pub fn start_relay(&self) -> anyhow::Result<Process> {
        let first = self.nodes.first().context("a cluster without nodes")?;
        let peers = first.machine.directory().join("hubble.sock");
        let arguments = [
            "serve".to_owned(),
            format!("--peer-service=unix://{}", peers.display()),
            format!("--listen-address={}", relay_address()),
            format!("--web-listen-address={}", relay_web()),
            "--health-listen-address=".to_owned(),
            "--disable-client-tls".to_owned(),
            "--disable-server-tls".to_owned(),
        ];
        self.control
            .start("relay", None, &program("axoneme-relay")?, &arguments)
    }

    /// Starts an operator, and serves its metrics at the API server's address. It collects every second, unless the cluster's
    /// options or `more` say something else: the latter overrides the former.
    pub fn start_operator(&self, more: &[(&str, &str)]) -> anyhow::Result<Process> {
        let kubeconfig = self.kubeconfig().display().to_string();
        let metrics = format!("{}:{OPERATOR_METRICS}", underlay_v4(CONTROL));
        let mut keys = BTreeMap::from([
            ("k8s-kubeconfig-path", &*kubeconfig),
            ("operator-prometheus-serve-addr", &metrics),
            ("enable-metrics", "true"),
            ("cluster-pool-ipv4-cidr", "10.244.0.0/16"),
            ("identity-gc-interval", "1s"),
            ("cilium-endpoint-gc-interval", "1s"),
            ("unmanaged-pod-watcher-interval", "0"),
        ]);
        let asked = self.options.operator.iter();
        keys.extend(asked.map(|(key, value)| (&**key, &**value)));
        keys.extend(more.iter().copied());
        let arguments: Vec<String> = keys
            .into_iter()
            .map(|(key, value)| format!("--{key}={value}"))
            .collect();
        self.control
            .start("operator", None, &program("axoneme-operator")?, &arguments)
    }

    /// The machine of the API server, the operator and the relay.
    pub fn control(&self) -> &Machine {
        &self.control
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
    pub fn kill_apiserver(&self) -> anyhow::Result<()> {
        let server = held(&self.apiserver).take();
        server.map_or(Ok(()), |mut server| server.kill())
    }

    /// Starts it again.
    pub fn start_apiserver(&self) -> anyhow::Result<()> {
        let started = start_apiserver(&self.control, self.api.socket())?;
        *held(&self.apiserver) = Some(started);
        self.wait_for_api()
    }
}

pub(super) fn start_apiserver(control: &Machine, socket: &Path) -> anyhow::Result<Process> {
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
