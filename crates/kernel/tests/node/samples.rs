//! Payload of real sockets, from the ring of samples through the parsers: as many records as requests, and what they say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use datapath::abi::connection::ConnectionKey;
use datapath::abi::sample::{BUDGET, Sample, marks, mode};
use kernel::samples::Samples;
use l7::conversation::Direction;
use l7::record::{Dns, DnsOutcome, Http, HttpVersion, Record, Seen};
use l7::track::{Origin, Tracker, Want};

use crate::pods::{self, Family, Node, Offloads, Pod, Policy};
use crate::stage::Stage;

/// How often an agent reads the ring.
const READ_EVERY: Duration = Duration::from_millis(25);
const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads one node's ring as its agent does.
struct Listener {
    samples: Samples,
    followed: kernel::Map<ConnectionKey, u32>,
    tracker: Tracker<ConnectionKey>,
    out: Vec<(ConnectionKey, Record)>,
    read: u64,
}

impl Listener {
    fn new(node: &Node) -> Self {
        Self {
            samples: Samples::open(&node.kernel.maps).expect("ring"),
            followed: node.kernel.maps.followed.clone(),
            tracker: Tracker::default(),
            out: Vec::new(),
            read: 0,
        }
    }

    fn read(&mut self) {
        let Self {
            samples,
            followed,
            tracker,
            out,
            read,
        } = self;
        let mut wanted = Vec::new();
        while samples
            .next(|sample, octets| wanted.extend(take(sample, octets, tracker, out)))
            .is_some()
        {
            *read += 1;
        }
        followed.set_all(&wanted).expect("followed");
    }

    fn http(&self) -> Vec<&Http> {
        let records = self.out.iter().filter_map(|(_, record)| match record {
            Record::Http(http) => Some(&**http),
            _ => None,
        });
        records.collect()
    }

    fn dns(&self) -> Vec<&Dns> {
        let records = self.out.iter().filter_map(|(_, record)| match record {
            Record::Dns(dns) => Some(&**dns),
            _ => None,
        });
        records.collect()
    }

    /// Nothing was lost, and nothing is a riddle.
    fn assert_complete(&mut self) {
        assert_eq!(
            (self.samples.lost().expect("lost"), self.samples.malformed()),
            (0, 0)
        );
    }
}

fn take(
    sample: &Sample,
    octets: &[u8],
    tracker: &mut Tracker<ConnectionKey>,
    out: &mut Vec<(ConnectionKey, Record)>,
) -> Option<(ConnectionKey, u32)> {
    let key = sample.key;
    let direction = [Direction::ToServer, Direction::ToClient][usize::from(sample.way)];
    if key.protocol == 17 {
        tracker.datagram(key, 0, direction, octets, sample.time_ns, out);
        return None;
    }
    if sample.marks & marks::CLOSED != 0 {
        tracker.closed(key, Some(sample.ends), out);
        return None;
    }
    let segment = l7::stream::Sample {
        sequence: sample.sequence,
        syn: sample.tcp_flags & 2 != 0,
        octets,
        length: sample.payload,
        expected: (sample.marks & marks::EXPECTED != 0).then_some(sample.expected),
        time_ns: sample.time_ns,
    };
    let wanted = match tracker.segment(key, Origin::default(), direction, segment, out) {
        Want::Beginning => return None,
        Want::Nothing => mode::OPAQUE,
        Want::Heads => mode::HEADS,
        Want::Frames => mode::FRAMES,
    };
    (wanted != sample.mode).then_some((key, wanted.into()))
}

/// Reads the rings while pods talk, and once more behind them.
fn listening(nodes: &[&Node], talk: impl FnOnce() + Send) -> Vec<Listener> {
    let mut listeners: Vec<_> = nodes.iter().map(|node| Listener::new(node)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let talking = scope.spawn(|| {
            talk();
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) && !talking.is_finished() {
            std::thread::sleep(READ_EVERY);
            listeners.iter_mut().for_each(Listener::read);
        }
        if let Err(panic) = talking.join() {
            std::panic::resume_unwind(panic);
        }
    });
    std::thread::sleep(READ_EVERY);
    listeners.iter_mut().for_each(Listener::read);
    listeners
}

/// What a client asks, and what it is answered.
#[derive(Clone, Copy)]
struct Exchange {
    method: &'static str,
    path: &'static str,
    template: &'static str,
    body: usize,
    status: u16,
    answer: usize,
}

