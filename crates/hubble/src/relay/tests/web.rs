//! The web listener, asked as a browser asks it.

use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;

use api::hubble::relay::NodeState;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fleet::{Fleet, within};
use crate::sample::{denied, opened};

/// A response: status, headers in lower case, body without its framing.
pub(super) struct Page {
    pub(super) status: u16,
    headers: String,
    pub(super) body: Vec<u8>,
}

impl Page {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

pub(super) async fn get(address: SocketAddr, path: &str, headers: &str) -> Page {
    asked(address, path, &format!("host: {address}\r\n{headers}")).await
}

async fn asked(address: SocketAddr, path: &str, headers: &str) -> Page {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Page {
        status: headers[9..12].parse().unwrap(),
        headers: headers.to_lowercase(),
        body: bytes.split_off(end + 4),
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for octet in text.bytes() {
        write!(encoded, "%{octet:02X}").unwrap();
    }
    encoded
}

#[tokio::test]
async fn answers_are_the_json_of_the_command_line_and_name_who_is_missing() {
    let fleet = Fleet::connected(3).await;
    for node in &fleet.nodes {
        node.intake.record(opened());
        node.intake.record(denied());
    }
    let map = get(fleet.web, "/api/answers/map", "").await;
    assert_eq!(map.status, 200, "{}", map.headers);
    assert_eq!(map.json()["edges"][0]["counters"]["opened"], "3");
    let failing = get(fleet.web, "/api/answers/failing?to=shop/api&limit=1", "").await;
    let failing = failing.json();
    assert_eq!(failing["failures"][0]["fault"], "FAULT_POLICY");
    assert_eq!(failing["completeness"]["nodes"], 3);
    let exposed = get(fleet.web, "/api/answers/exposed?namespace=shop", "").await;
    assert_eq!(exposed.json().get("exposures"), None);
    let nodes = get(fleet.web, "/api/nodes", "").await.json();
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 3);
    fleet.nodes[2].wire.cut();
    fleet
        .until(|nodes| nodes[2].state() == NodeState::NodeUnavailable)
        .await;
    let map = get(fleet.web, "/api/answers/map", "").await.json();
    assert_eq!(map["completeness"]["missing"][0], "n3");
    fleet.end().await;
}

#[tokio::test]
async fn a_history_has_as_many_spans_as_are_asked_for_the_oldest_first() {
    let fleet = Fleet::connected(1).await;
    for (spans, count, step) in [("", 30, 120), ("&spans=60", 60, 60), ("&spans=7", 7, 520)] {
        let path = format!("/api/history?since=1h{spans}");
        let history = get(fleet.web, &path, "").await.json();
        let all = history["spans"].as_array().unwrap();
        let begins: Vec<_> = all.iter().map(|of| of["since"].as_i64().unwrap()).collect();
        assert_eq!((begins.len(), &history["step"]), (count, &step.into()));
        let apart = begins.windows(2).map(|of| of[1] - of[0]);
        assert!(apart.eq(vec![step; count - 1]), "{spans}: {begins:?}");
    }
    fleet.end().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_the_reason() {
    let fleet = Fleet::connected(1).await;
    for (path, status, reason) in [
        ("/api/answers/map?since=yesterday", 400, "since: "),
        ("/api/answers/map?from=/web", 400, "from: "),
        ("/api/answers/map?spans=4", 400, "spans: "),
        ("/api/history?since=1h&spans=121", 400, "spans: 120 at most"),
        ("/api/history?spans=4", 400, "since: "),
        ("/api/answers/weather", 404, "weather"),
        ("/api/flows?request=%7B", 400, "request: "),
        (
            "/api/flows?request=%7B%22whitelist%22%3A%5B%7B%22source_pd%22%3A%5B%5D%7D%5D%7D",
            400,
            "source_pd",
        ),
    ] {
        let page = get(fleet.web, path, "").await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.error().contains(reason), "{path}: {}", page.error());
    }
    let page = get(fleet.web, "/api/answers/map?limt=1", "").await;
    assert_eq!(page.status, 400);
    fleet.end().await;
}

#[tokio::test]
async fn pages_of_other_sites_get_nothing_and_ours_load_nothing_from_elsewhere() {
    let fleet = Fleet::connected(1).await;
    for site in ["cross-site", "same-site"] {
        let headers = format!("sec-fetch-site: {site}\r\n");
        let page = get(fleet.web, "/api/nodes", &headers).await;
        assert_eq!(page.status, 403, "{site}");
    }
    let page = get(fleet.web, "/api/nodes", "sec-fetch-site: same-origin\r\n").await;
    assert_eq!(page.status, 200);
    let policy = "content-security-policy: default-src 'none'; script-src 'self';";
    assert!(page.headers.contains(policy), "{}", page.headers);
    assert!(!page.headers.contains("access-control"), "{}", page.headers);
    fleet.end().await;
}

#[tokio::test]
async fn a_name_of_somebody_else_that_leads_here_gets_nothing() {
    let fleet = Fleet::connected(1).await;
    for path in [
        "/",
        "/api/nodes",
        "/api/v1/labels",
        "/api/v1/rules",
        "/healthz",
    ] {
        let page = asked(fleet.web, path, "host: evil.example:4248\r\n").await;
        assert_eq!(page.status, 421, "{path}");
        assert!(page.error().contains("evil.example"), "{}", page.error());
        let page = asked(fleet.web, path, "").await;
        assert_eq!(page.status, 421, "{path}");
    }
    for host in ["localhost:8080", "hubble-ui.kube-system.svc", "127.0.0.1"] {
        let page = asked(fleet.web, "/api/nodes", &format!("host: {host}\r\n")).await;
        assert_eq!(page.status, 200, "{host}");
    }
    fleet.end().await;
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_can_read_that() {
    let fleet = Fleet::connected(1).await;
    for port in 0..200 {
        let mut record = opened();
        record.destination.port = 9000 + port;
        fleet.nodes[0].intake.record(record);
    }
    let plain = get(fleet.web, "/api/answers/map", "").await;
    assert!(!plain.headers.contains("content-encoding"));
    let asked = "accept-encoding: br;q=1, gzip\r\n";
    let packed = get(fleet.web, "/api/answers/map", asked).await;
    assert!(packed.headers.contains("content-encoding: gzip"));
    assert!(packed.body.len() * 4 < plain.body.len());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    let edges =
        |text: &[u8]| -> Value { serde_json::from_slice::<Value>(text).unwrap()["edges"].take() };
    assert_eq!(edges(&text), edges(&plain.body));
    fleet.end().await;
}

#[tokio::test]
async fn flows_come_in_batches_and_a_finite_answer_says_its_end() {
    let fleet = Fleet::connected(2).await;
    for id in 0..700 {
        fleet.nodes[usize::from(id % 2)].saw(id.into(), id);
    }
    let request = encoded(r#"{"first":true,"number":"650"}"#);
    let page = get(fleet.web, &format!("/api/flows?request={request}"), "").await;
    assert!(
        page.headers.contains("text/event-stream"),
        "{}",
        page.headers
    );
    let text = String::from_utf8(page.body).unwrap();
    let mut batches = Vec::new();
    for event in text
        .split("\n\n")
        .filter(|event| event.starts_with("event: flows"))
    {
        let data = event.split_once("data: ").unwrap().1;
        let batch: Vec<Value> = serde_json::from_str(data).unwrap();
        batches.push(batch.len());
    }
    assert!(batches.iter().all(|length| *length <= 500), "{batches:?}");
    let flows = text.matches("\"flow\":").count();
    assert_eq!(flows, 650);
    let last = text.rsplit("\n\n").nth(1);
    assert_eq!(last, Some("event: end\ndata: {}"));
    fleet.end().await;
}
