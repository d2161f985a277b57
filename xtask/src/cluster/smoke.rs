//! Whether the cluster does what clusters do: pods on both nodes reach each other, services, names; people reach pods.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::arguments::Choices;
use super::control::kubectl;
use super::families::host_port;
use super::images::AGNHOST;
use super::layout::Layout;
use super::steps::{Steps, Wait, wait_until};
use super::{connectivity, daemon, lifecycle, network, node};
use crate::cargo;
use crate::place::Place;
use crate::ship::{self, Build};

const MANIFEST: &str = include_str!("smoke/echo.yaml");
const NAMESPACE: &str = "axoneme-smoke";
const NODE_PORT: u16 = 30080;

/// The whole way: up, smoke test, connectivity test, down. What failed is shown with what the cluster says of it.
pub(super) fn test(place: &Place, layout: &Layout, build: Build, choices: &Choices) -> Result<()> {
    let layout = &lifecycle::spoken(layout, choices.families)?;
    // What is tested is this checkout, not what somebody built before.
    let steps = Steps::begin();
    steps.step("Axoneme's image", || ship::make(place, build))?;
    if build == Build::Release {
        // The command line that asks lies beside us and is of the test profile.
        steps.step("axoneme", || cargo::build_demo(place))?;
    }
    let result = lifecycle::up(place, layout, choices)
        .and_then(|()| run(layout))
        .and_then(|()| connectivity::run(layout));
    if result.is_err() {
        show(layout);
    }
    let ended = lifecycle::down(layout);
    result.and(ended)?;
    println!("test result: ok. 1 passed; 0 failed; 0 ignored");
    Ok(())
}

/// The smoke test on a cluster that runs.
pub(super) fn run(layout: &Layout) -> Result<()> {
    let steps = Steps::begin();
    steps.step("all Ready", || lifecycle::all_ready(layout))?;
    steps.step("echo pods Ready on every node", || start_echo(layout))?;
    let pods = pods(layout)?;
    let outcome = ask(layout, &steps, &pods);
    let removed = steps.step("echo pods removed", || {
        kubectl(layout, &["delete", "namespace", NAMESPACE, "--timeout=60s"]).map(drop)
    });
    outcome.and(removed)?;
    steps.close("smoke test passed");
    Ok(())
}

/// A pod of the test.
struct Pod {
    name: String,
    node: String,
    addresses: Vec<String>,
}

fn start_echo(layout: &Layout) -> Result<()> {
    let file = layout.run.join("echo.yaml");
    std::fs::write(
        &file,
        MANIFEST
            .replace("IMAGE", AGNHOST)
            .replace("NAMESPACE", NAMESPACE),
    )?;
    kubectl(
        layout,
        &["apply", "--filename", &file.display().to_string()],
    )?;
    kubectl(
        layout,
        &[
            "--namespace",
            NAMESPACE,
            "rollout",
            "status",
            "daemonset/echo",
            "--timeout=120s",
        ],
    )
    .map(drop)
}

fn pods(layout: &Layout) -> Result<Vec<Pod>> {
    let format = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.podIPs[*].ip}{\"\\n\"}{end}";
    let text = kubectl(
        layout,
        &["--namespace", NAMESPACE, "get", "pods", "--output", format],
    )?;
    let pods: Vec<Pod> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some(Pod {
                name: words.next()?,
                node: words.next()?,
                addresses: words.collect(),
            })
        })
        .collect();
    let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
    let families = layout.families.all().len();
    let whole = pods.iter().all(|pod| pod.addresses.len() == families);
    if nodes.len() != layout.nodes().len() || pods.len() != nodes.len() || !whole {
        bail!("not one pod on each node with {families} addresses:\n{text}");
    }
    Ok(pods)
}

fn ask(layout: &Layout, steps: &Steps, pods: &[Pod]) -> Result<()> {
    steps.step("pod to pod, each to each", || {
        for (from, to) in pods
            .iter()
            .flat_map(|from| pods.iter().map(move |to| (from, to)))
        {
            for address in &to.addresses {
                let answer = curl(layout, from, &host_port(address, 8080))?;
                expect(&answer, &to.name)?;
            }
        }
        Ok(())
    })?;
    let words = [
        "--namespace",
        NAMESPACE,
        "get",
        "service",
        "echo",
        "--output=jsonpath={.spec.clusterIPs[*]}",
    ];
    let services = kubectl(layout, &words)?;
    steps.step("service by its address: both backends", || {
        for (from, service) in pods
            .iter()
            .flat_map(|from| services.split(' ').map(move |service| (from, service)))
        {
            both_answer(pods, || curl(layout, from, &host_port(service, 80)))?;
        }
        Ok(())
    })?;
    steps.step("service by its name", || {
        let name = format!("echo.{NAMESPACE}.svc.cluster.local");
        pods.iter()
            .try_for_each(|from| known(pods, &curl(layout, from, &name)?))
    })?;
    steps.step(
        "node port of every node from outside: both backends",
        || {
            for address in layout.nodes().iter().flat_map(|node| &node.addresses) {
                both_answer(pods, || {
                    from_outside(layout, &host_port(address, NODE_PORT))
                })?;
            }
            Ok(())
        },
    )?;
    steps.step("logs and exec", || {
        pods.iter().try_for_each(|pod| logs_and_exec(layout, pod))
    })
}

