//! What we compare with: the kernel's own ways over the same hops, without any program of ours.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use ipnet::IpNet;
use netlink::address::PrefixRoute;
use netlink::link::{AdminState, Learning, Veth, VethEnd, Vxlan, VxlanMode};
use netlink::route::Route;
use netlink::{Handle, NamedNamespace, address, link, route, sysctl};

use super::lane::{Lane, Place};
use crate::cluster::{Cluster, underlay_v4};
use crate::topology::{Machine, Topology};

/// The underlay's MTU, as [`Cluster`] has it.
const UNDERLAY_MTU: u32 = 1550;
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 51, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 52, 2);
const VNI: u32 = 51;

/// A lane and what it runs over; the lane goes first.
pub struct Plain {
    /// The lane.
    pub lane: Lane,
    _ends: [NamedNamespace; 2],
    _middle: Option<NamedNamespace>,
    _machines: Vec<Machine>,
}

fn net(address: Ipv4Addr, length: u8) -> anyhow::Result<IpNet> {
    Ok(IpNet::new(address.into(), length)?)
}

fn namespace(topology: &Topology, name: &str) -> anyhow::Result<NamedNamespace> {
    let made = NamedNamespace::create(&format!("{}-{name}", topology.name()))?;
    Handle::open_in(&made)?.run(&link::set_up("lo"))?;
    Ok(made)
}

fn place(topology: &Topology, namespace: &NamedNamespace) -> anyhow::Result<Place> {
    let cgroup = topology.cgroup().join("plain");
    Place::new(&namespace.path(), &cgroup, topology.directory())
}

/// One veth pair between two namespaces.
pub fn veth(cluster: &Cluster, mtu: u32) -> anyhow::Result<Plain> {
    let topology = &cluster.topology;
    let (client, server) = (namespace(topology, "va")?, namespace(topology, "vb")?);
    let handle = Handle::open_in(&client)?;
    handle.run(&link::create_veth(&Veth {
        end: VethEnd::named("eth0").mtu(mtu),
        state: AdminState::Up,
        peer: VethEnd::named("eth0").mtu(mtu),
        peer_namespace: Some(&server),
    }))?;
    let to = Ipv4Addr::new(192, 168, 51, 3);
    for (namespace, address) in [(&client, CLIENT), (&server, to)] {
        let handle = Handle::open_in(namespace)?;
        let index = handle.link("eth0")?.index;
        handle.run(&address::add(index, net(address, 24)?, PrefixRoute::Add))?;
        handle.run(&link::set_up(index))?;
    }
    finish(topology, "veth", [client, server], Vec::new(), to.into())
}

/// Two namespaces with a veth pair each into a Linux bridge.
pub fn bridge(cluster: &Cluster, mtu: u32) -> anyhow::Result<Plain> {
    let topology = &cluster.topology;
    let middle = namespace(topology, "bm")?;
    let inner = Handle::open_in(&middle)?;
    inner.run_all(&[link::create_bridge("br0"), link::set_up("br0")])?;
    let master = inner.link("br0")?.index;
    let to = Ipv4Addr::new(192, 168, 51, 3);
    let mut ends = Vec::new();
    for (name, port, address) in [("ba", "pa", CLIENT), ("bb", "pb", to)] {
        let end = namespace(topology, name)?;
        join(&end, &middle, port, mtu)?;
        inner.run_all(&[link::set_master(port, master), link::set_up(port)])?;
        let handle = Handle::open_in(&end)?;
        let index = handle.link("eth0")?.index;
        handle.run(&address::add(index, net(address, 24)?, PrefixRoute::Add))?;
        ends.push(end);
    }
    let [client, server] = <[_; 2]>::try_from(ends).ok().context("two ends")?;
    let plain = finish(topology, "bridge", [client, server], Vec::new(), to.into())?;
    Ok(Plain {
        _middle: Some(middle),
        ..plain
    })
}

/// A veth pair from `end`'s eth0 to `port` in `middle`.
fn join(end: &NamedNamespace, middle: &NamedNamespace, port: &str, mtu: u32) -> anyhow::Result<()> {
    Handle::open_in(end)?.run(&link::create_veth(&Veth {
        end: VethEnd::named("eth0").mtu(mtu),
        state: AdminState::Up,
        peer: VethEnd::named(port).mtu(mtu),
        peer_namespace: Some(middle),
    }))?;
    Ok(())
}

