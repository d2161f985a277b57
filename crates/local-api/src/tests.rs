//! Shapes on the wire, and the client against peers that behave and that do not.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Error, Method, Request, Timeouts, encode};
use crate::config::DaemonConfiguration;
use crate::endpoint::{Endpoint, EndpointChangeRequest, EndpointState};
use crate::health::{State, Status, StatusResponse};
use crate::ipam::{AddressPair, IpamResponse};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A peer that answers one request with fixed bytes, after `delay` between pieces; gives back what it was sent.
struct Peer {
    path: PathBuf,
    thread: Option<JoinHandle<String>>,
}

impl Peer {
    fn answering(pieces: &[&[u8]], delay: Duration) -> Self {
        let path = std::env::temp_dir().join(format!(
            "axapi{}-{}.sock",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        ));
        let listener = UnixListener::bind(&path).expect("bind");
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|p| p.to_vec()).collect();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .expect("timeout");
            let mut sent = String::new();
            let mut buffer = [0; 4096];
            while !complete(&sent) {
                let got = stream.read(&mut buffer).expect("read");
                sent.push_str(std::str::from_utf8(&buffer[..got]).expect("text"));
            }
            for piece in pieces {
                if stream.write_all(&piece).is_err() {
                    break;
                }
                std::thread::sleep(delay);
            }
            sent
        });
        Self {
            path,
            thread: Some(thread),
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.path).with_timeouts(Timeouts {
            connect: Duration::from_secs(1),
            total: Duration::from_millis(400),
        })
    }

    fn sent(mut self) -> String {
        self.thread.take().expect("once").join().expect("peer")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn complete(sent: &str) -> bool {
    let Some((head, body)) = sent.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "))
        .map_or(0, |n| n.parse().expect("n"));
    body.len() >= length
}

fn quick(pieces: &[&[u8]]) -> Peer {
    Peer::answering(pieces, Duration::ZERO)
}

#[test]
fn an_endpoint_request_has_upstreams_names_on_the_wire() {
    let request = EndpointChangeRequest {
        container_id: "c1".into(),
        interface_name: "lxc1".into(),
        interface_index: 7,
        k8s_pod_name: "web".into(),
        k8s_uid: "u".into(),
        host_mac: "02:00:00:00:00:01".into(),
        sync_build_endpoint: true,
        state: Some(EndpointState::WaitingForIdentity),
        addressing: Some(AddressPair {
            ipv4: "10.0.0.1".into(),
            ipv4_expiration_uuid: "e".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        serde_json::to_value(&request).expect("json"),
        json!({
            "container-id": "c1", "interface-name": "lxc1", "interface-index": 7, "k8s-pod-name": "web", "k8s-uid": "u",
            "host-mac": "02:00:00:00:00:01", "sync-build-endpoint": true, "state": "waiting-for-identity",
            "addressing": {"ipv4": "10.0.0.1", "ipv4-expiration-uuid": "e"}
        })
    );
}

#[test]
fn irregular_names_survive_a_round_trip() {
    let config = json!({"status": {
        "deviceMTU": 1500, "routeMTU": 1450, "GSOMaxSize": 65536, "GROIPv4MaxSize": 1, "ipLocalReservedPorts": "8472",
        "datapathMode": "netkit-l2", "ipam-mode": "cluster-pool", "enableRouteMTUForCNIChaining": true,
        "addressing": {"ipv4": {"enabled": true, "ip": "10.0.0.1", "alloc-range": "10.0.0.0/24"}},
        "masqueradeProtocols": {"ipv4": true}, "packetizationLayerPMTUDMode": "blackhole",
        "daemonConfigurationMap": {"EnableIPv4": true}, "installUplinkRoutesForDelegatedIPAM": true
    }});
    round_trip::<DaemonConfiguration>(&config);
    round_trip::<StatusResponse>(&json!({
        "cilium": {"state": "Ok", "msg": "1.0"}, "nodeMonitor": {"cpus": 2, "lost": 1}, "attach-mode": "tcx",
        "kube-proxy-replacement": {"mode": "True", "deviceList": [{"name": "eth0", "ip": ["192.0.2.1"]}],
            "features": {"nodePort": {"enabled": true, "portMin": 30000, "lutSize": 16381}, "externalIPs": {"enabled": true},
                "socketLB": {"enabled": true}, "nat46X64": {"enabled": true}, "bpfSocketLBHostnsOnly": true}},
        "ipv6-big-tcp": {"enabled": true, "maxGRO": 1, "maxGSO": 2}, "srv6": {"enabled": true, "srv6EncapMode": "SRH"},
        "cluster": {"ciliumHealth": {"state": "Failure"}, "self": "default/n1"}, "stale": {"probe": "2026-01-01T00:00:00Z"},
        "bpf-maps": {"dynamic-size-ratio": 0.5}, "cni-chaining": {"mode": "generic-veth"},
        "masquerading": {"enabledProtocols": {"ipv6": true}, "ip-masq-agent": true, "snat-exclusion-cidr-v4": "10.0.0.0/8"}
    }));
    round_trip::<Endpoint>(&json!({"id": 3, "status": {
        "state": "ready", "health": {"overallHealth": "OK", "connected": true}, "namedPorts": [{"name": "http", "port": 80}],
        "identity": {"id": 9, "labels": ["k8s:a=b"], "labelsSHA256": "x"},
        "policy": {"realized": {"policy-enabled": "audit-both", "l4": {"ingress": [
            {"rule": "r", "derived-from-rules": [["a"]], "rules-by-selector": {"s": [["a"]]}}]}}}
    }}));
}

fn round_trip<T: serde::Serialize + serde::de::DeserializeOwned>(wire: &Value) {
    let value: T = serde_json::from_value(wire.clone()).expect("read");
    assert_eq!(&serde_json::to_value(&value).expect("write"), wire);
}

#[test]
fn required_fields_are_written_also_when_empty() {
    assert_eq!(
        serde_json::to_value(IpamResponse::default()).expect("json"),
        json!({"address": null, "host-addressing": null})
    );
}

#[test]
fn a_request_is_written_and_its_answer_read() {
    let peer = quick(&[b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"state\":\"Ok\"}"]);
    let request = Request::new(Method::Post, "/v1/ipam")
        .query("owner", "a/b c")
        .query("family", "ipv4")
        .header("expiration", "tr\r\nue")
        .json(&json!({"x": 1}))
        .expect("json");
    let status: Status = peer.client().call(&request).expect("call");
    assert_eq!(status.state, Some(State::Ok));
    assert_eq!(
        peer.sent(),
        "POST /v1/ipam?owner=a%2Fb%20c&family=ipv4 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         expiration: tr  ue\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"x\":1}"
    );
}

#[test]
fn bodies_end_by_length_chunks_or_close_and_interim_answers_are_skipped() {
    let cases: [&[&[u8]]; 4] = [
        &[
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\"",
            b"ab\"garbage",
        ],
        &[
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n\"\r",
            b"\n3\r\nab\"\r\n0\r\nTrailer: 1\r\n\r\n",
        ],
        &[b"HTTP/1.1 200 OK\r\n\r\n\"a", b"b\""],
        &[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n\"ab\""],
    ];
    for pieces in cases {
        let text: String = quick(pieces).client().get("/v1/x").expect("get");
        assert_eq!(text, "ab");
    }
    let empty = quick(&[b"HTTP/1.1 204 No Content\r\n\r\n"]);
    assert_eq!(empty.client().delete("/v1/x").expect("delete").status, 204);
}

#[test]
fn a_refusal_names_method_path_status_and_the_agents_words() {
    for body in [
        "\"no such pool\"",
        "{\"code\":1,\"message\":\"no such pool\"}",
        "no such pool\nstack",
    ] {
        let answer = format!(
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let error = quick(&[answer.as_bytes()])
            .client()
            .get::<Value>("/v1/ipam")
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            "GET /v1/ipam: the agent answered 502: no such pool"
        );
        assert_eq!((error.status(), error.is_unreachable()), (Some(502), false));
    }
}

#[test]
fn a_peer_that_trickles_is_given_up_after_the_total_time() {
    let mut pieces: Vec<&[u8]> = vec![b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"];
    pieces.extend(std::iter::repeat_n(b"x".as_slice(), 100));
    let peer = Peer::answering(&pieces, Duration::from_millis(20));
    let start = Instant::now();
    let error = peer.client().get::<Value>("/v1/x").expect_err("slow");
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_full_queue_of_connections_does_not_block_for_ever() {
    let path = std::env::temp_dir().join(format!("axapi{}-full.sock", std::process::id()));
    let listener = UnixListener::bind(&path).expect("bind");
    let socket = socket2::SockRef::from(&listener);
    socket.listen(0).expect("listen");
    let client = Client::new(&path).with_timeouts(Timeouts {
        connect: Duration::from_millis(100),
        total: Duration::from_millis(200),
    });
    let fill = std::os::unix::net::UnixStream::connect(&path).expect("first");
    let start = Instant::now();
    let errors: Vec<Error> = (0..2)
        .map(|_| client.get::<Value>("/v1/x").expect_err("nobody accepts"))
        .collect();
    assert!(errors.iter().all(Error::is_unreachable), "{errors:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    drop(fill);
    std::fs::remove_file(&path).expect("remove");
}

#[test]
fn broken_answers_are_errors_that_say_what_is_wrong() {
    let long = [
        b"HTTP/1.1 200 OK\r\nX: ".as_slice(),
        &vec![b'a'; 70_000],
        b"\r\n\r\n",
    ]
    .concat();
    let cases: [(&[u8], &str); 8] = [
        (b"", "ended inside the head"),
        (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "ended inside the body",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "Content-Length is not a number",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "hexadecimal",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            "longer than its size",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "other than chunked",
        ),
        (&long, "longer than 64 KiB"),
    ];
    for (bytes, wanted) in cases {
        let error = quick(&[bytes])
            .client()
            .get::<Value>("/v1/x")
            .expect_err("broken");
        assert!(
            error.to_string().contains(wanted),
            "{error} should say {wanted}"
        );
    }
    let shape = quick(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"])
        .client()
        .get::<String>("/v1/x");
    assert!(matches!(shape, Err(Error::Shape { .. })));
}

#[test]
fn a_body_above_the_limit_is_refused_without_being_kept() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        crate::client::BODY_LIMIT + 10
    );
    let block = vec![b' '; 1 << 20];
    let mut pieces: Vec<&[u8]> = vec![head.as_bytes()];
    pieces.extend(std::iter::repeat_n(block.as_slice(), 66));
    let peer = quick(&pieces);
    let client = peer.client().with_timeouts(Timeouts {
        connect: Duration::from_secs(1),
        total: Duration::from_secs(20),
    });
    let error = client.get::<Value>("/v1/x").expect_err("large");
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn an_absent_agent_and_a_path_with_spaces_are_clear_errors() {
    let client = Client::new("/nonexistent/ax.sock");
    let error = client.get::<Value>("/v1/config").expect_err("absent");
    assert!(
        error
            .to_string()
            .starts_with("GET /v1/config: connect to /nonexistent/ax.sock: "),
        "{error}"
    );
    assert!(error.is_unreachable());
    let peer = quick(&[]);
    assert!(
        peer.client()
            .get::<Value>("/v1/a b")
            .expect_err("space")
            .to_string()
            .contains("path")
    );
    assert_eq!(
        encode("cni-attachment-id:c1:eth0/é"),
        "cni-attachment-id:c1:eth0%2F%C3%A9"
    );
}

#[test]
fn a_stream_is_read_as_it_comes_and_outlives_the_total_time() {
    let pieces: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n",
        b"2\r\nb\n\r\n",
        b"0\r\n\r\n",
    ];
    let peer = Peer::answering(&pieces, Duration::from_millis(300));
    let mut stream = peer
        .client()
        .stream(&Request::new(Method::Get, "/v1/map/x/events"))
        .expect("stream");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    assert_eq!(text, "a\nb\n");
}

#[test]
fn the_socket_is_what_the_environment_names() {
    let with = |name: &'static str, value: &'static str| {
        crate::socket_path(move |asked| (asked == name).then(|| value.to_owned()))
    };
    assert_eq!(with("AXONEME_SOCK", "/a"), PathBuf::from("/a"));
    assert_eq!(with("CILIUM_SOCK", "unix:///b"), PathBuf::from("/b"));
    assert_eq!(
        with("CILIUM_SOCK", ""),
        PathBuf::from(crate::DEFAULT_SOCKET)
    );
}
