//! Upstream's tests that are not there, and why.

const L7: &str = "there is no L7 proxy in this version";
const DNS: &str = "there is no DNS proxy in this version";
const ENCRYPTION: &str = "traffic between nodes is not encrypted in this version";
const OUTSIDE: &str = "it needs a node without an agent from which to call";
const CONTROL_PLANE: &str = "it needs a control plane whose nodes run agents";
const HOST_FIREWALL: &str = "there is no host firewall in this version";
const EGRESS_GATEWAY: &str = "there is no egress gateway in this version";
const REDIRECT: &str = "there are no local redirect policies in this version";
const INGRESS: &str = "there is no Ingress in this version";
const AUTHENTICATION: &str = "there is no mutual authentication in this version";
const MESH: &str = "there is no cluster mesh in this version";
const BGP: &str = "there is no BGP in this version";

/// Name and reason.
pub(in crate::connectivity) const ABSENT: &[(&str, &str)] = &[
    (
        "allow-all-with-metrics-check",
        "the agent's metrics are not read by these tests yet",
    ),
    ("all-ingress-deny-from-outside", OUTSIDE),
    ("bgp-control-plane-v1", BGP),
    ("bgp-control-plane-v2", BGP),
    ("client-egress-l7", L7),
    ("client-egress-l7-method", L7),
    ("client-egress-l7-named-port", L7),
    ("client-egress-l7-set-header", L7),
    ("client-egress-l7-tls-headers", L7),
    ("client-egress-tls-sni", L7),
    ("cluster-mesh-endpointslice-sync", MESH),
    ("dns-only", DNS),
    ("echo-ingress-auth-always-fail", AUTHENTICATION),
    ("echo-ingress-from-outside", OUTSIDE),
    ("echo-ingress-l7", L7),
    ("echo-ingress-l7-named-port", L7),
    ("echo-ingress-l7-via-hostport", L7),
    ("echo-ingress-mutual-auth-spiffe", AUTHENTICATION),
    ("egress-gateway", EGRESS_GATEWAY),
    ("egress-gateway-excluded-cidrs", EGRESS_GATEWAY),
    ("egress-gateway-with-l7-policy", EGRESS_GATEWAY),
    ("from-cidr-host-netns", OUTSIDE),
    ("host-firewall-egress", HOST_FIREWALL),
    ("host-firewall-ingress", HOST_FIREWALL),
    ("l7-lb", L7),
    ("local-redirect-policy", REDIRECT),
    ("local-redirect-policy-with-node-dns", REDIRECT),
    ("multicast", "there is no multicast in this version"),
    (
        "network-bandwidth-limit",
        "there is no bandwidth manager in this version",
    ),
    (
        "no-interrupted-connections",
        "it needs an upgrade between two halves of a run",
    ),
    ("no-ipsec-xfrm-errors", ENCRYPTION),
    ("no-policies-from-outside", OUTSIDE),
    ("node-to-node-encryption", ENCRYPTION),
    ("north-south-loadbalancing", OUTSIDE),
    ("north-south-loadbalancing-with-l7-policy", L7),
    ("outside-to-ingress-service", INGRESS),
    ("outside-to-ingress-service-deny-world-identity", INGRESS),
    ("pod-to-controlplane-host", CONTROL_PLANE),
    ("pod-to-controlplane-host-cidr", CONTROL_PLANE),
    ("pod-to-ingress-service", INGRESS),
    ("pod-to-ingress-service-allow-ingress-identity", INGRESS),
    ("pod-to-ingress-service-deny-all", INGRESS),
    ("pod-to-k8s-on-controlplane", CONTROL_PLANE),
    ("pod-to-k8s-on-controlplane-cidr", CONTROL_PLANE),
    ("pod-to-pod-encryption", ENCRYPTION),
    ("pod-to-pod-encryption-v2", ENCRYPTION),
    (
        "pod-to-pod-no-frag",
        "the ping of small images cannot forbid fragments",
    ),
    ("policy-local-cluster-egress", MESH),
    ("strict-mode-encryption", ENCRYPTION),
    ("to-fqdns", DNS),
    ("to-fqdns-with-proxy", DNS),
];
