//! A node with pods: namespaces, veth pairs, rows of the tables, and sockets inside.

use std::io::{self, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use datapath::abi::endpoint::{Endpoint, HOP_FIRST, Hop, hop_kind};
use datapath::abi::event::{Count, DropKey, outcome};
use datapath::abi::ipcache::{AddressKey, AddressRow, flags};
use datapath::abi::node::Node as NodeRow;
use datapath::abi::policy::{PolicyHead, flags as policy};
use datapath::abi::{Address, Drop as Reason, Mac};
use ipnet::IpNet;
use kernel::{Config, Hook, Kernel, attach};
use netlink::address::PrefixRoute;
use netlink::link::{AdminState, Learning, Veth, VethEnd, Vxlan, VxlanMode};
use netlink::route::{Route, Scope};
use netlink::{Handle, NamedNamespace, address, link, route};

use crate::stage::Stage;

/// Port of every server here.
pub(crate) const PORT: u16 = 8080;
/// How long to wait for what must come, also on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to wait for what must not come.
pub(crate) const DENIED: Duration = Duration::from_millis(700);
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// IP families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Segmentation and checksums by the (virtual) hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offloads {
    On,
    Off,
}

/// Ingress policy of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Nothing is enforced.
    None,
    /// Default deny, version 1.
    Enforced { index: u16 },
}

/// A node with the loaded object.
pub(crate) struct Node {
    pub(crate) kernel: Kernel,
    pub(crate) namespace: NamedNamespace,
    pub(crate) handle: Handle,
    prefix: String,
    /// Second octet of the pods' network, so that two nodes differ.
    pub(crate) number: u8,
}

/// A pod with an address of each family.
pub(crate) struct Pod {
    pub(crate) namespace: NamedNamespace,
    pub(crate) addresses: [IpAddr; 2],
    #[allow(dead_code, reason = "not every test binary looks at it")]
    pub(crate) ifindex: u32,
    pub(crate) identity: u32,
}

impl Pod {
    pub(crate) fn address(&self, family: Family) -> IpAddr {
        self.addresses[family as usize]
    }
}

/// A policy that enforces nothing.
const OPEN: u16 = 1;

impl Node {
    pub(crate) fn new(stage: &Stage, tag: &str) -> Self {
        Self::numbered(stage, tag, 0, Stage::features())
    }

    pub(crate) fn numbered(
        stage: &Stage,
        tag: &str,
        number: u8,
        features: datapath::abi::node::Features,
    ) -> Self {
        Self::sized(stage, tag, number, (&Stage::config(), features))
    }

    pub(crate) fn sized(
        stage: &Stage,
        tag: &str,
        number: u8,
        (config, features): (&Config, datapath::abi::node::Features),
    ) -> Self {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("axt-{}-{tag}{count}", std::process::id());
        let namespace = NamedNamespace::create(&format!("{prefix}n")).expect("namespace");
        let handle = Handle::open_in(&namespace).expect("handle");
        handle.run(&link::set_up("lo")).expect("lo");
        let kernel = Kernel::load(stage.bpffs(), config, features).expect("load");
        let node = Self {
            kernel,
            namespace,
            handle,
            prefix,
            number,
        };
        node.write_rows();
        node
    }

    fn write_rows(&self) {
        let maps = &self.kernel.maps;
        let row = NodeRow {
            router_ipv4: Address::v4([10, self.number, 0, 1]),
            router_ipv6: IpAddr::V6(v6(self.number, 1)).into(),
            mtu: 1500,
            tunnel_port: 8472,
            world_ipv4: 9,
            world_ipv6: 10,
            ..NodeRow::default()
        };
        maps.node.set(&0, &row).expect("node");
        let open = PolicyHead::new(policy::INSTALLED, 0, 0);
        maps.policies.set(&OPEN.into(), &open).expect("policy");
    }

