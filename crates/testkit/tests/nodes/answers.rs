//! What the questions answer of faults that the test makes: the cause, who is at fault, and how often, in the words that a person
//! reads and from all nodes at once.

#[path = "answers/again.rs"]
mod again;
#[path = "answers/outside.rs"]
mod outside;
#[path = "answers/overdue.rs"]
mod overdue;
#[path = "answers/round_trips.rs"]
mod round_trips;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use netlink::Namespace;
use serde_json::Value;
use testkit::cluster::{Cluster, relay_address};
use testkit::kubelet::RunningPod;

use crate::cases::{only_from, run, within};
use crate::truth::deafen;

/// Within this time after the last of them an answer must tell of all faults. Three seconds are what a connection is given for
/// its answer.
const FRESH: Duration = Duration::from_secs(8);
/// A connection does not go on when that is seen twice, ten seconds apart; the first time is ten seconds after it began.
const STALLED: Duration = Duration::from_secs(45);
/// A connection that its client has closed is told after a minute of silence, with the next look.
const KEPT: Duration = Duration::from_secs(75);
/// How long a client tries: less than the second until a SYN is sent again.
const PATIENCE: Duration = Duration::from_millis(600);
pub(crate) const PORT: u16 = 8080;
const CLOSED: u16 = 9;

type Pods = BTreeMap<&'static str, RunningPod>;

/// What an answer must say of one pair: source, destination, port; cause, fault, how many.
type Expected = (
    &'static str,
    &'static str,
    u16,
    &'static str,
    &'static str,
    u64,
);

const RESET: &str = "RESET_BY_CLIENT";

const FAILURES: &[Expected] = &[
    ("a", "b", CLOSED, "REFUSED", "FAULT_SERVER", 5),
    ("a", "c", CLOSED, "REFUSED", "FAULT_SERVER", 4),
    ("a", "shut", PORT, "DENIED_BY_DEFAULT", "FAULT_POLICY", 3),
    ("c", "shut", PORT, "DENIED_BY_DEFAULT", "FAULT_POLICY", 2),
    ("a", "deaf", PORT, "UNANSWERED", "FAULT_SERVER", 3),
    ("a", "numb", PORT, "UNANSWERED", "FAULT_SERVER", 2),
    ("b", "c", PORT, RESET, "FAULT_CLIENT", 6),
];
/// Connections that go well.
const WELL: &[(&str, &str, u64)] = &[("a", "b", 20), ("a", "c", 20)];

/// Makes faults of every kind, and asks.
pub(crate) fn faults_are_told(cluster: &Cluster) {
    let pods: Pods = [
        ("a", 0),
        ("b", 0),
        ("shut", 0),
        ("deaf", 0),
        ("c", 1),
        ("numb", 1),
    ]
    .into_iter()
    .map(|(name, node)| (name, run(cluster, node, name)))
    .collect();
    cluster
        .create(&only_from("shut", "nobody"))
        .expect("the policy is created");
    let _servers: Vec<Server> = ["b", "c", "shut"]
        .into_iter()
        .map(|name| Server::start(&pods[name]))
        .collect();
    let _relay = cluster.start_relay().expect("the relay starts");
    settle(cluster, &pods);
    // It is told after a minute: the others are made meanwhile.
    let kept = again::keep(&pods["b"], &pods["c"]);
    for name in ["deaf", "numb"] {
        deafen(&pods[name]);
    }
    let since = now();
    make(&pods);
    let again = again::lose(&pods["a"], &pods["c"]);
    let stalled = again::stall(&pods["b"], &pods["c"]);
    let told = within(FRESH, || {
        answers(cluster, &since)?;
        again::told(&ask(cluster, "map", &since)?, again)
    });
    told.expect("the answers tell of all faults and of nothing else");
    let mut waits = overdue::Waits::make(&pods["a"], &pods["c"]);
    let told = within(STALLED, || {
        let failing = ask(cluster, "failing", &since)?;
        again::stalled_told(&failing)?;
        overdue::told(&failing)
    });
    told.expect("the answers tell what does not go on, and which answer is overdue");
    drop(stalled);
    waits.go_on();
    let told = within(FRESH, || overdue::went_on(&ask(cluster, "http", &since)?));
    told.expect("a late answer belongs to its request");
    let told = within(KEPT, || again::kept_told(&ask(cluster, "failing", &since)?));
    told.expect("the answers tell what its server does not close");
    drop(kept);
    round_trips::told_of(cluster, &pods);
    outside::told_of(cluster);
    println!(
        "ok    {} faults are told with cause, fault and count",
        FAILURES.len()
    );
}

