//! Rows of a large cluster: policies in force and the agent's memory among many pods, identities and policies.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::prober::Prober;
use super::{Bench, Group, crowd, pods, traffic};
use crate::cluster::Cluster;

/// Many pods here, many elsewhere, many policies.
pub(super) const SCALE: Group = Group {
    name: "scale",
    rows: &[
        "first policy on a pod",
        "further change",
        "agent RSS",
        "maps",
    ],
    run: scale,
};

/// All objects take this long at most; more is a failure and not a figure.
const LIMIT: Duration = Duration::from_mins(3);

/// How large.
struct Size {
    pods: usize,
    identities: usize,
    policies: usize,
}

fn scale(bench: &mut Bench) -> anyhow::Result<()> {
    let size = if bench.options.quick {
        Size {
            pods: 10,
            identities: 1000,
            policies: 100,
        }
    } else {
        Size {
            pods: 250,
            identities: 10_000,
            policies: 1000,
        }
    };
    let mut cluster = Cluster::start(traffic::cluster(1))?;
    let (client, server) = (
        traffic::pod(&cluster, 0, "a")?,
        traffic::pod(&cluster, 0, "b")?,
    );
    let (others, _) = pods::at_once(&cluster, size.pods - 2)?;
    let apps: Vec<String> = others.iter().map(|pod| pod.pod.name.clone()).collect();
    let begun = Instant::now();
    crowd::create(&cluster, &crowd::absent(size.identities))?;
    crowd::create(&cluster, &crowd::policies(size.policies, &apps))?;
    println!("  (objects made in {:.1?})", begun.elapsed());
    wait_for(&cluster, &size)?;
    println!("  (in force after {:.1?})", begun.elapsed());
    let what = format!(
        "{} pods, {} identities, {} policies",
        size.pods, size.identities, size.policies
    );
    pods::memory(bench, &mut cluster, &what, 150.0)?;
    let prober = Prober::start(&client, &server)?;
    pods::policies(bench, &cluster, &prober, &what, 100.0)?;
    drop(others);
    Ok(())
}

/// Waits until every absent pod's address and every policy's port are in the maps.
fn wait_for(cluster: &Cluster, size: &Size) -> anyhow::Result<()> {
    let maps = pods::maps(cluster)?;
    let ports = crowd::FIRST_PORT..crowd::FIRST_PORT + size.policies as u16;
    let end = Instant::now() + LIMIT;
    loop {
        let addresses = maps.addresses.dump()?.len();
        let rows = maps.policy_ports.dump()?;
        let found: BTreeSet<u16> = rows
            .iter()
            .map(|(key, _)| u16::from_be(key.port))
            .filter(|port| ports.contains(port))
            .collect();
        if addresses >= size.identities && found.len() == size.policies {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "{addresses} addresses and {} policies are in the maps after {LIMIT:?}",
            found.len()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
