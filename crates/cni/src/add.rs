//! ADD: addresses and interface, then the endpoint; all or nothing.

use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};

use ipnet::IpNet;
use local_api::config::{DaemonConfiguration, DaemonConfigurationStatus};
use local_api::endpoint::{Endpoint, EndpointChangeRequest, EndpointState};
use local_api::health::DatapathMode;
use local_api::ipam::{AddressPair, IpamResponse};
use local_api::node::{NodeAddressing, NodeAddressingElement};
use netlink::link::OffloadSizes;
use netlink::{Family, Handle, Mac, Namespace, link};

use crate::agent::{Agent, delete_body};
use crate::del;
use crate::error::{Code, Error};
use crate::input::{Arguments, Chaining, Config};
use crate::log::Log;
use crate::pod::{self, Addressing, Ipv6, Made, Names, Wanted};
use crate::result::{Address, Interface, Route, Success};

pub(crate) fn run(
    arguments: &Arguments,
    config: &Config,
    agent: &Agent,
    log: &Log,
) -> Result<String, Error> {
    let (host, pod) = namespaces(arguments)?;
    let success = match config.chaining {
        Chaining::Veth => crate::chained::add(arguments, config, agent, &pod)?,
        Chaining::Alone => attach(arguments, config, agent, log, &host, &pod)?,
    };
    Ok(success.print(config.version))
}

/// The node's namespace and the pod's, which must be two.
fn namespaces(arguments: &Arguments) -> Result<(Namespace, Namespace), Error> {
    let host = Namespace::current()?;
    let pod = open_pod(arguments.netns()?)?;
    if pod.is_same(&host)? {
        let text = format!(
            "CNI_NETNS {} is the node's own namespace",
            pod.path().display()
        );
        return Err(Error::new(Code::InvalidEnvironment, text));
    }
    Ok((host, pod))
}

pub(crate) fn open_pod(path: &Path) -> Result<Namespace, Error> {
    Namespace::open(path)
        .map_err(|error| Error::new(Code::InvalidEnvironment, format!("CNI_NETNS: {error}")))
}

/// What must be undone when a later step fails.
#[derive(Default)]
struct Undo {
    allocated: Vec<(IpAddr, String)>,
    link: Option<u32>,
    endpoint: Fate,
}

/// Whether the agent may have the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// Never asked for, or refused.
    #[default]
    Absent,
    /// Asked for: made, or without an answer.
    Possible,
}

fn attach(
    arguments: &Arguments,
    config: &Config,
    agent: &Agent,
    log: &Log,
    host: &Namespace,
    pod: &Namespace,
) -> Result<Success, Error> {
    let host_link = arguments.attachment.host_link();
    let names = Names {
        interface: &arguments.attachment.interface,
        host_link: &host_link,
        host,
    };
    let mut undo = Undo::default();
    let outcome = std::thread::scope(|scope| {
        let (wanted, wanted_receiver) = mpsc::channel();
        let (made_sender, made) = mpsc::channel();
        let (addressing, addressing_receiver) = mpsc::channel();
        let thread = scope.spawn(move || {
            pod.enter()?;
            pod::work(&names, &wanted_receiver, &made_sender, &addressing_receiver)
        });
        let steps = Steps {
            arguments,
            config,
            agent,
            log,
            wanted,
            made,
            addressing,
        };
        let asked = steps.run(&mut undo);
        // The thread's own error explains a channel that closed early, so it goes first.
        let worked = thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        worked.and(asked)
    });
    log.step("pod");
    if let Err(error) = &outcome {
        log.warning(&format!("undo: {error}"));
        revert(&undo, arguments, config, agent, log);
    }
    outcome
}

/// The plugin's own thread of ADD, with its ends of the channels to the pod's thread.
struct Steps<'a> {
    arguments: &'a Arguments,
    config: &'a Config,
    agent: &'a Agent,
    log: &'a Log,
    wanted: Sender<Wanted>,
    made: Receiver<Result<Made, Error>>,
    addressing: Sender<Vec<Addressing>>,
}

