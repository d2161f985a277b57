//! `axoneme connectivity perf`: how much goes from pod to pod and from node to node, by the iperf of the pods' image.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use store::{Exec, Executed};

use super::lab::{Lab, Peer, Role};
use super::{DeployArgs, deploy};
use crate::cluster::ClusterArgs;
use crate::cluster::progress::Progress;
use crate::dbg::context::Outcome;
use crate::output::{OutputArgs, Table};

/// Port of the measured connections.
const PORT: u16 = 15_201;
/// A server that was started a moment ago may not listen yet.
const TRIES: u32 = 20;
const AGAIN: Duration = Duration::from_millis(250);

/// Arguments of the command.
#[derive(clap::Args, Debug)]
pub(crate) struct PerfArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    deploy: DeployArgs,
    /// How long each measurement takes, in whole seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600), value_name = "SECONDS")]
    duration: u16,
    /// Measurements of each pair
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "NUMBER")]
    samples: u8,
    #[command(flatten)]
    output: OutputArgs,
}

/// Who sends to whom.
struct Pair<'a> {
    scenario: &'static str,
    from: &'a Peer,
    to: &'a Peer,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Measured {
    scenario: &'static str,
    from: String,
    to: String,
    test: &'static str,
    /// Megabits a second, one number for each sample.
    megabits: Vec<f64>,
}

/// Runs the command.
pub(super) fn run(args: &PerfArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let all = crate::program::block_on(measure(args))?;
    if let Some(format) = &args.output.output {
        format.write(out, &serde_json::to_value(&all)?)?;
        return Ok(Outcome::Good);
    }
    let mut table = Table::new(&["SCENARIO", "FROM", "TO", "TEST", "MBIT/S, LEAST TO MOST"]);
    for of in &all {
        let least = of.megabits.iter().copied().fold(f64::INFINITY, f64::min);
        let most = of.megabits.iter().copied().fold(0.0, f64::max);
        let range = if of.megabits.len() > 1 {
            format!("{least:.0} to {most:.0}")
        } else {
            format!("{most:.0}")
        };
        let cells = [of.scenario, &of.from, &of.to, of.test, &range];
        table.row(cells);
    }
    table.write(out)?;
    writeln!(
        out,
        "\nTCP_RR and TCP_CRR are not measured: images like agnhost's have no program for them"
    )?;
    Ok(Outcome::Good)
}

async fn measure(args: &PerfArgs) -> anyhow::Result<Vec<Measured>> {
    let cluster = args.cluster.open().await?;
    let mut progress = Progress::new();
    let labs = deploy(&args.deploy, &cluster, &[], 1, &mut progress).await?;
    let lab = labs.first().context("there is no lab")?;
    super::force::remove_all(lab).await?;
    let mut all = Vec::new();
    for pair in pairs(lab) {
        let mut megabits = Vec::new();
        for sample in 1..=args.samples {
            progress.say(&format!("{}, {sample} of {}", pair.scenario, args.samples));
            let measured = stream(lab, &pair, args.duration).await;
            megabits.push(measured.with_context(|| pair.scenario)?);
        }
        all.push(Measured {
            scenario: pair.scenario,
            from: pair.from.pod.node.clone(),
            to: pair.to.pod.node.clone(),
            test: "TCP_STREAM",
            megabits,
        });
    }
    Ok(all)
}

fn pairs(lab: &Lab) -> Vec<Pair<'_>> {
    let named = |name: &str| lab.peers.iter().find(|peer| peer.name == name);
    let hosts: Vec<&Peer> = lab.of_role(Role::Host).collect();
    let (first, second) = (hosts.first().copied(), hosts.get(1).copied());
    let all = [
        (
            "pod-to-pod same node",
            named("client"),
            named("echo-same-node"),
        ),
        (
            "pod-to-pod other node",
            named("client"),
            named("echo-other-node"),
        ),
        ("host-to-pod other node", first, named("echo-other-node")),
        ("host-to-host other node", first, second),
    ];
    let there = all.into_iter().filter_map(|(scenario, from, to)| {
        Some(Pair {
            scenario,
            from: from?,
            to: to?,
        })
    });
    there.collect()
}

/// Megabits a second of one connection.
async fn stream(lab: &Lab, pair: &Pair<'_>, seconds: u16) -> anyhow::Result<f64> {
    let address = pair.to.pod.addresses.first().context("it has no address")?;
    let port = PORT.to_string();
    // It ends after one connection, and by itself if none comes.
    let limit = (u32::from(seconds) + 30).to_string();
    let mut server = vec!["timeout", &limit, "iperf", "-s", "-P", "1", "-p", &port];
    let duration = seconds.to_string();
    let target = address.to_string();
    let mut client = vec![
        "iperf", "-c", &target, "-p", &port, "-t", &duration, "-y", "C",
    ];
    if matches!(address, IpAddr::V6(_)) {
        server.push("-V");
        client.push("-V");
    }
    let patience = Duration::from_secs(u64::from(seconds) + 60);
    let serve = command(lab, pair.to, &server, patience);
    let call = called(lab, pair.from, &client, patience);
    tokio::pin!(serve, call);
    // The server's end says nothing, unless it comes first.
    tokio::select! {
        measured = &mut call => measured,
        ended = &mut serve => {
            let said = ended?;
            match call.await {
                Ok(measured) => Ok(measured),
                Err(error) => Err(error.context(String::from_utf8_lossy(&said.stderr).trim().to_owned())),
            }
        }
    }
}

async fn called(lab: &Lab, from: &Peer, words: &[&str], limit: Duration) -> anyhow::Result<f64> {
    let mut tries = 0;
    loop {
        tries += 1;
        let done = command(lab, from, words, limit).await?;
        let said = String::from_utf8_lossy(&done.stdout);
        if let Some(megabits) = megabits(&said) {
            return Ok(megabits);
        }
        let error = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(tries < TRIES, "iperf measured nothing: {}", error.trim());
        tokio::time::sleep(AGAIN).await;
    }
}

async fn command(
    lab: &Lab,
    peer: &Peer,
    words: &[&str],
    limit: Duration,
) -> Result<Executed, store::Error> {
    let exec = Exec {
        namespace: lab.namespace.clone(),
        pod: peer.pod.name.clone(),
        container: "main".to_owned(),
        command: words.iter().map(ToString::to_string).collect(),
        limit,
        most: 1 << 20,
    };
    lab.cluster.client.exec(&exec).await
}

/// The rate of a line of values: time, addresses and ports of both ends, number, interval, bytes, bits a second.
fn megabits(said: &str) -> Option<f64> {
    let line = said.lines().rfind(|line| line.matches(',').count() >= 8)?;
    let bits: f64 = line.split(',').nth(8)?.trim().parse().ok()?;
    (bits > 0.0).then_some(bits / 1e6)
}

#[cfg(test)]
mod tests {
    use super::megabits;

    #[test]
    fn the_rate_is_the_ninth_value_of_the_last_line() {
        let line =
            "20261129021500,10.0.0.1,40000,10.0.0.2,15201,1,0.0-10.0,1250000000,1000000000\n";
        assert_eq!(megabits(line), Some(1000.0));
        assert_eq!(megabits("connect failed: Connection refused\n"), None);
        assert_eq!(megabits(""), None);
    }
}
