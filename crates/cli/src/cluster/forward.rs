//! `axoneme hubble port-forward`: a local port that leads to the relay.

use std::io::Write;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::Cluster;
use super::access::AccessArgs;
use super::pod::{Pod, list, number, text};

const RELAY: &str = "hubble-relay";

/// A relay, and the local port that is to lead to it.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    /// The API server.
    pub(crate) access: AccessArgs,
    /// Namespace of the relay.
    pub(crate) namespace: String,
    /// Local port; 0 for any.
    pub(crate) port: u16,
}

/// A local port that is listened on.
pub(crate) struct Forward {
    listener: TcpListener,
    cluster: Cluster,
    /// Port of the relay's pods.
    port: u16,
}

impl Relay {
    /// Listens.
    pub(crate) async fn open(&self) -> anyhow::Result<Forward> {
        let cluster = Cluster {
            client: self.access.client().await?,
            namespace: self.namespace.clone(),
        };
        let port = target(&cluster).await?;
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .await
            .with_context(|| format!("cannot listen on port {}", self.port))?;
        Ok(Forward {
            listener,
            cluster,
            port,
        })
    }
}

impl Forward {
    /// Where it listens.
    pub(crate) fn address(&self) -> anyhow::Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// Forwards, until somebody ends it.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        let mut streams = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.context("cannot accept")?;
                    let (cluster, port) = (self.cluster.clone(), self.port);
                    streams.spawn(async move { one(&cluster, stream, port).await });
                }
                Some(ended) = streams.join_next() => {
                    if let Ok(Err(error)) = ended {
                        let _ = writeln!(std::io::stderr(), "Error: {error:#}");
                    }
                }
            }
        }
    }
}

/// Listens, says where, and forwards until somebody ends it.
pub(crate) async fn run(args: &Relay, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let forward = args.open().await?;
    let (address, port) = (forward.address()?, forward.port);
    writeln!(
        out,
        "{address} leads to port {port} of {RELAY}; end with Ctrl-C"
    )?;
    out.flush()?;
    forward.serve().await
}

/// Each connection looks for a relay anew: the one before may have been restarted.
async fn one(cluster: &Cluster, mut local: TcpStream, port: u16) -> anyhow::Result<()> {
    let pod = relay(cluster).await?;
    let mut remote = cluster
        .client
        .port_forward(&pod.namespace, &pod.name, port)
        .await?;
    // Either end may hang up as it likes.
    let _ = copy_bidirectional(&mut local, &mut remote).await;
    Ok(())
}

async fn relay(cluster: &Cluster) -> anyhow::Result<Pod> {
    let pods = cluster
        .pods(&cluster.namespace, "k8s-app=hubble-relay")
        .await?;
    anyhow::ensure!(
        !pods.is_empty(),
        "there is no {RELAY} in {}; `axoneme upgrade --set hubble.relay.enabled=true` installs it",
        cluster.namespace
    );
    let ready = pods.into_iter().find(|pod| pod.ready && !pod.deleting);
    ready.with_context(|| format!("no pod of {RELAY} is ready"))
}

/// The port of its pods, which its service names.
async fn target(cluster: &Cluster) -> anyhow::Result<u16> {
    let relay = relay(cluster).await?;
    let path = format!("/api/v1/namespaces/{}/services/{RELAY}", cluster.namespace);
    let service = cluster.find(&path).await?;
    let service = service.with_context(|| format!("there is no service {RELAY}"))?;
    let path = format!("/api/v1/namespaces/{}/pods/{}", relay.namespace, relay.name);
    let pod = cluster.find(&path).await?.unwrap_or_default();
    let port = target_port(&service, &pod);
    port.with_context(|| format!("the service {RELAY} has no port that its pods have"))
}

/// A target port is a number, the name of a container's port, or that of the service itself.
pub(super) fn target_port(service: &Value, pod: &Value) -> Option<u16> {
    let port = list(service, "/spec/ports").first()?;
    let found = match port.get("targetPort") {
        Some(Value::String(name)) => {
            let containers = list(pod, "/spec/containers").iter();
            let mut ports = containers.flat_map(|container| list(container, "/ports"));
            let named = ports.find(|of| text(of, "/name") == name)?;
            number(named, "/containerPort")
        }
        Some(Value::Number(number)) => number.as_i64()?,
        _ => number(port, "/port"),
    };
    u16::try_from(found).ok().filter(|port| *port > 0)
}