    /// Makes pod `number` as the agent and the plugin would.
    pub(crate) fn pod(&self, number: u8, ingress: Policy, offloads: Offloads) -> Pod {
        let namespace =
            NamedNamespace::create(&format!("{}p{number}", self.prefix)).expect("namespace");
        let host_name = format!("lxc{number}");
        let (mac, gateway) = (
            netlink::Mac([2, 0, self.number, 0, 1, number]),
            netlink::Mac([2, 0, self.number, 0, 2, number]),
        );
        let inside = Handle::open_in(&namespace).expect("handle");
        inside
            .run(&link::create_veth(&Veth {
                end: VethEnd::named("eth0").mac(mac),
                state: AdminState::Down,
                peer: VethEnd::named(&host_name).mac(gateway),
                peer_namespace: Some(&self.namespace),
            }))
            .expect("veth");
        let ifindex = self
            .handle
            .link(host_name.as_str())
            .expect("host end")
            .index;
        let identity = 1000 + 1000 * u32::from(self.number) + u32::from(number);
        let addresses = [
            IpAddr::V4(Ipv4Addr::new(10, self.number, 0, 100 + number)),
            IpAddr::V6(v6(self.number, 100 + u16::from(number))),
        ];
        self.write_pod(
            number,
            ifindex,
            identity,
            [mac, gateway],
            addresses,
            ingress,
        );
        attach::attach_pod(&self.handle, ifindex, &self.kernel.programs).expect("attach");
        if offloads == Offloads::Off {
            namespace
                .run(|| switch_offloads_off("eth0"))
                .expect("enter");
        }
        self.handle.run(&link::set_up(ifindex)).expect("up");
        configure(&inside, self.number, addresses);
        // Until the kernel has seen to the carrier, the device's queue swallows packets; that may take it a second.
        for _ in 0..300 {
            let carrier =
                |handle: &Handle, name: &str| handle.link(name).expect("link").has_carrier();
            if carrier(&inside, "eth0") && carrier(&self.handle, &host_name) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Pod {
            namespace,
            addresses,
            ifindex,
            identity,
        }
    }

    fn write_pod(
        &self,
        number: u8,
        ifindex: u32,
        identity: u32,
        [mac, gateway]: [netlink::Mac; 2],
        addresses: [IpAddr; 2],
        ingress: Policy,
    ) {
        let maps = &self.kernel.maps;
        let hop_index = HOP_FIRST + u32::from(number);
        let hop = Hop {
            kind: hop_kind::LOCAL,
            incarnation: 1,
            ifindex,
            destination_mac: Mac(mac.0),
            source_mac: Mac(gateway.0),
            slot: number.into(),
            endpoint: number.into(),
            ..Hop::default()
        };
        let hop_id = hop_index | 1 << 16;
        maps.hops.set(&hop_index, &hop).expect("hop");
        let ingress_policy = match ingress {
            Policy::None => OPEN,
            Policy::Enforced { index } => {
                let head = PolicyHead::new(policy::INSTALLED | policy::ENFORCED, 1, 1);
                maps.policies.set(&index.into(), &head).expect("policy");
                index
            }
        };
        let [ipv4, ipv6] = addresses.map(Address::from);
        let endpoint = Endpoint {
            ifindex,
            identity,
            id: number.into(),
            slot: number.into(),
            egress_policy: OPEN,
            ingress_policy,
            mac: Mac(mac.0),
            gateway_mac: Mac(gateway.0),
            ipv4,
            ipv6,
            hop: hop_id,
            flags: 0,
            mtu: 1500,
        };
        maps.endpoints
            .set(&(ifindex & 0xffff), &endpoint)
            .expect("endpoint");
        maps.known_identities.set(&identity, &1).expect("known");
        for address in [ipv4, ipv6] {
            let key = AddressKey {
                address,
                net: 0,
                pad: 0,
            };
            let row = AddressRow {
                identity,
                peer: identity,
                hop: hop_id,
                ifindex,
                flags: flags::LOCAL_ENDPOINT,
                pad: 0,
            };
            maps.addresses.set(&key, &row).expect("address");
        }
    }

    /// Packets of one hook that ended so.
    pub(crate) fn outcome(&self, hook: u8, outcome: u32) -> u64 {
        let counter = outcome::counter(hook, outcome);
        let counts = self.kernel.maps.hooks.get(&counter).expect("hooks");
        counts.iter().map(|count| count.packets).sum()
    }

    /// Packets that came to one hook: each was forwarded, dropped or answered.
    pub(crate) fn came(&self, hook: u8) -> u64 {
        let ends = [outcome::FORWARDED, outcome::DROPPED, outcome::ANSWERED];
        ends.iter().map(|end| self.outcome(hook, *end)).sum()
    }

    /// What was dropped at the hooks was dropped for a reason. The stacks of the pods say something now and then, also between two reads.
    pub(crate) fn assert_balanced(&self) {
        for _ in 0..50 {
            let (dropped, reasons) = self.dropped_and_reasons();
            if dropped == reasons {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (dropped, reasons) = self.dropped_and_reasons();
        assert_eq!(dropped, reasons);
    }

    fn dropped_and_reasons(&self) -> (u64, u64) {
        let dropped: u64 = (1..=6)
            .map(|hook| self.outcome(hook, outcome::DROPPED))
            .sum();
        let all = self.kernel.maps.drops.dump().expect("drops");
        let reasons: u64 = all
            .iter()
            .flat_map(|(_, counts)| counts)
            .map(|count| count.packets)
            .sum();
        (dropped, reasons)
    }

    /// All drops, summed over CPUs, without the multicast reports and router solicitations of the pods' stacks, which come at any time.
    pub(crate) fn drops(&self) -> Vec<(DropKey, u64)> {
        let sum = |counts: Vec<Count>| counts.iter().map(|count| count.packets).sum();
        let all = self.kernel.maps.drops.dump().expect("drops");
        let chatter = [
            Reason::UnknownIcmpv6Type.number(),
            Reason::MulticastHandled.number(),
            Reason::ForbiddenIcmpv6Message.number(),
        ];
        all.into_iter()
            .filter(|(key, _)| !chatter.contains(&key.reason))
            .map(|(key, counts)| (key, sum(counts)))
            .collect()
    }
}

/// An overlay between two nodes, over a veth pair as their underlay.
pub(crate) fn join(nodes: [&Node; 2]) {
    let [first, second] = nodes;
    first
        .handle
        .run(&link::create_veth(&Veth {
            end: VethEnd::named("uplink").mtu(1600),
            state: AdminState::Down,
            peer: VethEnd::named("uplink").mtu(1600),
            peer_namespace: Some(&second.namespace),
        }))
        .expect("underlay");
    for node in nodes {
        node.open_overlay();
    }
    // A neighbour that is known from the start: the first packet is not the one that waits for it.
    std::thread::sleep(Duration::from_millis(50));
}

impl Node {
    /// The node's address on the underlay.
    fn underlay(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 168, 77, self.number + 1))
    }

    fn open_overlay(&self) {
        let uplink = self.handle.link("uplink").expect("uplink").index;
        let prefix = IpNet::new(self.underlay(), 24).expect("prefix");
        let vxlan = Vxlan {
            name: "cilium_vxlan",
            mode: VxlanMode::External,
            learning: Learning::Off,
            port: 8472,
            local: None,
            underlay: None,
            mac: None,
            mtu: None,
        };
        let requests = [
            link::set_up(uplink),
            address::add(uplink, prefix, PrefixRoute::Add),
            link::create_vxlan(&vxlan),
            link::set_up("cilium_vxlan"),
        ];
        self.handle.run_all(&requests).expect("overlay");
        let overlay = self.handle.link("cilium_vxlan").expect("overlay").index;
        let mut row = self.kernel.maps.node.get(&0).expect("read").expect("row");
        (row.uplink, row.overlay, row.ipv4) = (uplink, overlay, self.underlay().into());
        self.kernel.maps.node.set(&0, &row).expect("node");
        self.namespace
            .run(|| {
                for (name, index, hook) in [
                    ("cilium_vxlan", overlay, Hook::FromOverlay),
                    ("uplink", uplink, Hook::FromNetdev),
                    ("uplink", uplink, Hook::ToNetdev),
                ] {
                    // Twice: the second replaces the program of the pinned link.
                    for _ in 0..2 {
                        attach::attach_device(&self.kernel, name, index, hook).expect("attach");
                    }
                    let found = attach::verify_device(&self.kernel, name, index, hook);
                    assert_eq!(found.expect("verify"), attach::Attachment::Current);
                }
            })
            .expect("enter");
    }

    /// Tells this node of a pod of another one.
    pub(crate) fn learn(&self, other: &Node, pod: &Pod) {
        const TUNNEL: u32 = HOP_FIRST + 200;
        let maps = &self.kernel.maps;
        let overlay = maps.node.get(&0).expect("read").expect("row").overlay;
        let hop = Hop {
            kind: hop_kind::TUNNEL,
            incarnation: 1,
            ifindex: overlay,
            tunnel: other.underlay().into(),
            ..Hop::default()
        };
        maps.hops.set(&TUNNEL, &hop).expect("hop");
        maps.known_identities.set(&pod.identity, &1).expect("known");
        let hop = TUNNEL | 1 << 16;
        let node = AddressRow {
            identity: 6,
            peer: 6,
            flags: flags::REMOTE_NODE,
            ..AddressRow::default()
        };
        let remote = AddressRow {
            identity: pod.identity,
            peer: pod.identity,
            hop,
            ..AddressRow::default()
        };
        let rows = [
            (other.underlay(), node),
            (pod.addresses[0], remote),
            (pod.addresses[1], remote),
        ];
        for (address, row) in rows {
            let key = AddressKey {
                address: address.into(),
                net: 0,
                pad: 0,
            };
            maps.addresses.set(&key, &row).expect("address");
        }
    }
}

impl Node {
    /// Hardware addresses of a pod and of its gateway.
    fn macs(&self, pod: &Pod) -> [Mac; 2] {
        let row = self.kernel.maps.endpoints.get(&(pod.ifindex & 0xffff));
        let row = row.expect("read").expect("row");
        [row.mac, row.gateway_mac]
    }