impl Steps<'_> {
    fn run(self, undo: &mut Undo) -> Result<Success, Error> {
        let node = Node::of(self.agent.config()?, self.config)?;
        self.log.step("configuration");
        // A send fails only when the pod's thread ended, and then its error is the one reported.
        let _ = self.wanted.send(node.wanted());
        let allocated = self.allocate(&node, undo);
        self.log.step("addresses");
        let made = self.made.recv().unwrap_or_else(|_| {
            Err(Error::new(
                Code::KernelRefused,
                "the pod's thread ended early",
            ))
        });
        undo.link = made.as_ref().ok().map(|made| made.host_index);
        let (made, (pair, addressing)) = (made?, allocated?);
        self.log.step("interface");
        self.check_offload(&node, &made)?;
        let _ = self.addressing.send(addressing.clone());
        let endpoint = self.create(&made, pair, undo)?;
        self.log.step("endpoint");
        Ok(self.success(&made, &addressing, &endpoint))
    }

    fn allocate(
        &self,
        node: &Node,
        undo: &mut Undo,
    ) -> Result<(AddressPair, Vec<Addressing>), Error> {
        let owner = self.arguments.owner();
        let (mut pair, mut addressing) = (AddressPair::default(), Vec::new());
        for &family in &node.families {
            let response = self.agent.allocate(family, &owner)?;
            let given = Given::of(family, &response)?;
            undo.allocated.push((given.address, given.pool.clone()));
            addressing.push(Addressing {
                address: given.address,
                gateway: given.gateway()?,
                route_mtu: node.route_mtu,
            });
            let text = given.address.to_string();
            match family {
                Family::V4 => {
                    (pair.ipv4, pair.ipv4_expiration_uuid, pair.ipv4_pool_name) =
                        (text, given.expiration, given.pool);
                }
                Family::V6 => {
                    (pair.ipv6, pair.ipv6_expiration_uuid, pair.ipv6_pool_name) =
                        (text, given.expiration, given.pool);
                }
            }
        }
        Ok((pair, addressing))
    }

    /// The host end's limits: what it may be handed must not exceed what the pod's end announces.
    fn check_offload(&self, node: &Node, made: &Made) -> Result<(), Error> {
        if node.offload == OffloadSizes::default() {
            return Ok(());
        }
        self.log.debug("set offload sizes of the host end");
        Ok(Handle::open()?.run(&link::set_offload_sizes(made.host_index, node.offload))?)
    }

    fn create(&self, made: &Made, pair: AddressPair, undo: &mut Undo) -> Result<Endpoint, Error> {
        let mut request = describe(self.arguments)?;
        request.interface_name = self.arguments.attachment.host_link();
        request.interface_index = i64::from(made.host_index);
        request.mac = made.pod_mac.to_string();
        request.host_mac = made.host_mac.to_string();
        request.netns_cookie = made.namespace_cookie.to_string();
        request.addressing = Some(pair);
        undo.endpoint = Fate::Possible;
        self.agent.create(&request).map_err(|error| {
            // A refusal leaves nothing at the agent; without an answer nothing is known.
            if error.status().is_some() {
                undo.endpoint = Fate::Absent;
            }
            error.into()
        })
    }

    fn success(&self, made: &Made, addressing: &[Addressing], endpoint: &Endpoint) -> Success {
        let networking = endpoint
            .status
            .as_ref()
            .and_then(|status| status.networking.as_ref());
        let final_mac = |told: Option<&String>, ours: Mac| {
            told.filter(|mac| !mac.is_empty())
                .cloned()
                .unwrap_or_else(|| ours.to_string())
        };
        let host = Interface {
            name: self.arguments.attachment.host_link(),
            mac: final_mac(networking.map(|n| &n.host_mac), made.host_mac),
            mtu: Some(made.mtu),
            sandbox: String::new(),
        };
        let sandbox = self
            .arguments
            .netns
            .as_deref()
            .unwrap_or(Path::new(""))
            .display()
            .to_string();
        let pod = Interface {
            name: self.arguments.attachment.interface.clone(),
            mac: final_mac(networking.map(|n| &n.mac), made.pod_mac),
            mtu: Some(made.mtu),
            sandbox,
        };
        let mut ours = Success {
            interfaces: vec![host, pod],
            ..Success::default()
        };
        for one in addressing {
            let (address, gateway) = (IpNet::from(one.address), Some(one.gateway));
            ours.addresses.push(Address {
                interface: Some(1),
                address,
                gateway,
            });
            ours.routes.push(Route {
                destination: IpNet::from(one.gateway),
                gateway: None,
                mtu: None,
            });
            ours.routes.push(Route {
                destination: pod::everything(one.address),
                gateway,
                mtu: one.route_mtu,
            });
        }
        let mut all = self.config.previous.clone().unwrap_or_default();
        all.extend(ours);
        all
    }
}