/// How two plain nodes reach each other's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Routes over the underlay.
    Routes,
    /// A VXLAN device on each.
    Vxlan,
}

/// Two machines on the cluster's underlay, each forwarding for one pod behind a veth pair.
pub fn nodes(cluster: &Cluster, between: Between, mtu: u32) -> anyhow::Result<Plain> {
    let topology = &cluster.topology;
    let hosts = [underlay_v4(201), underlay_v4(202)];
    let pods = [CLIENT, SERVER];
    let (mut machines, mut ends) = (Vec::new(), Vec::new());
    for side in 0..2 {
        let machine =
            topology.machine(&format!("k{side}"), &[net(hosts[side], 24)?], UNDERLAY_MTU)?;
        sysctl::write_in(machine.namespace(), &[("net/ipv4/ip_forward", "1")])?;
        let end = namespace(topology, &format!("kp{side}"))?;
        attach(&machine, &end, pods[side], mtu)?;
        let other = 1 - side;
        match between {
            Between::Routes => {
                let way = Route::to(net(pods[other], 32)?).via(hosts[other].into());
                let handle = Handle::open_in(machine.namespace())?;
                handle.run(&route::add(&way.dev(machine.uplink())))?;
            }
            Between::Vxlan => tunnel(&machine, side as u8, hosts, pods[other], mtu)?,
        }
        machines.push(machine);
        ends.push(end);
    }
    let [client, server] = <[_; 2]>::try_from(ends).ok().context("two ends")?;
    let name = match between {
        Between::Routes => "kernel routing",
        Between::Vxlan => "kernel VXLAN",
    };
    finish(topology, name, [client, server], machines, SERVER.into())
}

/// A pod behind a veth pair, with a default route to its machine.
fn attach(machine: &Machine, end: &NamedNamespace, pod: Ipv4Addr, mtu: u32) -> anyhow::Result<()> {
    let inside = Handle::open_in(end)?;
    inside.run(&link::create_veth(&Veth {
        end: VethEnd::named("eth0").mtu(mtu),
        state: AdminState::Up,
        peer: VethEnd::named("pod").mtu(mtu),
        peer_namespace: Some(machine.namespace()),
    }))?;
    let [a, b, c, _] = pod.octets();
    let gateway = Ipv4Addr::new(a, b, c, 1);
    let outside = Handle::open_in(machine.namespace())?;
    let index = outside.link("pod")?.index;
    outside.run_all(&[
        address::add(index, net(gateway, 24)?, PrefixRoute::Add),
        link::set_up(index),
    ])?;
    let index = inside.link("eth0")?.index;
    inside.run(&address::add(index, net(pod, 24)?, PrefixRoute::Add))?;
    let everything: IpNet = "0.0.0.0/0".parse()?;
    inside.run(&route::add(
        &Route::to(everything).dev(index).via(gateway.into()),
    ))?;
    Ok(())
}

fn tunnel(
    machine: &Machine,
    side: u8,
    hosts: [Ipv4Addr; 2],
    pod: Ipv4Addr,
    mtu: u32,
) -> anyhow::Result<()> {
    let (own, other) = (usize::from(side), usize::from(1 - side));
    let ends = [
        Ipv4Addr::new(192, 168, 50, 1),
        Ipv4Addr::new(192, 168, 50, 2),
    ];
    let handle = Handle::open_in(machine.namespace())?;
    handle.run(&link::create_vxlan(&Vxlan {
        name: "vx0",
        mode: VxlanMode::Fixed {
            vni: VNI,
            remote: Some(hosts[other].into()),
        },
        learning: Learning::On,
        port: 4789,
        local: Some(hosts[own].into()),
        underlay: Some(machine.uplink()),
        mac: None,
        mtu: Some(mtu),
    }))?;
    let index = handle.link("vx0")?.index;
    handle.run_all(&[
        address::add(index, net(ends[own], 24)?, PrefixRoute::Add),
        link::set_up(index),
        route::add(&Route::to(net(pod, 32)?).dev(index).via(ends[other].into())),
    ])?;
    Ok(())
}

fn finish(
    topology: &Topology,
    name: &str,
    ends: [NamedNamespace; 2],
    machines: Vec<Machine>,
    to: IpAddr,
) -> anyhow::Result<Plain> {
    let [client, server] = &ends;
    let lane = Lane::open(name, place(topology, client)?, place(topology, server)?, to)?;
    Ok(Plain {
        lane,
        _ends: ends,
        _middle: None,
        _machines: machines,
    })
}