    /// A datagram of 64 octets as the first pod sends it.
    pub(crate) fn datagram(&self, from: &Pod, to: &Pod, port: u16) -> Vec<u8> {
        let [mac, gateway] = self.macs(from);
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.addresses[0], to.addresses[0])
        else {
            panic!("IPv4");
        };
        let mut packet = [gateway.0.as_slice(), &mac.0, &[8, 0]].concat();
        packet.extend([0x45, 0, 0, 92, 0, 0, 0x40, 0, 64, 17, 0, 0]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(port.to_be_bytes());
        packet.extend(PORT.to_be_bytes());
        packet.extend([0, 72, 0, 0]);
        packet.resize(14 + 92, 0x55);
        packet
    }

    /// Delivery from one pod to the other writes the hardware addresses that the packet has: a program run repeats on the
    /// packet that the last repetition left.
    pub(crate) fn make_delivery_repeatable(&self, from: &Pod, to: &Pod) {
        let row = self.kernel.maps.endpoints.get(&(to.ifindex & 0xffff));
        let index = row.expect("read").expect("row").hop & 0xffff;
        let mut hop = self
            .kernel
            .maps
            .hops
            .get(&index)
            .expect("read")
            .expect("hop");
        [hop.source_mac, hop.destination_mac] = self.macs(from);
        self.kernel.maps.hops.set(&index, &hop).expect("hop");
    }
}

/// Address of a pod or router of a node.
fn v6(node: u8, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, node.into(), 0, 0, 0, 0, 0, last)
}

