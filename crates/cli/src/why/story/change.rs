//! What to write into a policy, as YAML, and labels without those that say little.

use crate::why::proof::Reason;

/// Prefixes of labels that name what is told elsewhere, or that only machines read.
const NOISE: [&str; 2] = ["io.kubernetes.", "io.cilium."];

/// What would have to be allowed.
pub(super) struct Change<'a> {
    /// `leaving` or `arriving`.
    pub(super) direction: &'static str,
    /// Labels of the other party, `source:key=value,…`.
    pub(super) peer: &'a str,
    /// `80/TCP`.
    pub(super) port: &'a str,
}

/// Labels for people: of pods those that they gave, without their source; all of them if that leaves none.
pub(super) fn short(labels: &str) -> String {
    let kept: Vec<&str> = own(labels).collect();
    if kept.is_empty() {
        labels.to_owned()
    } else {
        kept.join(",")
    }
}

/// The labels that people gave a pod.
fn own(labels: &str) -> impl Iterator<Item = &str> {
    let of_pod = labels
        .split(',')
        .filter_map(|label| label.strip_prefix("k8s:"));
    of_pod.filter(|label| !NOISE.iter().any(|prefix| label.starts_with(prefix)))
}

impl Change<'_> {
    /// The rule to add to a Cilium policy. Nothing where a rule denies, or where the policies at fault are of another kind.
    pub(super) fn fragment(&self, reason: &Reason) -> Option<String> {
        let foreign = reason.change.contains(" NetworkPolicy ");
        if reason.verdict != "denied-by-default" || foreign {
            return None;
        }
        let (section, way) = match self.direction {
            "leaving" => ("egress", "to"),
            _ => ("ingress", "from"),
        };
        let peers = self.peers(way)?;
        let (number, protocol) = self.port.split_once('/')?;
        let ports = match protocol {
            "TCP" | "UDP" | "SCTP" => format!(
                "  toPorts:\n  - ports:\n    - port: \"{number}\"\n      protocol: {protocol}\n"
            ),
            _ => return None,
        };
        Some(format!("{section}:\n- {peers}{ports}"))
    }

    fn peers(&self, way: &str) -> Option<String> {
        if let Some(entity) = self.peer.strip_prefix("reserved:") {
            return Some(format!("{way}Entities: [{}]\n", entity.split(',').next()?));
        }
        let pairs = own(self.peer).filter_map(|label| label.split_once('='));
        let mut pairs: Vec<String> = pairs
            .map(|(key, value)| format!("      {key}: \"{value}\"\n"))
            .collect();
        let namespace = |label: &str| {
            let value = label.strip_prefix("k8s:io.kubernetes.pod.namespace=")?;
            Some(format!("      io.kubernetes.pod.namespace: \"{value}\"\n"))
        };
        // Without it the peers would be those of the policy's own namespace.
        pairs.extend(self.peer.split(',').find_map(namespace));
        (!pairs.is_empty())
            .then(|| format!("{way}Endpoints:\n  - matchLabels:\n{}", pairs.concat()))
    }
}

#[cfg(test)]
mod tests;
