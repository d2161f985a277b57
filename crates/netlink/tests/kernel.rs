//! Every request against a real kernel, in namespaces of the test's own.

#![allow(clippy::too_many_lines, reason = "a test reads best as one story")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::IpNet;
use netlink::address::PrefixRoute;
use std::os::fd::AsFd;

use netlink::diag::{Diag, Protocol};
use netlink::filter::{self, Direction, Place};
use netlink::link::{Learning, OffloadSizes, Veth, VethEnd, Vxlan, VxlanMode};
use netlink::route::{Kind, Route, Scope};
use netlink::rule::{Mark, Rule};
use netlink::{
    AdminState, Family, Handle, Mac, NamedNamespace, Namespace, address, link, namespace,
    neighbour, route, rule, sysctl,
};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A namespace of this test, or `None` (with a printed reason) without root; with CI=true that is a failure.
fn own_namespace() -> Option<NamedNamespace> {
    let name = format!(
        "axt-{}-netlink-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    );
    match NamedNamespace::create(&name) {
        Ok(namespace) => Some(namespace),
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("needs root: {error}")
        }
        Err(error) => {
            println!("skipped, needs root: {error}");
            None
        }
    }
}

macro_rules! need {
    ($namespace:expr) => {
        match $namespace {
            Some(namespace) => namespace,
            None => return,
        }
    };
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A veth pair inside one namespace, both ends up; the indexes of both.
fn pair(handle: &Handle) -> (u32, u32) {
    handle
        .run(&link::create_veth(&Veth {
            end: VethEnd::named("axa"),
            state: AdminState::Up,
            peer: VethEnd::named("axb"),
            peer_namespace: None,
        }))
        .expect("veth");
    handle.run(&link::set_up("axb")).expect("up");
    (
        handle.link("axa").expect("axa").index,
        handle.link("axb").expect("axb").index,
    )
}

#[test]
fn a_veth_is_made_with_its_peer_directly_in_the_other_namespace() {
    let pod = need!(own_namespace());
    let host = need!(own_namespace());
    let in_pod = Handle::open_in(&pod).expect("handle");
    let in_host = Handle::open_in(&host).expect("handle");
    let (pod_mac, host_mac) = (Mac::random().expect("mac"), Mac::random().expect("mac"));
    in_pod
        .run(&link::create_veth(&Veth {
            end: VethEnd::named("eth0").mac(pod_mac).mtu(1450),
            state: AdminState::Up,
            peer: VethEnd::named("lxcaxtest").mac(host_mac).mtu(1400),
            peer_namespace: Some(&host),
        }))
        .expect("create");
    let eth0 = in_pod.link("eth0").expect("eth0");
    let lxc = in_host.link("lxcaxtest").expect("lxc");
    assert_eq!(
        (eth0.mac, eth0.mtu, eth0.state(), eth0.kind.as_str()),
        (Some(pod_mac), 1450, AdminState::Up, "veth")
    );
    assert_eq!(
        (lxc.mac, lxc.mtu, lxc.state()),
        (Some(host_mac), 1400, AdminState::Down)
    );
    assert_eq!((eth0.peer, lxc.peer), (Some(lxc.index), Some(eth0.index)));
    assert!(eth0.peer_namespace_id.is_some() && !eth0.has_carrier());
    assert!(
        in_pod.find_link("lxcaxtest").expect("lookup").is_none(),
        "the peer must not be in the pod"
    );
    in_host.run(&link::delete("lxcaxtest")).expect("delete");
    assert!(
        in_pod.find_link("eth0").expect("lookup").is_none(),
        "both ends go together"
    );
}

#[test]
fn links_change_state_mtu_mac_name_master_and_alternative_names() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, _) = pair(&handle);
    handle.run(&link::create_bridge("axbr")).expect("bridge");
    let bridge = handle.link("axbr").expect("bridge");
    assert_eq!(bridge.kind, "bridge");
    let mac = Mac::random().expect("mac");
    let long = "ax-a-name-that-is-longer-than-fifteen-bytes";
    handle
        .run_all(&[
            link::set_down(a),
            link::rename(a, "axz"),
            link::set_mac(a, mac),
            link::set_mtu(a, 1300),
            link::set_master(a, bridge.index),
            link::add_alternative_name(a, long),
            link::set_offload_sizes(
                a,
                OffloadSizes {
                    gso: Some(60_000),
                    gro: Some(50_000),
                    gso_ipv4: Some(40_000),
                    gro_ipv4: Some(30_000),
                },
            ),
        ])
        .expect("changes");
    let changed = handle.link(long).expect("by alternative name");
    assert_eq!(changed.name, "axz");
    assert_eq!(
        (changed.mac, changed.mtu, changed.master),
        (Some(mac), 1300, Some(bridge.index))
    );
    assert_eq!(changed.alternative_names, [long]);
    handle
        .run_all(&[
            link::set_master(a, 0),
            link::delete_alternative_name(a, long),
        ])
        .expect("undo");
    let undone = handle.link(a).expect("by index");
    assert_eq!((undone.master, undone.alternative_names.len()), (None, 0));
}

