//! A thousand policies as clusters have them: by team, tier and namespace, with ports, prefixes, names of others' namespaces.

use serde_json::{Value, json};

use super::objects::{NAMESPACES, TEAMS, TIERS};

/// A policy and how often it was changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub number: usize,
    /// Another port with each.
    pub version: usize,
}

impl Policy {
    /// Which of its namespace's policies it is.
    fn turn(self) -> usize {
        self.number / NAMESPACES
    }

    fn team(self, further: usize) -> String {
        format!("team{}", (self.turn() + further) % TEAMS)
    }

    fn tier(self, further: usize) -> String {
        format!("tier{}", (self.turn() + further) % TIERS)
    }

    fn port(self) -> usize {
        8000 + (self.number + self.version) % 1000
    }

    /// The object.
    pub(super) fn object(self) -> Value {
        match self.turn() % 5 {
            0 => self.cilium(&self.of_teams()),
            1 => self.cilium(&self.of_another_namespace()),
            2 => self.cilium(&self.to_the_world()),
            3 => self.kubernetes(&self.of_an_environment()),
            _ => self.kubernetes(&self.to_prefixes()),
        }
    }

    fn name(self) -> Value {
        json!({ "name": format!("p{}", self.number), "namespace": format!("ns{}", self.number % NAMESPACES) })
    }

    fn cilium(self, spec: &Value) -> Value {
        json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": self.name(), "spec": spec })
    }

    fn kubernetes(self, spec: &Value) -> Value {
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": self.name(), "spec": spec })
    }

    fn of_teams(self) -> Value {
        json!({
            "endpointSelector": { "matchLabels": { "team": self.team(0) } },
            "ingress": [{
                "fromEndpoints": [{ "matchExpressions": [
                    { "key": "team", "operator": "In", "values": [self.team(1), self.team(2)] },
                    { "key": "tier", "operator": "NotIn", "values": [self.tier(0)] },
                ] }],
                "toPorts": [{ "ports": [{ "port": self.port().to_string(), "protocol": "TCP" }] }],
            }],
        })
    }

    fn of_another_namespace(self) -> Value {
        let other = format!("ns{}", (self.number + 7) % NAMESPACES);
        json!({
            "endpointSelector": { "matchLabels": { "tier": self.tier(0), "team": self.team(0) } },
            "ingress": [
                { "fromEndpoints": [{ "matchLabels": { "k8s:io.kubernetes.pod.namespace": other, "tier": self.tier(1) } }],
                  "toPorts": [{ "ports": [{ "port": self.port().to_string(), "protocol": "TCP" }] }] },
                { "fromEntities": ["host"] },
            ],
        })
    }

    fn to_the_world(self) -> Value {
        let prefix = format!("192.0.{}.0/24", self.number % 256);
        json!({
            "endpointSelector": { "matchLabels": { "tier": self.tier(0) } },
            "egress": [
                { "toEndpoints": [{ "matchLabels": { "k8s:io.kubernetes.pod.namespace": "kube-system", "k8s-app": "kube-dns" } }],
                  "toPorts": [{ "ports": [{ "port": "53", "protocol": "ANY" }] }] },
                { "toCIDRSet": [{ "cidr": prefix, "except": [format!("192.0.{}.16/28", self.number % 256)] }],
                  "toPorts": [{ "ports": [{ "port": self.port().to_string(), "endPort": self.port() + 15, "protocol": "TCP" }] }] },
                { "toEndpoints": [{}] },
            ],
        })
    }

    fn of_an_environment(self) -> Value {
        json!({
            "podSelector": { "matchLabels": { "team": self.team(0) } },
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [
                    { "namespaceSelector": { "matchLabels": { "environment": "production" } },
                      "podSelector": { "matchLabels": { "team": self.team(3) } } },
                    { "podSelector": {} },
                ],
                "ports": [{ "port": self.port(), "protocol": "TCP" }, { "port": "http", "protocol": "TCP" }],
            }],
        })
    }

    fn to_prefixes(self) -> Value {
        json!({
            "podSelector": { "matchExpressions": [{ "key": "tier", "operator": "In", "values": [self.tier(0), self.tier(2)] }] },
            "policyTypes": ["Egress"],
            "egress": [
                { "to": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": [format!("10.77.{}.0/24", self.number % 256)] } }],
                  "ports": [{ "port": self.port(), "protocol": "TCP" }] },
                { "to": [{ "namespaceSelector": {} }] },
            ],
        })
    }
}
