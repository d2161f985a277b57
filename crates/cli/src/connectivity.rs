//! `axoneme connectivity`: pods of our own that call each other, under policies and without, and whether it ends as it must.

mod action;
mod catalog;
mod filter;
mod flows;
mod force;
mod lab;
mod looks;
mod objects;
mod perf;
mod policies;
mod report;
mod run;
mod setup;
mod verdict;

use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::cluster::progress::Progress;
use crate::cluster::{Cluster, ClusterArgs, sysdump};
use crate::dbg::context::Outcome;
use crate::output::{Paint, Table};
use catalog::{ABSENT, CASES, Case, Kind};
use filter::Filter;
use lab::{External, Lab, Role};
use looks::Baseline;
use objects::Plan;
use report::Tested;
use run::Run;
use setup::Setup;

/// Commands of the family.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum ConnectivityCommand {
    /// Deploy pods and have them call each other, under policies and without
    Test(Box<TestArgs>),
    /// How much goes through between pods, and between nodes
    Perf(Box<perf::PerfArgs>),
}

/// Whether flows must tell of what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Validation {
    /// Nobody looks at them.
    Disabled,
    /// Where they do not, it is told.
    Warning,
    /// Where they do not, the test has failed.
    Strict,
}

/// How pods are deployed.
#[derive(clap::Args, Debug)]
pub(crate) struct DeployArgs {
    /// Begin with empty namespaces
    #[arg(long)]
    force_deploy: bool,
    /// Beginning of the namespaces' names; -1, -2, … follow
    #[arg(long, default_value = "cilium-test", value_name = "NAME")]
    test_namespace: String,
    /// Image of the pods that call: its entry point is agnhost's, and curl is in it, better ping as well
    #[arg(long, env = "AXONEME_TEST_IMAGE", value_name = "IMAGE")]
    curl_image: Option<String>,
    /// Image of the pods that are called [default: the same]
    #[arg(long, value_name = "IMAGE")]
    json_mock_image: Option<String>,
    /// When the images are pulled: Always, IfNotPresent or Never
    #[arg(long, default_value = "IfNotPresent", value_name = "POLICY")]
    image_pull_policy: String,
    /// How long pods may take to be ready
    #[arg(long, value_parser = crate::hubble::duration, default_value = "5m", value_name = "DURATION")]
    deploy_timeout: Duration,
}

/// Arguments of the tests.
#[derive(clap::Args, Debug)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    deploy: DeployArgs,
    /// Only tests that match, by TEST or TEST/SCENARIO; with ! before it, none that matches; may be given several times
    #[arg(long, value_name = "REGEX", value_delimiter = ',')]
    test: Vec<String>,
    /// Name the tests, with what each does, and those of upstream that are not there, with the reason
    #[arg(long)]
    list: bool,
    /// How many namespaces test at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "NUMBER")]
    test_concurrency: u8,
    /// An address outside of the cluster where somebody answers HTTP; without one, tests of the world are left out
    #[arg(long, value_name = "ADDRESS")]
    external_ip: Option<IpAddr>,
    /// A second one, which policies keep apart from the first
    #[arg(long, requires = "external_ip", value_name = "ADDRESS")]
    external_other_ip: Option<IpAddr>,
    /// Port of both
    #[arg(long, default_value_t = 80, value_name = "PORT")]
    external_port: u16,
    /// Whether flows must tell of each attempt
    #[arg(long, default_value = "warning", value_name = "MODE")]
    flow_validation: Validation,
    /// How long the whole run may take
    #[arg(long, value_parser = crate::hubble::duration, default_value = "1h", value_name = "DURATION")]
    timeout: Duration,
    /// Write results in JUnit's form as well
    #[arg(long, value_name = "FILE")]
    junit_file: Option<PathBuf>,
    /// Results as JSON instead of text
    #[arg(long)]
    json: bool,
    /// When a test fails, collect a sysdump of the cluster
    #[arg(long)]
    collect_sysdump_on_failure: bool,
    /// Every attempt, on standard error
    #[arg(short, long)]
    verbose: bool,
    /// Turn the first expectation of this test around, so that it must fail
    #[arg(long, hide = true, value_name = "TEST")]
    invert: Option<String>,
}