#[test]
fn a_vxlan_is_external_or_has_a_fixed_vni() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let vxlan = |name, mode| Vxlan {
        name,
        mode,
        learning: Learning::Off,
        port: 8472,
        local: None,
        underlay: None,
        mac: None,
        mtu: Some(1400),
    };
    handle
        .run(&link::create_vxlan(&vxlan("axvx", VxlanMode::External)))
        .expect("external");
    assert_eq!(handle.link("axvx").expect("axvx").kind, "vxlan");
    handle.run(&link::delete("axvx")).expect("delete");
    let fixed = VxlanMode::Fixed {
        vni: 42,
        remote: Some(ip("192.0.2.9")),
    };
    handle
        .run(&link::create_vxlan(&vxlan("axvy", fixed)))
        .expect("fixed");
    assert_eq!(
        handle
            .links()
            .expect("list")
            .iter()
            .filter(|l| l.kind == "vxlan")
            .count(),
        1
    );
}

#[test]
fn addresses_of_both_families_are_usable_at_once() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, _) = pair(&handle);
    let (v4, v6) = (net("10.99.0.7/32"), net("fd00:99::7/128"));
    handle
        .run_all(&[
            address::add(a, v4, PrefixRoute::Add),
            address::add(a, v6, PrefixRoute::Skip),
        ])
        .expect("add");
    let listed = handle.addresses(Some(a)).expect("list");
    for wanted in [v4, v6] {
        let found = listed
            .iter()
            .find(|x| x.address == wanted)
            .unwrap_or_else(|| panic!("{wanted} in {listed:?}"));
        assert_eq!(found.flags & 0x40, 0, "{wanted} is tentative");
    }
    assert!(
        handle
            .run(&address::add(a, v4, PrefixRoute::Add))
            .expect_err("twice")
            .is_exists()
    );
    handle
        .run_all(&[address::delete(a, v4), address::delete(a, v6)])
        .expect("delete");
    assert!(
        handle
            .addresses(Some(a))
            .expect("list")
            .iter()
            .all(|x| x.address != v4 && x.address != v6)
    );
    assert!(
        handle
            .run(&address::delete(a, v4))
            .expect_err("gone")
            .is_not_found()
    );
    handle
        .run(&address::delete(a, v4).or_gone())
        .expect("tolerated");
}

#[test]
fn routes_come_back_as_they_were_added() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, _) = pair(&handle);
    handle
        .run_all(&[
            address::add(a, net("10.99.1.7/32"), PrefixRoute::Add),
            address::add(a, net("fd00:99::8/128"), PrefixRoute::Add),
        ])
        .expect("addresses");
    let routes = [
        Route::to(net("10.99.1.1/32")).dev(a).scope(Scope::Link),
        Route::to(net("0.0.0.0/0"))
            .dev(a)
            .via(ip("10.99.1.1"))
            .mtu(1423),
        Route::to(net("198.51.100.0/24"))
            .dev(a)
            .via(ip("203.0.113.1"))
            .onlink()
            .in_table(2004)
            .src(ip("10.99.1.7")),
        Route {
            metric: Some(7),
            ..Route::to(net("fd00:99::1/128")).dev(a)
        },
        Route {
            metric: Some(7),
            ..Route::to(net("::/0"))
                .dev(a)
                .via(ip("fd00:99::1"))
                .mtu(1400)
        },
    ];
    let requests: Vec<_> = routes.iter().map(route::add).collect();
    handle.run_all(&requests).expect("add");
    let mut listed = handle.routes(Family::V4, None).expect("v4");
    listed.extend(handle.routes(Family::V6, None).expect("v6"));
    for route in &routes {
        assert!(listed.contains(route), "{route:?} is not in {listed:#?}");
    }
    assert!(
        handle
            .run(&route::add(&routes[1]))
            .expect_err("twice")
            .is_exists()
    );
    let lower = routes[1].clone().mtu(1300);
    handle.run(&route::replace(&lower)).expect("replace");
    assert!(
        handle
            .routes(Family::V4, Some(route::TABLE_MAIN))
            .expect("v4")
            .contains(&lower)
    );
    let requests: Vec<_> = routes.iter().rev().map(route::delete).collect();
    handle.run_all(&requests).expect("delete");
    let blackhole = Route::to(net("10.99.2.0/24")).kind(Kind::Blackhole);
    handle.run(&route::add(&blackhole)).expect("blackhole");
    assert!(
        handle
            .routes(Family::V4, None)
            .expect("v4")
            .contains(&blackhole)
    );
}

