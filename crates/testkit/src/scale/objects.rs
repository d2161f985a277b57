//! Objects of a large cluster, as large as real ones: nodes with what a kubelet and an agent write, pods, endpoints, identities.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// Namespaces of pods.
pub(super) const NAMESPACES: usize = 50;
/// Values of the label `team`; pods of a team are in all namespaces.
pub(super) const TEAMS: usize = 20;
/// Values of the label `tier`.
pub(super) const TIERS: usize = 4;
/// Agents begin to look for a number at a place that the labels decide, and pass over those that are taken.
const FIRST_IDENTITY: usize = 1000;
/// As many as a kubelet tells of.
const IMAGES: usize = 50;

/// Labels of pods that are the same in all but the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind(pub usize);

impl Kind {
    pub(super) fn namespace(self) -> String {
        format!("ns{}", self.0 % NAMESPACES)
    }

    /// Labels of the pod.
    pub(super) fn labels(self) -> Vec<(String, String)> {
        let turn = self.0 / NAMESPACES;
        [
            ("app", format!("app{}", self.0)),
            ("team", format!("team{}", turn % TEAMS)),
            ("tier", format!("tier{}", turn / TEAMS % TIERS)),
            ("release", "stable".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Number of the identity, if nothing else has given one to these labels.
    pub(super) fn identity(self) -> usize {
        FIRST_IDENTITY + self.0
    }

    /// Labels of the identity, as agents derive them.
    fn security_labels(self) -> Value {
        let namespace = self.namespace();
        let mut all: serde_json::Map<String, Value> = self
            .labels()
            .into_iter()
            .map(|(key, value)| (format!("k8s:{key}"), value.into()))
            .collect();
        let of_namespace = "k8s:io.cilium.k8s.namespace.labels";
        for (key, value) in namespace_labels(&namespace) {
            all.insert(format!("{of_namespace}.{key}"), value.into());
        }
        for (key, value) in [
            ("k8s:io.kubernetes.pod.namespace", namespace.as_str()),
            ("k8s:io.cilium.k8s.policy.cluster", "default"),
            ("k8s:io.cilium.k8s.policy.serviceaccount", "default"),
        ] {
            all.insert(key.to_owned(), value.into());
        }
        all.into()
    }

    /// The CiliumIdentity.
    pub(super) fn identity_object(self) -> Value {
        json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumIdentity",
            "metadata": {
                "name": self.identity().to_string(),
                "labels": { "io.kubernetes.pod.namespace": self.namespace() },
            },
            "security-labels": self.security_labels(),
        })
    }
}

fn namespace_labels(name: &str) -> [(&'static str, String); 2] {
    let number: usize = name.trim_start_matches("ns").parse().unwrap_or_default();
    let environment = if number.is_multiple_of(2) {
        "production"
    } else {
        "staging"
    };
    [
        ("environment", environment.to_owned()),
        ("kubernetes.io/metadata.name", name.to_owned()),
    ]
}

/// A namespace.
pub(super) fn namespace(name: &str) -> Value {
    let labels: serde_json::Map<String, Value> = namespace_labels(name)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}

/// A node that is not here.
#[derive(Clone, Debug)]
pub(super) struct Simulated {
    pub number: usize,
    /// Where its pods' addresses come from, once the operator has given it.
    pub range: Option<Ipv4Addr>,
}

impl Simulated {
    pub(super) fn name(&self) -> String {
        format!("sim{:04}", self.number)
    }

    /// Nobody has it: the underlay of those that are here is another one.
    pub(super) fn address(&self) -> Ipv4Addr {
        let number = self.number as u32;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 31, 0, 0)) + 256 + number)
    }

    /// What its kubelet and its agent write when they start: the agent's own pod is ready, and the taint is the operator's to take.
    pub(super) fn objects(&self) -> [Value; 4] {
        let name = self.name();
        let meta = json!({ "name": name });
        let own = json!([{ "type": "InternalIP", "ip": self.address() }]);
        [
            self.node(),
            json!({
                "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": meta, "spec": { "addresses": own },
            }),
            agent_pod(&name, self.address()),
            self.lease(),
        ]
    }

    /// The heartbeat.
    pub(super) fn lease(&self) -> Value {
        let name = self.name();
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": "kube-node-lease" },
            "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now() },
        })
    }

    fn node(&self) -> Value {
        let name = self.name();
        let images: Vec<Value> = (0..IMAGES)
            .map(|image| {
                let repository = format!("registry.example/product/component-{image}");
                let digest = format!("{repository}@sha256:{image:064x}");
                json!({ "names": [digest, format!("{repository}:v1.2.{image}")], "sizeBytes": 31_000_000 + image })
            })
            .collect();
        let room = json!({
            "cpu": "16", "memory": "65536000Ki", "pods": "110", "ephemeral-storage": "203056560Ki",
        });
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": {
                "beta.kubernetes.io/arch": "amd64", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone{}", self.number % 3),
            } },
            "spec": { "taints": [{ "key": "node.cilium.io/agent-not-ready", "effect": "NoExecute" }] },
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": self.address() },
                    { "type": "Hostname", "address": name },
                ],
                "allocatable": room, "capacity": room, "conditions": conditions(), "images": images,
                "nodeInfo": { "architecture": "amd64", "kernelVersion": "6.12.0", "kubeletVersion": "v1.37.0",
                    "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12", "containerRuntimeVersion": "containerd://2.1.0" },
            },
        })
    }

    /// The way into its range, which an agent tells when it has one.
    pub(super) fn announcement(&self) -> Option<Value> {
        let router = Ipv4Addr::from(u32::from(self.range?) + 1);
        Some(json!({ "spec": { "addresses": [
            { "type": "InternalIP", "ip": self.address() },
            { "type": "CiliumInternalIP", "ip": router },
        ] } }))
    }
}

