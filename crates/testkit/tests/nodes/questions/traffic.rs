//! What happens between the pods: requests and questions of every kind, and a fault of every kind, each so many times.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use netlink::Namespace;
use testkit::cluster::{OUTSIDE, underlay_v4};
use testkit::kubelet::RunningPod;

use super::{CLOSED, ECHO, Shop, attempt, grpc, kafka, tls};
use crate::answers::{asked, at};
use crate::cases::within;
use crate::spoken::{answer, question};

pub(super) const HTTP: u16 = 8080;
/// Where every connection is reset before anything was said.
pub(super) const CUT: u16 = 7071;
pub(super) const DNS: u16 = 53;
/// Where somebody outside of the cluster is asked.
pub(super) const PARTNER: u16 = 8443;
const WAIT: Duration = Duration::from_secs(10);

/// How often who is asked in vain.
pub(super) const REFUSED: u64 = 4;
pub(super) const RESET: u64 = 3;
pub(super) const WAS_CUT: u64 = 2;
pub(super) const UNHEARD: u64 = 3;
pub(super) const SHUT_OUT: u64 = 2;
pub(super) const BARRED: u64 = 5;
/// How often somebody outside comes, and how often one outside is asked.
pub(super) const CAME: u64 = 6;
pub(super) const WENT: u64 = 2;

/// Paths, what is made of them, status, and how often each is asked for.
pub(super) const REQUESTS: &[(&str, &str, u16, u64)] = &[
    ("/items/17", "/items/{id}", 200, 20),
    ("/missing", "/missing", 404, 4),
    ("/broken", "/broken", 503, 6),
];
/// What the slow one is asked for, and how long he thinks, how often.
pub(super) const QUOTE: &str = "/quote";
pub(super) const DELAYS: &[(Duration, usize)] = &[
    (Duration::from_millis(4), 90),
    (Duration::from_millis(40), 8),
    (Duration::from_millis(160), 2),
];

/// Names, the code of their answer (none: there is no answer), and how often each is asked for.
pub(super) const NAMES: &[(&str, Option<u8>, u64)] = &[
    ("partner.example", Some(0), 3),
    ("gone.example", Some(3), 4),
    ("broken.example", Some(2), 5),
    ("silent.example", None, 2),
];

/// What only the test saw.
pub(super) struct Facts {
    /// How long each request to the slow one took its client, the shortest first.
    pub(super) quotes: Vec<Duration>,
}

pub(super) fn partner() -> Ipv4Addr {
    underlay_v4(OUTSIDE)
}

/// Makes all of it happen, what is known last first.
pub(super) fn happen(shop: &Shop<'_>) -> Facts {
    let [web, resolver] = ["web", "resolver"].map(|name| shop.pod(name));
    let (asks, answers) = (bind(web, 0), bind(resolver, DNS));
    for of in NAMES.iter().filter(|of| of.1.is_none()) {
        resolve(&asks, &answers, at(resolver, DNS), of);
    }
    in_vain(shop);
    for of in NAMES.iter().filter(|of| of.1.is_some()) {
        resolve(&asks, &answers, at(resolver, DNS), of);
    }
    outside(shop);
    interrupted(shop);
    request(shop);
    let quotes = quotes(shop);
    grpc::call(web, shop.pod("api"));
    kafka::talk(shop.pod("maker"), shop.pod("taker"), shop.pod("broker"));
    tls::talk(web, shop.pod("vault"));
    Facts { quotes }
}

pub(super) fn listen(pod: &RunningPod, port: u16) -> TcpListener {
    listen_in(&pod.sandbox, at(pod, port))
}

fn listen_in(namespace: &Namespace, at: SocketAddr) -> TcpListener {
    let listener = namespace.run(|| TcpListener::bind(at));
    listener.expect("a namespace").expect("a listener")
}

/// Serves so many connections, one after the other.
pub(super) fn serve(
    listener: TcpListener,
    connections: u64,
    work: impl Fn(TcpStream) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(WAIT)).expect("a time-out");
            work(stream);
        }
    })
}

