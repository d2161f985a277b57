//! The demo: a cluster on this one machine with a small shop in it, what is seen there, and a check of each statement.
#![allow(clippy::print_stdout, reason = "the demo talks to a person")]

mod broker;
mod doorway;
mod faults;
mod market;
mod statements;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::relay_address;
use crate::flows::{Outcome, picture, tally};
use crate::footprint::Footprint;
use crate::programs::program;
use crate::topology;
pub use faults::Fault;
use market::Market;

/// Where the web interface is, unless somebody else is there.
const WEB_PORT: u16 = 12000;

/// Whether the check found every statement to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every statement holds.
    Holds,
    /// At least one does not.
    Fails,
}

/// Why the demo cannot run on this machine, in half a sentence; nothing if it can.
pub fn refusal() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let missing = |feature: &kernel::probe::Feature| {
        let why = feature.missing.as_deref()?;
        (feature.need == kernel::probe::Need::Required)
            .then(|| format!("the kernel refuses {} ({why})", feature.name))
    };
    kernel::probe::probe().iter().find_map(missing)
}

/// Whether a test that needs nodes can run. If not, says why, in the words that the gate looks for.
///
/// # Panics
/// With `CI=true`, where nothing may be left out.
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
pub fn possible() -> bool {
    let Some(why) = refusal() else {
        return true;
    };
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{why}, and CI may leave nothing out"
    );
    println!("skipped, needs root and eBPF: {why}");
    false
}

/// Starts it, lets it misbehave as is asked for, shows it, and stays until Ctrl-C.
pub fn up(faults: &[Fault]) -> anyhow::Result<()> {
    refuse()?;
    let name = "axdemo";
    let before = Footprint::take()?;
    topology::hand_over();
    let stop = Stop::listen(name)?;
    let result = show(name, faults, &stop);
    match result {
        Err(error) if !stop.asked() => Err(error),
        _ => {
            let left = Footprint::take()?.since(&before, name);
            if !left.is_empty() {
                bail!("the machine is not as it was: {}", left.join(", "));
            }
            println!("All is removed; the machine is as it was.");
            Ok(())
        }
    }
}

fn refuse() -> anyhow::Result<()> {
    match refusal() {
        Some(why) => bail!("the demo cannot run: {why}"),
        None => Ok(()),
    }
}

fn show(name: &str, faults: &[Fault], stop: &Stop) -> anyhow::Result<()> {
    let mut market = Market::open(name, WEB_PORT, &mut |step| println!("{step}"))?;
    for &fault in faults {
        println!("letting it misbehave: {}", fault.meaning());
        market.misbehave(fault)?;
    }
    println!("waiting for flows");
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end && !is_seen(&market)? {
        if stop.within(Duration::from_millis(500)) {
            return Ok(());
        }
    }
    println!(
        "\nWho talks to whom (connections), and what was denied:\n\n{}",
        picture(&tally(&market.flows()?))
    );
    println!("In a browser: {}\n", market.doorway.url());
    print!("{}", look_further(&market)?);
    println!("\nCtrl-C ends it and leaves the machine as it was.");
    while !stop.within(Duration::from_secs(1)) {
        market.still_runs()?;
    }
    println!("ending");
    Ok(())
}

/// Both kinds of talk that the shop is about are there: what is allowed end to end, and what is denied.
fn is_seen(market: &Market) -> anyhow::Result<bool> {
    let talks = tally(&market.flows()?);
    let seen = |from: &str, to: &str, outcome| {
        talks
            .keys()
            .any(|talk| talk.from == from && talk.to == to && talk.outcome == outcome)
    };
    Ok(seen("web", "api", Outcome::Forwarded)
        && seen("api", "store", Outcome::Forwarded)
        && seen("batch", "store", Outcome::Dropped))
}

fn look_further(market: &Market) -> anyhow::Result<String> {
    let cli =
        program("axoneme").map_or_else(|_| "axoneme".to_owned(), |path| path.display().to_string());
    let (cluster, first) = (
        &market.cluster,
        market
            .cluster
            .nodes
            .first()
            .context("a cluster without nodes")?,
    );
    let (directory, name) = (first.machine.directory().display(), cluster.topology.name());
    let rows = [
        (
            "flows of node n1",
            format!("{cli} hubble observe --server unix://{directory}/hubble.sock --follow"),
        ),
        (
            "flows of all nodes",
            format!(
                "ip netns exec {name}-cp {cli} hubble observe --server {} --follow",
                relay_address()
            ),
        ),
        (
            "what fails, and why",
            format!(
                "ip netns exec {name}-cp {cli} failing --server {} --since 5m",
                relay_address()
            ),
        ),
        (
            "only what was denied",
            format!(
                "{cli} hubble observe --server unix://{directory}/hubble.sock --verdict DROPPED"
            ),
        ),
        (
            "endpoints of node n1",
            format!("{cli} dbg --socket {directory}/agent.sock endpoint list"),
        ),
        (
            "a shell in pod web",
            format!("ip netns exec {name}-n1-web bash"),
        ),
        (
            "objects",
            format!(
                "ip netns exec {name}-cp kubectl --kubeconfig {} get pods,svc,cnp -A",
                cluster.kubeconfig().display()
            ),
        ),
        ("logs", format!("ls {directory}")),
    ];
    let mut text = "To look further:\n".to_owned();
    for (what, command) in rows {
        writeln!(text, "  {what:<22}{command}")?;
    }
    Ok(text)
}

/// Asserts each statement, one line for each.
pub fn check() -> anyhow::Result<Verdict> {
    refuse()?;
    let name = format!("axc{}", std::process::id() % 100_000);
    let before = Footprint::take()?;
    let stop = Stop::listen(&name)?;
    let mut report = statements::Report::default();
    let checked = statements::check(&name, &mut report);
    if stop.asked() {
        bail!("interrupted; everything is removed");
    }
    if let Err(error) = checked {
        report.state("the check runs to its end", Err(error));
    }
    let left = Footprint::take()?.since(&before, &name);
    report.state(
        "the machine is as it was",
        if left.is_empty() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{}", left.join(", ")))
        },
    );
    report.close();
    Ok(report.verdict())
}

/// A person's wish to end it. While something starts and nobody looks, ending the topology's processes makes it fail soon,
/// and everything is then removed as after any other failure.
struct Stop {
    asked: Arc<AtomicBool>,
    told: Receiver<()>,
}

impl Stop {
    fn listen(name: &str) -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (tell, told) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let (name, flag) = (name.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            });
            flag.store(true, Ordering::Relaxed);
            if tell.send(()).is_ok() {
                let _ = topology::end(&name);
            }
        });
        Ok(Self { asked, told })
    }

    fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits that long; whether it was asked for by then.
    fn within(&self, time: Duration) -> bool {
        self.asked() || !matches!(self.told.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}