/// The fields of the endpoint that do not depend on who made the interface.
pub(crate) fn describe(arguments: &Arguments) -> Result<EndpointChangeRequest, Error> {
    let netns = arguments.netns()?;
    let base = netns.file_name().unwrap_or_default().to_string_lossy();
    Ok(EndpointChangeRequest {
        container_id: arguments.attachment.container.clone(),
        container_interface_name: arguments.attachment.interface.clone(),
        container_netns_path: format!("/var/run/cilium/netns/{base}"),
        k8s_pod_name: arguments.pod_name.clone(),
        k8s_namespace: arguments.pod_namespace.clone(),
        k8s_uid: arguments.pod_uid.clone(),
        state: Some(EndpointState::WaitingForIdentity),
        sync_build_endpoint: true,
        properties: [(
            "cni-netns-path".to_owned(),
            netns.display().to_string().into(),
        )]
        .into(),
        ..EndpointChangeRequest::default()
    })
}

/// Best effort, each step for itself.
///
/// An endpoint that may exist is deleted, or its delete queued, and takes its addresses along; should it not exist, they
/// expire. Giving them back here as well could hit a pod that got them meanwhile.
fn revert(undo: &Undo, arguments: &Arguments, config: &Config, agent: &Agent, log: &Log) {
    if let Some(index) = undo.link {
        let gone = Handle::open().and_then(|handle| handle.run(&link::delete(index).or_gone()));
        if let Err(error) = gone {
            log.error(&error.to_string());
        }
    }
    let attachment = &arguments.attachment;
    if undo.endpoint == Fate::Possible {
        if let Err(error) = del::forget(attachment, &delete_body(attachment), config, agent, log) {
            log.error(&error.to_string());
        }
        return;
    }
    for (address, pool) in &undo.allocated {
        if let Err(error) = agent.release(*address, pool, &arguments.owner()) {
            log.warning(&format!("{address} is left to expire: {error}"));
        }
    }
}

/// What the agent's configuration comes to for a pod.
struct Node {
    families: Vec<Family>,
    mtu: Option<u32>,
    route_mtu: Option<u32>,
    offload: OffloadSizes,
    sysctls: Vec<(String, String)>,
}

impl Node {
    fn of(answer: DaemonConfiguration, config: &Config) -> Result<Self, Error> {
        let status = answer.status.unwrap_or_default();
        if let Some(mode @ (DatapathMode::Netkit | DatapathMode::NetkitL2)) = status.datapath_mode {
            return Err(Error::new(
                Code::AgentRefused,
                format!("the agent's datapathMode {mode:?} is not supported, only veth is"),
            ));
        }
        let families = families(status.addressing.as_ref());
        if families.is_empty() {
            return Err(Error::new(
                Code::AgentRefused,
                "the agent's addressing has no family enabled",
            ));
        }
        let size = |value: i64| u32::try_from(value).ok().filter(|&bytes| bytes > 0);
        let mtu = config.mtu.or(size(status.device_mtu));
        let route_mtu =
            size(status.route_mtu).map(|route| mtu.map_or(route, |device| route.min(device)));
        let offload = OffloadSizes {
            gso: size(status.gso_max_size),
            gro: size(status.gro_max_size),
            gso_ipv4: size(status.gso_ipv4_max_size),
            gro_ipv4: size(status.gro_ipv4_max_size),
        };
        Ok(Self {
            families,
            mtu,
            route_mtu,
            offload,
            sysctls: sysctls(&status),
        })
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            mtu: self.mtu,
            offload: self.offload,
            ipv6: if self.families.contains(&Family::V6) {
                Ipv6::On
            } else {
                Ipv6::Off
            },
            sysctls: self.sysctls.clone(),
        }
    }
}

