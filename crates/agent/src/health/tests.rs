use std::collections::BTreeMap;
use std::net::IpAddr;

use local_api::probes::ConnectivityStatus;
use model::node::Locality;

use super::*;
use crate::config::{Config, Given};
use crate::view::{View, channel};

fn row(name: &str, address: &str, locality: Locality) -> NodeRow {
    let own: IpAddr = address.parse().unwrap();
    NodeRow {
        name: name.into(),
        locality,
        ip: IpPair::first_of([own]),
        router: IpPair::default(),
        addresses: vec![own],
        pod_cidrs_v4: Vec::new(),
        pod_cidrs_v6: Vec::new(),
        health: IpPair::default(),
        ingress: IpPair::default(),
        encryption_key: 0,
        wireguard_key: None,
        labels: BTreeMap::new(),
    }
}

fn health(pairs: &[(&str, &str)], rows: Vec<NodeRow>) -> Health {
    let all = [("k8s-node-name", "n1")]
        .into_iter()
        .chain(pairs.iter().copied());
    let config = Config::new(&Given::from_pairs(all)).unwrap();
    let (writer, reader) = channel();
    writer.publish(View {
        nodes: rows
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect(),
        waiting_for: Vec::new(),
        ..View::default()
    });
    Health::new(&config, reader, Metrics::default())
}

fn path(icmp: Outcome, http: Outcome) -> Path {
    Path {
        address: IpAddr::from([192, 0, 2, 1]),
        icmp,
        http,
        at: Timestamp::UNIX_EPOCH,
    }
}

type Outcome = path::Outcome;

const TOOK: Outcome = Ok(Duration::from_micros(1500));

fn missed() -> Outcome {
    Err("no answer within 3s".to_owned())
}

/// Of three nodes one is reached, of one the endpoint does not answer by HTTP, and one was not probed.
fn half_known() -> Health {
    let mut n2 = row("n2", "192.0.2.2", Locality::Remote);
    n2.health = IpPair::first_of([IpAddr::from([10, 0, 2, 9])]);
    let health = health(
        &[("cluster-name", "west")],
        vec![
            row("n1", "192.0.2.1", Locality::Local),
            n2,
            row("n3", "192.0.2.3", Locality::Remote),
        ],
    );
    let metrics = &health.0.metrics;
    health.known(|known| {
        known.round = 4;
        known.note(&"n1".into(), [vec![path(TOOK, TOOK)], vec![]], metrics);
        let endpoint = vec![path(TOOK, missed())];
        known.note(&"n2".into(), [vec![path(TOOK, TOOK)], endpoint], metrics);
        assert_eq!(known.seen("n1"), model::probing::Seen::Reached(4));
        assert_eq!(known.seen("n2"), model::probing::Seen::Missed(4));
        assert_eq!(known.seen("n3"), model::probing::Seen::Never);
    });
    health
}

#[test]
fn what_is_told_says_which_way_is_broken() {
    let health = half_known();
    assert_eq!(health.summary().msg, "1/3 reachable");
    assert_eq!(health.summary().state, Some(State::Ok));
    let status = health.status();
    let names: Vec<_> = status.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["west/n1", "west/n2"], "of n3 nothing is known");
    assert_eq!(status.local.unwrap().name, "west/n1");
    assert_eq!(status.probe_interval, "13.8s");
    let [n1, n2] = status.nodes.as_slice() else {
        panic!("two nodes");
    };
    assert!(n1.is_reached() && n1.health_endpoint.is_none());
    assert!(!n2.is_reached() && n2.host.as_ref().unwrap().is_reached());
    let endpoint = n2.health_endpoint.clone().unwrap().primary_address.unwrap();
    let at = "1970-01-01T00:00:00Z";
    let said = |latency, status: &str| ConnectivityStatus {
        latency,
        status: status.to_owned(),
        last_probed: at.to_owned(),
    };
    assert_eq!(endpoint.icmp, Some(said(1_500_000, "")));
    assert_eq!(endpoint.http, Some(said(0, "no answer within 3s")));
}

