//! The health endpoint: an endpoint without a pod, that other nodes probe as they would a pod. It has its own network
//! namespace, and in it nothing but a listener.
//!
//! The namespace has no name: it lives as long as this process has it open. Whatever way the agent ends, the kernel
//! removes namespace and interface after it. Nothing of it is saved either: the next agent makes its own, with the same
//! addresses if they are free.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::endpoint::{EndpointId, EndpointRow, LifeCycle, Mac};
use model::identity::Reserved;
use model::ipam::{Family, Lasting};
use model::node::{IpPair, NodeObject};
use netlink::address::PrefixRoute;
use netlink::link::{Veth, VethEnd};
use netlink::route::{Route, Scope};
use netlink::{AdminState, Handle, Namespace, address, link, route, sysctl};
use reconcile::{Backoff, Table};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::hello;
use crate::addresses::{Addresses, HEALTH};
use crate::config::Config;
use crate::engine::Command;
use crate::node::{Addressing, Devices};
use crate::view::ViewReader;

/// Its interface on the host's side.
pub const HOST_LINK: &str = "lxc_health";
const INTERFACE: &str = "eth0";

/// Pauses between tries to make it.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// How often it is looked whether it is still there.
const LOOK: Duration = Duration::from_secs(30);

/// Removes what an agent that has just ended left: the kernel would do so too, but in its own time.
pub fn remove_leftover(handle: &Handle) -> netlink::Result<()> {
    handle.run(&link::delete(HOST_LINK).or_gone())
}

/// What the endpoint is made with.
pub struct Maker {
    /// Configuration.
    pub config: Arc<Config>,
    /// This node's addresses.
    pub addressing: Addressing,
    /// Its devices.
    pub devices: Devices,
    /// Addresses of endpoints.
    pub addresses: Addresses,
    /// What is in force.
    pub view: ViewReader,
    /// Changes.
    pub engine: mpsc::Sender<Command>,
    /// What nodes announce: of this one, what its last agent did.
    pub announced: Table<Arc<str>, NodeObject>,
    /// Where the endpoint's addresses are told.
    pub told: watch::Sender<Option<IpPair>>,
}

/// The endpoint while it is there.
struct Made {
    /// Held, so that the namespace lives without a listener as well.
    _namespace: Namespace,
    listeners: Vec<TcpListener>,
    id: EndpointId,
    ifindex: u32,
}

impl Maker {
    /// Makes the endpoint, and makes it anew when it is gone, until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        if !self.config.node_health.endpoint {
            let _ = self.told.send(Some(IpPair::default()));
            stop.cancelled().await;
            return;
        }
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        let mut view = self.view.clone();
        while !view.get().waiting_for.is_empty() && view.changed().await {}
        let mut failures = 0;
        loop {
            match self.make().await {
                Ok(made) => {
                    failures = 0;
                    self.serve(made).await;
                    tracing::warn!("the health endpoint is gone, making another");
                }
                Err(error) => {
                    failures += 1;
                    // Its addresses may become a pod's now.
                    let _ = self.told.send(Some(IpPair::default()));
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "no health endpoint yet, trying again"
                    );
                }
            }
            let pause = RETRY.after(failures.max(1), &mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    }

    /// Answers until the endpoint, or its interface, is gone; then takes down what is left.
    async fn serve(&self, made: Made) {
        let answers = made.listeners.into_iter().map(hello::serve);
        tokio::select! {
            _ = futures::future::join_all(answers) => {}
            () = self.until_gone(made.id, made.ifindex) => {}
        }
        self.take_down(made.id).await;
    }

    async fn until_gone(&self, id: EndpointId, ifindex: u32) {
        let mut view = self.view.clone();
        let mut look = tokio::time::interval(LOOK);
        while view
            .get()
            .endpoint(id)
            .is_some_and(|row| row.ifindex == ifindex)
        {
            tokio::select! {
                changed = view.changed() => if !changed { return },
                _ = look.tick() => {
                    let link = Handle::open().and_then(|handle| handle.find_link(ifindex));
                    // A look that fails says nothing.
                    if matches!(link, Ok(None)) {
                        return;
                    }
                }
            }
        }
    }

    async fn take_down(&self, id: EndpointId) {
        let (answer, result) = oneshot::channel();
        let sent = self.engine.send(Command::Delete(id, answer)).await;
        if sent.is_ok()
            && let Ok(Err(error)) = result.await
        {
            tracing::debug!(%error, "the health endpoint is gone already");
        }
        self.release();
    }

    fn release(&self) {
        for (address, owner) in self.addresses.in_use() {
            if owner == HEALTH {
                // It is ours, as was just read.
                let _ = self.addresses.release(address, HEALTH);
            }
        }
    }

    async fn make(&self) -> anyhow::Result<Made> {
        let made = self.try_make().await;
        if made.is_err() {
            self.release();
            if let Err(error) = Handle::open().and_then(|handle| remove_leftover(&handle)) {
                tracing::warn!(%error, "the interface of the health endpoint stays for now");
            }
        }
        made
    }

    async fn try_make(&self) -> anyhow::Result<Made> {
        let ips = self.take_addresses()?;
        let connected = {
            let (wanted, mtu) = (self.wanted(ips), self.devices.device_mtu);
            let port = self.config.node_health.port;
            tokio::task::spawn_blocking(move || connect(&wanted, mtu, port))
                .await
                .context("the thread that makes the interface failed")??
        };
        let Connected {
            namespace,
            listeners,
            mut row,
        } = connected;
        row.ips = ips;
        let listeners: Result<Vec<_>, _> =
            listeners.into_iter().map(TcpListener::from_std).collect();
        let listeners = listeners.context("listen in the health endpoint")?;
        let (answer, result) = oneshot::channel();
        self.engine
            .send(Command::Create(Box::new(row), answer))
            .await
            .context("the agent is stopping")?;
        let row = result.await.context("the agent is stopping")??;
        tracing::info!(endpoint = %row.id, addresses = ?row.ips, "the health endpoint is in force");
        let _ = self.told.send(Some(ips));
        Ok(Made {
            _namespace: namespace,
            listeners,
            id: row.id,
            ifindex: row.ifindex,
        })
    }

    /// Those of the last time if they are free, so that other nodes need not learn others.
    fn take_addresses(&self) -> anyhow::Result<IpPair> {
        let before = self.announced.get(&self.config.node.as_str().into());
        let before = before.map(|node| node.health).unwrap_or_default();
        let families = self.config.datapath.families;
        let mut taken = Vec::new();
        for (family, on, before) in [
            (Family::Ipv4, families.ipv4, before.v4.map(IpAddr::V4)),
            (Family::Ipv6, families.ipv6, before.v6.map(IpAddr::V6)),
        ] {
            if !on {
                continue;
            }
            let again = before.filter(|of| self.addresses.allocate_at(*of, HEALTH).is_ok());
            taken.push(if let Some(address) = again {
                address
            } else {
                let given = self
                    .addresses
                    .allocate(None, family, HEALTH, Lasting::UntilReleased);
                given.context("an address for the health endpoint")?.0
            });
        }
        Ok(IpPair::first_of(taken))
    }

    /// Each address, and the router it goes by.
    fn wanted(&self, ips: IpPair) -> Vec<(IpAddr, IpAddr)> {
        let v4 = ips.v4.zip(self.addressing.router_ipv4());
        let v6 = ips.v6.zip(self.addressing.router_ipv6());
        let v4 = v4.map(|(own, router)| (own.into(), router.into()));
        let v6 = v6.map(|(own, router)| (own.into(), router.into()));
        v4.into_iter().chain(v6).collect()
    }
}

