//! What the demo claims, each claim with its proof.

use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::Value;

use super::market::{Market, NAMESPACE, OUTSIDE_NAME, policy};
use super::{Verdict, broker, faults};
use crate::cluster::relay_address;
use crate::flows::{Outcome, tally};

pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// What was found so far.
#[derive(Default)]
pub(super) struct Report {
    failed: usize,
    stated: usize,
}

impl Report {
    /// Prints one statement with its outcome.
    pub(super) fn state(&mut self, statement: &str, result: anyhow::Result<()>) {
        self.stated += 1;
        match result {
            Ok(()) => println!("ok    {statement}"),
            Err(error) => {
                self.failed += 1;
                println!("FAIL  {statement}: {error:#}");
            }
        }
    }

    /// Prints the sum, in the words that the gate counts.
    pub(super) fn close(&self) {
        println!(
            "{} passed, {} failed, 0 skipped",
            self.stated - self.failed,
            self.failed
        );
    }

    /// All hold, and there is more than none.
    pub(super) fn verdict(&self) -> Verdict {
        if self.failed == 0 && self.stated > 1 {
            Verdict::Holds
        } else {
            Verdict::Fails
        }
    }
}

/// Starts the demo, states everything, ends it.
pub(super) fn check(name: &str, report: &mut Report) -> anyhow::Result<()> {
    let mut market = Market::open(name, 0, &mut |step| println!("      {step}"))?;
    report.state(
        "two nodes run with an agent each, and eight pods were made through the CNI plugin",
        market.still_runs(),
    );
    for node in [0, 1] {
        let statement = format!(
            "a client outside the cluster reaches web by the NodePort of n{}, and web api, and api store",
            node + 1
        );
        report.state(
            &statement,
            Market::wait(LIMIT, || market.client(node)?.newest(4, true, 0)),
        );
    }
    report.state(
        "the policy denies the batch client",
        Market::wait(LIMIT, || market.batch()?.newest(2, false, 0)),
    );
    report.state(
        "no request of the batch client was ever answered",
        never_answered(&mut market),
    );
    seen(&market, report);
    // Before agents restart: names of topics come with what a client asks first.
    broker::seen(&market, report);
    switched(&mut market, report)?;
    restarted(&mut market, report)?;
    faults::told(&mut market, report)?;
    report.state("every program still runs", market.still_runs());
    report.state(
        "every pod is deleted through the CNI plugin",
        market.close(),
    );
    Ok(())
}

fn never_answered(market: &mut Market) -> anyhow::Result<()> {
    let batch = market.batch()?;
    let answered = batch.outcomes.iter().filter(|&&ok| ok).count();
    ensure!(answered == 0, "{answered} of {} were", batch.outcomes.len());
    Ok(())
}

fn relayed(market: &Market) -> anyhow::Result<()> {
    let ask = |words: &[&str]| {
        let server = relay_address();
        let all = [&["hubble"], words, &["--server", &server]].concat();
        market.cluster.ask("client", &all)
    };
    let nodes = ask(&["list", "nodes"])?;
    let connected = nodes.lines().filter(|line| line.contains("Connected"));
    ensure!(connected.count() == 2, "{nodes}");
    let flows = ask(&["observe", "--last", "50", "-o", "json"])?;
    for node in ["n1", "n2"] {
        let name = format!("\"node_name\":\"default/{node}\"");
        ensure!(flows.contains(&name), "none of the last flows is of {node}");
    }
    Ok(())
}

fn seen(market: &Market, report: &mut Report) {
    let rows = [
        ("web", "api", "TCP:8080", Outcome::Forwarded),
        ("api", "store", "TCP:8080", Outcome::Forwarded),
        ("web", "dns", "UDP:53", Outcome::Forwarded),
        ("api", "dns", "UDP:53", Outcome::Forwarded),
        ("batch", "store", "TCP:8080", Outcome::Dropped),
    ];
    for (from, to, port, outcome) in rows {
        let statement = format!(
            "Hubble shows {from} to {to} {port} as {}",
            format!("{outcome:?}").to_lowercase()
        );
        report.state(
            &statement,
            Market::wait(LIMIT, || talks(market, from, to, port, outcome).map(drop)),
        );
    }
    report.state(
        "Hubble names the policy that denied batch",
        Market::wait(LIMIT, || {
            let because = talks(market, "batch", "store", "TCP:8080", Outcome::Dropped)?;
            let wanted = format!("{NAMESPACE}/store-only-for-api");
            ensure!(
                because.contains(&wanted),
                "{because:?} does not name {wanted}"
            );
            Ok(())
        }),
    );
    report.state("no other connection was denied", nothing_else(market));
    report.state(
        "the relay is connected to both nodes and has flows of both",
        Market::wait(LIMIT, || relayed(market)),
    );
    report.state(
        "the map of the web interface has the shop's edges, from the client outside to the server outside",
        Market::wait(LIMIT, || mapped(market)),
    );
}

