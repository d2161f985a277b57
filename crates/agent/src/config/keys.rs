//! The keys: one table for flags, environment, files, `config` output and documentation.

use daemon::settings::{Key, Keys, key, shared};

/// The keys of the agent.
pub(super) const ALL: Keys = Keys {
    understood: KEYS,
    lacking: UNSUPPORTED,
    elsewhere: shared::OF_OPERATORS,
};

/// Every key that is understood.
const KEYS: &[Key] = &[
    key(
        "k8s-node-name",
        "",
        "Name of this node (default: K8S_NODE_NAME, then the host name)",
    ),
    key("cluster-name", "default", "Name of the cluster"),
    key("cluster-id", "0", "Number of the cluster, 0 to 255"),
    key("enable-ipv4", "true", "Pods have IPv4 addresses"),
    key("enable-ipv6", "false", "Pods have IPv6 addresses"),
    key(
        "routing-mode",
        "tunnel",
        "How pods of other nodes are reached: tunnel or native",
    ),
    key("tunnel-port", "0", "UDP port of the overlay, 0 for 8472"),
    key(
        "auto-direct-node-routes",
        "false",
        "With native routing: add routes to the pods of nodes on the same link",
    ),
    key(
        "enable-ipv4-masquerade",
        "true",
        "Pods use the node's IPv4 address towards the world",
    ),
    key(
        "enable-ipv6-masquerade",
        "true",
        "Pods use the node's IPv6 address towards the world",
    ),
    key(
        "ipv4-native-routing-cidr",
        "",
        "Destinations that see the pod's own IPv4 address",
    ),
    key(
        "ipv6-native-routing-cidr",
        "",
        "Destinations that see the pod's own IPv6 address",
    ),
    key(
        "enable-ip-masq-agent",
        "false",
        "Destinations listed in a file see the pod's own address too",
    ),
    key(
        "ip-masq-agent-config-path",
        "/etc/config/ip-masq-agent",
        "That file: JSON or YAML with nonMasqueradeCIDRs, masqLinkLocal, masqLinkLocalIPv6, resyncInterval",
    ),
    key(
        "devices",
        "",
        "Interfaces towards other nodes (default: found by the node's address)",
    ),
    key("mtu", "0", "MTU of the underlay, 0 to detect"),
    key(
        "procfs",
        "/proc",
        "Where the node's proc file system is mounted, writable",
    ),
    key(
        "bpf-root",
        "/sys/fs/bpf",
        "Where the eBPF file system is mounted",
    ),
    key(
        "cgroup-root",
        "/run/cilium/cgroupv2",
        "The node's cgroup (v2)",
    ),
    key(
        "bpf-ct-global-tcp-max",
        "131072",
        "Capacity of the table of answered connections",
    ),
    key(
        "bpf-ct-timeout-regular-tcp",
        "2h13m20s",
        "Life of an idle TCP connection after its first answer",
    ),
    key(
        "bpf-ct-timeout-regular-tcp-syn",
        "1m",
        "Life of a TCP connection without an answer",
    ),
    key(
        "bpf-ct-timeout-regular-tcp-fin",
        "10s",
        "Life of a TCP connection that both ends or one reset closed",
    ),
    key(
        "bpf-ct-timeout-regular-any",
        "1m",
        "Life of an idle connection of any other protocol",
    ),
    key(
        "ipam",
        "kubernetes",
        "Where the node's pod CIDRs come from: kubernetes (its Node), cluster-pool (the operator) or multi-pool (the operator, as they are needed)",
    ),
    key(
        "ipam-default-ip-pool",
        "default",
        "With multi-pool: the pool of pods for which no other is chosen",
    ),
    key(
        "ipam-multi-pool-pre-allocation",
        "",
        "With multi-pool: addresses kept ahead, as NAME=NUMBER,… (default: 8 of the default pool)",
    ),
    key("kube-proxy-replacement", "true", "Translate services"),
    key("bpf-lb-sock", "true", "Translate services at the socket"),
    key("node-port-range", "30000,32767", "First and last NodePort"),
    key(
        "bpf-lb-algorithm",
        "random",
        "How backends are chosen: random (maglev does not exist yet)",
    ),
    key(
        "service-no-backend-response",
        "reject",
        "A service without backends: reject or drop",
    ),
    key(
        "enable-policy",
        "default",
        "Whose policy is enforced: default, always or never",
    ),
    key("policy-audit-mode", "false", "Report instead of deny"),
    key(
        "enable-k8s-networkpolicy",
        "true",
        "Read NetworkPolicy objects",
    ),
    key(
        "allow-localhost",
        "auto",
        "The node reaches its own pods: auto, always or policy",
    ),
    key(
        "policy-cidr-match-mode",
        "",
        "nodes: CIDR selectors match nodes too",
    ),
    key(
        "labels",
        "",
        "Which labels make an identity, as a list of patterns",
    ),
    key(
        "enable-identity-by-need",
        "false",
        "Of these labels only those that some policy looks at make an identity",
    ),
    key(
        "identity-change-grace-period",
        "5s",
        "With identities by need: what one node announced all others know after so long",
    ),
    key("enable-hubble", "true", "Serve flows"),
    key(
        "hubble-capture",
        "true",
        "Sample the payload of connections, and tell of their requests and questions",
    ),
    key(
        "hubble-socket-path",
        "/var/run/cilium/hubble.sock",
        "Unix socket of the flow server",
    ),
    key(
        "hubble-listen-address",
        "",
        "TCP address of the flow server",
    ),
    key(
        "hubble-disable-tls",
        "false",
        "Serve flows over TCP without TLS",
    ),
    key("hubble-tls-cert-file", "", "Certificate of the flow server"),
    key("hubble-tls-key-file", "", "Key of the flow server"),
    key(
        "hubble-tls-client-ca-files",
        "",
        "Authorities whose clients may read flows",
    ),
    key(
        "hubble-event-buffer-capacity",
        "4095",
        "Flows kept in memory, one less than a power of two",
    ),
    key(
        "hubble-data-dir",
        "",
        "Directory on a disk for counts and records of flows; without one counts are kept in state-dir, and no records",
    ),
    key(
        "hubble-records-max-size-mb",
        "2048",
        "Size of all records kept in hubble-data-dir, in MiB, the oldest go first; 0 for none",
    ),
    key(
        "hubble-prefer-ipv6",
        "false",
        "Name the IPv6 addresses of nodes to those who ask for peers",
    ),
    key(
        "hubble-metrics-server",
        "",
        "Where metrics of flows are served, empty for nowhere",
    ),
    key(
        "hubble-metrics",
        "",
        "Metrics of flows, with spaces between: NAME[:OPTION[;OPTION…]]",
    ),
    key(
        "hubble-dynamic-metrics-config-path",
        "",
        "File of metrics of flows that may change while the agent runs, in place of hubble-metrics",
    ),
    key(
        "enable-hubble-open-metrics",
        "false",
        "Metrics of flows also in the format of OpenMetrics, which shows exemplars",
    ),
    key(
        "hubble-metrics-server-enable-tls",
        "false",
        "Serve metrics of flows over TLS",
    ),
    key(
        "hubble-metrics-server-tls-cert-file",
        "",
        "Certificate of the server of flow metrics",
    ),
    key(
        "hubble-metrics-server-tls-key-file",
        "",
        "Key of the server of flow metrics",
    ),
    key(
        "hubble-metrics-server-tls-client-ca-files",
        "",
        "Authorities whose clients may read metrics of flows",
    ),
    key(
        "hubble-export-file-path",
        "",
        "File that flows are written to as JSON, or stdout",
    ),
    key(
        "hubble-export-file-max-size-mb",
        "10",
        "Size at which this file is put aside, MB",
    ),
    key(
        "hubble-export-file-max-backups",
        "5",
        "How many files put aside are kept",
    ),
    key(
        "hubble-export-file-compress",
        "false",
        "Compress files that were put aside",
    ),
    key(
        "hubble-export-allowlist",
        "",
        "Write only flows that one of these filters selects, JSON",
    ),
    key(
        "hubble-export-denylist",
        "",
        "Write no flows that one of these filters selects, JSON",
    ),
    key(
        "hubble-export-fieldmask",
        "",
        "Write only these fields of flows",
    ),
    key(
        "hubble-export-fieldaggregate",
        "",
        "Write flows that are alike in these fields as one, with their number",
    ),
    key(
        "hubble-export-aggregation-interval",
        "0s",
        "How often they are written, 0s for no aggregation",
    ),
    key(
        "hubble-flowlogs-config-path",
        "",
        "File of exporters that may change while the agent runs",
    ),
    key("k8s-api-server-urls", "", "URLs of the API server"),
    key("k8s-kubeconfig-path", "", "Kubeconfig of the agent"),
    key(
        "enable-cilium-endpoint-slice",
        "false",
        "Learn of endpoints of all nodes by CiliumEndpointSlices, which the operator makes of CiliumEndpoints",
    ),
    key(
        "identity-allocation-mode",
        "crd",
        "Where identities come from: crd, kvstore, or both while moving: doublewrite-readkvstore, doublewrite-readcrd",
    ),
    key(
        "kvstore",
        "",
        "etcd: keep identities, nodes and addresses there",
    ),
    key(
        "kvstore-opt",
        "",
        "etcd.address=URL or etcd.config=FILE, which names endpoints and certificates",
    ),
    key(
        "kvstore-lease-ttl",
        "15m",
        "Keys of a node outlive it for so long",
    ),
    key(
        "crd-wait-timeout",
        "5m",
        "How long to wait for resource definitions",
    ),
    key(
        "socket-path",
        "/var/run/cilium/cilium.sock",
        "Unix socket of the REST API",
    ),
    key(
        "socket-group",
        "",
        "Group that may use the sockets besides root",
    ),
    key(
        "state-dir",
        "/var/run/cilium",
        "State that survives the agent",
    ),
    key(
        "agent-health-port",
        "9879",
        "Port of /healthz on loopback, 0 for none",
    ),
    key(
        "enable-health-checking",
        "true",
        "Probe other nodes, and answer their probes",
    ),
    key(
        "enable-endpoint-health-checking",
        "true",
        "Have an endpoint that other nodes probe as they would a pod",
    ),
    key(
        "cluster-health-port",
        "4240",
        "TCP port of the answers, on the node and in its health endpoint",
    ),
    key(
        "health-check-icmp-failure-threshold",
        "3",
        "ICMP requests without an answer after which a path is broken",
    ),
    key(
        "prometheus-serve-addr",
        "",
        "Where metrics are served, empty for nowhere",
    ),
    key(
        "metrics",
        "",
        "Metrics that are switched off, as -NAME; +NAME is taken for upstream's sake",
    ),
    key(
        "write-cni-conf-when-ready",
        "",
        "Where to write the CNI configuration when ready",
    ),
    key(
        "custom-cni-conf",
        "false",
        "Somebody else writes the CNI configuration",
    ),
    key(
        "cni-exclusive",
        "false",
        "Set CNI configurations of others aside, as *.cilium_bak",
    ),
    key("cni-log-file", "", "Where the CNI plugin logs"),
    key(
        "cni-uninstall",
        "false",
        "The CNI configuration goes with the agent (see axoneme node remove-conf)",
    ),
    key(
        "config-sources",
        "",
        "Objects that the settings came from, as build-config writes it; empty: nothing is compared",
    ),
    key(
        "config-sources-overrides",
        "",
        "Which settings a later one of these might override, as build-config writes it",
    ),
    key("enable-dynamic-config", "true", "Watch these objects"),
    key(
        "enable-drift-checker",
        "true",
        "Show which settings differ from what the agent runs with",
    ),
    key("ignore-flags-drift-checker", "", "Settings that may differ"),
    key("log-format", "text", "Logs as text or json"),
    key("debug", "false", "Log more"),
];