/// Addresses and routes inside the pod: everything goes to the gateway.
fn configure(inside: &Handle, node: u8, [ipv4, ipv6]: [IpAddr; 2]) {
    let eth0 = inside.link("eth0").expect("eth0").index;
    let routers = [
        IpAddr::V4(Ipv4Addr::new(10, node, 0, 1)),
        IpAddr::V6(v6(node, 1)),
    ];
    let mut requests = vec![
        link::set_up("lo"),
        link::set_up(eth0),
        address::add(eth0, ipv4.into(), PrefixRoute::Skip),
        address::add(eth0, ipv6.into(), PrefixRoute::Skip),
    ];
    let everything = ["0.0.0.0/0", "::/0"];
    for (router, everything) in routers.into_iter().zip(everything) {
        requests.push(route::add(
            &Route::to(router.into()).dev(eth0).scope(Scope::Link),
        ));
        requests.push(route::add(
            &Route::to(everything.parse().expect("prefix"))
                .dev(eth0)
                .via(router),
        ));
    }
    inside.run_all(&requests).expect("addresses and routes");
}

/// Sends `length` octets from one pod to the other and counts what comes back.
pub(crate) fn tcp(from: &Pod, to: &Pod, family: Family, length: usize) -> io::Result<usize> {
    tcp_within(from, to, family, length, PATIENCE)
}