/// Runs a command.
pub(crate) fn run(command: &ConnectivityCommand, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let args = match command {
        ConnectivityCommand::Test(args) => args,
        ConnectivityCommand::Perf(args) => return perf::run(args, out),
    };
    let filter = Filter::new(&args.test)?;
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| is_meant(case, &filter))
        .collect();
    if args.list {
        return list(&cases, out);
    }
    anyhow::ensure!(
        !cases.is_empty(),
        "--test matches no test; --list names them"
    );
    crate::program::block_on(test(args, &filter, &cases, out))
}

fn is_meant(case: &Case, filter: &Filter) -> bool {
    match case.kind {
        Kind::Attempts { scenarios, .. } => scenarios
            .iter()
            .any(|of| filter.takes(case.name, of.name())),
        Kind::Look(_) => filter.takes(case.name, ""),
    }
}

fn list(cases: &[&Case], out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut table = Table::new(&["TEST", "WHAT IS TRIED"]);
    for case in cases {
        let what = match case.kind {
            Kind::Attempts { scenarios, .. } => {
                let names: Vec<&str> = scenarios.iter().map(|of| of.name()).collect();
                names.join(", ")
            }
            Kind::Look(_) => "a look at agents and logs".to_owned(),
        };
        table.row([case.name, what.as_str()]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut table = Table::new(&["NOT THERE", "WHY"]);
    for (name, reason) in ABSENT {
        table.row([*name, *reason]);
    }
    table.write(out)?;
    Ok(Outcome::Good)
}

/// Results as they come.
struct Sink<'a> {
    out: &'a mut dyn Write,
    paint: Paint,
    /// Results are printed as JSON at the end, and not line by line.
    json: bool,
    progress: Progress,
    count: usize,
    all: Vec<Tested>,
}

impl Sink<'_> {
    fn tested(&mut self, tested: Tested) -> anyhow::Result<()> {
        self.progress.clear();
        if !self.json {
            report::write_line(&tested, self.paint, self.out)?;
            self.out.flush()?;
        }
        self.all.push(tested);
        Ok(())
    }

    fn begin(&mut self, case: &Case) {
        let done = self.all.len();
        self.progress
            .say(&format!("{done} of {} done; {}", self.count, case.name));
    }
}

async fn test(
    args: &TestArgs,
    filter: &Filter,
    cases: &[&Case],
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let cluster = args.cluster.open().await?;
    let sink = RefCell::new(Sink {
        out,
        paint: Paint::of_stdout(),
        json: args.json,
        progress: Progress::new(),
        count: cases.len(),
        all: Vec::new(),
    });
    let ended = tokio::time::timeout(args.timeout, all(args, &cluster, filter, cases, &sink)).await;
    let late = ended.is_err();
    ended.unwrap_or(Ok(()))?;
    let mut sink = sink.into_inner();
    sink.progress.clear();
    if let Some(path) = &args.junit_file {
        let written = std::fs::write(path, report::junit(&sink.all));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        writeln!(sink.out, "{}", serde_json::to_string_pretty(&sink.all)?)?;
    } else {
        report::write_summary(&sink.all, sink.paint, sink.out)?;
    }
    let failed = late || sink.all.iter().any(Tested::failed);
    if failed && args.collect_sysdump_on_failure {
        let path = sysdump::collect(&cluster, &mut sink.progress).await?;
        writeln!(
            std::io::stderr(),
            "what the cluster is like is in {}",
            path.display()
        )?;
    }
    anyhow::ensure!(
        !late,
        "the run is not done after {:?}: {} of {} tests were run",
        args.timeout,
        sink.all.len(),
        cases.len()
    );
    Ok(if failed { Outcome::Bad } else { Outcome::Good })
}