#[test]
fn rules_choose_a_table_by_mark() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    for family in [Family::V4, Family::V6] {
        let to_proxy = Rule::marked(
            family,
            9,
            Mark {
                value: 0x200,
                mask: 0xf00,
            },
            2004,
        );
        let all = Rule::all(family, 100, route::TABLE_LOCAL);
        handle
            .run_all(&[rule::add(&to_proxy), rule::add(&all)])
            .expect("add");
        let listed = handle.rules(family).expect("list");
        assert!(
            listed.contains(&to_proxy) && listed.contains(&all),
            "{listed:?}"
        );
        assert!(
            handle
                .run(&rule::add(&to_proxy))
                .expect_err("twice")
                .is_exists()
        );
        handle
            .run_all(&[rule::delete(&to_proxy), rule::delete(&all)])
            .expect("delete");
        assert!(!handle.rules(family).expect("list").contains(&to_proxy));
    }
}

#[test]
fn neighbours_are_permanent_or_answered_for() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, _) = pair(&handle);
    let mac = Mac::random().expect("mac");
    for (family, address, proxied) in [
        (Family::V4, ip("10.99.1.1"), ip("10.99.1.9")),
        (Family::V6, ip("fd00:99::1"), ip("fd00:99::9")),
    ] {
        handle
            .run_all(&[
                neighbour::set_permanent(a, address, mac),
                neighbour::add_proxy(a, proxied),
            ])
            .expect("add");
        let listed = handle.neighbours(family).expect("list");
        assert!(
            listed
                .iter()
                .any(|n| n.address == address && n.mac == Some(mac) && n.is_permanent()),
            "{listed:?}"
        );
        let proxies = handle.proxy_neighbours(family).expect("list");
        assert!(
            proxies.iter().any(|n| n.address == proxied && n.index == a),
            "{proxies:?}"
        );
        handle
            .run_all(&[
                neighbour::delete(a, address),
                neighbour::delete_proxy(a, proxied),
            ])
            .expect("delete");
        assert!(handle.proxy_neighbours(family).expect("list").is_empty());
    }
}

#[test]
fn one_refused_request_of_a_batch_is_named_and_the_others_are_done() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, b) = pair(&handle);
    let results = handle.run_each(&[
        link::set_mtu(a, 1301),
        link::set_mtu(9999, 1300),
        link::set_mtu(b, 1302),
    ]);
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().expect_err("no such link");
    assert_eq!(
        (error.operation(), error.object(), error.errno()),
        ("set MTU of", "link 9999", libc::ENODEV)
    );
    assert!(error.to_string().contains("No such device"), "{error}");
    assert_eq!(
        (
            handle.link(a).expect("a").mtu,
            handle.link(b).expect("b").mtu
        ),
        (1301, 1302)
    );
}

#[test]
fn a_thousand_requests_go_out_in_one_call() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, _) = pair(&handle);
    let prefix = |n: u32| net(&format!("10.98.{}.{}/32", n / 250, n % 250 + 1));
    let requests: Vec<_> = (0..1000)
        .map(|n| route::add(&Route::to(prefix(n)).dev(a).scope(Scope::Link)))
        .collect();
    handle.run_all(&requests).expect("add");
    let ours = handle
        .routes(Family::V4, Some(route::TABLE_MAIN))
        .expect("list");
    assert_eq!(ours.iter().filter(|r| r.device == Some(a)).count(), 1000);
}