/// The same, for which each step may take `wait`.
pub(crate) fn tcp_within(
    from: &Pod,
    to: &Pod,
    family: Family,
    length: usize,
    wait: Duration,
) -> io::Result<usize> {
    let server = SocketAddr::new(to.address(family), PORT);
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            to.namespace
                .run(|| {
                    let listener = TcpListener::bind(server).expect("listen");
                    listener.set_nonblocking(true).expect("non-blocking");
                    ready.send(()).expect("ready");
                    let until = std::time::Instant::now() + wait * 2;
                    while std::time::Instant::now() < until {
                        if let Ok((stream, _)) = listener.accept() {
                            stream.set_nonblocking(false).expect("blocking");
                            return echo(stream);
                        }
                        std::thread::sleep(Duration::from_millis(2));
                    }
                })
                .expect("enter");
        });
        is_ready.recv().expect("server");
        let result = from
            .namespace
            .run(|| ask(server, length, wait))
            .expect("enter");
        serving.join().expect("server");
        result
    })
}

fn echo(mut stream: TcpStream) {
    stream
        .set_read_timeout(Some(PATIENCE * 2))
        .expect("time-out");
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn ask(server: SocketAddr, length: usize, wait: Duration) -> io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(&server, wait)?;
    stream.set_read_timeout(Some(wait * 2))?;
    let mut writer = stream.try_clone()?;
    let data: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
    let expected = data.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&data)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    writing.join().expect("writer")?;
    assert!(answer == expected, "the octets that came back differ");
    Ok(answer.len())
}

/// One datagram there and back; gives the client's port.
pub(crate) fn udp(from: &Pod, to: &Pod, family: Family) -> io::Result<u16> {
    let server = SocketAddr::new(to.address(family), PORT);
    let listener = to
        .namespace
        .run(|| UdpSocket::bind(server))
        .expect("enter")?;
    listener.set_read_timeout(Some(PATIENCE))?;
    let client = from
        .namespace
        .run(|| UdpSocket::bind(SocketAddr::new(from.address(family), 0)))
        .expect("enter")?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.send_to(b"question", server)?;
    let mut buffer = [0; 64];
    let (count, peer) = listener.recv_from(&mut buffer)?;
    assert_eq!(&buffer[..count], b"question");
    listener.send_to(b"answer", peer)?;
    let (count, peer) = client.recv_from(&mut buffer)?;
    assert_eq!((&buffer[..count], peer), (&b"answer"[..], server));
    Ok(client.local_addr()?.port())
}

/// Segmentation, merging and checksums are left to the stack, as by `ethtool -K DEVICE tx off tso off gso off gro off`.
fn switch_offloads_off(device: &str) {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        value: *mut Value,
        rest: [u64; 2],
    }
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const SET_TSO: u32 = 0x1f;
    const SET_GSO: u32 = 0x24;
    const SET_GRO: u32 = 0x2c;
    const SET_TX_CHECKSUM: u32 = 0x17;
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    for command in [SET_TSO, SET_GSO, SET_GRO, SET_TX_CHECKSUM] {
        let mut value = Value { command, data: 0 };
        let mut request = Request {
            name: [0; 16],
            value: &raw mut value,
            rest: [0; 2],
        };
        request.name[..device.len()].copy_from_slice(device.as_bytes());
        // SAFETY: the request is a `struct ifreq` whose pointer leads to a live `struct ethtool_value`.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        assert_eq!(
            result,
            0,
            "ethtool {command:#x}: {}",
            io::Error::last_os_error()
        );
    }
}