/// Keys that upstream has and we do not: the values that are accepted, the first being the one to recommend.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("datapath-mode", "veth"),
    ("tunnel-protocol", "vxlan"),
    ("underlay-protocol", "ipv4"),
    ("ipam", "kubernetes|cluster-pool|multi-pool"),
    ("identity-management-mode", "agent"),
    ("enable-endpoint-routes", "false"),
    ("enable-wireguard", "false"),
    ("enable-ipsec", "false"),
    ("encrypt-node", "false"),
    ("enable-encryption-strict-mode-egress", "false"),
    ("enable-host-firewall", "false"),
    ("enable-node-selector-labels", "false"),
    ("enable-egress-gateway", "false"),
    ("enable-l2-announcements", "false"),
    ("enable-bgp-control-plane", "false"),
    ("enable-gateway-api", "false"),
    ("enable-ingress-controller", "false"),
    ("enable-envoy-config", "false"),
    ("enable-local-redirect-policy", "false"),
    ("enable-bandwidth-manager", "false"),
    ("enable-bbr", "false"),
    ("enable-ipv4-big-tcp", "false"),
    ("enable-ipv6-big-tcp", "false"),
    ("enable-xdp-prefilter", "false"),
    ("enable-sctp", "false"),
    ("enable-srv6", "false"),
    ("enable-vtep", "false"),
    ("enable-nat46x64-gateway", "false"),
    ("enable-well-known-identities", "false"),
    ("enable-service-topology", "false"),
    ("multicast-enabled", "false"),
    ("mesh-auth-enabled", "false"),
    ("bpf-lb-mode", "snat"),
    ("bpf-lb-algorithm", "random"),
    ("bpf-lb-acceleration", "disabled"),
    ("bpf-lb-external-clusterip", "false"),
    ("bpf-lb-sock-hostns-only", "false"),
    ("policy-deny-response", "none"),
    ("static-cnp-path", "none"),
    ("vlan-bpf-bypass", "none"),
    ("cni-chaining-mode", "none"),
];