const fn exchange(
    (method, path, template, body): (&'static str, &'static str, &'static str, usize),
    (status, answer): (u16, usize),
) -> Exchange {
    Exchange {
        method,
        path,
        template,
        body,
        status,
        answer,
    }
}

const EXCHANGES: [Exchange; 4] = [
    exchange(("GET", "/users/17?token=x", "/users/{id}", 0), (200, 12)),
    exchange(("POST", "/orders", "/orders", 3000), (201, 0)),
    exchange(("GET", "/pictures/99", "/pictures/{id}", 0), (200, 200_000)),
    exchange(("GET", "/gone", "/gone", 0), (404, 40)),
];

fn exchange_of(number: usize) -> Exchange {
    EXCHANGES[number % EXCHANGES.len()]
}

/// Serves so many connections, one after the other.
fn serve(listener: &TcpListener, connections: usize) {
    for _ in 0..connections {
        let (stream, _) = listener.accept().expect("accept");
        stream.set_nodelay(true).expect("no delay");
        let mut writer = stream.try_clone().expect("clone");
        let mut reader = BufReader::new(stream);
        while let Some(exchange) = read_request(&mut reader) {
            let Exchange { status, answer, .. } = exchange;
            let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {answer}\r\n\r\n");
            writer.write_all(head.as_bytes()).expect("head");
            writer.write_all(&vec![b'a'; answer]).expect("body");
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Exchange> {
    let mut line = String::new();
    if reader.read_line(&mut line).expect("request") == 0 {
        return None;
    }
    let path = line.split(' ').nth(1).expect("path").to_owned();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).expect("field");
    }
    let found = EXCHANGES.iter().find(|one| one.path == path);
    let exchange = *found.expect("a path of the list");
    reader
        .read_exact(&mut vec![0; exchange.body])
        .expect("body");
    Some(exchange)
}

/// Asks so often over one connection.
fn ask(server: SocketAddr, requests: std::ops::Range<usize>) {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).expect("connect");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
    let mut writer = stream.try_clone().expect("clone");
    let mut reader = BufReader::new(stream);
    for number in requests {
        let Exchange {
            method, path, body, ..
        } = exchange_of(number);
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: {body}\r\n\r\n");
        writer.write_all(head.as_bytes()).expect("head");
        writer.write_all(&vec![b'q'; body]).expect("body");
        let mut line = String::new();
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("answer");
            if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim().parse().expect("length");
            }
        }
        reader.read_exact(&mut vec![0; length]).expect("answer");
    }
}

/// Requests over one connection that stays, and over as many connections as requests.
fn talk_http1(from: &Pod, to: &Pod, family: Family, [kept, single]: [usize; 2]) {
    let server = SocketAddr::new(to.address(family), PORT);
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            let run = || {
                let listener = TcpListener::bind(server).expect("listen");
                ready.send(()).expect("ready");
                serve(&listener, 1 + single);
            };
            to.namespace.run(run).expect("enter");
        });
        is_ready.recv().expect("server");
        let run = || {
            ask(server, 0..kept);
            for number in 0..single {
                ask(server, number..number + 1);
            }
        };
        from.namespace.run(run).expect("enter");
        serving.join().expect("server");
    });
}

fn assert_exchanges(listener: &mut Listener, counts: [usize; 2]) {
    listener.assert_complete();
    let http = listener.http();
    let numbers = (0..counts[0]).chain(0..counts[1]);
    let expected: Vec<_> = numbers.map(exchange_of).collect();
    assert_eq!(http.len(), expected.len(), "as many records as requests");
    for (record, exchange) in http.into_iter().zip(expected) {
        let known = |text: &str| Seen::Known(text.to_owned());
        let said = (
            &record.method,
            &record.template,
            &record.status,
            &record.host,
        );
        let expected = (
            &known(exchange.method),
            &known(exchange.template),
            &Seen::Known(exchange.status),
            &known("shop"),
        );
        assert_eq!(said, expected, "{record:?}");
        assert_eq!(record.request_octets, Seen::Known(exchange.body as u64));
        assert_eq!(record.response_octets, Seen::Known(exchange.answer as u64));
        assert!(record.start_ns < record.answer_ns, "{record:?}");
    }
}

#[test]
fn requests_between_pods_of_one_node_become_one_record_each() {
    let Some(stage) = Stage::new("heads") else {
        return;
    };
    let node = Node::new(&stage, "s");
    let pods = [1, 2].map(|number| node.pod(number, Policy::None, Offloads::On));
    for family in pods::FAMILIES {
        let mut listeners = listening(&[&node], || {
            talk_http1(&pods[0], &pods[1], family, [2000, 100]);
        });
        assert_exchanges(&mut listeners[0], [2000, 100]);
        println!("{family:?}: {} samples of 2100 requests", listeners[0].read);
    }
    let entries = node.kernel.maps.connections.dump().expect("dump");
    let heads = entries
        .iter()
        .filter(|(_, entry)| entry.sent.sampling == mode::HEADS);
    assert!(heads.count() >= 2, "the kernel was told and listens");
}

