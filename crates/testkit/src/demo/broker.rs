//! The shop's broker: a Kafka as it is shipped. Checkout writes orders to it, and billing reads them, with Kafka's own clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::market::{Market, words};
use super::statements::Report;

/// The broker's pod and service, and the two clients' pods, with their nodes.
pub(super) const BROKER: &str = "broker";
const PRODUCER: &str = "checkout";
const CONSUMER: &str = "billing";
pub(super) const PODS: &[(&str, usize)] = &[(BROKER, 0), (PRODUCER, 1), (CONSUMER, 0)];
pub(super) const PORT: u16 = 9092;

const TOPIC: &str = "orders";
const GROUP: &str = "invoices";
/// Names the folder with the jars.
const VARIABLE: &str = "AXONEME_KAFKA";
const JAVA: &str = "/usr/bin/java";
/// A virtual machine on a busy machine of two processors.
const START: Duration = Duration::from_mins(1);
/// Any: 16 octets in upstream's base 64.
const CLUSTER_ID: &str = "c2hvcC1vZi1heG9uZW1lIQ";

/// What Kafka asks of its one node, which is broker and controller.
fn settings(pod: &str, service: &str, logs: &Path) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{pod}:9093\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://{pod}:{PORT},CONTROLLER://{pod}:9093\n\
         advertised.listeners=PLAINTEXT://{service}:{PORT}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         num.network.threads=1\n\
         num.io.threads=1\n\
         log.cleaner.dedupe.buffer.size=4000000\n",
        logs.display()
    )
}

/// A virtual machine that starts soon and takes little, with the class that it runs.
fn java(mebibytes: u32, class: &str, rest: &[&str]) -> anyhow::Result<Vec<String>> {
    let jars = std::env::var_os(VARIABLE).with_context(|| {
        format!("{VARIABLE} does not name the folder of Kafka's jars, as `./x demo` does")
    })?;
    let heap = format!("-Xmx{mebibytes}m");
    let path = format!("{}/*", PathBuf::from(jars).display());
    let all = [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        &heap,
        "-cp",
        &path,
        class,
    ];
    Ok(words(&[&all, rest].concat()))
}

/// Starts the broker in its pod, without waiting for it.
pub(super) fn start(market: &mut Market) -> anyhow::Result<()> {
    let folder = market.cluster.topology.directory().join(BROKER);
    fs::create_dir_all(&folder)?;
    let pod = market.pod(BROKER)?.ipv4()?.to_string();
    let service = market.service_address(BROKER)?;
    let file = folder.join("server.properties");
    fs::write(&file, settings(&pod, &service, &folder.join("logs")))?;
    let file = file.display().to_string();
    let format = ["format", "-t", CLUSTER_ID, "-c", &file];
    let made = Command::new(JAVA)
        .args(java(64, "kafka.tools.StorageTool", &format)?)
        .output()
        .with_context(|| format!("run {JAVA}"))?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "Kafka's storage is not made: {said}");
    let args = java(160, "kafka.Kafka", &[&file])?;
    market.exec_program(BROKER, Path::new(JAVA), &args)
}

/// Waits for the broker, and starts its clients.
pub(super) fn serve(market: &mut Market) -> anyhow::Result<()> {
    Market::wait(START, || {
        let output = market.said(BROKER)?;
        ensure!(
            output.contains("Kafka Server started"),
            "the broker has not started"
        );
        Ok(())
    })?;
    let server = format!("{}:{PORT}", market.service_address(BROKER)?);
    let bootstrap = format!("bootstrap.servers={server}");
    let produce = java(
        64,
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--topic",
            TOPIC,
            "--num-records",
            "1000000000",
            "--record-size",
            "200",
            "--throughput",
            "2",
            "--producer-props",
            &bootstrap,
            "client.id=checkout",
        ],
    )?;
    let consume = java(
        64,
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--topic",
            TOPIC,
            "--group",
            GROUP,
            "--bootstrap-server",
            &server,
        ],
    )?;
    market.exec_program(PRODUCER, Path::new(JAVA), &produce)?;
    market.exec_program(CONSUMER, Path::new(JAVA), &consume)
}

/// States who produces and who consumes.
pub(super) fn seen(market: &Market, report: &mut Report) {
    report.state(
        "the topic of Kafka is produced to by checkout and consumed by billing, in its group",
        Market::wait(START, || {
            let answer = market.doorway.json("/api/answers/kafka?since=5m")?;
            let topics = answer["topics"].as_array().cloned().unwrap_or_default();
            let of = |client: &str, what: &str| {
                topics.iter().find(|topic| {
                    topic["edge"]["source"]["name"] == client
                        && topic["edge"]["destination"]["name"] == BROKER
                        && topic["counters"]["topic"] == TOPIC
                        && number(&topic["counters"][what]) > 0
                })
            };
            ensure!(
                of(PRODUCER, "produces").is_some(),
                "nobody produces: {answer}"
            );
            ensure!(
                of(CONSUMER, "fetches").is_some(),
                "nobody fetches: {answer}"
            );
            let mut of_billing = topics
                .iter()
                .filter(|topic| topic["edge"]["source"]["name"] == CONSUMER);
            let in_group = |topic: &Value| {
                let groups = topic["counters"]["groups"].as_array();
                groups.is_some_and(|groups| groups.iter().any(|group| group["name"] == GROUP))
            };
            ensure!(of_billing.any(in_group), "no group {GROUP}: {answer}");
            Ok(())
        }),
    );
}

/// Numbers of 64 bits are strings in JSON.
fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| value.as_u64()).unwrap_or(0)
}