pub(super) fn connect(from: &Namespace, to: SocketAddr) -> TcpStream {
    let stream = from.run(|| TcpStream::connect_timeout(&to, WAIT));
    let stream = stream.expect("a namespace").expect("a connection");
    stream.set_read_timeout(Some(WAIT)).expect("a time-out");
    stream
}

fn bind(pod: &RunningPod, port: u16) -> UdpSocket {
    let socket = pod.sandbox.run(|| UdpSocket::bind(at(pod, port)));
    let socket = socket.expect("a namespace").expect("a socket");
    socket.set_read_timeout(Some(WAIT)).expect("a time-out");
    socket
}

/// Asks for a name as often as the table says, each question with its own number.
fn resolve(
    asks: &UdpSocket,
    answers: &UdpSocket,
    server: SocketAddr,
    (name, code, count): &(&str, Option<u8>, u64),
) {
    let mut buffer = [0; 512];
    for number in 0..*count {
        // Numbers of different names differ, too.
        let id = u16::try_from(number).expect("few") + 256 * u16::from(name.as_bytes()[0]);
        asks.send_to(&question(id, name), server)
            .expect("a question");
        let (length, peer) = answers.recv_from(&mut buffer).expect("a question");
        let Some(code) = code else { continue };
        let told = answer(&buffer[..length], *code, partner());
        answers.send_to(&told, peer).expect("an answer");
        asks.recv_from(&mut buffer).expect("an answer");
    }
}

/// What nobody answers, all at the same time.
fn in_vain(shop: &Shop<'_>) {
    let web = shop.pod("web");
    let all = [("deaf", UNHEARD), ("barred", BARRED), ("shut", SHUT_OUT)];
    std::thread::scope(|scope| {
        for (name, count) in all {
            let to = at(shop.pod(name), HTTP);
            for _ in 0..count {
                scope.spawn(move || {
                    let how = attempt(web, to);
                    assert!(
                        matches!(how, Some(ErrorKind::TimedOut | ErrorKind::WouldBlock)),
                        "{to}: {how:?}"
                    );
                });
            }
        }
    });
}

