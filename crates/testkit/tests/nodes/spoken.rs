//! What the questions answer of requests and names that the test sends, within a node and across: how often, with which codes,
//! whose fault, how many octets, how long. Each number is exactly what was sent, in the words that a person reads.

#[path = "spoken/http2.rs"]
mod http2;
#[path = "spoken/told.rs"]
pub(crate) mod told;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::cluster::Cluster;
use testkit::kubelet::RunningPod;

use crate::answers::{asked, at, now};
use crate::cases::{run, within};

const HTTP: u16 = 8080;
const HTTP2: u16 = 8081;
const DNS: u16 = 53;
const PATIENCE: Duration = Duration::from_secs(10);
/// Within this time after the last of them all answers must be right: a question that nobody answers is told after five seconds.
const FRESH: Duration = Duration::from_secs(15);
/// How long the server thinks about what is slow.
const THINKS: Duration = Duration::from_millis(150);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Who asks whom, and how many times as much as the tables say: each number of an answer is of one pair.
const PAIRS: &[(&str, &str, u64)] = &[("a", "b", 1), ("a", "c", 2), ("c", "b", 3)];

/// A request, and how it is answered.
struct Request {
    method: &'static str,
    path: &'static str,
    template: &'static str,
    /// None: the server reads it, and closes the connection.
    status: Option<u16>,
    /// Octets of both bodies.
    sent: usize,
    got: usize,
    /// On a connection of its own, and only over HTTP/1.
    alone: bool,
    count: u64,
}

const REQUEST: Request = Request {
    method: "GET",
    path: "",
    template: "",
    status: Some(200),
    sent: 0,
    got: 3,
    alone: false,
    count: 0,
};

const REQUESTS: &[Request] = &[
    Request {
        path: "/items/17",
        template: "/items/{id}",
        got: 10_000,
        count: 12,
        ..REQUEST
    },
    Request {
        method: "POST",
        path: "/orders",
        template: "/orders",
        status: Some(201),
        sent: 5_000,
        count: 6,
        ..REQUEST
    },
    Request {
        path: "/missing",
        template: "/missing",
        status: Some(404),
        count: 5,
        ..REQUEST
    },
    Request {
        path: "/broken",
        template: "/broken",
        status: Some(500),
        count: 4,
        ..REQUEST
    },
    Request {
        path: SLOW,
        template: SLOW,
        count: 3,
        ..REQUEST
    },
    Request {
        path: "/pages/17/text",
        template: "/pages/{id}/text",
        got: 100_000,
        alone: true,
        count: 7,
        ..REQUEST
    },
    Request {
        path: "/gone",
        template: "/gone",
        status: None,
        got: 0,
        alone: true,
        count: 2,
        ..REQUEST
    },
];
const SLOW: &str = "/slow";

/// Names, the code of their answer (none: there is no answer), and how often they are asked for.
const NAMES: &[(&str, Option<u8>, u64)] = &[
    ("shop.test", Some(0), 9),
    ("missing.test", Some(3), 7),
    ("broken.test", Some(2), 5),
    ("silent.test", None, 2),
];

/// Durations of the slow requests, as the client had them, by who was asked on which port.
type Slow = Vec<(&'static str, u16, Duration)>;

/// Sends all, and asks.
pub(crate) fn answered(cluster: &Cluster) {
    let pods: Vec<(&str, RunningPod)> = [("a", 0), ("b", 0), ("c", 1)]
        .into_iter()
        .map(|(name, node)| (name, run(cluster, node, name)))
        .collect();
    let pod = |name: &str| {
        let found = pods.iter().find(|(of, _)| *of == name);
        &found.expect("a pod of the test").1
    };
    let _relay = cluster.start_relay().expect("the relay starts");
    for (from, to, _) in PAIRS {
        settle(cluster, pod(from), pod(to));
    }
    let since = now();
    let mut slow = Slow::new();
    for (from, to, times) in PAIRS {
        for took in request(pod(from), pod(to), *times) {
            slow.push((*to, HTTP, took));
        }
        for took in http2::request(pod(from), pod(to), *times) {
            slow.push((*to, HTTP2, took));
        }
        resolve(pod(from), pod(to), *times);
    }
    let all: [(&str, &dyn Fn() -> anyhow::Result<()>); 7] = [
        ("http", &|| told::http(cluster, &since)),
        ("slow requests", &|| told::quantiles(cluster, &since, &slow)),
        ("dns", &|| told::dns(cluster, &since)),
        ("resolved", &|| told::resolved(cluster, &since)),
        ("failing", &|| told::failing(cluster, &since)),
        ("map", &|| told::map(cluster, &since)),
        ("worst and latency", &|| told::sums(cluster, &since)),
    ];
    for (what, check) in all {
        if let Err(error) = within(FRESH, check) {
            panic!("{what}: {error:#}");
        }
        println!("ok    {what}: as often as it was sent");
    }
}

/// Waits until the pod refuses a connection: then it is reached, and nothing was said; and until the relay knows both nodes.
fn settle(cluster: &Cluster, client: &RunningPod, server: &RunningPod) {
    within(Duration::from_secs(20), || {
        let connect = || TcpStream::connect_timeout(&at(server, HTTP), Duration::from_secs(2));
        let refused = client.sandbox.run(connect)?.err().map(|error| error.kind());
        ensure!(refused == Some(ErrorKind::ConnectionRefused), "{refused:?}");
        let map = asked(cluster, &["map"], "2001-01-01")?;
        ensure!(map["completeness"]["nodes"] == 2, "{map}");
        Ok(())
    })
    .expect("pods and relay are in force");
}

/// Serves as many connections as [`request`] makes.
fn serve(server: &RunningPod, times: u64) -> JoinHandle<()> {
    let listener = server.sandbox.run(|| TcpListener::bind(at(server, HTTP)));
    let listener = listener.expect("a namespace").expect("a listener");
    std::thread::spawn(move || {
        for _ in 0..connections(HTTP, times) {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
            answer_requests(stream);
        }
    })
}

/// Which requests are sent to a port.
fn sent_to(port: u16) -> impl Iterator<Item = &'static Request> {
    REQUESTS.iter().filter(move |of| port == HTTP || !of.alone)
}