#[test]
fn namespaces_are_told_apart_and_entered_by_threads_only() {
    let namespace = need!(own_namespace());
    let here = Namespace::current().expect("current");
    assert!(!namespace.is_same(&here).expect("compare"));
    let inside = namespace
        .run(|| Namespace::current().and_then(|n| n.id()))
        .expect("run")
        .expect("id");
    assert_eq!(inside, namespace.id().expect("id"));
    assert!(
        Namespace::current()
            .expect("current")
            .is_same(&here)
            .expect("compare"),
        "the caller stays"
    );
    assert_ne!(
        namespace.cookie().expect("cookie"),
        here.cookie().expect("cookie")
    );
    assert_eq!(
        Namespace::of_process(std::process::id())
            .expect("pid")
            .id()
            .ok(),
        here.id().ok()
    );
    assert!(
        NamedNamespace::create(namespace.name())
            .expect_err("taken")
            .is_exists()
    );
    for name in ["", ".", "..", "../x", "a/b"] {
        assert_eq!(
            NamedNamespace::create(name).expect_err("refused").errno(),
            libc::EINVAL
        );
    }
    let file = Namespace::open("/proc/self/exe").expect_err("not a namespace");
    assert!(file.to_string().contains("not a namespace"), "{file}");
    let path = namespace.path();
    drop(namespace);
    assert!(!path.exists());
    let kept = need!(own_namespace());
    let (name, path) = (kept.name().to_owned(), kept.path());
    let kept = kept.persist().expect("persist");
    assert!(
        path.exists()
            && Namespace::named(&name)
                .expect("named")
                .is_same(&kept)
                .expect("compare")
    );
    namespace::delete_named(&name).expect("delete");
    assert!(!path.exists());
    namespace::delete_named("axnl-never-there").expect("gone is fine");
}

#[test]
fn sysctls_belong_to_one_namespace() {
    let one = need!(own_namespace());
    let two = need!(own_namespace());
    let name = "net.ipv4.ip_forward";
    sysctl::write_in(&two, &[(name, "0")]).expect("write");
    sysctl::write_in(&one, &[(name, "1"), ("net/ipv6/conf/all/forwarding", "1")]).expect("write");
    assert_eq!(sysctl::read_in(&one, name).expect("read"), "1");
    assert_eq!(sysctl::read_in(&two, name).expect("read"), "0");
    let missing = sysctl::read_in(&one, "net.ipv4.no_such_key").expect_err("missing");
    assert!(
        missing.is_not_found() && missing.to_string().contains("net.ipv4.no_such_key"),
        "{missing}"
    );
    for name in ["../etc/passwd", "/etc/passwd", "net/../../x", ""] {
        assert_eq!(
            sysctl::read(name).expect_err("refused").errno(),
            libc::EINVAL,
            "{name}"
        );
    }
}

#[test]
fn sockets_to_a_gone_backend_are_aborted_and_no_others() {
    let namespace = need!(own_namespace());
    Handle::open_in(&namespace)
        .expect("handle")
        .run(&link::set_up("lo"))
        .expect("lo");
    let (gone, kept, udp, udp_target, mapped) = namespace
        .run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            let other = TcpListener::bind("127.0.0.1:0").expect("bind");
            let gone =
                TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
            let port = listener.local_addr().expect("address").port();
            let mapped =
                TcpStream::connect(format!("[::ffff:127.0.0.1]:{port}")).expect("connect mapped");
            let kept = TcpStream::connect(other.local_addr().expect("address")).expect("connect");
            let server = UdpSocket::bind("[::1]:0").expect("bind");
            let udp = UdpSocket::bind("[::1]:0").expect("bind");
            udp.connect(server.local_addr().expect("address"))
                .expect("connect");
            // The accepting sides stay open in the listeners' queues; they are not connected *to* the backend.
            std::mem::forget((listener, other));
            (
                gone,
                kept,
                udp,
                server.local_addr().expect("address"),
                mapped,
            )
        })
        .expect("run");
    let diag = Diag::open_in(&namespace).expect("diag");
    let backend = gone.peer_addr().expect("peer");
    let listed = diag.sockets(Family::V4, Protocol::Tcp).expect("list");
    assert!(
        listed
            .iter()
            .any(|s| s.remote == backend && Some(s.local) == gone.local_addr().ok()),
        "{listed:?}"
    );
    assert_eq!(
        diag.destroy_all(Protocol::Tcp, |s| s.canonical_remote() == backend)
            .expect("destroy"),
        2
    );
    assert_eq!(
        diag.destroy_all(Protocol::Udp, |s| s.canonical_remote() == udp_target)
            .expect("destroy"),
        1
    );
    let after = |socket: &TcpStream| {
        socket
            .take_error()
            .expect("getsockopt")
            .and_then(|e| e.raw_os_error())
    };
    assert_eq!(after(&gone), Some(libc::ECONNABORTED));
    assert_eq!(after(&mapped), Some(libc::ECONNABORTED));
    assert_eq!(
        udp.take_error()
            .expect("getsockopt")
            .and_then(|e| e.raw_os_error()),
        Some(libc::ECONNABORTED)
    );
    assert_eq!(after(&kept), None);
    let nobody: SocketAddr = "127.0.0.1:9".parse().expect("address");
    assert_eq!(
        diag.destroy_all(Protocol::Tcp, |s| s.canonical_remote() == nobody)
            .expect("nobody"),
        0
    );
}

