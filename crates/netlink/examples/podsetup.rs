//! Times each kernel step of a pod's set-up: `cargo run --release -p netlink --example podsetup [ROUNDS]`, as root.

#![allow(clippy::print_stdout, reason = "printing the table is what it is for")]

use std::time::{Duration, Instant};

use netlink::address::PrefixRoute;
use netlink::link::{Veth, VethEnd};
use netlink::route::{Route, Scope};
use netlink::{AdminState, Handle, NamedNamespace, address, filter, link, route, sysctl};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let rounds = std::env::args().nth(1).map_or(Ok(50), |n| n.parse())?;
    let host = NamedNamespace::create(&format!("axhost{}", std::process::id()))?;
    let in_host = Handle::open_in(&host)?;
    let mut steps: Vec<(&'static str, Vec<Duration>)> = Vec::new();
    for round in 0..rounds {
        let pod = NamedNamespace::create(&format!("axpod{}-{round}", std::process::id()))?;
        let mut clock = Clock {
            last: Instant::now(),
            steps: &mut steps,
        };
        pod_setup(&host, &in_host, &pod, round, &mut clock)?;
    }
    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        "step", "p50 µs", "p90 µs", "max µs"
    );
    let mut total = Duration::ZERO;
    for (name, mut times) in steps {
        times.sort();
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        total += at(50);
        println!(
            "{name:<44} {:>9} {:>9} {:>9}",
            at(50).as_micros(),
            at(90).as_micros(),
            at(100).as_micros()
        );
    }
    println!("{:<44} {:>9}", "sum of medians", total.as_micros());
    Ok(())
}

/// Notes the time since the last step under a name.
struct Clock<'a> {
    last: Instant,
    steps: &'a mut Vec<(&'static str, Vec<Duration>)>,
}

impl Clock<'_> {
    fn step(&mut self, name: &'static str) {
        let taken = self.last.elapsed();
        match self.steps.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(taken),
            None => self.steps.push((name, vec![taken])),
        }
        self.last = Instant::now();
    }
}

fn pod_setup(
    host: &NamedNamespace,
    in_host: &Handle,
    pod: &NamedNamespace,
    round: u32,
    clock: &mut Clock<'_>,
) -> Result<(), Failure> {
    let in_pod = Handle::open_in(pod)?;
    clock.step("open a handle in the pod (thread, setns)");
    let peer = format!("lxcax{round}");
    in_pod.run(&link::create_veth(&Veth {
        end: VethEnd::named("eth0").mtu(1500),
        state: AdminState::Up,
        peer: VethEnd::named(&peer).mtu(1500),
        peer_namespace: Some(host),
    }))?;
    clock.step("create veth, pod end up, host end in place");
    let eth0 = in_pod.link("eth0")?;
    clock.step("look up the pod end");
    sysctl::write_in(pod, &[("net/ipv6/conf/eth0/disable_ipv6", "0")])?;
    clock.step("one sysctl in the pod (thread, setns)");
    let host_end = in_host.link(&peer)?.index;
    in_host.run(&filter::add_clsact(host_end))?;
    clock.step("clsact on the host end");
    in_host.run(&link::set_up(host_end))?;
    clock.step("host end up");
    let (gateway4, gateway6) = ("10.96.0.1".parse()?, "fd00:96::1".parse()?);
    in_pod.run_all(&[
        address::add(eth0.index, "10.96.0.7/32".parse()?, PrefixRoute::Add),
        address::add(eth0.index, "fd00:96::7/128".parse()?, PrefixRoute::Add),
        route::add(
            &Route::to("10.96.0.1/32".parse()?)
                .dev(eth0.index)
                .scope(Scope::Link),
        ),
        route::add(
            &Route::to("0.0.0.0/0".parse()?)
                .dev(eth0.index)
                .via(gateway4)
                .mtu(1450),
        ),
        route::add(&Route::to("fd00:96::1/128".parse()?).dev(eth0.index)),
        route::add(
            &Route::to("::/0".parse()?)
                .dev(eth0.index)
                .via(gateway6)
                .mtu(1450),
        ),
    ])?;
    clock.step("2 addresses and 4 routes, one batch");
    in_host.run(&link::delete(host_end))?;
    clock.step("delete the pair");
    Ok(())
}