/// Connections that go well, and others.
fn make(pods: &Pods) {
    for (from, to, count) in WELL {
        for _ in 0..*count {
            talk(&pods[from].sandbox, at(&pods[to], PORT)).expect("it is answered");
        }
    }
    for (from, to, port, cause, _, count) in FAILURES {
        for _ in 0..*count {
            fail(&pods[from].sandbox, at(&pods[to], *port), cause);
        }
    }
}

pub(crate) fn at(pod: &RunningPod, port: u16) -> SocketAddr {
    SocketAddr::new(pod.ipv4().expect("an IPv4 address"), port)
}

/// The start of the next span of ten seconds, RFC 3339, once all that came before has been counted in one before.
pub(crate) fn now() -> String {
    std::thread::sleep(Duration::from_secs(4));
    let second = jiff::Timestamp::now().as_second();
    let start = second - second % 10 + 10;
    while jiff::Timestamp::now().as_second() < start {
        std::thread::sleep(Duration::from_millis(50));
    }
    // The agents close their spans once a second.
    std::thread::sleep(Duration::from_millis(1500));
    jiff::Timestamp::from_second(start)
        .expect("a time")
        .to_string()
}

/// Waits until nodes know pods and policy, and the relay both nodes.
fn settle(cluster: &Cluster, pods: &Pods) {
    within(Duration::from_secs(20), || {
        for (from, to, _) in WELL {
            talk(&pods[from].sandbox, at(&pods[to], PORT))?;
        }
        ensure!(talk(&pods["a"].sandbox, at(&pods["shut"], PORT)).is_err());
        ensure!(talk(&pods["c"].sandbox, at(&pods["shut"], PORT)).is_err());
        let map = ask(cluster, "map", "2001-01-01")?;
        ensure!(map["completeness"]["nodes"] == 2, "{map}");
        Ok(())
    })
    .expect("pods, policy and relay are in force");
}

fn ask(cluster: &Cluster, question: &str, since: &str) -> anyhow::Result<Value> {
    asked(cluster, &[question], since)
}

/// The whole answer to a question, with its flags.
pub(crate) fn asked(cluster: &Cluster, question: &[&str], since: &str) -> anyhow::Result<Value> {
    let text = told(cluster, question, since, "json")?;
    serde_json::from_str(&text).context("the answer is JSON")
}

/// An answer in a format.
pub(crate) fn told(
    cluster: &Cluster,
    question: &[&str],
    since: &str,
    format: &str,
) -> anyhow::Result<String> {
    let server = relay_address();
    let flags = [
        "--server", &server, "--since", since, "--limit", "0", "--output", format,
    ];
    cluster.ask("question", &[question, &flags].concat())
}

fn answers(cluster: &Cluster, since: &str) -> anyhow::Result<()> {
    let failing = ask(cluster, "failing", since)?;
    let failures = failing["failures"].as_array().context("failures")?;
    // A reset by the client is how many programs end a connection: only who asks for resets is told.
    ensure_told(failures, |cause| cause != RESET)?;
    let of_tcp = asked(cluster, &["tcp", "--failing"], since)?;
    let of_tcp = of_tcp["failures"].as_array().context("failures")?;
    ensure_told(of_tcp, |cause| cause != "DENIED_BY_DEFAULT")?;
    let shut = failures
        .iter()
        .find(|of| of["edge"]["destination"]["name"] == "shut");
    let sentence = shut
        .and_then(|of| of["sentence"].as_str())
        .unwrap_or_default();
    ensure!(
        sentence
            == "no rule allows it: CiliumNetworkPolicy default/only-nobody-to-shut select default/shut for ingress",
        "{sentence}"
    );
    let map = ask(cluster, "map", since)?;
    for (from, to, count) in WELL {
        let edges = map["edges"].as_array().context("edges")?;
        let is_it = |edge: &&Value| ends(edge) == (from.to_string(), to.to_string(), PORT);
        let edge = edges.iter().find(is_it).context("the edge is on the map")?;
        let counters = &edge["counters"];
        for counter in ["opened", "answered", "closed"] {
            let number = number(&counters[counter]);
            ensure!(
                number == *count,
                "{from} to {to}: {counter} {number}: {edge}"
            );
        }
        // The byte there and back, and headers.
        ensure!(number(&counters["bytes_sent"]) > 40 * *count, "{edge}");
    }
    Ok(())
}

