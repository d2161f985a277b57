//! A relay that asks Kubernetes who may see what: a small one, which knows tokens and namespaces.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::hubble::answers::{MapAnswer, Question, answers_client::AnswersClient};
use api::hubble::flow::Flow;
use api::hubble::observer::{
    GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest,
    get_flows_response::ResponseTypes, observer_client::ObserverClient,
};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use pbjson_types::FieldMask;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use super::fleet::{DESK, Fleet, VAULT, Wire, statuses, within};
use super::web::get;
use crate::sample::{WEB, opened};

/// The API server. `root` may see all namespaces, `ann` only `shop`, `bob` none; the token `late` has expired.
struct Kubernetes {
    directory: tempfile::TempDir,
    asked: Arc<AtomicU32>,
    wire: Wire,
}

impl Kubernetes {
    async fn start() -> Self {
        let asked = Arc::new(AtomicU32::new(0));
        let routes = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(tokens))
            .route(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                post(accesses),
            )
            .with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, routes).await });
        let wire = Wire::new("127.0.0.1:0".parse().unwrap(), address).await;
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{}", wire.address) } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
            "users": [{ "name": "c", "user": {} }],
        });
        std::fs::write(directory.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self {
            directory,
            asked,
            wire,
        }
    }

    fn keys(&self) -> Vec<(&'static str, String)> {
        let kubeconfig = self.directory.path().join("kubeconfig");
        vec![
            ("access", "kubernetes".to_owned()),
            ("k8s-kubeconfig-path", kubeconfig.display().to_string()),
        ]
    }
}

async fn tokens(State(asked): State<Arc<AtomicU32>>, Json(review): Json<Value>) -> Json<Value> {
    asked.fetch_add(1, Ordering::Relaxed);
    let status = match review["spec"]["token"].as_str().unwrap() {
        name @ ("root" | "ann" | "bob") => json!({
            "authenticated": true,
            "user": { "username": name, "uid": "1", "groups": ["people"], "extra": { "k": ["v"] } },
        }),
        "late" => json!({ "authenticated": false, "error": "token has expired" }),
        _ => json!({}),
    };
    Json(json!({ "status": status }))
}

async fn accesses(State(asked): State<Arc<AtomicU32>>, Json(review): Json<Value>) -> Json<Value> {
    asked.fetch_add(1, Ordering::Relaxed);
    let spec = &review["spec"];
    assert_eq!(spec["groups"], json!(["people"]));
    assert_eq!(spec["extra"], json!({ "k": ["v"] }));
    let wanted = &spec["resourceAttributes"];
    let verb = [&wanted["verb"], &wanted["group"], &wanted["resource"]];
    assert_eq!(verb, ["get", "axoneme.io", "flows"]);
    let allowed = match spec["user"].as_str().unwrap() {
        "root" => true,
        "ann" => wanted["namespace"] == "shop",
        _ => false,
    };
    Json(json!({ "status": { "allowed": allowed } }))
}

fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

async fn map(relay: SocketAddr, token: &str) -> Result<MapAnswer, Status> {
    let client = AnswersClient::connect(format!("http://{relay}")).await;
    let answer = client.unwrap().map(by(token, Question::default())).await?;
    Ok(answer.into_inner())
}

async fn flows(
    relay: SocketAddr,
    token: &str,
    mask: &[&str],
) -> Result<Vec<GetFlowsResponse>, Status> {
    let client = ObserverClient::connect(format!("http://{relay}")).await;
    let request = GetFlowsRequest {
        first: true,
        number: 100,
        field_mask: (!mask.is_empty()).then(|| FieldMask {
            paths: mask.iter().map(ToString::to_string).collect(),
        }),
        ..GetFlowsRequest::default()
    };
    let mut stream = client
        .unwrap()
        .get_flows(by(token, request))
        .await?
        .into_inner();
    let mut all = Vec::new();
    while let Some(reply) = within(stream.message()).await? {
        all.push(reply);
    }
    Ok(all)
}

fn of_flows(replies: &[GetFlowsResponse]) -> Vec<&Flow> {
    let flows = replies
        .iter()
        .filter_map(|reply| match &reply.response_types {
            Some(ResponseTypes::Flow(flow)) => Some(flow),
            _ => None,
        });
    flows.collect()
}