/// An interface with its namespace, before the packet path knows of it.
struct Connected {
    namespace: Namespace,
    listeners: Vec<std::net::TcpListener>,
    row: EndpointRow,
}

fn connect(wanted: &[(IpAddr, IpAddr)], mtu: u16, port: u16) -> anyhow::Result<Connected> {
    let (host, namespace) = (Namespace::current()?, Namespace::unnamed()?);
    remove_leftover(&Handle::open()?)?;
    let (listeners, row) = namespace.run(|| inside(&host, wanted, mtu, port))??;
    Ok(Connected {
        namespace,
        listeners,
        row,
    })
}

/// Runs in the endpoint's namespace.
fn inside(
    host: &Namespace,
    wanted: &[(IpAddr, IpAddr)],
    mtu: u16,
    port: u16,
) -> anyhow::Result<(Vec<std::net::TcpListener>, EndpointRow)> {
    let handle = Handle::open()?;
    let (mac, host_mac) = (netlink::Mac::random()?, netlink::Mac::random()?);
    handle.run(&link::create_veth(&Veth {
        end: VethEnd::named(INTERFACE).mac(mac).mtu(mtu.into()),
        state: AdminState::Up,
        peer: VethEnd::named(HOST_LINK).mac(host_mac).mtu(mtu.into()),
        peer_namespace: Some(host),
    }))?;
    let own = handle.link(INTERFACE)?;
    let Some(ifindex) = own.peer else {
        bail!("{INTERFACE}: the kernel names no peer");
    };
    if wanted.iter().any(|(address, _)| address.is_ipv6()) {
        sysctl::write(&format!("net/ipv6/conf/{INTERFACE}/disable_ipv6"), "0")?;
    }
    let mut listeners = Vec::new();
    for (address, router) in wanted {
        handle.run_all(&ways(own.index, *address, *router))?;
        let listener = std::net::TcpListener::bind(SocketAddr::new(*address, port))
            .with_context(|| format!("listen at {address} port {port} in the health endpoint"))?;
        listener.set_nonblocking(true)?;
        listeners.push(listener);
    }
    let row = EndpointRow {
        id: EndpointId(0),
        pod: None,
        pod_uid: None,
        container_id: "".into(),
        container_interface: INTERFACE.into(),
        netns: "".into(),
        netns_cookie: handle.namespace_cookie()?,
        ips: IpPair::default(),
        mac: Mac(mac.0),
        host_mac: Mac(host_mac.0),
        ifname: HOST_LINK.into(),
        ifindex,
        labels: Reserved::Health.labels(),
        identity: Some(Reserved::Health.id()),
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 0,
        life: LifeCycle::created(),
    };
    Ok((listeners, row))
}

/// The address, the way to the router, and everything else by it.
fn ways(index: u32, own: IpAddr, router: IpAddr) -> [netlink::Request; 3] {
    let everything = match own {
        IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
    };
    let to_router = Route::to(IpNet::from(router)).dev(index).scope(Scope::Link);
    let default = Route::to(everything).dev(index).via(router);
    [
        address::add(index, IpNet::from(own), PrefixRoute::Add),
        route::add(&to_router),
        route::add(&default),
    ]
}
