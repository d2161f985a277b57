//! Cells that take more than a path.

use serde_json::Value;

use super::path;

/// The cell under `heading`; `<none>` where there is nothing to say.
pub(super) fn cell(resource: &str, heading: &str, object: &Value) -> String {
    let text = match (resource, heading) {
        ("pods", "Ready") => Some(pod_ready(object)),
        ("pods", "Status") => pod_status(object),
        ("pods", "Restarts") => Some(pod_restarts(object)),
        ("pods", "IP") => first(object, ".status.podIP"),
        ("pods", "Node") => first(object, ".spec.nodeName"),
        ("namespaces", "Status") => first(object, ".status.phase"),
        ("nodes", "Status") => Some(node_status(object)),
        ("nodes", "Roles") => node_roles(object),
        ("nodes", "Version") => first(object, ".status.nodeInfo.kubeletVersion"),
        ("nodes", "Internal-IP") => {
            first(object, ".status.addresses[?(@.type=='InternalIP')].address")
        }
        ("services", "Type") => {
            Some(first(object, ".spec.type").unwrap_or_else(|| "ClusterIP".to_owned()))
        }
        ("services", "Cluster-IP") => first(object, ".spec.clusterIP"),
        ("services", "External-IP") => external(object),
        ("services", "Port(s)") => Some(service_ports(object)),
        ("services", "Selector") => labels(object.pointer("/spec/selector")),
        ("configmaps" | "secrets", "Data") => Some(entries(object).to_string()),
        ("secrets", "Type") => first(object, ".type"),
        (_, "AddressType") => first(object, ".addressType"),
        (_, "Ports") => joined(&path::values(object, ".ports[*].port"), 3),
        (_, "Endpoints") => joined(&path::values(object, ".endpoints[*].addresses[0]"), 3),
        (_, "Pod-Selector") => labels(object.pointer("/spec/podSelector/matchLabels")),
        _ => None,
    };
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "<none>".to_owned())
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn first(object: &Value, path: &str) -> Option<String> {
    path::values(object, path).first().map(|value| plain(value))
}

fn joined(values: &[&Value], most: usize) -> Option<String> {
    let shown: Vec<String> = values.iter().take(most).map(|value| plain(value)).collect();
    let rest = values.len().saturating_sub(most);
    let more = if rest > 0 {
        format!(" + {rest} more...")
    } else {
        String::new()
    };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(",")))
}

fn labels(map: Option<&Value>) -> Option<String> {
    let map = map.and_then(Value::as_object)?;
    Some(
        map.iter()
            .map(|(key, value)| format!("{key}={}", plain(value)))
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn entries(object: &Value) -> usize {
    let count = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_object)
            .map_or(0, serde_json::Map::len)
    };
    count("data") + count("binaryData")
}

fn pod_ready(pod: &Value) -> String {
    let all = path::values(pod, ".spec.containers[*]").len();
    let reported = path::values(pod, ".status.containerStatuses[*].ready");
    let ready = if reported.is_empty() && is_true(pod, "Ready") {
        all
    } else {
        reported
            .iter()
            .filter(|ready| ready.as_bool() == Some(true))
            .count()
    };
    format!("{ready}/{all}")
}

fn is_true(object: &Value, condition: &str) -> bool {
    let path = format!(".status.conditions[?(@.type=='{condition}')].status");
    first(object, &path).as_deref() == Some("True")
}

fn pod_status(pod: &Value) -> Option<String> {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Some("Terminating".to_owned());
    }
    let waiting = first(pod, ".status.containerStatuses[*].state.waiting.reason");
    waiting.or_else(|| first(pod, ".status.phase"))
}

fn pod_restarts(pod: &Value) -> String {
    let counts = path::values(pod, ".status.containerStatuses[*].restartCount");
    counts
        .iter()
        .filter_map(|count| count.as_u64())
        .sum::<u64>()
        .to_string()
}

fn node_status(node: &Value) -> String {
    if is_true(node, "Ready") {
        "Ready"
    } else {
        "NotReady"
    }
    .to_owned()
}

fn node_roles(node: &Value) -> Option<String> {
    let labels = node
        .pointer("/metadata/labels")
        .and_then(Value::as_object)?;
    let roles = labels
        .keys()
        .filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"));
    Some(roles.collect::<Vec<_>>().join(","))
}

fn external(service: &Value) -> Option<String> {
    let mut values = path::values(service, ".status.loadBalancer.ingress[*].ip");
    values.extend(path::values(
        service,
        ".status.loadBalancer.ingress[*].hostname",
    ));
    values.extend(path::values(service, ".spec.externalIPs[*]"));
    values.extend(path::values(service, ".spec.externalName"));
    let pending = first(service, ".spec.type").as_deref() == Some("LoadBalancer");
    joined(&values, 3).or_else(|| pending.then(|| "<pending>".to_owned()))
}

fn service_ports(service: &Value) -> String {
    let port = |port: &&Value| {
        let number = |field: &str| port.get(field).and_then(Value::as_u64).unwrap_or(0);
        let protocol = port
            .get("protocol")
            .and_then(Value::as_str)
            .unwrap_or("TCP");
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            node => format!("{}:{node}/{protocol}", number("port")),
        }
    };
    path::values(service, ".spec.ports[*]")
        .iter()
        .map(port)
        .collect::<Vec<_>>()
        .join(",")
}