fn mapped(market: &Market) -> anyhow::Result<()> {
    let map = market.doorway.json("/api/answers/map?since=5m")?;
    let edges = map["edges"].as_array().cloned().unwrap_or_default();
    let name = |edge: &Value, end: &str| edge["edge"][end]["name"].as_str().map(str::to_owned);
    let found: Vec<_> = edges
        .iter()
        .map(|edge| (name(edge, "source"), name(edge, "destination")))
        .collect();
    for (from, to) in [
        ("world", "web"),
        ("web", "api"),
        ("api", "store"),
        ("web", "dns"),
        ("batch", "store"),
        ("web", OUTSIDE_NAME),
        ("checkout", "broker"),
        ("billing", "broker"),
    ] {
        let is_it = |(source, destination): &(Option<String>, Option<String>)| {
            source.as_deref() == Some(from) && destination.as_deref() == Some(to)
        };
        ensure!(found.iter().any(is_it), "no edge {from} -> {to}: {found:?}");
    }
    Ok(())
}

/// Why it came out so, when it was seen.
fn talks(
    market: &Market,
    from: &str,
    to: &str,
    port: &str,
    outcome: Outcome,
) -> anyhow::Result<String> {
    let all = tally(&market.flows()?);
    let found = all.iter().find(|(talk, _)| {
        talk.from == from && talk.to == to && talk.port == port && talk.outcome == outcome
    });
    match found {
        Some((_, tally)) => Ok(tally.because.iter().cloned().collect::<Vec<_>>().join("; ")),
        None => bail!("seen were only:\n{}", crate::flows::picture(&all)),
    }
}

fn nothing_else(market: &Market) -> anyhow::Result<()> {
    let mut all = tally(&market.flows()?);
    all.retain(|talk, _| {
        talk.outcome == Outcome::Dropped && !(talk.from == "batch" && talk.to == "store")
    });
    ensure!(
        all.is_empty(),
        "also denied:\n{}",
        crate::flows::picture(&all)
    );
    Ok(())
}

fn switched(market: &mut Market, report: &mut Report) -> anyhow::Result<()> {
    let from = market.batch()?.outcomes.len();
    market.cluster.delete(&policy())?;
    report.state(
        "without the policy the batch client is answered",
        Market::wait(LIMIT, || market.batch()?.newest(2, true, from)),
    );
    market.cluster.create(&policy())?;
    let from = market.batch()?.outcomes.len();
    report.state(
        "with the policy again it is not",
        Market::wait(LIMIT, || market.batch()?.newest(2, false, from)),
    );
    Ok(())
}

fn restarted(market: &mut Market, report: &mut Report) -> anyhow::Result<()> {
    let from = market.client(0)?.outcomes.len();
    let from_batch = market.batch()?.outcomes.len();
    for node in &mut market.cluster.nodes {
        node.kill_agent()?;
    }
    std::thread::sleep(Duration::from_secs(1));
    for node in &mut market.cluster.nodes {
        node.start_agent()?;
    }
    let mut ready = Ok(());
    for node in &mut market.cluster.nodes {
        ready = ready.and(node.wait_ready(Duration::from_secs(30)));
    }
    report.state("agents that were killed start again", ready);
    report.state(
        "every request was answered meanwhile",
        Market::wait(LIMIT, || {
            let client = market.client(0)?;
            let newer = client.outcomes.len() - from;
            ensure!(newer >= 8, "only {newer} requests");
            client.newest(newer, true, from)
        }),
    );
    report.state(
        "the relay is connected to both nodes again",
        Market::wait(LIMIT, || relayed(market)),
    );
    let batch = market.batch()?;
    let denied = batch.outcomes.len() - from_batch;
    report.state(
        "and none of the batch client",
        batch.newest(denied, false, from_batch),
    );
    Ok(())
}