fn logs_and_exec(layout: &Layout, pod: &Pod) -> Result<()> {
    let log = kubectl(layout, &["--namespace", NAMESPACE, "logs", &pod.name])?;
    if !log.contains("8080") {
        bail!(
            "the log of {} does not tell that it serves:\n{log}",
            pod.name
        );
    }
    let said = exec(layout, pod, &["hostname"])?;
    expect(said.trim(), &pod.name)
}

/// Asks until every pod has answered once.
fn both_answer(pods: &[Pod], mut ask: impl FnMut() -> Result<String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    wait_until(Duration::from_secs(20), || {
        let answer = ask()?;
        known(pods, &answer)?;
        seen.insert(answer);
        Ok(if seen.len() == pods.len() {
            Wait::Done
        } else {
            Wait::For(format!("only {seen:?} answered"))
        })
    })
}

fn known(pods: &[Pod], answer: &str) -> Result<()> {
    if pods.iter().any(|pod| pod.name == answer) {
        return Ok(());
    }
    bail!("'{answer}' is none of the pods")
}

fn expect(answer: &str, wanted: &str) -> Result<()> {
    if answer == wanted {
        return Ok(());
    }
    bail!("'{answer}' answered, not '{wanted}'")
}

fn exec(layout: &Layout, pod: &Pod, words: &[&str]) -> Result<String> {
    let mut all = vec!["--namespace", NAMESPACE, "exec", &pod.name, "--"];
    all.extend(words);
    kubectl(layout, &all)
}

fn curl(layout: &Layout, from: &Pod, host: &str) -> Result<String> {
    let url = format!("http://{host}/hostname");
    let words = [
        "curl",
        "--globoff",
        "--silent",
        "--show-error",
        "--max-time",
        "5",
        &url,
    ];
    exec(layout, from, &words)
        .with_context(|| format!("from {} on {} to {url}", from.name, from.node))
}

fn from_outside(layout: &Layout, host: &str) -> Result<String> {
    network::get(&layout.netns("outside"), host, "/hostname")
        .with_context(|| format!("from outside to {host}"))
}

/// What the cluster says of itself, for who has to find out why it fails.
pub(super) fn show(layout: &Layout) {
    let questions: &[&[&str]] = &[
        &["get", "nodes", "--output=wide"],
        &["get", "pods", "--all-namespaces", "--output=wide"],
        &[
            "get",
            "events",
            "--all-namespaces",
            "--sort-by=.lastTimestamp",
        ],
        &["describe", "nodes"],
        &["--namespace=kube-system", "describe", "pods"],
    ];
    for words in questions {
        title(&format!("kubectl {}", words.join(" ")));
        match kubectl(layout, words) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{error:#}"),
        }
    }
    container_logs(layout);
    for node in layout.nodes() {
        for program in ["kubelet", "containerd"] {
            log(&node::log(layout, &node, program));
        }
        log(&layout.logs().join(format!("node-{}.log", node.name)));
    }
    log(&layout.logs().join("kube-apiserver.log"));
}

fn container_logs(layout: &Layout) {
    for namespace in ["kube-system", NAMESPACE] {
        let names = kubectl(
            layout,
            &["--namespace", namespace, "get", "pods", "--output=name"],
        )
        .unwrap_or_default();
        for pod in names.lines() {
            title(&format!("{namespace} {pod}"));
            let words = [
                "--namespace",
                namespace,
                "logs",
                pod,
                "--all-containers",
                "--prefix",
                "--tail=40",
            ];
            match kubectl(layout, &words) {
                Ok(text) => println!("{text}"),
                Err(error) => println!("{error:#}"),
            }
        }
    }
}

fn log(file: &Path) {
    title(&file.display().to_string());
    println!("{}", daemon::tail(file, 30));
}

fn title(text: &str) {
    println!("\n--- {text}");
}