/// Conditions as a kubelet states them anew each few minutes.
fn conditions() -> Vec<Value> {
    let of = |kind: &str, status: &str, reason: &str| {
        json!({ "type": kind, "status": status, "reason": reason, "message": format!("kubelet: {reason}"),
            "lastHeartbeatTime": now(), "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    vec![
        of("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        of("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        of("PIDPressure", "False", "KubeletHasSufficientPID"),
        of("Ready", "True", "KubeletReady"),
    ]
}

/// The same with what the operator states of a node whose agent is ready.
pub(super) fn conditions_with_network() -> Vec<Value> {
    let mut all = conditions();
    all.push(json!({
        "type": "NetworkUnavailable", "status": "False", "reason": "CiliumIsUp",
        "message": "Cilium is running on this node", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }));
    all
}

/// The agent of a node, ready, as the operator looks for it.
pub(super) fn agent_pod(node: &str, address: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": format!("cilium-{node}"), "namespace": "kube-system", "labels": { "k8s-app": "cilium" } },
        "spec": { "nodeName": node, "hostNetwork": true, "containers": [{ "name": "cilium-agent", "image": "local" }] },
        "status": {
            "phase": "Running", "podIP": address, "hostIP": address,
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// A pod of a simulated node.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub name: String,
    pub kind: Kind,
    /// Address of its node.
    pub node: Ipv4Addr,
    pub node_name: String,
    pub address: Ipv4Addr,
}

impl Endpoint {
    /// The pod's object, with what controllers and the kubelet have written.
    pub(super) fn pod(&self) -> Value {
        let labels: serde_json::Map<String, Value> = self
            .kind
            .labels()
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        let stated = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": self.name, "namespace": self.kind.namespace(), "labels": labels },
            "spec": {
                "nodeName": self.node_name, "serviceAccountName": "default", "restartPolicy": "Always",
                "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
                "containers": [{
                    "name": "main", "image": "registry.example/product/component-1:v1.2.1",
                    "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
                    "env": [{ "name": "LOG_LEVEL", "value": "info" }, { "name": "LISTEN", "value": "0.0.0.0:8080" }],
                    "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
                    "volumeMounts": [{ "name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true }],
                }],
                "volumes": [{ "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } }],
            },
            "status": {
                "phase": "Running", "hostIP": self.node, "podIP": self.address, "podIPs": [{ "ip": self.address }],
                "conditions": [stated("Initialized"), stated("Ready"), stated("ContainersReady"), stated("PodScheduled")],
            },
        })
    }

    /// What its agent says of it.
    pub(super) fn announcement(&self) -> Value {
        let namespace = self.kind.namespace();
        json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint",
            "metadata": { "name": self.name, "namespace": namespace },
            "status": {
                "id": 1000, "state": "ready", "encryption": {}, "service-account": "default",
                "external-identifiers": {
                    "container-id": format!("{:064x}", u32::from(self.address)), "k8s-namespace": namespace,
                    "k8s-pod-name": self.name, "pod-name": format!("{namespace}/{}", self.name),
                },
                "identity": self.identity(),
                "named-ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
                "networking": { "node": self.node, "addressing": [{ "ipv4": self.address }] },
            },
        })
    }

    /// Its identity as the announcement has it.
    pub(super) fn identity(&self) -> Value {
        let labels = self.kind.security_labels();
        let labels = labels.as_object().into_iter().flatten();
        let texts: Vec<String> = labels
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        json!({ "id": self.kind.identity(), "labels": texts })
    }
}