/// Of the faults that were made those with a cause that is asked for, and no other.
fn ensure_told(failures: &[Value], is_asked: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let mut found: Vec<_> = failures.iter().map(failure).collect();
    found.sort();
    let asked = FAILURES
        .iter()
        .filter(|(_, _, _, cause, ..)| is_asked(cause));
    let mut wanted: Vec<_> = asked
        .map(|(from, to, port, cause, fault, count)| {
            let [from, to, cause, fault] = [from, to, cause, fault].map(|of| (*of).to_owned());
            (from, to, *port, cause, fault, *count)
        })
        .collect();
    wanted.sort();
    ensure!(found == wanted, "{found:#?}\nand not\n{wanted:#?}");
    Ok(())
}

pub(crate) fn number(of: &Value) -> u64 {
    of.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) fn ends(of: &Value) -> (String, String, u16) {
    let name = |end: &str| {
        of["edge"][end]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let port = of["edge"]["port"].as_u64().unwrap_or(0);
    (
        name("source"),
        name("destination"),
        u16::try_from(port).unwrap_or(0),
    )
}

fn failure(of: &Value) -> (String, String, u16, String, String, u64) {
    let (source, destination, port) = ends(of);
    let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
    (
        source,
        destination,
        port,
        text(&of["cause"]["kind"]),
        text(&of["fault"]),
        number(&of["count"]),
    )
}

/// A byte there and back, and a close in order.
pub(crate) fn talk(client: &Namespace, to: SocketAddr) -> anyhow::Result<()> {
    let mut stream = client.run(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"x")?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let _ = stream.read(&mut byte)?;
    Ok(())
}

/// A connection between two pods: the client's end and the server's.
fn connected(client: &RunningPod, server: &RunningPod, port: u16) -> [TcpStream; 2] {
    let to = at(server, port);
    let listener = server.sandbox.run(|| TcpListener::bind(to));
    let listener = listener.expect("it is entered").expect("the pod listens");
    let stream = client.sandbox.run(|| TcpStream::connect(to));
    let stream = stream.expect("it is entered").expect("it is answered");
    let (accepted, _) = listener.accept().expect("a connection");
    [stream, accepted]
}

/// An attempt that fails for this cause.
fn fail(client: &Namespace, to: SocketAddr, cause: &str) {
    let connected = client
        .run(|| TcpStream::connect_timeout(&to, PATIENCE))
        .expect("the namespace is entered");
    match (cause, connected) {
        ("RESET_BY_CLIENT", Ok(stream)) => {
            let at_once = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(&stream, at_once).expect("lingers not");
        }
        ("RESET_BY_CLIENT", Err(error)) => panic!("{to}: {error}"),
        (cause, Ok(_)) => panic!("{to} answers, {cause} was expected"),
        (_, Err(_)) => {}
    }
}

/// Echoes until it is dropped.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(pod: &RunningPod) -> Self {
        Self::on(pod, PORT)
    }

    pub(crate) fn on(pod: &RunningPod, port: u16) -> Self {
        let listener = pod
            .sandbox
            .run(|| TcpListener::bind(at(pod, port)))
            .expect("the namespace is entered")
            .expect("the pod listens");
        listener.set_nonblocking(true).expect("not blocking");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    std::thread::spawn(move || echo(stream));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

fn echo(mut stream: TcpStream) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut buffer = [0; 64];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