#[test]
fn what_is_counted_tells_nodes_from_endpoints_and_what_is_not_known() {
    let numbers = half_known().numbers();
    let count = |reachable, unreachable, unknown| Count {
        reachable,
        unreachable,
        unknown,
    };
    assert_eq!(numbers.nodes, count(2, 0, 1));
    assert_eq!(numbers.endpoints, count(0, 1, 0));
}

#[test]
fn each_probe_is_in_the_histogram_of_its_way_and_a_missed_one_counts_as_long_as_it_was_waited() {
    let health = half_known();
    let page = health.0.metrics.probes();
    for (part, protocol, series) in [
        ("node", "icmp", "_count 2"),
        ("node", "icmp", "_sum 0.003"),
        ("endpoint", "icmp", "_sum 0.0015"),
        ("endpoint", "http", "_count 1"),
        ("endpoint", "http", "_sum 5.0"),
    ] {
        let (kind, value) = series.split_once(' ').unwrap();
        let way = format!(r#"type="{part}",protocol="{protocol}",address_type="primary""#);
        let line = format!("probes{kind}{{{way}}} {value}");
        assert!(
            page.lines().any(|shown| shown == line),
            "no {line} in\n{page}"
        );
    }
}

#[test]
fn switched_off_is_told_as_such() {
    let health = health(&[("enable-health-checking", "false")], Vec::new());
    assert_eq!(health.summary().state, Some(State::Disabled));
}

#[test]
fn durations_read_as_those_of_others() {
    let all = [0.05, 13.86, 69.1, 3_600.0, 7_384.25]
        .map(Duration::from_secs_f64)
        .map(span);
    assert_eq!(all, ["0.0s", "13.8s", "1m9.1s", "1h0m0.0s", "2h3m4.2s"]);
}

#[test]
fn addresses_of_families_that_are_off_are_left_alone_unless_there_is_no_other() {
    let health = health(
        &[("enable-ipv6", "false"), ("cluster-health-port", "1")],
        Vec::new(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tried = |addresses: &[&str]| {
        let pair = IpPair::first_of(addresses.iter().map(|text| text.parse().unwrap()));
        let paths = runtime.block_on(health.addresses(pair));
        paths
            .iter()
            .map(|of| of.address.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(tried(&["127.0.0.1", "::1"]), ["127.0.0.1"]);
    assert_eq!(tried(&["::1"]), ["::1"]);
    assert!(tried(&[]).is_empty());
}

/// Answers one connection with these bytes.
fn server(answer: &'static [u8]) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 256];
        let read = stream.read(&mut buffer).unwrap();
        assert!(buffer[..read].starts_with(b"GET /hello HTTP/1.1\r\n"));
        stream.write_all(answer).unwrap();
    });
    address
}

#[test]
fn an_answer_by_http_counts_by_its_status_line() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ask = |to| runtime.block_on(path::hello(to));
    assert!(ask(server(b"HTTP/1.1 200 OK\r\n\r\n")).is_ok());
    let error = ask(server(b"HTTP/1.1 503 No\r\n\r\n"))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "answered \"HTTP/1.1 503\"");
    let error = ask(server(b"HTTP/1.1")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = ask(free).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn what_answers_probes_answers_nothing_else_and_does_not_wait_for_ever() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = async |request: &[u8]| {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            // A reset is an end as well.
            let _ = stream.read_to_string(&mut answer).await;
            answer.lines().next().unwrap_or_default().to_owned()
        };
        let all = async {
            assert!(path::hello(address).await.is_ok());
            assert_eq!(
                asked(b"GET /other HTTP/1.1\r\n\r\n").await,
                "HTTP/1.1 404 Not Found"
            );
            assert_eq!(asked(&[b'x'; 4096]).await, "", "longer than any probe");
            assert_eq!(
                asked(b"GET /hello HTTP/1.1\r\n").await,
                "",
                "not to its end, in time"
            );
        };
        tokio::select! {
            () = hello::serve(listener) => panic!("it serves for ever"),
            () = all => {}
        }
    });
}
