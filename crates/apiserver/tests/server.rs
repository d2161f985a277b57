//! What is particular to our own server: durability, the end of history, doors and their locks, refusals.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::too_many_lines, reason = "a contract reads best as one story")]

#[path = "support/driver.rs"]
mod driver;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use apiserver::{Config, HistoryLimit, Server, TlsSource};
use driver::{Api, Bench, PATIENCE, revision};
use serde_json::{Value, json};

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

/// The real binary as a process of its own.
struct Process {
    child: Child,
    api: Api,
}

impl Process {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_axoneme-apiserver"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let authority = line
            .trim()
            .strip_prefix("serving on http://")
            .expect(&line)
            .to_owned();
        Self {
            child,
            api: Api { authority },
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut revisions = Vec::new();
    for round in 0..5 {
        let process = Process::start(directory.path());
        let pid = process.child.id();
        for name in &acknowledged {
            let (code, _) = process
                .api
                .get(&format!("/api/v1/namespaces/default/configmaps/{name}"))
                .await;
            assert_eq!(
                code, 200,
                "{name} was acknowledged and is gone in round {round}"
            );
        }
        let writers = (0..8).map(|writer| {
            let api = process.api.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                for number in 0.. {
                    let name = format!("m-{round}-{writer}-{number}");
                    match try_create(&api, &name).await {
                        Some(revision) => done.push((name, revision)),
                        None => break,
                    }
                }
                done
            })
        });
        let writers: Vec<_> = writers.collect();
        tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
        let killed = Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        for writer in writers {
            for (name, revision) in writer.await.unwrap() {
                acknowledged.insert(name);
                revisions.push(revision);
            }
        }
    }
    assert!(
        acknowledged.len() > 50,
        "only {} writes were acknowledged",
        acknowledged.len()
    );
    let unique: BTreeSet<u64> = revisions.iter().copied().collect();
    assert_eq!(
        unique.len(),
        revisions.len(),
        "no revision is given twice, not over kills either"
    );
    let process = Process::start(directory.path());
    let names = process
        .api
        .names("/api/v1/namespaces/default/configmaps")
        .await;
    assert!(acknowledged.iter().all(|name| names.contains(name)));
}

/// The revision of the created object; `None` when the server died first.
async fn try_create(api: &Api, name: &str) -> Option<u64> {
    use http_body_util::BodyExt;
    let stream = tokio::net::TcpStream::connect(&api.authority).await.ok()?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    tokio::spawn(connection);
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("host", &api.authority)
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(bytes::Bytes::from(
            config_map(name).to_string(),
        )))
        .unwrap();
    let response = sender.send_request(request).await.ok()?;
    let created = response.status() == 201;
    let body = response.into_body().collect().await.ok()?.to_bytes();
    assert!(created, "{}", String::from_utf8_lossy(&body));
    let object: Value = serde_json::from_slice(&body).ok()?;
    revision(&object).parse().ok()
}

#[tokio::test]
async fn a_watch_from_compacted_history_ends_with_410_and_one_from_kept_history_resumes() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(directory.path());
    config.history = HistoryLimit {
        events: 5,
        bytes: 1 << 20,
    };
    let bench = Bench::start(config, directory).await;
    let maps = bench.core("configmaps");
    let (_, list) = bench.api.get(&maps).await;
    let old = revision(&list).to_owned();
    let mut kept = String::new();
    for number in 0..8 {
        let object = bench.config_map(&format!("m{number}"), json!({})).await;
        if number == 4 {
            kept = revision(&object).to_owned();
        }
    }
    let mut watch = bench
        .api
        .watch(&format!("{maps}?watch=1&resourceVersion={old}"))
        .await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (
            &event["type"],
            &event["object"]["code"],
            &event["object"]["reason"]
        ),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert!(watch.next().await.is_none(), "an expired watch ends");
    let mut watch = bench
        .api
        .watch(&format!("{maps}?watch=1&resourceVersion={kept}"))
        .await;
    for name in ["m5", "m6", "m7"] {
        assert_eq!(watch.change().await, ("ADDED".into(), name.into()));
    }
    let (code, _) = bench
        .api
        .get(&format!(
            "{maps}?resourceVersion={old}&resourceVersionMatch=Exact"
        ))
        .await;
    assert_eq!(code, 410);
    let (code, _) = bench.api.get(&format!("{maps}?continue=token")).await;
    assert_eq!(code, 410);
    bench.end().await;
}