/// Connections to a port of a pair that asks so many times.
fn connections(port: u16, times: u64) -> u64 {
    if port != HTTP {
        return 1;
    }
    let alone = REQUESTS.iter().filter(|of| of.alone);
    (1 + alone.map(|of| of.count).sum::<u64>()) * times
}

fn answer_requests(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("the stream"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).expect("a request") == 0 {
            return;
        }
        let of = REQUESTS
            .iter()
            .find(|of| line.split(' ').nth(1) == Some(of.path))
            .expect("a path of the table");
        skip_head(&mut reader);
        reader.read_exact(&mut vec![0; of.sent]).expect("a body");
        let Some(status) = of.status else { return };
        if of.path == SLOW {
            std::thread::sleep(THINKS);
        }
        let head = format!(
            "HTTP/1.1 {status} As asked\r\nContent-Length: {}\r\n\r\n",
            of.got
        );
        let answer = [head.into_bytes(), vec![b'x'; of.got]].concat();
        stream.write_all(&answer).expect("an answer");
    }
}

fn skip_head(reader: &mut impl BufRead) {
    let mut line = String::from("-");
    while !line.trim_end().is_empty() {
        line.clear();
        assert_ne!(reader.read_line(&mut line).expect("a head"), 0, "a head");
    }
}

/// Sends all requests, those that need it on connections of their own; how long the slow ones took.
fn request(client: &RunningPod, server: &RunningPod, times: u64) -> Vec<Duration> {
    let serving = serve(server, times);
    let connect = || {
        let connect = || TcpStream::connect_timeout(&at(server, HTTP), PATIENCE);
        let stream = client.sandbox.run(connect).expect("a namespace");
        let stream = stream.expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
        stream
    };
    let mut slow = Vec::new();
    for _ in 0..times {
        let kept = connect();
        // Those that have a connection of their own last: the server has one at a time.
        for of in REQUESTS.iter().filter(|of| !of.alone) {
            let took = (0..of.count).map(|_| exchange(&kept, of));
            let took: Vec<Duration> = took.collect();
            if of.path == SLOW {
                slow.extend(took);
            }
        }
        drop(kept);
        for of in REQUESTS.iter().filter(|of| of.alone) {
            for _ in 0..of.count {
                exchange(&connect(), of);
            }
        }
    }
    serving.join().expect("the server");
    slow
}

/// One request and its answer, or the end of the connection.
fn exchange(mut stream: &TcpStream, of: &Request) -> Duration {
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n",
        of.method, of.path, of.sent
    );
    let request = [head.into_bytes(), vec![b'x'; of.sent]].concat();
    let begun = Instant::now();
    stream.write_all(&request).expect("a request");
    let mut reader = BufReader::new(stream);
    if of.status.is_none() {
        assert_eq!(reader.read(&mut [0]).expect("an end"), 0, "an end");
        return begun.elapsed();
    }
    skip_head(&mut reader);
    let took = begun.elapsed();
    reader.read_exact(&mut vec![0; of.got]).expect("a body");
    took
}

/// Asks for all names, each question with its own number.
fn resolve(client: &RunningPod, server: &RunningPod, times: u64) {
    let bind = |pod: &RunningPod, port| {
        let socket = pod.sandbox.run(|| UdpSocket::bind(at(pod, port)));
        let socket = socket.expect("a namespace").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("time-out");
        socket
    };
    let (asks, answers) = (bind(client, 0), bind(server, DNS));
    let all = NAMES
        .iter()
        .flat_map(|of| std::iter::repeat_n(of, usize::try_from(of.2 * times).expect("few")));
    for (id, (name, code, _)) in (0_u16..).zip(all) {
        asks.send_to(&question(id, name), at(server, DNS))
            .expect("a question");
        let mut buffer = [0; 512];
        let (length, peer) = answers.recv_from(&mut buffer).expect("a question");
        let Some(code) = code else { continue };
        let answer = answer(&buffer[..length], *code, ADDRESS);
        answers.send_to(&answer, peer).expect("an answer");
        asks.recv_from(&mut buffer).expect("an answer");
    }
}

/// A question for the addresses of a name.
pub(crate) fn question(id: u16, name: &str) -> Vec<u8> {
    let mut question = id.to_be_bytes().to_vec();
    question.extend(b"\x01\0\0\x01\0\0\0\0\0\0");
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("short"));
        question.extend(label.as_bytes());
    }
    question.extend(b"\0\0\x01\0\x01");
    question
}

/// The answer to a question, with an address where its code is 0.
pub(crate) fn answer(question: &[u8], code: u8, address: Ipv4Addr) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] = 0x81;
    answer[3] = code;
    if code == 0 {
        answer[7] = 1;
        answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04");
        answer.extend(address.octets());
    }
    answer
}
