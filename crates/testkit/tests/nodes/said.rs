//! What connections say reaches the agents of both ends: as many records as questions and requests.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::cluster::{Cluster, underlay_v4};
use testkit::kubelet::RunningPod;
use testkit::scrape::fetch;

use crate::cases::{run, within};
use crate::scraped::FLOWS;

const QUESTIONS: u64 = 300;
const REQUESTS: u64 = 300;
const DNS: u16 = 53;
const HTTP: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(10);
/// The ring is read forty times a second, and counts are shown once a second.
const FRESH: Duration = Duration::from_secs(10);

/// The time for which a pod has 2,048 samples, in which a fast machine would say all of this: no two loads of 600 are in one.
const WINDOW: Duration = Duration::from_millis(17);

/// Questions and requests from a pod to one of its node and to one of the other node.
pub(crate) fn told(cluster: &Cluster) {
    let client = run(cluster, 0, "client");
    let servers = [run(cluster, 0, "near"), run(cluster, 1, "far")];
    for server in &servers {
        settle(&client, server);
    }
    let before = [0, 1].map(|node| {
        // Counts are there a second after the agent's start.
        let mut found = [0; 3];
        let read = within(FRESH, || {
            found = counts(cluster, node)?;
            Ok(())
        });
        read.map(|()| found).expect("a page with counts")
    });
    for server in &servers {
        ask_dns(&client, server);
        std::thread::sleep(WINDOW);
        ask_http(&client, server);
        std::thread::sleep(WINDOW);
    }
    // Nobody else asks for names here; the agents' own requests to the store are seen as well.
    for (node, [dns, lost, http]) in before.into_iter().enumerate() {
        let ends = if node == 0 { 2 } else { 1 };
        within(FRESH, || {
            let now = counts(cluster, node)?;
            ensure!(now[0] == dns + ends * QUESTIONS, "questions {now:?}, {dns}");
            ensure!(now[1] == lost, "lost {now:?}, {lost}");
            ensure!(now[2] >= http + ends * REQUESTS, "requests {now:?}, {http}");
            Ok(())
        })
        .expect("as many records as questions, and no fewer than requests");
    }
    println!("ok    {QUESTIONS} questions and {REQUESTS} requests are told at each end");
}

/// Waits until the server's pod refuses a connection: then it is reached, and nothing was said.
fn settle(client: &RunningPod, server: &RunningPod) {
    within(Duration::from_secs(20), || {
        let connect = || TcpStream::connect_timeout(&at(server, HTTP), Duration::from_secs(2));
        let refused = client.sandbox.run(connect)?.err().map(|error| error.kind());
        ensure!(refused == Some(ErrorKind::ConnectionRefused), "{refused:?}");
        Ok(())
    })
    .expect("the pod is reached");
}

/// Records of questions, samples lost, and records of requests over HTTP/1.
fn counts(cluster: &Cluster, node: usize) -> anyhow::Result<[u64; 3]> {
    let machine = &cluster.nodes[node].machine;
    let address = underlay_v4(11 + u8::try_from(node)?).into();
    let text = fetch(machine.namespace(), address, FLOWS)?;
    let value = |series: &str| -> anyhow::Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        let value = line.with_context(|| format!("no {series} in\n{text}"))?;
        Ok(value.trim().parse()?)
    };
    Ok([
        value("hubble_capture_records_total{protocol=\"dns\"}")?,
        value("hubble_capture_lost_total{class=\"samples\"}")?,
        value("hubble_capture_records_total{protocol=\"http1\"}")?,
    ])
}

fn at(pod: &RunningPod, port: u16) -> SocketAddr {
    SocketAddr::new(pod.ipv4().expect("an IPv4 address"), port)
}

fn ask_dns(client: &RunningPod, server: &RunningPod) {
    let bind = |pod: &RunningPod, port| {
        let socket = pod.sandbox.run(|| UdpSocket::bind(at(pod, port)));
        let socket = socket.expect("a namespace").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("time-out");
        socket
    };
    let (asks, answers) = (bind(client, 0), bind(server, DNS));
    let mut buffer = [0; 512];
    for id in 0..QUESTIONS {
        let mut question = u16::try_from(id).expect("few").to_be_bytes().to_vec();
        question.extend(b"\x01\0\0\x01\0\0\0\0\0\0\x04shop\0\0\x01\0\x01");
        asks.send_to(&question, at(server, DNS))
            .expect("a question");
        let (length, peer) = answers.recv_from(&mut buffer).expect("a question");
        let mut answer = buffer[..length].to_vec();
        answer[2] = 0x81;
        answers.send_to(&answer, peer).expect("an answer");
        asks.recv_from(&mut buffer).expect("an answer");
    }
}

fn ask_http(client: &RunningPod, server: &RunningPod) {
    const REQUEST: &[u8] = b"GET /items/1 HTTP/1.1\r\nHost: shop\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let listener = server.sandbox.run(|| TcpListener::bind(at(server, HTTP)));
    let listener = listener.expect("a namespace").expect("a listener");
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; REQUEST.len()];
        while stream.read_exact(&mut request).is_ok() {
            stream.write_all(ANSWER).expect("an answer");
        }
    });
    let connect = || TcpStream::connect_timeout(&at(server, HTTP), PATIENCE);
    let stream = client.sandbox.run(connect).expect("a namespace");
    let mut stream = stream.expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
    for _ in 0..REQUESTS {
        stream.write_all(REQUEST).expect("a request");
        stream
            .read_exact(&mut [0; ANSWER.len()])
            .expect("an answer");
    }
    drop(stream);
    serving.join().expect("the server");
}