#[test]
fn a_listed_tcp_socket_tells_how_many_octets_it_has_received() {
    let namespace = need!(own_namespace());
    Handle::open_in(&namespace)
        .expect("handle")
        .run(&link::set_up("lo"))
        .expect("lo");
    let (mut from, to) = namespace
        .run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let from = TcpStream::connect(listener.local_addr().expect("address"));
            (from.expect("connect"), listener.accept().expect("accept").0)
        })
        .expect("run");
    std::io::Write::write_all(&mut from, &[7; 12_345]).expect("write");
    let mut read = vec![0; 12_345];
    std::io::Read::read_exact(&mut &to, &mut read).expect("read");
    let diag = Diag::open_in(&namespace).expect("diag");
    let of = |socket: &TcpStream| {
        let listed = diag.received(Family::V4).expect("list");
        let local = socket.local_addr().ok();
        let mut found = listed.iter().filter(|(of, _)| Some(of.local) == local);
        let remote = socket.peer_addr().ok();
        found
            .find(|(of, _)| Some(of.remote) == remote)
            .map(|(_, octets)| *octets)
    };
    assert_eq!(of(&to), Some(12_345));
    assert_eq!(of(&from), Some(0));
}

/// Loads `return TC_ACT_OK (0)` or `TC_ACT_SHOT (2)` as a classifier.
fn classifier(verdict: i32) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // r0 = verdict; exit
    let code: [u64; 2] = [0xb7 | (verdict as u64) << 32, 0x95];
    let licence = c"GPL";
    let mut attributes = [0_u64; 16];
    attributes[0] = 3 | (code.len() as u64) << 32; // BPF_PROG_TYPE_SCHED_CLS, instruction count
    attributes[1] = code.as_ptr() as u64;
    attributes[2] = licence.as_ptr() as u64;
    // SAFETY: command 5 is BPF_PROG_LOAD; the attributes point at live memory of the stated length.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            5,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    assert!(fd >= 0, "load: {}", std::io::Error::last_os_error());
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) }
}

#[test]
fn a_filter_is_attached_replaced_in_place_listed_and_detached() {
    let namespace = need!(own_namespace());
    let handle = Handle::open_in(&namespace).expect("handle");
    let (a, _) = pair(&handle);
    assert!(
        handle
            .filters(a, Direction::Ingress)
            .is_ok_and(|f| f.is_empty()),
        "without a qdisc there are none"
    );
    handle
        .run_all(&[filter::add_clsact(a), filter::add_clsact(a)])
        .expect("twice is fine");
    let (pass, shot) = (classifier(0), classifier(2));
    let place = |direction| Place {
        index: a,
        direction,
        priority: 1,
        handle: 1,
    };
    for direction in [Direction::Ingress, Direction::Egress] {
        handle
            .run(&filter::set(place(direction), "ax_pass", pass.as_fd()))
            .expect("attach");
        let first = handle.filters(a, direction).expect("list");
        handle
            .run(&filter::set(place(direction), "ax_shot", shot.as_fd()))
            .expect("replace");
        let second = handle.filters(a, direction).expect("list");
        assert_eq!((first.len(), second.len()), (1, 1), "{first:?} {second:?}");
        assert_eq!(
            (first[0].place, first[0].name.as_str()),
            (place(direction), "ax_pass")
        );
        assert_eq!(
            (second[0].place, second[0].name.as_str()),
            (place(direction), "ax_shot")
        );
        assert_ne!(first[0].program_id, second[0].program_id);
    }
    handle
        .run(&filter::delete(place(Direction::Ingress)))
        .expect("detach");
    assert!(
        handle
            .filters(a, Direction::Ingress)
            .expect("list")
            .is_empty()
    );
    assert_eq!(handle.filters(a, Direction::Egress).expect("list").len(), 1);
    assert!(
        handle
            .run(&filter::delete(place(Direction::Ingress)))
            .expect_err("gone")
            .is_not_found()
    );
    handle.run(&filter::delete_clsact(a)).expect("delete qdisc");
    assert!(
        handle
            .filters(a, Direction::Egress)
            .is_ok_and(|f| f.is_empty())
    );
}