fn families(addressing: Option<&NodeAddressing>) -> Vec<Family> {
    let Some(addressing) = addressing else {
        return Vec::new();
    };
    [
        (Family::V4, &addressing.ipv4),
        (Family::V6, &addressing.ipv6),
    ]
    .into_iter()
    .filter(|(_, element)| element.as_ref().is_some_and(|element| element.enabled))
    .map(|(family, _)| family)
    .collect()
}

fn sysctls(status: &DaemonConfigurationStatus) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    if !status.ip_local_reserved_ports.is_empty() {
        settings.push((
            "net.ipv4.ip_local_reserved_ports".to_owned(),
            status.ip_local_reserved_ports.clone(),
        ));
    }
    let probing = match status.packetization_layer_pmtud_mode.as_str() {
        "blackhole" => Some("1"),
        "always" => Some("2"),
        _ => None,
    };
    settings.extend(probing.map(|value| ("net.ipv4.tcp_mtu_probing".to_owned(), value.to_owned())));
    settings
}

/// One family's part of an allocation.
struct Given {
    address: IpAddr,
    gateway: Option<IpAddr>,
    expiration: String,
    pool: String,
}

impl Given {
    fn of(family: Family, response: &IpamResponse) -> Result<Self, Error> {
        let pair = response.address.clone().unwrap_or_default();
        let host = response.host_addressing.clone().unwrap_or_default();
        let (details, host, listed, expiration, pool, name) = match family {
            Family::V4 => (
                &response.ipv4,
                host.ipv4,
                pair.ipv4,
                pair.ipv4_expiration_uuid,
                pair.ipv4_pool_name,
                "ipv4",
            ),
            Family::V6 => (
                &response.ipv6,
                host.ipv6,
                pair.ipv6,
                pair.ipv6_expiration_uuid,
                pair.ipv6_pool_name,
                "ipv6",
            ),
        };
        let details = details.clone().unwrap_or_default();
        let text = if details.ip.is_empty() {
            listed
        } else {
            details.ip
        };
        let address = parse_address(&format!("POST /v1/ipam: {name}.ip"), family, &text)?;
        let router = host
            .map(|NodeAddressingElement { ip, .. }| ip)
            .unwrap_or_default();
        let hop = if details.gateway.is_empty() {
            router
        } else {
            details.gateway
        };
        // The address is taken from here on: a wrong gateway must not hide it from the undoing.
        let gateway = parse_address(name, family, &hop).ok();
        let expiration = if details.expiration_uuid.is_empty() {
            expiration
        } else {
            details.expiration_uuid
        };
        Ok(Self {
            address,
            gateway,
            expiration,
            pool,
        })
    }

    fn gateway(&self) -> Result<IpAddr, Error> {
        self.gateway.ok_or_else(|| {
            let text = format!(
                "POST /v1/ipam: no gateway for {} in the answer or in host-addressing",
                self.address
            );
            Error::new(Code::Decode, text)
        })
    }
}

fn parse_address(field: &str, family: Family, text: &str) -> Result<IpAddr, Error> {
    text.parse()
        .ok()
        .filter(|address| Family::of(*address) == family)
        .ok_or_else(|| {
            Error::new(
                Code::Decode,
                format!("{field} is {text:?}, not an address of its family"),
            )
        })
}