async fn all(
    args: &TestArgs,
    cluster: &Cluster,
    filter: &Filter,
    cases: &[&Case],
    sink: &RefCell<Sink<'_>>,
) -> anyhow::Result<()> {
    let labs = labs(args, cluster, sink).await?;
    let run = Run {
        filter,
        validation: args.flow_validation,
        inverted: args.invert.as_deref(),
        baseline: &Baseline::take(cluster).await?,
        verbose: args.verbose,
    };
    let (looks, attempts): (Vec<&Case>, Vec<&Case>) = cases
        .iter()
        .partition(|case| matches!(case.kind, Kind::Look(_)));
    let shares = labs.iter().enumerate().map(|(index, lab)| {
        let share: Vec<&Case> = attempts
            .iter()
            .skip(index)
            .step_by(labs.len())
            .copied()
            .collect();
        in_lab(&run, lab, share, sink)
    });
    let ended = futures::future::join_all(shares).await;
    // Those that look back do so when all else is over, and no policy is left.
    for ended in ended {
        ended?;
    }
    if let Some(lab) = labs.first() {
        in_lab(&run, lab, looks, sink).await?;
    }
    Ok(())
}

/// Runs tests one after the other; the policies of the last one do not stay.
async fn in_lab(
    run: &Run<'_>,
    lab: &Lab,
    cases: Vec<&Case>,
    sink: &RefCell<Sink<'_>>,
) -> anyhow::Result<()> {
    for case in cases {
        sink.borrow_mut().begin(case);
        let tested = run.case(lab, case).await;
        sink.borrow_mut().tested(tested)?;
    }
    force::remove_all(lab).await?;
    Ok(())
}

async fn labs(
    args: &TestArgs,
    cluster: &Cluster,
    sink: &RefCell<Sink<'_>>,
) -> anyhow::Result<Vec<Lab>> {
    let addresses = args.external_ip.into_iter().chain(args.external_other_ip);
    let externals: Vec<External> = addresses
        .map(|address| External {
            address,
            port: args.external_port,
        })
        .collect();
    let mut progress = Progress::new();
    let number = args.test_concurrency;
    let labs = deploy(&args.deploy, cluster, &externals, number, &mut progress).await?;
    progress.clear();
    if !args.json {
        let mut nodes: Vec<&str> = Vec::new();
        let first = labs.iter().take(1).flat_map(|lab| lab.of_role(Role::Host));
        nodes.extend(first.map(|peer| peer.pod.node.as_str()));
        writeln!(sink.borrow_mut().out, "Pods are on {}\n", nodes.join(", "))?;
    }
    Ok(labs)
}

/// Pods in so many namespaces, on two nodes if there are two.
async fn deploy(
    args: &DeployArgs,
    cluster: &Cluster,
    externals: &[External],
    number: u8,
    progress: &mut Progress,
) -> anyhow::Result<Vec<Lab>> {
    let client_image = args.curl_image.clone().context(
        "name an image whose entry point is agnhost's and that has curl: --curl-image or AXONEME_TEST_IMAGE",
    )?;
    let echo_image = args.json_mock_image.clone();
    let echo_image = echo_image.unwrap_or_else(|| client_image.clone());
    let mut nodes = setup::usable_nodes(cluster).await?;
    nodes.truncate(2);
    let mut labs = Vec::new();
    for number in 1..=number {
        let plan = Plan {
            namespace: format!("{}-{number}", args.test_namespace),
            client_image: client_image.clone(),
            echo_image: echo_image.clone(),
            pull: args.image_pull_policy.clone(),
            nodes: nodes.clone(),
        };
        let setup = Setup {
            cluster,
            plan: &plan,
            externals,
            anew: args.force_deploy,
            patience: args.deploy_timeout,
        };
        labs.push(setup.lab(progress).await?);
    }
    Ok(labs)
}

#[cfg(test)]
mod tests;
