//! One attempt of one pod to reach something: how it is made, and the attempts that a scenario comes to.

use std::net::IpAddr;

use super::lab::{Lab, Node, PORT, Peer, Role};

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callee {
    /// A pod that is a client, by name.
    Client(&'static str),
    /// A pod that is a server, by name, by whatever address.
    Echo(&'static str),
    /// A node.
    Node,
    /// Outside of the cluster: the first or the second.
    World(usize),
}

/// How it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// A request over HTTP.
    Http,
    /// An echo over ICMP.
    Ping,
}

/// What a group of attempts is about; the names are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    PodToPod,
    ClientToClient,
    PodToService,
    PodToLocalNodePort,
    PodToRemoteNodePort,
    PodToItself,
    PodToHost,
    HostToPod,
    PodToWorld,
    Dns,
}

impl Scenario {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PodToPod => "pod-to-pod",
            Self::ClientToClient => "client-to-client",
            Self::PodToService => "pod-to-service",
            Self::PodToLocalNodePort => "pod-to-local-nodeport",
            Self::PodToRemoteNodePort => "pod-to-remote-nodeport",
            Self::PodToItself => "pod-to-itself-via-service",
            Self::PodToHost => "pod-to-host",
            Self::HostToPod => "host-to-pod",
            Self::PodToWorld => "pod-to-world",
            Self::Dns => "dns",
        }
    }

    /// The attempts, as far as the lab has somebody for them.
    pub(super) fn actions(self, lab: &Lab) -> Vec<Action> {
        let clients = || lab.of_role(Role::Client);
        match self {
            Self::PodToPod => clients()
                .flat_map(|from| to_pods(self, lab, from, Role::Echo))
                .collect(),
            Self::ClientToClient => clients()
                .flat_map(|from| to_pods(self, lab, from, Role::Client))
                .collect(),
            Self::HostToPod => lab
                .of_role(Role::Host)
                .flat_map(|from| to_pods(self, lab, from, Role::Echo))
                .collect(),
            Self::PodToService => clients()
                .flat_map(|from| to_services(self, lab, from))
                .collect(),
            Self::PodToItself => lab
                .of_role(Role::Echo)
                .flat_map(|from| to_services(self, lab, from))
                .filter(|action| action.callee == Callee::Echo(action.source.name))
                .collect(),
            Self::PodToLocalNodePort | Self::PodToRemoteNodePort => clients()
                .flat_map(|from| to_node_ports(self, lab, from))
                .collect(),
            Self::PodToHost => clients()
                .flat_map(|from| to_nodes(self, lab, from))
                .collect(),
            Self::PodToWorld => clients()
                .flat_map(|from| to_world(self, lab, from))
                .collect(),
            Self::Dns => clients()
                .flat_map(|from| by_name(self, lab, from))
                .collect(),
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) scenario: Scenario,
    pub(super) source: Peer,
    pub(super) callee: Callee,
    /// What is called, for people.
    pub(super) target: String,
    /// Address or name.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) probe: Probe,
}

impl Action {
    /// `pod-to-pod/client -> echo-same-node (10.0.0.7)`.
    pub(super) fn name(&self) -> String {
        let probe = match self.probe {
            Probe::Http => "",
            Probe::Ping => ", ping",
        };
        let scenario = self.scenario.name();
        format!(
            "{scenario}/{} -> {} ({}{probe})",
            self.source.name, self.target, self.host
        )
    }

    pub(super) fn is_from(&self, name: &str) -> bool {
        self.source.name == name
    }

    pub(super) fn is_to_echo(&self) -> bool {
        matches!(self.callee, Callee::Echo(_))
    }

    pub(super) fn is_to_world(&self) -> bool {
        matches!(self.callee, Callee::World(_))
    }

    fn to(scenario: Scenario, from: &Peer, callee: Callee, target: &str, address: IpAddr) -> Self {
        Self {
            scenario,
            source: from.clone(),
            callee,
            target: target.to_owned(),
            host: address.to_string(),
            port: PORT,
            probe: Probe::Http,
        }
    }

