//! The query API, asked as a dashboard asks it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use api::hubble::relay::NodeState;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fleet::{Fleet, within};
use crate::sample::opened;

/// Status and body of a response.
async fn asked(address: SocketAddr, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (
        head[9..12].parse().unwrap(),
        serde_json::from_str(body).unwrap(),
    )
}

async fn get(fleet: &Fleet, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let path = format!("{path}?{}", form(parameters));
    asked(
        fleet.web,
        &format!("GET /api/v1/{path} HTTP/1.0\r\nhost: localhost\r\n\r\n"),
    )
    .await
}

async fn post(fleet: &Fleet, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let form = form(parameters);
    let length = form.len();
    let kind = "application/x-www-form-urlencoded";
    let request = format!(
        "POST /api/v1/{path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{form}"
    );
    asked(fleet.web, &request).await
}

fn form(parameters: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut all, octet| {
            let _ = write!(all, "%{octet:02X}");
            all
        })
    };
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn now() -> u64 {
    Timestamp::now().as_second() as u64
}

/// Three nodes that each counted `count` connections in ten seconds that began 120 s ago; the time when those were over.
async fn counted(count: usize) -> (Fleet, u64) {
    let fleet = Fleet::connected(3).await;
    let start = (now() - 120) / 10 * 10;
    for node in &fleet.nodes {
        let rollup = node.intake.recorder().unwrap().rollup();
        rollup.tick(start).unwrap();
        for _ in 0..count {
            node.intake.record(opened());
        }
        rollup.tick(now()).unwrap();
    }
    (fleet, start + 10)
}

fn value(answer: &Value) -> f64 {
    let result = answer["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 1, "{answer}");
    result[0]["value"][1].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn counts_of_all_nodes_are_one_counter_by_get_and_by_post() {
    let (fleet, end) = counted(4).await;
    let time = end.to_string();
    let parameters = [
        ("query", "sum(hubble_connections_total)"),
        ("time", time.as_str()),
    ];
    let (status, answer) = get(&fleet, "query", &parameters).await;
    assert_eq!((status, &answer["status"]), (200, &json!("success")));
    assert_eq!(answer["data"]["resultType"], "vector");
    assert!((value(&answer) - 12.0).abs() < 1e-9, "{answer}");
    assert_eq!(answer.get("warnings"), None);
    assert_eq!(post(&fleet, "query", &parameters).await, (status, answer));
    fleet.end().await;
}

#[tokio::test]
async fn a_range_has_a_value_at_each_step() {
    let (fleet, end) = counted(4).await;
    let (from, until) = ((end - 10).to_string(), (end + 40).to_string());
    let query = "sum by (destination_namespace) (increase(hubble_connections_total[1m]))";
    let parameters = [
        ("query", query),
        ("start", from.as_str()),
        ("end", until.as_str()),
        ("step", "20s"),
    ];
    let (status, answer) = post(&fleet, "query_range", &parameters).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"]["resultType"], "matrix");
    let values = answer["data"]["result"][0]["values"].as_array().unwrap();
    let last = values.last().unwrap();
    assert_eq!(last[0], json!(end + 30));
    let increase: f64 = last[1].as_str().unwrap().parse().unwrap();
    assert!((increase - 12.0).abs() < 1e-9, "{answer}");
    fleet.end().await;
}

#[tokio::test]
async fn series_labels_and_their_values_are_listed() {
    let (fleet, _) = counted(1).await;
    let (_, names) = get(&fleet, "label/__name__/values", &[]).await;
    let names: Vec<&str> = names["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        names.contains(&"hubble_tcp_connect_duration_seconds_bucket"),
        "{names:?}"
    );
    let (_, series) = post(&fleet, "series", &[("match[]", "hubble_connections_total")]).await;
    let [labels] = series["data"].as_array().unwrap().as_slice() else {
        panic!("{series}");
    };
    assert_eq!(labels["__name__"], "hubble_connections_total");
    let (_, labels_of) = get(&fleet, "labels", &[("match[]", "hubble_connections_total")]).await;
    let listed: Vec<&str> = labels_of["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        listed,
        labels
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
    );
    let (_, values) = get(&fleet, "label/protocol/values", &[]).await;
    assert_eq!(values["data"], json!([labels["protocol"]]));
    let (status, error) = get(&fleet, "series", &[]).await;
    assert_eq!((status, &error["errorType"]), (400, &json!("bad_data")));
    let (_, metadata) = get(
        &fleet,
        "metadata",
        &[("metric", "hubble_connections_total")],
    )
    .await;
    assert_eq!(
        metadata["data"]["hubble_connections_total"][0]["type"],
        "counter"
    );
    let (_, build) = get(&fleet, "status/buildinfo", &[]).await;
    assert!(build["data"]["version"].is_string());
    fleet.end().await;
}

#[tokio::test]
async fn errors_have_the_codes_and_the_words_that_clients_know() {
    let fleet = Fleet::connected(1).await;
    let too_long = ("query", "sum_over_time(vector(1)[1h:1s])");
    let bad_label = (
        "query",
        "label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")",
    );
    let range = |start, end, step| {
        let rest = [("start", start), ("end", end), ("step", step)];
        [("query", "1")].into_iter().chain(rest).collect()
    };
    let long_ago = vec![("query", "1"), ("time", "yesterday")];
    let asked = [
        ("query", vec![("query", "sum(")], 400, "bad_data"),
        ("query", vec![], 400, "bad_data"),
        ("query", long_ago, 400, "bad_data"),
        ("query_range", range("10", "5", "1"), 400, "bad_data"),
        ("query_range", range("1", "20000", "1"), 400, "bad_data"),
        ("query_range", range("1", "5", "0"), 400, "bad_data"),
        ("query", vec![bad_label], 422, "execution"),
        ("query", vec![too_long, ("timeout", "0")], 503, "timeout"),
    ];
    for (path, parameters, code, kind) in asked {
        let (status, answer) = get(&fleet, path, &parameters).await;
        assert_eq!(
            (status, &answer["errorType"]),
            (code, &json!(kind)),
            "{parameters:?}: {answer}"
        );
        assert_eq!(answer["status"], "error");
        assert!(!answer["error"].as_str().unwrap().is_empty());
    }
    let (status, answer) = get(&fleet, "query", &[("query", "1 + 1"), ("time", "5")]).await;
    assert_eq!(
        (status, &answer["data"]),
        (200, &json!({ "resultType": "scalar", "result": [5, "2"] }))
    );
    fleet.end().await;
}

#[tokio::test]
async fn a_node_that_is_away_is_a_warning() {
    let (fleet, end) = counted(4).await;
    fleet.nodes[1].wire.cut();
    fleet
        .until(|nodes| {
            let cut = nodes.iter().find(|node| node.name == "n2");
            cut.is_some_and(|node| node.state() == NodeState::NodeUnavailable)
        })
        .await;
    let time = end.to_string();
    let (_, answer) = get(
        &fleet,
        "query",
        &[("query", "sum(hubble_connections_total)"), ("time", &time)],
    )
    .await;
    assert!((value(&answer) - 8.0).abs() < 1e-9, "{answer}");
    assert_eq!(
        answer["warnings"],
        json!(["counts are missing of the nodes n2"])
    );
    fleet.end().await;
}
