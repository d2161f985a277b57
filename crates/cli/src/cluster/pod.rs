//! Pods as this family needs them: where they are, what runs in them, and why they are not ready.

use std::net::IpAddr;

use serde_json::Value;

/// A text at a path of an object; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number at a path of an object; 0 if there is none, as the API server leaves those out.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// Elements of a list at a path of an object.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) restarts: i64,
    /// Runs at present, or did when the node was heard last.
    pub(crate) running: bool,
    /// Why it waits or how it ended.
    pub(crate) trouble: String,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) node: String,
    /// Its label `name`.
    pub(crate) label: String,
    pub(crate) phase: String,
    pub(crate) host_network: bool,
    pub(crate) deleting: bool,
    pub(crate) ready: bool,
    /// Addresses, at most one per family.
    pub(crate) addresses: Vec<IpAddr>,
    /// Init containers first.
    pub(crate) containers: Vec<Container>,
    /// Why it cannot be scheduled.
    pub(crate) unschedulable: String,
}

impl Pod {
    /// Reads an object.
    pub(crate) fn of(object: &Value) -> Self {
        let condition = |name: &str| {
            let mut all = list(object, "/status/conditions").iter();
            all.find(|of| text(of, "/type") == name)
        };
        let scheduled = condition("PodScheduled").filter(|of| text(of, "/status") == "False");
        Self {
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            node: text(object, "/spec/nodeName").to_owned(),
            label: text(object, "/metadata/labels/name").to_owned(),
            phase: text(object, "/status/phase").to_owned(),
            host_network: object.pointer("/spec/hostNetwork") == Some(&Value::Bool(true)),
            deleting: !text(object, "/metadata/deletionTimestamp").is_empty(),
            ready: condition("Ready").is_some_and(|of| text(of, "/status") == "True"),
            addresses: addresses(object),
            containers: containers(object),
            unschedulable: scheduled
                .map(|of| text(of, "/message").to_owned())
                .unwrap_or_default(),
        }
    }

    /// `namespace/name`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether its label `name` is this.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.label == name
    }

    /// Neither ended nor about to.
    pub(crate) fn is_alive(&self) -> bool {
        !self.deleting && !matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Why it is not ready, in a few words.
    pub(crate) fn trouble(&self) -> String {
        if self.deleting {
            return "is being deleted".to_owned();
        }
        if !self.unschedulable.is_empty() {
            return format!("cannot be scheduled: {}", self.unschedulable);
        }
        let mut troubled = self.containers.iter().filter(|of| !of.trouble.is_empty());
        match troubled.next() {
            Some(of) if of.restarts > 0 => {
                format!("{}: {} ({} restarts)", of.name, of.trouble, of.restarts)
            }
            Some(of) => format!("{}: {}", of.name, of.trouble),
            None if self.phase != "Running" => self.phase.clone(),
            None => "not ready".to_owned(),
        }
    }

    /// Image of the named container, or of the first one.
    pub(crate) fn image(&self, container: &str) -> &str {
        let named = self.containers.iter().find(|of| of.name == container);
        named
            .or(self.containers.first())
            .map(|of| of.image.as_str())
            .unwrap_or_default()
    }
}

fn addresses(object: &Value) -> Vec<IpAddr> {
    let all = list(object, "/status/podIPs").iter();
    let found: Vec<IpAddr> = all.filter_map(|of| text(of, "/ip").parse().ok()).collect();
    if found.is_empty() {
        text(object, "/status/podIP").parse().into_iter().collect()
    } else {
        found
    }
}

fn containers(object: &Value) -> Vec<Container> {
    let mut all = Vec::new();
    for (specs, statuses) in [
        ("/spec/initContainers", "/status/initContainerStatuses"),
        ("/spec/containers", "/status/containerStatuses"),
    ] {
        for spec in list(object, specs) {
            let name = text(spec, "/name");
            let mut known = list(object, statuses).iter();
            let status = known.find(|of| text(of, "/name") == name);
            all.push(container(spec, status));
        }
    }
    all
}

fn container(spec: &Value, status: Option<&Value>) -> Container {
    let nothing = Value::Null;
    let status = status.unwrap_or(&nothing);
    let waiting = match (
        text(status, "/state/waiting/reason"),
        text(status, "/state/waiting/message"),
    ) {
        ("", message) => message.to_owned(),
        // What every container says while its pod is set up.
        (reason @ ("PodInitializing" | "ContainerCreating"), _) | (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    };
    let code = number(status, "/state/terminated/exitCode");
    let ended = match text(status, "/state/terminated/reason") {
        "" | "Completed" => String::new(),
        reason => format!("{reason}, exit code {code}"),
    };
    Container {
        name: text(spec, "/name").to_owned(),
        image: text(spec, "/image").to_owned(),
        restarts: number(status, "/restartCount"),
        running: status.pointer("/state/running").is_some(),
        trouble: if waiting.is_empty() { ended } else { waiting },
    }
}