    fn ping(self) -> Self {
        Self {
            probe: Probe::Ping,
            ..self
        }
    }

    fn at(self, port: u16) -> Self {
        Self { port, ..self }
    }
}

/// Whether an address is of a family that the caller has too.
fn speaks(from: &Peer, address: IpAddr) -> bool {
    let mut own = from.pod.addresses.iter();
    own.any(|own| own.is_ipv4() == address.is_ipv4())
}

fn to_pods(scenario: Scenario, lab: &Lab, from: &Peer, role: Role) -> Vec<Action> {
    let mut all = Vec::new();
    for peer in lab.of_role(role).filter(|peer| peer.name != from.name) {
        let callee = match role {
            Role::Client => Callee::Client(peer.name),
            Role::Echo | Role::Host => Callee::Echo(peer.name),
        };
        for address in peer.pod.addresses.iter().filter(|of| speaks(from, **of)) {
            let action = Action::to(scenario, from, callee, peer.name, *address);
            if lab.ping && scenario != Scenario::PodToPod {
                all.push(action.clone().ping());
            }
            all.push(action);
        }
    }
    all
}

fn to_services(scenario: Scenario, lab: &Lab, from: &Peer) -> Vec<Action> {
    let mut all = Vec::new();
    for service in &lab.services {
        let target = format!("service {}", service.name);
        for address in service.addresses.iter().filter(|of| speaks(from, **of)) {
            let callee = Callee::Echo(service.name);
            all.push(Action::to(scenario, from, callee, &target, *address));
        }
    }
    all
}

fn to_node_ports(scenario: Scenario, lab: &Lab, from: &Peer) -> Vec<Action> {
    let local = scenario == Scenario::PodToLocalNodePort;
    let nodes = lab
        .nodes
        .iter()
        .filter(|node| (node.name == from.pod.node) == local);
    let nodes: Vec<&Node> = nodes.collect();
    let mut all = Vec::new();
    for service in lab.services.iter().filter(|of| of.node_port != 0) {
        for node in &nodes {
            let target = format!("service {} on {}", service.name, node.name);
            let served = |of: &&IpAddr| {
                service
                    .addresses
                    .iter()
                    .any(|own| own.is_ipv4() == of.is_ipv4())
            };
            let addresses = node.addresses.iter().filter(|of| speaks(from, **of));
            for address in addresses.filter(served) {
                let callee = Callee::Echo(service.name);
                let action = Action::to(scenario, from, callee, &target, *address);
                all.push(action.at(service.node_port));
            }
        }
    }
    all
}

fn to_nodes(scenario: Scenario, lab: &Lab, from: &Peer) -> Vec<Action> {
    let mut all = Vec::new();
    for node in lab.nodes.iter().filter(|_| lab.ping) {
        for address in node.addresses.iter().filter(|of| speaks(from, **of)) {
            let target = format!("node {}", node.name);
            all.push(Action::to(scenario, from, Callee::Node, &target, *address).ping());
        }
    }
    all
}

fn to_world(scenario: Scenario, lab: &Lab, from: &Peer) -> Vec<Action> {
    let targets = lab.externals.iter().enumerate();
    targets
        .filter(|(_, external)| speaks(from, external.address))
        .map(|(index, external)| {
            let target = ["the external target", "the other external target"];
            let target = target.get(index).copied().unwrap_or("an external target");
            let callee = Callee::World(index);
            Action::to(scenario, from, callee, target, external.address).at(external.port)
        })
        .collect()
}

fn by_name(scenario: Scenario, lab: &Lab, from: &Peer) -> Vec<Action> {
    let services = lab.services.iter();
    services
        .filter_map(|service| {
            let address = *service.addresses.first()?;
            let target = format!("service {} by name", service.name);
            let action = Action::to(scenario, from, Callee::Echo(service.name), &target, address);
            let host = format!("{}.{}", service.name, lab.namespace);
            Some(Action { host, ..action })
        })
        .collect()
}
