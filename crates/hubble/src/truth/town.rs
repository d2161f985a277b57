//! Who is there: clients on this node, on another one and outside, and servers of this node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::hubble::answers::{Edge, Party as Name, PartyKind, Side};

use crate::names::{EndpointNames, Names, PolicyOrigin, ServiceName};
use crate::records::{Party, protocol};

/// Clients that are pods of this node.
pub(super) const LOCAL: u8 = 4;
/// Clients that are pods of another node; the one behind them is outside.
pub(super) const REMOTE: u8 = 2;
/// All clients.
pub(super) const CLIENTS: u8 = LOCAL + REMOTE + 1;
/// Number of the one rule.
pub(super) const RULE: u32 = 11;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    Kafka,
    Tls,
    Dns,
    Nothing,
}

/// A server of this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) speaks: Speaks,
}

const fn server(number: u8, name: &'static str, port: u16, speaks: Speaks) -> Server {
    Server {
        number,
        name,
        port,
        speaks,
    }
}

pub(super) const SERVERS: [Server; 6] = [
    server(0, "cart", 8080, Speaks::Http),
    server(1, "users", 8080, Speaks::Http),
    server(2, "broker", 9092, Speaks::Kafka),
    server(3, "vault", 443, Speaks::Tls),
    server(4, "resolver", 53, Speaks::Dns),
    server(5, "rows", 5432, Speaks::Nothing),
];

pub(super) const fn pod_address(server: Server) -> [u8; 4] {
    [10, 0, 2, 10 + server.number]
}

pub(super) const fn service_address(server: Server) -> [u8; 4] {
    [10, 96, 0, 10 + server.number]
}

pub(super) fn protocol_of(server: Server) -> u8 {
    if server.speaks == Speaks::Dns {
        protocol::UDP
    } else {
        protocol::TCP
    }
}

const fn client_address(number: u8) -> [u8; 4] {
    if number < LOCAL + REMOTE {
        [10, 0, 1, 10 + number]
    } else {
        [192, 0, 2, 7]
    }
}

/// A client's end, by its number and port.
pub(super) fn client(number: u8, port: u16) -> Party {
    let (identity, endpoint) = match number {
        0..LOCAL => (1000 + u32::from(number), 100 + u16::from(number)),
        number if number < LOCAL + REMOTE => (1000 + u32::from(number), 0),
        // The world.
        _ => (2, 0),
    };
    Party {
        address: client_address(number).into(),
        port,
        identity,
        endpoint,
    }
}

/// A server's end.
pub(super) fn of_server(server: Server) -> Party {
    Party {
        address: pod_address(server).into(),
        port: server.port,
        identity: 2000 + u32::from(server.number),
        endpoint: 200 + u16::from(server.number),
    }
}

fn client_workload(number: u8) -> String {
    let kind = if number < LOCAL { "web" } else { "far" };
    let letter = char::from(b'a' + number);
    format!("{kind}-{letter}")
}

/// The edge between two; `by_service`: the client asked for the service.
pub(super) fn edge(client: u8, server: Server, by_service: bool) -> Edge {
    let workload = |name: String| Name {
        cluster: "town".into(),
        namespace: "shop".into(),
        name,
        ..Name::default()
    };
    let source = if client < LOCAL + REMOTE {
        workload(client_workload(client))
    } else {
        Name {
            name: "world".into(),
            kind: PartyKind::Entity.into(),
            ..Name::default()
        }
    };
    let is_remote = (LOCAL..LOCAL + REMOTE).contains(&client);
    Edge {
        source: Some(source),
        destination: Some(workload(server.name.to_owned())),
        service: if by_service {
            format!("shop/{}", server.name)
        } else {
            String::new()
        },
        port: server.port.into(),
        protocol: protocol_of(server).into(),
        side: if is_remote {
            Side::Server
        } else {
            Side::Client
        }
        .into(),
    }
}

/// The names of all of them.
pub struct Town {
    pods: HashMap<IpAddr, Arc<EndpointNames>>,
    services: HashMap<(IpAddr, u16), Arc<ServiceName>>,
    policy: Arc<PolicyOrigin>,
}

impl Default for Town {
    fn default() -> Self {
        let pod = |workload: &str| {
            Arc::new(EndpointNames {
                namespace: "shop".into(),
                pod_name: format!("{workload}-6c8f9d4b5-x7k2q").into(),
                labels: vec![format!("k8s:app={workload}").into()],
                workloads: Vec::new(),
                cluster_name: "town".into(),
            })
        };
        let clients = (0..LOCAL + REMOTE)
            .map(|number| (client_address(number).into(), pod(&client_workload(number))));
        let servers = SERVERS.map(|of| (pod_address(of).into(), pod(of.name)));
        let services = SERVERS.map(|of| {
            let service = ServiceName {
                name: of.name.into(),
                namespace: "shop".into(),
            };
            ((service_address(of).into(), of.port), Arc::new(service))
        });
        Self {
            pods: clients.chain(servers).collect(),
            services: services.into_iter().collect(),
            policy: Arc::new(PolicyOrigin {
                name: "gates".into(),
                namespace: "shop".into(),
                kind: "CiliumNetworkPolicy".into(),
                ..PolicyOrigin::default()
            }),
        }
    }
}

impl Names for Town {
    fn endpoint(&self, address: IpAddr, _: u32) -> Option<Arc<EndpointNames>> {
        self.pods.get(&address).cloned()
    }

    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        self.services.get(&(address, port)).cloned()
    }

    fn service_behind(&self, _: IpAddr, _: u16, _: u8) -> Option<Arc<ServiceName>> {
        None
    }

    fn fqdns(&self, _: u16, _: IpAddr) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        if rule == RULE {
            vec![Arc::clone(&self.policy)]
        } else {
            Vec::new()
        }
    }

    fn interface(&self, _: u32) -> Option<Arc<str>> {
        None
    }
}