#[tokio::test]
async fn after_a_restart_old_revisions_expire_and_the_present_one_continues() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let bench = Bench::start(Config::new(&path), directory).await;
    let first = bench.config_map("a", json!({})).await;
    let second = bench.config_map("b", json!({})).await;
    let (running, directory) = bench.own.unwrap();
    running.stop().await;
    let running = Server::start(Config::new(&path)).await.unwrap();
    let api = Api {
        authority: running.addr.unwrap().to_string(),
    };
    let maps = format!("/api/v1/namespaces/{}/configmaps", bench.namespace);
    assert_eq!(api.names(&maps).await, ["a", "b"]);
    let mut watch = api
        .watch(&format!(
            "{maps}?watch=1&resourceVersion={}",
            revision(&first)
        ))
        .await;
    assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
    let mut watch = api
        .watch(&format!(
            "{maps}?watch=1&resourceVersion={}",
            revision(&second)
        ))
        .await;
    api.post(&maps, &config_map("c")).await;
    assert_eq!(watch.change().await, ("ADDED".into(), "c".into()));
    // A revision of another store that stood in the same place must not continue in this one.
    let mut watch = api
        .watch(&format!(
            "{maps}?watch=1&resourceVersion=900000000000000000"
        ))
        .await;
    assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
    running.stop().await;
    drop(directory);
}

#[tokio::test]
async fn a_quiet_watch_gets_bookmarks_with_the_newest_revision() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(directory.path());
    config.bookmark_interval = Duration::from_millis(50);
    let bench = Bench::start(config, directory).await;
    let pods = bench.core("pods");
    let (_, list) = bench.api.get(&pods).await;
    let path = format!(
        "{pods}?watch=1&allowWatchBookmarks=true&resourceVersion={}",
        revision(&list)
    );
    let mut watch = bench.api.watch(&path).await;
    let other = bench.config_map("a", json!({})).await;
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["kind"]),
            (&json!("BOOKMARK"), &json!("Pod"))
        );
        if revision(&event["object"]) == revision(&other) {
            break;
        }
        assert!(
            std::time::Instant::now() < end,
            "bookmarks do not follow changes of other kinds"
        );
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_services_created_at_once_have_five_hundred_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(directory.path());
    config.service_ranges = vec![
        "10.7.0.0/22".parse().unwrap(),
        "fd07::/118".parse().unwrap(),
    ];
    let bench = Bench::start(config, directory).await;
    let creates = (0..500).map(|number| {
        let (api, path) = (bench.api.clone(), bench.core("services"));
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{number}")},
            "spec": {"type": "NodePort", "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]}});
        tokio::spawn(async move { api.post(&path, &service).await })
    });
    let creates: Vec<_> = creates.collect();
    let (mut addresses, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for create in creates {
        let (code, service) = create.await.unwrap();
        assert_eq!(code, 201, "{service}");
        for address in service["spec"]["clusterIPs"].as_array().unwrap() {
            addresses.insert(address.to_string());
        }
        ports.insert(service["spec"]["ports"][0]["nodePort"].to_string());
    }
    assert_eq!((addresses.len(), ports.len()), (1000, 500));
    bench.end().await;
}

#[tokio::test]
async fn strategic_merge_and_server_side_apply_are_refused_with_a_sentence() {
    let bench = Bench::new().await;
    bench.config_map("a", json!({})).await;
    for media in [
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ] {
        let (code, answer) = bench
            .api
            .call("PATCH", &bench.core("configmaps/a"), media, b"{}".to_vec())
            .await;
        assert_eq!(
            (code, &answer["reason"]),
            (415, &json!("UnsupportedMediaType"))
        );
        assert!(
            answer["message"]
                .as_str()
                .unwrap()
                .contains("merge-patch+json"),
            "{answer}"
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_objects_and_waits_for_finalizers() {
    let bench = Bench::new().await;
    bench.config_map("plain", json!({})).await;
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/x"]}});
    bench.api.post(&bench.core("configmaps"), &held).await;
    let namespace = format!("/api/v1/namespaces/{}", bench.namespace);
    let (code, answer) = bench.api.delete(&namespace, None).await;
    assert_eq!(
        (code, &answer["status"]["phase"]),
        (200, &json!("Terminating"))
    );
    assert_eq!(bench.api.names(&bench.core("configmaps")).await, ["held"]);
    let (code, _) = bench
        .api
        .post(&bench.core("configmaps"), &config_map("late"))
        .await;
    assert_eq!(code, 403);
    bench
        .api
        .merge(
            &bench.core("configmaps/held"),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    assert_eq!(bench.api.get(&namespace).await.0, 404);
    assert_eq!(
        bench.api.delete("/api/v1/namespaces/default", None).await.0,
        403
    );
}

#[tokio::test]
async fn a_pod_deleted_with_grace_terminates_before_it_goes() {
    let bench = Bench::new().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": []}});
    bench.api.post(&bench.core("pods"), &pod).await;
    let path = bench.core("pods/p");
    let (code, marked) = bench
        .api
        .delete(&path, Some(&json!({"gracePeriodSeconds": 30})))
        .await;
    assert_eq!(
        (code, &marked["metadata"]["deletionGracePeriodSeconds"]),
        (200, &json!(30))
    );
    assert_eq!(bench.api.get(&path).await.0, 200);
    let (code, _) = bench
        .api
        .delete(&path, Some(&json!({"gracePeriodSeconds": 0})))
        .await;
    assert_eq!((code, bench.api.get(&path).await.0), (200, 404));
    bench.end().await;
}

#[tokio::test]
async fn slices_that_lost_their_service_or_were_removed_by_hand_are_put_right() {
    let bench = Bench::new().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"ipFamilyPolicy": "PreferDualStack", "selector": {"app": "web"}, "ports": [{"port": 80}]}});
    bench.api.post(&bench.core("services"), &service).await;
    let slices = bench.in_group("discovery.k8s.io/v1", "endpointslices");
    let two = |list: &Value| {
        list["items"]
            .as_array()
            .is_some_and(|items| items.len() == 2)
    };
    let list = bench.api.until(&slices, two).await;
    let families: BTreeSet<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["addressType"].as_str().unwrap())
        .collect();
    assert_eq!(families.into_iter().collect::<Vec<_>>(), ["IPv4", "IPv6"]);
    bench.api.delete(&slices, None).await;
    bench.api.until(&slices, two).await;
    // While the server is away the service goes: at the next start its slices are orphans.
    let orphan = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [],
        "metadata": {"name": "gone-x", "labels": {"kubernetes.io/service-name": "gone",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}});
    let (code, answer) = bench.api.post(&slices, &orphan).await;
    assert_eq!(code, 201, "{answer}");
    bench.api.until(&slices, two).await;
    bench.end().await;
}

