//! Rows of services: what a connect to one costs, and how long many of them take into the maps.

use std::time::{Duration, Instant};

use anyhow::ensure;
use datapath::abi::service::FrontendKey;
use kernel::Maps;
use serde_json::Value;

use super::crowd::{self, SERVICE_PORT};
use super::lane::Lane;
use super::load::Kind;
use super::pair::{Baseline, Contender, compare};
use super::statistics::Target;
use super::table::Row;
use super::{Bench, Group, pods, traffic};
use crate::cluster::Cluster;

/// Services, few and many.
pub(super) const SERVICES: Group = Group {
    name: "services",
    rows: &[
        "connect to a ClusterIP",
        "agent start,",
        "services × 5 backends, full program",
        "one change",
        "agent RSS",
        "maps",
    ],
    run: services,
};

/// TCP, as in the field of the same name of IP.
const TCP: u8 = 6;
const BACKENDS: usize = 5;
const LIMIT: Duration = Duration::from_mins(2);

fn services(bench: &mut Bench) -> anyhow::Result<()> {
    let (few, many) = (10, if bench.options.quick { 1000 } else { 10_000 });
    let mut cluster = Cluster::start(traffic::cluster(1))?;
    let (a, b) = (
        traffic::pod(&cluster, 0, "a")?,
        traffic::pod(&cluster, 0, "b")?,
    );
    let lane = traffic::between(&cluster, (0, &a), (0, &b))?;
    // The service that is connected to; its only backend is the server.
    let std::net::IpAddr::V4(server) = b.ipv4()? else {
        anyhow::bail!("not an IPv4 address");
    };
    crowd::create(
        &cluster,
        &[crowd::service(0), crowd::slice(0, 0, &[server])],
    )?;
    fill(&cluster, 1..few, 0)?;
    Tables::open(&cluster)?.wait_for(0..few, BACKENDS)?;
    connect(bench, &lane, few)?;
    full(bench, &mut cluster, few, many)?;
    connect(bench, &lane, many)?;
    let tables = Tables::open(&cluster)?;
    changes(bench, &cluster, &tables, many)?;
    fill(&cluster, 1..many, 1)?;
    tables.wait_for(1..many, 2 * BACKENDS)?;
    let what = format!("{many} services × {} backends", 2 * BACKENDS);
    pods::memory(bench, &mut cluster, &what, 150.0)
}

/// Creates services, or the second half of their backends.
fn fill(cluster: &Cluster, numbers: std::ops::Range<usize>, part: usize) -> anyhow::Result<()> {
    let slice = |number| crowd::slice(number, part, &crowd::backends(number, part, BACKENDS));
    let services = numbers.clone().filter(|_| part == 0).map(crowd::service);
    let objects: Vec<Value> = services.chain(numbers.map(slice)).collect();
    crowd::create(cluster, &objects)
}

/// Both go through the same hooks; only one is translated.
fn connect(bench: &mut Bench, lane: &Lane, services: usize) -> anyhow::Result<()> {
    let name = format!("connect to a ClusterIP, {services} services");
    if !bench.wants(&name) {
        return Ok(());
    }
    let window = bench.window;
    let micros = |done: super::load::Done| done.seconds * 1e6 / done.units as f64;
    let to = crowd::cluster_ip(0).into();
    let rows = compare(
        bench.limits(),
        &mut Baseline {
            name: "connect to its pod".into(),
            unit: "µs",
            measure: Box::new(|| lane.make(Kind::Connect, window).map(micros)),
        },
        &mut [Contender {
            name,
            target: Some(Target::AtMost(1.03)),
            measure: Box::new(|| {
                let done = lane.make_to(Kind::Connect, window, to, Some(SERVICE_PORT));
                done.map(micros)
            }),
        }],
    )?;
    bench.add(rows);
    Ok(())
}

/// The kernel's tables of services.
struct Tables {
    maps: Maps,
}

impl Tables {
    fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let maps = pods::maps(cluster)?;
        Ok(Self { maps })
    }

    /// How many backends a service has in the maps; its slots and backends are written before its frontend.
    fn slots(&self, service: usize) -> anyhow::Result<Option<u32>> {
        let key = FrontendKey {
            address: std::net::IpAddr::from(crowd::cluster_ip(service)).into(),
            port: SERVICE_PORT.to_be(),
            protocol: TCP,
            scope: 0,
        };
        Ok(self
            .maps
            .frontends
            .get(&key)?
            .map(|frontend| frontend.slots))
    }

    /// Waits until all services are there with so many backends; service 0 has one.
    fn wait_for(&self, services: std::ops::Range<usize>, backends: usize) -> anyhow::Result<()> {
        let end = Instant::now() + LIMIT;
        for service in services {
            let wanted = if service == 0 { 1 } else { backends as u32 };
            while self.slots(service)? != Some(wanted) {
                ensure!(
                    Instant::now() < end,
                    "service {service} is not in the maps after {LIMIT:?}"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

/// Time from the start of the agent's process until it is ready and all services are in the maps.
fn start(cluster: &mut Cluster, services: std::ops::Range<usize>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let node = pods::node(cluster)?;
    node.start_agent()?;
    node.wait_ready(LIMIT)?;
    // A new agent may have made a map anew.
    Tables::open(cluster)?.wait_for(services, BACKENDS)?;
    Ok(begun.elapsed())
}

/// The many services come while no agent runs. What its start takes by itself, such as loading the programs, is
/// measured with the few and taken off.
fn full(bench: &mut Bench, cluster: &mut Cluster, few: usize, many: usize) -> anyhow::Result<()> {
    pods::node(cluster)?.kill_agent()?;
    let alone = start(cluster, 0..few)?;
    pods::node(cluster)?.kill_agent()?;
    fill(cluster, few..many, 0)?;
    let all = start(cluster, 0..many)?;
    let seconds = |time: Duration| time.as_secs_f64();
    let name = format!("{many} services × {BACKENDS} backends, full program");
    let program = Row::figure(name, seconds(all) - seconds(alone), "s", 1);
    bench.add([
        Row::figure(
            format!("agent start, {few} services"),
            seconds(alone),
            "s",
            1,
        ),
        Row::figure(
            format!("agent start, {many} services"),
            seconds(all),
            "s",
            1,
        ),
        program.wanted(Target::AtMost(2.0)),
    ]);
    Ok(())
}

/// One slice loses a backend, and gets it back: from the store's acknowledgement to the maps.
fn changes(
    bench: &mut Bench,
    cluster: &Cluster,
    tables: &Tables,
    services: usize,
) -> anyhow::Result<()> {
    let rounds = if bench.options.quick { 5 } else { 50 };
    let mut times = Vec::new();
    for round in 0..rounds {
        let service = 1 + round * 7 % (services - 1);
        let mut backends = crowd::backends(service, 0, BACKENDS);
        let all = crowd::slice(service, 0, &backends);
        backends.pop();
        for (slice, number) in [
            (crowd::slice(service, 0, &backends), BACKENDS - 1),
            (all, BACKENDS),
        ] {
            cluster.apply(&slice)?;
            let begun = Instant::now();
            while tables.slots(service)? != Some(number as u32) {
                ensure!(begun.elapsed() < LIMIT, "a change is not in the maps");
                std::thread::sleep(Duration::from_micros(100));
            }
            times.push(begun.elapsed());
        }
    }
    let name = format!("one change among {services} services × {BACKENDS} backends, p99");
    bench.add([pods::at(name, &times, 99.0, 10.0)?]);
    Ok(())
}
