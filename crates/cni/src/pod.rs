//! The pod's side: a thread inside its namespace that makes the veth pair and then sets addresses and routes.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender};

use ipnet::IpNet;
use netlink::address::PrefixRoute;
use netlink::link::{OffloadSizes, Veth, VethEnd};
use netlink::route::{Route, Scope};
use netlink::{AdminState, Handle, Mac, Namespace, address, link, route, sysctl};

use crate::error::{Code, Error};

/// What the pair shall be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) mtu: Option<u32>,
    pub(crate) offload: OffloadSizes,
    pub(crate) ipv6: Ipv6,
    /// Sysctls of the pod's namespace.
    pub(crate) sysctls: Vec<(String, String)>,
}

/// Whether the pod gets an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    Off,
    On,
}

/// What was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) host_index: u32,
    pub(crate) host_mac: Mac,
    pub(crate) pod_mac: Mac,
    pub(crate) mtu: u32,
    pub(crate) namespace_cookie: u64,
}

/// One address of the pod and its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressing {
    pub(crate) address: IpAddr,
    pub(crate) gateway: IpAddr,
    pub(crate) route_mtu: Option<u32>,
}

/// Both names and the namespace of the host end.
pub(crate) struct Names<'a> {
    pub(crate) interface: &'a str,
    pub(crate) host_link: &'a str,
    pub(crate) host: &'a Namespace,
}

/// Runs in the pod's namespace: waits for `wanted`, makes the pair, reports, waits for addresses, sets them.
///
/// When a channel closes the other side gave up, and there is nothing more to do.
pub(crate) fn work(
    names: &Names<'_>,
    wanted: &Receiver<Wanted>,
    made: &Sender<Result<Made, Error>>,
    addressing: &Receiver<Vec<Addressing>>,
) -> Result<(), Error> {
    let handle = Handle::open()?;
    let Ok(wanted) = wanted.recv() else {
        return Ok(());
    };
    let pair = create(&handle, names, &wanted);
    let index = pair.as_ref().map_or(0, |(index, _)| *index);
    let failed = pair.is_err();
    if made.send(pair.map(|(_, made)| made)).is_err() || failed {
        return Ok(());
    }
    for (name, value) in &wanted.sysctls {
        sysctl::write(name, value)?;
    }
    let Ok(addressing) = addressing.recv() else {
        return Ok(());
    };
    handle.run_all(&requests(index, &addressing))?;
    Ok(())
}

fn create(handle: &Handle, names: &Names<'_>, wanted: &Wanted) -> Result<(u32, Made), Error> {
    let random =
        || Mac::random().map_err(|e| Error::new(Code::Io, format!("draw a MAC address: {e}")));
    let (pod_mac, host_mac) = (random()?, random()?);
    let end = |name, mac| match wanted.mtu {
        Some(bytes) => VethEnd::named(name).mac(mac).mtu(bytes),
        None => VethEnd::named(name).mac(mac),
    };
    let namespace_cookie = handle.namespace_cookie()?;
    let veth = Veth {
        end: end(names.interface, pod_mac),
        state: AdminState::Up,
        peer: end(names.host_link, host_mac),
        peer_namespace: Some(names.host),
    };
    handle
        .run(&link::create_veth(&veth))
        .map_err(|error| existing(names, error))?;
    prepare(handle, names, wanted)
        .map(|(index, host_index, mtu)| {
            (
                index,
                Made {
                    host_index,
                    host_mac,
                    pod_mac,
                    mtu,
                    namespace_cookie,
                },
            )
        })
        .inspect_err(|_| {
            // Nobody else knows of the pair yet.
            let _ = handle.run(&link::delete(names.interface).or_gone());
        })
}

/// Indexes of both ends, and the MTU.
fn prepare(handle: &Handle, names: &Names<'_>, wanted: &Wanted) -> Result<(u32, u32, u32), Error> {
    let eth0 = handle.link(names.interface)?;
    let host_index = eth0.peer.ok_or_else(|| {
        Error::new(
            Code::KernelRefused,
            format!("{}: the kernel names no peer", names.interface),
        )
    })?;
    if wanted.offload != OffloadSizes::default() {
        handle.run(&link::set_offload_sizes(eth0.index, wanted.offload))?;
    }
    if wanted.ipv6 == Ipv6::On {
        // Runtimes may make sandboxes with IPv6 off; without this the address would be refused.
        sysctl::write(
            &format!("net/ipv6/conf/{}/disable_ipv6", names.interface),
            "0",
        )?;
    }
    Ok((eth0.index, host_index, eth0.mtu))
}

fn existing(names: &Names<'_>, error: netlink::Error) -> Error {
    if !error.is_exists() {
        return error.into();
    }
    let text = format!(
        "CNI_IFNAME {} exists already in the pod, or {} on the node: the attachment was added before, DEL comes first",
        names.interface, names.host_link
    );
    Error::new(Code::InterfaceExists, text)
}

/// Addresses first: a route's gateway must be reachable when it is added.
fn requests(index: u32, addressing: &[Addressing]) -> Vec<netlink::Request> {
    let mut requests = Vec::new();
    for one in addressing {
        let gateway = Route::to(IpNet::from(one.gateway))
            .dev(index)
            .scope(Scope::Link);
        let default = Route {
            mtu: one.route_mtu,
            ..Route::to(everything(one.address))
                .dev(index)
                .via(one.gateway)
        };
        requests.push(address::add(
            index,
            IpNet::from(one.address),
            PrefixRoute::Add,
        ));
        requests.push(route::add(&gateway));
        requests.push(route::add(&default));
    }
    requests
}

/// The default route's destination in the address's family.
pub(crate) fn everything(address: IpAddr) -> IpNet {
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new_assert(any, 0)
}