async fn namespaces(relay: SocketAddr, token: &str) -> Result<Vec<String>, Status> {
    let client = ObserverClient::connect(format!("http://{relay}")).await;
    let mut client = client.unwrap();
    let answer = client.get_namespaces(by(token, GetNamespacesRequest {}));
    let named = answer.await?.into_inner().namespaces.into_iter();
    Ok(named.map(|of| of.namespace).collect())
}

/// A node that saw connections within the shop, from there to the bank, and within the bank; a relay that asks Kubernetes.
async fn guarded(
    kubernetes: &Kubernetes,
    stop: &CancellationToken,
) -> (Fleet, SocketAddr, SocketAddr) {
    let fleet = Fleet::connected(1).await;
    for (source, destination) in [(WEB, None), (WEB, Some(VAULT)), (DESK, Some(VAULT))] {
        let mut record = opened();
        record.source.address = source;
        if let Some(destination) = destination {
            record.destination.address = destination;
            record.asked = None;
        }
        fleet.nodes[0].intake.record(record);
    }
    let (relay, web) = fleet.beside(kubernetes.keys(), stop).await;
    within(async {
        while map(relay, "root")
            .await
            .unwrap()
            .completeness
            .unwrap()
            .nodes
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    (fleet, relay, web)
}

fn edges(answer: &MapAnswer) -> BTreeSet<(String, String)> {
    let edges = answer.edges.iter().filter_map(|row| row.edge.as_ref());
    let named = edges.map(|edge| {
        let [source, destination] =
            [&edge.source, &edge.destination].map(|end| crate::edges::shown(end.as_ref().unwrap()));
        (source, destination)
    });
    named.collect()
}

fn withheld(answer: &MapAnswer) -> u64 {
    answer.completeness.as_ref().unwrap().withheld
}

#[tokio::test]
async fn answers_are_of_the_namespaces_that_whoever_asks_may_see() {
    let (kubernetes, stop) = (Kubernetes::start().await, CancellationToken::new());
    let (fleet, relay, web) = guarded(&kubernetes, &stop).await;
    let all = map(relay, "root").await.unwrap();
    assert_eq!((edges(&all).len(), withheld(&all)), (3, 0));
    let some = map(relay, "ann").await.unwrap();
    let expected = [("shop/web", "shop/api"), ("shop/web", "bank/vault")];
    let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(edges(&some), expected.into());
    assert_eq!(withheld(&some), 1);
    let none = map(relay, "bob").await.unwrap();
    assert_eq!((edges(&none).len(), withheld(&none)), (0, 3));
    assert_eq!(namespaces(relay, "root").await.unwrap(), ["bank", "shop"]);
    assert_eq!(namespaces(relay, "ann").await.unwrap(), ["shop"]);
    // The web listener is held to the same.
    let page = |path: &'static str, token: &str| {
        let header = format!("authorization: bearer {token}\r\n");
        async move { get(web, path, &header).await }
    };
    let answer = page("/api/answers/map", "ann").await.json();
    assert_eq!(answer["completeness"]["withheld"], "1");
    assert_eq!(answer["edges"].as_array().unwrap().len(), 2);
    let since = "/api/history?since=2023-11-14T22:00:00Z&until=2023-11-14T22:30:00Z";
    let sums = |page: super::web::Page| {
        let history = page.json();
        let spans = history["spans"].as_array().unwrap();
        spans
            .iter()
            .map(|of| of["opened"].as_u64().unwrap())
            .sum::<u64>()
    };
    // A span that nobody closed yet is told of more than once.
    let (all, some) = (
        sums(page(since, "root").await),
        sums(page(since, "ann").await),
    );
    assert!(all > 0 && some * 3 == all * 2, "{some} of {all}");
    assert_eq!(sums(page(since, "bob").await), 0);
    for (path, of_ann) in [
        ("/api/v1/labels", 403),
        ("/api/v1/alerts", 403),
        ("/api/nodes", 200),
    ] {
        assert_eq!(page(path, "root").await.status, 200, "{path}");
        assert_eq!(page(path, "ann").await.status, of_ann, "{path}");
    }
    stop.cancel();
    fleet.end().await;
}

#[tokio::test]
async fn flows_are_of_the_namespaces_that_whoever_asks_may_see() {
    let (kubernetes, stop) = (Kubernetes::start().await, CancellationToken::new());
    let (fleet, relay, web) = guarded(&kubernetes, &stop).await;
    let all = flows(relay, "root", &[]).await.unwrap();
    let own = |flow: &&Flow| flow.source.as_ref().unwrap().namespace == "shop";
    let (of_shop, of_bank): (Vec<&Flow>, Vec<&Flow>) = of_flows(&all).into_iter().partition(own);
    assert!(!of_shop.is_empty() && !of_bank.is_empty());
    for mask in [&[][..], &["verdict"][..]] {
        let some = flows(relay, "ann", mask).await.unwrap();
        assert_eq!(of_flows(&some).len(), of_shop.len(), "{mask:?}");
        let said = statuses(&some).join("\n");
        let expected = format!("{} flows are withheld", of_bank.len());
        assert!(said.contains(&expected), "{said}");
    }
    let some = flows(relay, "ann", &[]).await.unwrap();
    let mut crossing = 0;
    for flow in of_flows(&some) {
        let destination = flow.destination.as_ref().unwrap();
        if destination.namespace == "bank" {
            crossing += 1;
            assert_eq!(
                (destination.pod_name.as_str(), destination.labels.len()),
                ("", 0)
            );
            assert_eq!(flow.ip.as_ref().unwrap().destination, "");
        } else {
            assert_eq!(destination.pod_name, "api-1");
        }
        assert_eq!(flow.source.as_ref().unwrap().pod_name, "web-1");
    }
    assert!(crossing > 0);
    let none = flows(relay, "bob", &[]).await.unwrap();
    assert!(of_flows(&none).is_empty());
    let request = "/api/flows?request=%7B%22first%22:true,%22number%22:%22100%22%7D";
    let page = get(web, request, "authorization: Bearer ann\r\n").await;
    let text = String::from_utf8(page.body).unwrap();
    assert!(
        text.contains("web-1") && !text.contains("vault-0"),
        "{text}"
    );
    stop.cancel();
    fleet.end().await;
}

#[tokio::test]
async fn nothing_is_told_to_who_shows_no_token_or_one_that_has_expired() {
    let (kubernetes, stop) = (Kubernetes::start().await, CancellationToken::new());
    let (fleet, relay, web) = guarded(&kubernetes, &stop).await;
    for (token, why) in [
        ("", "token"),
        ("late", "token has expired"),
        ("eve", "not valid"),
    ] {
        let mut refused = vec![
            map(relay, token).await.unwrap_err(),
            flows(relay, token, &[]).await.unwrap_err(),
            namespaces(relay, token).await.unwrap_err(),
        ];
        let client = ObserverClient::connect(format!("http://{relay}")).await;
        let mut client = client.unwrap();
        refused.extend(client.get_nodes(by(token, GetNodesRequest {})).await.err());
        refused.extend(
            client
                .server_status(by(token, ServerStatusRequest {}))
                .await
                .err(),
        );
        assert_eq!(refused.len(), 5);
        for status in refused {
            assert_eq!(status.code(), Code::Unauthenticated, "{token}: {status}");
            assert!(status.message().contains(why), "{token}: {status}");
        }
        let header = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        for path in [
            "/api/answers/map",
            "/api/history?since=1h",
            "/api/nodes",
            "/api/namespaces",
            "/api/flows?request=%7B%7D",
            "/api/v1/labels",
            "/api/v1/rules",
        ] {
            assert_eq!(get(web, path, &header).await.status, 401, "{token} {path}");
        }
    }
    // What is of no cluster is told to everybody.
    assert_eq!(get(web, "/healthz", "").await.status, 200);
    stop.cancel();
    fleet.end().await;
}

#[tokio::test]
async fn kubernetes_is_not_asked_again_at_once_and_while_it_is_away_nothing_is_told() {
    let (kubernetes, stop) = (Kubernetes::start().await, CancellationToken::new());
    let (fleet, relay, web) = guarded(&kubernetes, &stop).await;
    let asked = || kubernetes.asked.load(Ordering::Relaxed);
    let before = asked();
    map(relay, "ann").await.unwrap();
    // Whose the token is, whether he may see all, and the two namespaces.
    assert_eq!(asked() - before, 4);
    let before = asked();
    for _ in 0..3 {
        map(relay, "ann").await.unwrap();
    }
    assert_eq!(asked(), before);
    kubernetes.wire.cut();
    let refused = within(async {
        loop {
            match map(relay, "bob").await {
                Err(status) => return status,
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(
        refused
            .message()
            .starts_with("Kubernetes, which says who may see what, does not")
    );
    let page = get(web, "/api/answers/map", "authorization: Bearer bob\r\n").await;
    assert_eq!(page.status, 503);
    stop.cancel();
    fleet.end().await;
}