/// Somebody outside comes to the service, and one outside is asked by the name that was resolved.
fn outside(shop: &Shop<'_>) {
    let machine = &shop.cluster.outside;
    for visit in 0..CAME {
        // At the pod's node, and at another one, which puts its own address in place of the visitor's.
        let node: IpAddr = underlay_v4(if visit % 2 == 0 { 12 } else { 11 }).into();
        exchange(connect(machine.namespace(), (node, shop.node_port).into()));
    }
    // A name is learned a moment after the answer that has it was seen.
    within(WAIT, || {
        let answer = asked(shop.cluster, &["resolved", NAMES[0].0], "15m")?;
        let found = answer["resolutions"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        ensure!(found, "{answer}");
        Ok(())
    })
    .expect("the name is learned");
    let place = SocketAddr::new(partner().into(), PARTNER);
    let serving = serve(listen_in(machine.namespace(), place), WENT, |mut stream| {
        let _ = std::io::copy(&mut stream.try_clone().expect("the stream"), &mut stream);
    });
    for _ in 0..WENT {
        exchange(connect(&shop.pod("web").sandbox, place));
    }
    serving.join().expect("the partner");
}

/// An octet there and back, and an end in order.
fn exchange(mut stream: TcpStream) {
    stream.write_all(b"x").expect("an octet");
    stream.read_exact(&mut [0]).expect("the octet");
    stream.shutdown(Shutdown::Write).expect("an end");
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

/// What is refused, what its client resets, and what its server resets before it says anything.
fn interrupted(shop: &Shop<'_>) {
    let (web, api) = (shop.pod("web"), shop.pod("api"));
    for _ in 0..REFUSED {
        let how = attempt(web, at(api, CLOSED));
        assert_eq!(how, Some(ErrorKind::ConnectionRefused));
    }
    for _ in 0..RESET {
        let mut stream = connect(&web.sandbox, at(api, ECHO));
        stream.write_all(b"x").expect("an octet");
        stream.read_exact(&mut [0]).expect("the octet");
        reset(&stream);
    }
    let cutting = serve(listen(api, CUT), WAS_CUT, |stream| reset(&stream));
    for _ in 0..WAS_CUT {
        // The reset may come before the client has seen that it is connected.
        let how = web.sandbox.run(|| -> std::io::Result<usize> {
            TcpStream::connect_timeout(&at(api, CUT), WAIT)?.read(&mut [0])
        });
        let how = how.expect("a namespace").err().map(|error| error.kind());
        assert_eq!(how, Some(ErrorKind::ConnectionReset));
    }
    cutting.join().expect("the server");
}

/// Makes its end, which comes next, a reset.
fn reset(stream: &TcpStream) {
    let at_once = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(stream, at_once).expect("it lingers not");
}

fn request(shop: &Shop<'_>) {
    let (web, api) = (shop.pod("web"), shop.pod("api"));
    let serving = serve(listen(api, HTTP), 1, |stream| {
        let reader = BufReader::new(stream.try_clone().expect("the stream"));
        answer_all(reader, stream, |path| {
            let of = REQUESTS.iter().find(|of| of.0 == path);
            of.expect("a path of the table").2
        });
    });
    let stream = connect(&web.sandbox, at(api, HTTP));
    for (path, _, status, count) in REQUESTS {
        for _ in 0..*count {
            get(&stream, path, *status);
        }
    }
    drop(stream);
    serving.join().expect("the server");
}

/// How long the requests to the slow one take, the shortest first.
fn quotes(shop: &Shop<'_>) -> Vec<Duration> {
    let (web, slow) = (shop.pod("web"), shop.pod("slow"));
    let serving = serve(listen(slow, HTTP), 1, |stream| {
        let delays = DELAYS.iter();
        let delays = delays.flat_map(|(delay, count)| std::iter::repeat_n(*delay, *count));
        let delays = std::cell::RefCell::new(delays);
        let reader = BufReader::new(stream.try_clone().expect("the stream"));
        answer_all(reader, stream, |_| {
            std::thread::sleep(delays.borrow_mut().next().expect("no more than these"));
            200
        });
    });
    let stream = connect(&web.sandbox, at(slow, HTTP));
    let count = DELAYS.iter().map(|(_, count)| count).sum();
    let took = (0..count).map(|_| get(&stream, QUOTE, 200));
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    drop(stream);
    serving.join().expect("the server");
    took
}

/// Answers requests until the end of the connection, each with the status of its path.
fn answer_all(mut reader: impl BufRead, mut stream: TcpStream, status: impl Fn(&str) -> u16) {
    while let Some(line) = head(&mut reader) {
        let path = line.split(' ').nth(1).expect("a path");
        let status = status(path);
        let text = format!("HTTP/1.1 {status} As asked\r\nContent-Length: 2\r\n\r\nok");
        stream.write_all(text.as_bytes()).expect("an answer");
    }
}

/// The first line of a head, all of which is read.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut first = String::new();
    if reader.read_line(&mut first).expect("a head") == 0 {
        return None;
    }
    let mut line = first.clone();
    while !line.trim_end().is_empty() {
        line.clear();
        assert_ne!(reader.read_line(&mut line).expect("a head"), 0, "a head");
    }
    Some(first)
}

/// Sends a request; how long its answer took.
fn get(mut stream: &TcpStream, path: &str, status: u16) -> Duration {
    let begun = Instant::now();
    let text = format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("a request");
    let mut reader = BufReader::new(stream);
    let line = head(&mut reader).expect("an answer");
    let took = begun.elapsed();
    assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{line}");
    reader.read_exact(&mut [0; 2]).expect("a body");
    took
}