#[test]
fn requests_between_pods_of_two_nodes_become_one_record_at_each() {
    let (Some(here), Some(there)) = (Stage::new("asks"), Stage::new("answers")) else {
        return;
    };
    let features = datapath::abi::node::Features {
        tunnel: 1,
        ..Stage::features()
    };
    let nodes = [
        Node::numbered(&here, "q", 0, features),
        Node::numbered(&there, "a", 1, features),
    ];
    let [first, second] = &nodes;
    pods::join([first, second]);
    for (number, offloads) in [(1, Offloads::On), (2, Offloads::Off)] {
        let client = first.pod(number, Policy::None, offloads);
        let server = second.pod(number + 2, Policy::None, offloads);
        first.learn(second, &server);
        second.learn(first, &client);
        let mut listeners = listening(&[first, second], || {
            talk_http1(&client, &server, Family::V4, [1000, 50]);
        });
        for listener in &mut listeners {
            assert_exchanges(listener, [1000, 50]);
        }
    }
}

/// A question for an address (RFC 1035, section 4.1), or the answer to it with this code.
fn message(id: u16, name: &str, code: Option<u8>) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    let flags = code.map_or([1, 0], |code| [0x81, 0x80 | code]);
    message.extend(flags);
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

#[test]
fn questions_over_udp_become_one_record_each_also_those_that_nobody_answers() {
    const QUESTIONS: u16 = 200;
    let Some(stage) = Stage::new("dns") else {
        return;
    };
    let node = Node::new(&stage, "d");
    let pods = [1, 2].map(|number| node.pod(number, Policy::None, Offloads::On));
    let server = SocketAddr::new(pods[1].address(Family::V4), 53);
    let bind = |pod: &Pod, port| {
        let address = SocketAddr::new(pod.address(Family::V4), port);
        let socket = pod
            .namespace
            .run(|| UdpSocket::bind(address))
            .expect("enter");
        let socket = socket.expect("bind");
        socket.set_read_timeout(Some(PATIENCE)).expect("time-out");
        socket
    };
    let (asks, answers) = (bind(&pods[0], 0), bind(&pods[1], 53));
    let mut buffer = [0; 512];
    let mut listeners = listening(&[&node], || {
        for id in 0..QUESTIONS {
            let name = format!("name{id}.shop.svc");
            asks.send_to(&message(id, &name, None), server)
                .expect("ask");
            let (_, peer) = answers.recv_from(&mut buffer).expect("question");
            let code = if id % 4 == 0 { 3 } else { 0 };
            let answer = message(id, &name, Some(code));
            answers.send_to(&answer, peer).expect("answer");
            asks.recv_from(&mut buffer).expect("answer");
        }
        asks.send_to(&message(9999, "nobody", None), server)
            .expect("ask");
    });
    let listener = &mut listeners[0];
    let later = listener.samples.next(|sample, _| sample.time_ns);
    assert_eq!(later, None);
    listener.tracker.tick(u64::MAX / 2, &mut listener.out);
    let records = listener.dns();
    assert_eq!(records.len(), usize::from(QUESTIONS) + 1);
    for (id, record) in records.iter().enumerate().take(QUESTIONS.into()) {
        let code = if id % 4 == 0 { 3 } else { 0 };
        assert_eq!(record.qname, format!("name{id}.shop.svc"));
        assert_eq!(
            (record.outcome, record.attempts),
            (DnsOutcome::Code(code), 1)
        );
        assert!(record.latency_ns.is_some_and(|ns| ns < 1_000_000_000));
    }
    let last = records.last().expect("the last");
    assert_eq!(
        (last.qname.as_str(), last.outcome),
        ("nobody", DnsOutcome::Timeout)
    );
    listener.assert_complete();
}

