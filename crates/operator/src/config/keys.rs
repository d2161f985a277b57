//! The keys: one table for flags, environment, files and documentation.

use daemon::settings::{Key, Keys, key};

/// The keys of the operator.
pub(super) const ALL: Keys = Keys {
    understood: KEYS,
    lacking: UNSUPPORTED,
    elsewhere: &[],
};

/// Every key that is understood.
#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("k8s-node-name", "", "Name of this node (default: K8S_NODE_NAME)"),
    key("k8s-namespace", "kube-system", "Namespace of the operator and of its lease"),
    key("k8s-api-server-urls", "", "URLs of the API server"),
    key("k8s-kubeconfig-path", "", "Kubeconfig of the operator"),
    key("operator-k8s-client-qps", "100", "Requests a second to the API server, on average"),
    key("operator-k8s-client-burst", "200", "Requests to the API server at once"),
    key("leader-election-lease-duration", "15s", "Others may lead so long after the leader's last renewal"),
    key("leader-election-renew-deadline", "10s", "A leader that cannot renew for so long ends"),
    key("leader-election-retry-period", "2s", "Pause between two renewals, or two tries to lead"),
    key("operator-api-serve-addr", "127.0.0.1:9234", "Where /healthz is served"),
    key("enable-metrics", "false", "Serve metrics"),
    key("operator-prometheus-serve-addr", ":9963", "Where metrics are served"),
    key("skip-crd-creation", "false", "Somebody else registers the CRDs"),
    key("enable-ipv4", "true", "Pods have IPv4 addresses"),
    key("enable-ipv6", "false", "Pods have IPv6 addresses"),
    key("ipam", "cluster-pool", "Where nodes' ranges come from: cluster-pool, multi-pool, or kubernetes (not from here)"),
    key("auto-create-cilium-pod-ip-pools", "", "With multi-pool, CiliumPodIPPools to create: NAME=ipv4-cidrs:CIDR,…;ipv4-mask-size:N;… with blanks between"),
    key("cluster-pool-ipv4-cidr", "10.0.0.0/8", "IPv4 prefixes that nodes' ranges are cut from"),
    key("cluster-pool-ipv4-mask-size", "24", "Length of a node's IPv4 prefix"),
    key("cluster-pool-ipv6-cidr", "fd00::/104", "IPv6 prefixes that nodes' ranges are cut from"),
    key("cluster-pool-ipv6-mask-size", "120", "Length of a node's IPv6 prefix"),
    key("identity-allocation-mode", "crd", "Where identities come from: crd, kvstore, or both: doublewrite-readkvstore, doublewrite-readcrd"),
    key("kvstore", "", "etcd: write its heartbeat and collect the identities there"),
    key("kvstore-opt", "", "etcd.address=URL or etcd.config=FILE, which names endpoints and certificates"),
    key("kvstore-lease-ttl", "15m", "Keys of a node outlive it for so long"),
    key("disable-endpoint-crd", "false", "Agents write no CiliumEndpoints, so that nobody knows which identities are in use"),
    key("identity-gc-interval", "15m", "Pause between two collections of identities, 0 for none"),
    key("identity-heartbeat-timeout", "30m", "An identity that is unused for so long is collected"),
    key("identity-gc-rate-interval", "1m", "Time in which at most identity-gc-rate-limit identities are collected"),
    key("identity-gc-rate-limit", "2500", "Identities collected in identity-gc-rate-interval, at most"),
    key("cilium-endpoint-gc-interval", "5m", "Pause between two collections of endpoints, 0 for one at the start"),
    key("nodes-gc-interval", "5m", "Pause between two collections of CiliumNodes, 0 for none"),
    key("enable-cilium-endpoint-slice", "false", "Agents learn of endpoints by CiliumEndpointSlices, which the operator makes of CiliumEndpoints"),
    key("ces-max-ciliumendpoints-per-ces", "100", "CiliumEndpoints in a slice, at most"),
    key("ces-rate-limits", r#"[{"nodes":0,"limit":10,"burst":20}]"#, "Writes of slices a second and at once, from so many nodes on"),
    key("unmanaged-pod-watcher-interval", "15s", "Pause between two looks for pods that no agent knows, 0 for none"),
    key("pod-restart-selector", "k8s-app=kube-dns", "Pods that are restarted when no agent knows them"),
    key("cilium-pod-namespace", "", "Namespace of the agents (default: k8s-namespace)"),
    key("cilium-pod-labels", "k8s-app=cilium", "Labels of the agents"),
    key("agent-not-ready-taint-key", "node.cilium.io/agent-not-ready", "Taint of nodes whose agent is not ready"),
    key("remove-cilium-node-taints", "true", "Remove the taint once the agent is ready"),
    key("set-cilium-node-taints", "false", "Set the taint while the agent is not ready"),
    key("set-cilium-is-up-condition", "true", "State that the network of nodes with a ready agent is there"),
    key("enable-policy-secrets-sync", "false", "Copy secrets that policies refer to into one namespace"),
    key("policy-secrets-namespace", "cilium-secrets", "That namespace"),
    key("log-format", "text", "Logs as text or json"),
    key("debug", "false", "Log more"),
];

/// Keys of the operator that upstream has and we do not: the values that are accepted, the first being the one to recommend.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("ipam", "cluster-pool|kubernetes|multi-pool"),
    ("identity-management-mode", "agent"),
    ("enable-ingress-controller", "false"),
    ("enable-gateway-api", "false"),
    ("enable-bgp-control-plane", "false"),
    ("enable-node-ipam", "false"),
    ("loadbalancer-l7", "disabled"),
    ("operator-prometheus-enable-tls", "false"),
    ("clustermesh-enable-mcs-api", "false"),
    ("clustermesh-enable-endpoint-sync", "false"),
    ("mesh-auth-enabled", "false"),
];