#[tokio::test]
async fn the_token_is_asked_for_over_tcp_and_tls_is_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(directory.path());
    config.token = Some("a-token-to-guess".to_owned());
    let running = Server::start(config).await.unwrap();
    let api = Api {
        authority: running.addr.unwrap().to_string(),
    };
    assert_eq!(api.get("/healthz").await.0, 200);
    assert_eq!(api.get("/api").await.0, 401);
    for (token, code) in [
        ("Bearer a-token-to-guesS", 401),
        ("Bearer a-token", 401),
        ("Bearer a-token-to-guess", 200),
    ] {
        let response = api
            .send("GET", "/api", &[("authorization", token)], Vec::new())
            .await;
        assert_eq!(response.status().as_u16(), code, "{token}");
    }
    running.stop().await;
    let mut config = Config::new(directory.path());
    config.tls = Some(TlsSource::SelfMade);
    let running = Server::start(config.clone()).await.unwrap();
    assert!(running.url().unwrap().starts_with("https://"));
    let first = running.ca_pem().unwrap().to_owned();
    let key = std::fs::metadata(directory.path().join("tls.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    running.stop().await;
    let again = Server::start(config).await.unwrap();
    assert_eq!(
        again.ca_pem(),
        Some(first.as_str()),
        "the certificate is made once"
    );
    again.stop().await;
}

#[tokio::test]
async fn the_socket_is_its_owners_and_a_stale_one_is_replaced() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut config = Config::new(directory.path());
    config.listen.clear();
    config.socket = Some(socket.clone());
    config.token = Some("not-asked-for-here".to_owned());
    let running = Server::start(config).await.unwrap();
    assert_eq!(running.url(), None);
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    stream
        .write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let running = Server::start(Config::new(directory.path())).await.unwrap();
    let error = Server::start(Config::new(directory.path()))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("open its file"), "{error}");
    running.stop().await;
}

#[test]
fn the_binary_refuses_to_listen_beyond_this_machine_without_locks() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_axoneme-apiserver"))
        .args(["--listen", "0.0.0.0:0", "--data-dir"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("--listen 0.0.0.0:0") && text.contains("--tls-cert"),
        "{text}"
    );
}