/// So many requests over one connection, one after the other.
fn ask_http2(server: SocketAddr, requests: usize) {
    let run = async {
        let stream = tokio::net::TcpStream::connect(server)
            .await
            .expect("connect");
        let (mut client, connection) = h2::client::handshake(stream).await.expect("handshake");
        let asking = async {
            for number in 0..requests {
                let request = http::Request::builder()
                    .method("GET")
                    .uri(format!("http://shop/items/{number}"))
                    .header("x-request", format!("{:032x}", number * 7_919))
                    .body(())
                    .expect("request");
                client = client.ready().await.expect("ready");
                let (answer, _) = client.send_request(request, true).expect("send");
                let mut body = answer.await.expect("answer").into_body();
                while let Some(octets) = body.data().await {
                    let length = octets.expect("data").len();
                    let _ = body.flow_control().release_capacity(length);
                }
            }
            drop(client);
        };
        tokio::select! {
            () = asking => {}
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    };
    runtime().block_on(run);
}

fn serve_http2(listener: TcpListener) {
    let run = async {
        listener.set_nonblocking(true).expect("non-blocking");
        let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
        let (stream, _) = listener.accept().await.expect("accept");
        let mut connection = h2::server::handshake(stream).await.expect("handshake");
        let mut number = 0;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let status = if number % 5 == 0 { 503 } else { 200 };
            let answer = http::Response::builder()
                .status(status)
                .body(())
                .expect("answer");
            let mut body = respond.send_response(answer, false).expect("send");
            let octets = vec![b'a'; 100].into();
            body.send_data(octets, true).expect("data");
            number += 1;
        }
    };
    runtime().block_on(run);
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("runtime")
}

#[test]
fn requests_over_http2_become_one_record_each() {
    const REQUESTS: usize = 1000;
    let Some(stage) = Stage::new("frames") else {
        return;
    };
    let node = Node::new(&stage, "f");
    let pods = [1, 2].map(|number| node.pod(number, Policy::None, Offloads::On));
    let server = SocketAddr::new(pods[1].address(Family::V4), PORT);
    let started = Instant::now();
    let mut listeners = listening(&[&node], || {
        let (ready, is_ready) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let run = || {
                    let listener = TcpListener::bind(server).expect("listen");
                    ready.send(()).expect("ready");
                    serve_http2(listener);
                };
                pods[1].namespace.run(run).expect("enter");
            });
            is_ready.recv().expect("server");
            pods[0]
                .namespace
                .run(|| ask_http2(server, REQUESTS))
                .expect("enter");
        });
    });
    println!("{REQUESTS} requests in {:?}", started.elapsed());
    let listener = &mut listeners[0];
    let http = listener.http();
    assert_eq!(http.len(), REQUESTS);
    for (number, record) in http.into_iter().enumerate() {
        let status = if number % 5 == 0 { 503 } else { 200 };
        assert_eq!(record.version, HttpVersion::Http2);
        assert_eq!(record.method, Seen::Known("GET".to_owned()), "{record:?}");
        assert_eq!(record.path, Seen::Known(format!("/items/{number}")));
        assert_eq!(record.status, Seen::Known(status), "{record:?}");
        assert_eq!(record.response_octets, Seen::Known(100));
    }
    listener.assert_complete();
}

/// Offset of the destination port in a datagram of IPv4.
const DESTINATION_PORT: usize = 14 + 20 + 2;

#[test]
fn questions_of_one_pod_beyond_its_budget_are_counted_and_leave_room_in_the_ring() {
    let Some(stage) = Stage::new("budget") else {
        return;
    };
    let node = Node::new(&stage, "b");
    let [first, second] = [1, 2].map(|number| node.pod(number, Policy::None, Offloads::On));
    let mut question = node.datagram(&first, &second, 40_000);
    question[DESTINATION_PORT..][..2].copy_from_slice(&53_u16.to_be_bytes());
    node.make_delivery_repeatable(&first, &second);
    let origin = kernel::program_run::Origin {
        ifindex: first.ifindex,
        ingress_ifindex: first.ifindex,
        ..kernel::program_run::Origin::default()
    };
    let mut samples = Samples::open(&node.kernel.maps).expect("ring");
    let ask = || {
        let programs = &node.kernel.programs;
        let hook = kernel::Hook::FromContainer;
        kernel::program_run::run(programs, hook, &question, origin, 20_000)
    };
    // A machine that is busy asks too slowly.
    for _ in 0..20 {
        let begun = Instant::now();
        node.namespace.run(ask).expect("enter").expect("run");
        let windows = begun.elapsed().as_nanos() as u64 / (1 << 24) + 2;
        let mut read = 0;
        while samples.next(|_, _| ()).is_some() {
            read += 1;
        }
        let lost = samples.lost().expect("lost");
        assert_eq!(read + lost, 20_000);
        assert!(read <= windows * u64::from(BUDGET), "{read} in {windows}");
        if lost > 0 {
            println!("{read} samples of 20000 questions in {windows} windows");
            return;
        }
    }
    panic!("20,000 questions never take less than ten windows");
}
