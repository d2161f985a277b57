//! The objects of a lab: what is created in its namespace before anything is tried.

use serde_json::{Value, json};

use super::lab::{PORT, Role};
use super::policies::MARK;

/// A workload of one pod, and on which node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) role: Role,
    /// On the first node, or on the second.
    pub(super) other_node: bool,
    /// A further label that policies select by: its key is `other`.
    pub(super) other: &'static str,
}

const fn workload(
    name: &'static str,
    role: Role,
    other_node: bool,
    other: &'static str,
) -> Workload {
    Workload {
        name,
        role,
        other_node,
        other,
    }
}

/// All workloads but those of the nodes.
pub(super) const WORKLOADS: [Workload; 5] = [
    workload("client", Role::Client, false, "none"),
    workload("client2", Role::Client, false, "client"),
    workload("client3", Role::Client, true, "none"),
    workload("echo-same-node", Role::Echo, false, "echo"),
    workload("echo-other-node", Role::Echo, true, "none"),
];

/// The DaemonSet in the nodes' own namespaces.
pub(super) const HOSTS: &str = "host-netns";

/// Images, and where pods go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) namespace: String,
    /// Has `curl`, and better `ping` as well.
    pub(super) client_image: String,
    /// Its entry point serves HTTP with `netexec`, and has `curl`.
    pub(super) echo_image: String,
    pub(super) pull: String,
    /// The first node, and the second if there is one.
    pub(super) nodes: Vec<String>,
}

impl Plan {
    /// The workloads that there are nodes for.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &'static Workload> {
        let alone = self.nodes.len() < 2;
        WORKLOADS.iter().filter(move |of| !(of.other_node && alone))
    }

    fn node_of(&self, workload: &Workload) -> &str {
        let index = usize::from(workload.other_node);
        self.nodes
            .get(index)
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// Collections below the API server's root with their objects, in the order of creation.
    pub(super) fn objects(&self) -> Vec<(String, Value)> {
        let namespace = &self.namespace;
        let core = format!("/api/v1/namespaces/{namespace}");
        let apps = format!("/apis/apps/v1/namespaces/{namespace}");
        let mut all = Vec::new();
        for workload in self.workloads() {
            all.push((format!("{core}/serviceaccounts"), self.account(workload)));
            if workload.role == Role::Echo {
                all.push((format!("{core}/services"), self.service(workload)));
            }
            all.push((format!("{apps}/deployments"), self.deployment(workload)));
        }
        all.push((format!("{apps}/daemonsets"), self.hosts()));
        all
    }

    /// The namespace itself.
    pub(super) fn namespace_object(&self) -> Value {
        // Host networking asks for the privileged level where Pod Security is enforced.
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.namespace,
            "labels": { MARK.0: MARK.1, "pod-security.kubernetes.io/enforce": "privileged" } } })
    }

    fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "namespace": self.namespace, "labels": { MARK.0: MARK.1, "name": name } })
    }

    fn account(&self, workload: &Workload) -> Value {
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": self.metadata(workload.name) })
    }

    fn service(&self, workload: &Workload) -> Value {
        let port = json!({ "name": "http", "port": PORT, "protocol": "TCP", "targetPort": PORT });
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(workload.name), "spec": {
            "type": "NodePort", "selector": { "name": workload.name }, "ipFamilyPolicy": "PreferDualStack", "ports": [port] } })
    }

    fn deployment(&self, workload: &Workload) -> Value {
        let kind = if workload.role == Role::Echo {
            "echo"
        } else {
            "client"
        };
        let labels = json!({ "name": workload.name, "kind": kind, "other": workload.other });
        let image = if workload.role == Role::Echo {
            &self.echo_image
        } else {
            &self.client_image
        };
        let mut pod = self.pod(image, PORT);
        let affinity = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [
                { "key": "metadata.name", "operator": "In", "values": [self.node_of(workload)] }] }] } } });
        if let Some(pod) = pod.as_object_mut() {
            pod.insert("serviceAccountName".to_owned(), json!(workload.name));
            pod.insert("affinity".to_owned(), affinity);
        }
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata(workload.name), "spec": {
            "replicas": 1, "selector": { "matchLabels": { "name": workload.name } },
            "template": { "metadata": { "labels": labels }, "spec": pod } } })
    }

    fn hosts(&self) -> Value {
        // Nothing is asked of it, so it needs no port: that one may be taken on the node.
        let mut pod = self.pod(&self.client_image, 0);
        if let Some(pod) = pod.as_object_mut() {
            pod.insert("hostNetwork".to_owned(), json!(true));
            pod.insert("dnsPolicy".to_owned(), json!("ClusterFirstWithHostNet"));
            pod.insert("tolerations".to_owned(), json!([{ "operator": "Exists" }]));
        }
        let labels = json!({ "name": HOSTS, "kind": HOSTS });
        json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": self.metadata(HOSTS), "spec": {
            "selector": { "matchLabels": { "name": HOSTS } },
            "template": { "metadata": { "labels": labels }, "spec": pod } } })
    }

    /// Every pod serves, clients as well: they call each other. Port 0 is a pod that does nothing.
    fn pod(&self, image: &str, port: u16) -> Value {
        let mut container = json!({ "name": "main", "image": image, "imagePullPolicy": self.pull });
        let more = if port == 0 {
            json!({ "args": ["pause"] })
        } else {
            let probe = json!({ "httpGet": { "path": "/", "port": port }, "periodSeconds": 2, "timeoutSeconds": 5 });
            json!({ "args": ["netexec", format!("--http-port={port}"), "--udp-port=-1"],
                "ports": [{ "name": "http", "containerPort": port }], "readinessProbe": probe })
        };
        if let (Some(container), Value::Object(more)) = (container.as_object_mut(), more) {
            container.extend(more);
        }
        json!({ "containers": [container], "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false, "enableServiceLinks": false })
    }
}
