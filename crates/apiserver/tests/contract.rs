//! What clients rely on, said once: run against our own server, or against the one `AXONEME_CONTRACT_URL` names
//! (a real kube-apiserver behind `kubectl proxy`).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::too_many_lines, reason = "a contract reads best as one story")]

#[path = "support/driver.rs"]
mod driver;

use std::collections::BTreeSet;

use driver::{Api, Bench, revision, widgets};
use serde_json::{Value, json};

/// Registers widgets under a group of the bench's own; the path of its collection and the CRD's.
async fn with_widgets(bench: &Bench) -> (String, String) {
    let group = format!("{}.example.com", bench.namespace);
    let (code, answer) = bench
        .api
        .post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &widgets(&group),
        )
        .await;
    assert_eq!(code, 201, "{answer}");
    let path = bench.in_group(&format!("{group}/v1"), "widgets");
    bench
        .api
        .until(&path, |answer| answer["kind"] == "WidgetList")
        .await;
    (
        path,
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}"),
    )
}

fn widget(bench: &Bench, name: &str, size: u32) -> Value {
    json!({"apiVersion": format!("{}.example.com/v1", bench.namespace), "kind": "Widget", "metadata": {"name": name},
           "spec": {"size": size}, "status": {"seen": "at create"}})
}

async fn drop_definition(api: &Api, path: &str) {
    let (code, answer) = api.delete(path, None).await;
    assert!(code < 300, "{answer}");
}

#[tokio::test]
async fn a_created_object_gets_uid_time_and_revision_and_reads_back_equal() {
    let bench = Bench::new().await;
    let object = bench.config_map("a", json!({"app": "web"})).await;
    let meta = &object["metadata"];
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert!(meta["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert!(revision(&object).parse::<u64>().unwrap() > 0);
    assert_eq!(meta["namespace"], json!(bench.namespace));
    let (code, read) = bench.api.get(&bench.core("configmaps/a")).await;
    assert_eq!((code, read), (200, object));
    bench.end().await;
}

#[tokio::test]
async fn refusals_are_status_objects_with_code_and_reason() {
    let bench = Bench::new().await;
    bench.config_map("a", json!({})).await;
    let map =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let maps = bench.core("configmaps");
    let missing = "/api/v1/namespaces/ax-there-is-none/configmaps";
    for (answer, code, reason) in [
        (bench.api.post(&maps, &map("a")).await, 409, "AlreadyExists"),
        (bench.api.get(&format!("{maps}/b")).await, 404, "NotFound"),
        (
            bench.api.put(&format!("{maps}/b"), &map("b")).await,
            404,
            "NotFound",
        ),
        (
            bench.api.delete(&format!("{maps}/b"), None).await,
            404,
            "NotFound",
        ),
        (bench.api.post(&maps, &map("No_Name")).await, 422, "Invalid"),
        (bench.api.post(&maps, &map("")).await, 422, "Invalid"),
        (bench.api.post(missing, &map("c")).await, 404, "NotFound"),
        (
            bench.api.put(&format!("{maps}/a"), &map("z")).await,
            400,
            "BadRequest",
        ),
        (
            bench
                .api
                .get(&format!("{maps}?labelSelector=a%20b%3Dc"))
                .await,
            400,
            "BadRequest",
        ),
        (
            bench
                .api
                .get(&format!("{maps}?fieldSelector=data.k%3Dv"))
                .await,
            400,
            "BadRequest",
        ),
    ] {
        assert_eq!(answer.0, code, "{}", answer.1);
        assert_eq!(answer.1["kind"], "Status");
        assert_eq!(answer.1["status"], "Failure");
        assert_eq!(answer.1["code"], code);
        assert_eq!(answer.1["reason"], reason, "{}", answer.1);
    }
    let (code, _) = bench
        .api
        .call("POST", &maps, "application/json", b"{".to_vec())
        .await;
    assert_eq!(code, 400);
    let (code, _) = bench
        .api
        .call("POST", &maps, "application/xml", b"<a/>".to_vec())
        .await;
    assert_eq!(code, 415);
    bench.end().await;
}

#[tokio::test]
async fn generated_names_begin_with_the_prefix_and_differ() {
    let bench = Bench::new().await;
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-"}});
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let (code, object) = bench.api.post(&bench.core("configmaps"), &body).await;
        assert_eq!(code, 201);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("made-") && name.len() == 10, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 5);
    bench.end().await;
}

#[tokio::test]
async fn an_update_from_an_old_revision_conflicts_and_one_from_the_present_succeeds() {
    let bench = Bench::new().await;
    let path = bench.core("configmaps/a");
    let first = bench.config_map("a", json!({})).await;
    let mut change = first.clone();
    change["data"]["k"] = json!("w");
    let (code, second) = bench.api.put(&path, &change).await;
    assert_eq!(code, 200, "{second}");
    assert!(revision(&second).parse::<u64>().unwrap() > revision(&first).parse::<u64>().unwrap());
    change["data"]["k"] = json!("x");
    let (code, refusal) = bench.api.put(&path, &change).await;
    assert_eq!((code, &refusal["reason"]), (409, &json!("Conflict")));
    let (_, now) = bench.api.get(&path).await;
    assert_eq!(now, second);
    bench.end().await;
}

#[tokio::test]
async fn an_update_that_changes_nothing_keeps_the_revision() {
    let bench = Bench::new().await;
    let first = bench.config_map("a", json!({})).await;
    let (code, second) = bench.api.put(&bench.core("configmaps/a"), &first).await;
    assert_eq!((code, revision(&second)), (200, revision(&first)));
    let (code, third) = bench
        .api
        .merge(&bench.core("configmaps/a"), &json!({"data": {"k": "v"}}))
        .await;
    assert_eq!((code, revision(&third)), (200, revision(&first)));
    bench.end().await;
}

#[tokio::test]
async fn clients_cannot_change_uid_or_creation_time() {
    let bench = Bench::new().await;
    let path = bench.core("configmaps/a");
    let first = bench.config_map("a", json!({})).await;
    let mut change = first.clone();
    change["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let (code, second) = bench.api.put(&path, &change).await;
    assert_eq!(
        (code, &second["metadata"]["creationTimestamp"]),
        (200, &first["metadata"]["creationTimestamp"])
    );
    change["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    let (code, _) = bench.api.put(&path, &change).await;
    assert_eq!(code, 409);
    bench.end().await;
}

#[tokio::test]
async fn a_custom_kind_counts_spec_changes_and_keeps_its_status_apart() {
    let bench = Bench::new().await;
    let (path, definition) = with_widgets(&bench).await;
    let (code, made) = bench.api.post(&path, &widget(&bench, "w", 1)).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made.get("status"), None);
    let one = format!("{path}/w");
    let mut change = made.clone();
    change["status"] = json!({"seen": "in the object"});
    change["metadata"]["labels"] = json!({"a": "b"});
    let (_, labelled) = bench.api.put(&one, &change).await;
    assert_eq!(
        (labelled.get("status"), &labelled["metadata"]["generation"]),
        (None, &json!(1))
    );
    let (_, grown) = bench.api.merge(&one, &json!({"spec": {"size": 2}})).await;
    assert_eq!(grown["metadata"]["generation"], 2);
    let (code, stated) = bench
        .api
        .merge(
            &format!("{one}/status"),
            &json!({"status": {"seen": "yes"}, "spec": {"size": 9}}),
        )
        .await;
    assert_eq!(code, 200, "{stated}");
    assert_eq!(stated["status"]["seen"], "yes");
    assert_eq!(
        (&stated["spec"]["size"], &stated["metadata"]["generation"]),
        (&json!(2), &json!(2))
    );
    let (_, status) = bench.api.get(&format!("{one}/status")).await;
    assert_eq!(status, stated);
    let mut blind = stated;
    blind["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    let (code, _) = bench.api.put(&one, &blind).await;
    assert_eq!(code, 422, "a custom kind is updated from a revision only");
    drop_definition(&bench.api, &definition).await;
    bench.api.until(&path, |answer| answer["code"] == 404).await;
    bench.end().await;
}

#[tokio::test]
async fn merge_patches_set_and_remove_and_json_patches_are_all_or_nothing() {
    let bench = Bench::new().await;
    let path = bench.core("configmaps/a");
    let first = bench.config_map("a", json!({"app": "web"})).await;
    let (code, merged) = bench
        .api
        .merge(
            &path,
            &json!({"data": {"k": null, "n": "1"}, "metadata": {"labels": {"t": "x"}}}),
        )
        .await;
    assert_eq!((code, &merged["data"]), (200, &json!({"n": "1"})));
    assert_eq!(
        merged["metadata"]["labels"],
        json!({"app": "web", "t": "x"})
    );
    let (code, _) = bench
        .api
        .merge(
            &path,
            &json!({"metadata": {"resourceVersion": revision(&first)}, "data": {"n": "2"}}),
        )
        .await;
    assert_eq!(code, 409);
    let (code, patched) = bench.api.json_patch(&path, &json!([
        {"op": "test", "path": "/data/n", "value": "1"}, {"op": "add", "path": "/data/m", "value": "2"}])).await;
    assert_eq!(
        (code, &patched["data"]),
        (200, &json!({"n": "1", "m": "2"}))
    );
    let (code, _) = bench
        .api
        .json_patch(
            &path,
            &json!([
        {"op": "remove", "path": "/data/m"}, {"op": "test", "path": "/data/n", "value": "9"}]),
        )
        .await;
    assert_eq!(code, 422);
    let (_, now) = bench.api.get(&path).await;
    assert_eq!(now, patched);
    bench.end().await;
}

#[tokio::test]
async fn a_delete_honours_preconditions() {
    let bench = Bench::new().await;
    let path = bench.core("configmaps/a");
    let object = bench.config_map("a", json!({})).await;
    let (code, _) = bench
        .api
        .delete(&path, Some(&json!({"preconditions": {"uid": "other"}})))
        .await;
    assert_eq!(code, 409);
    let (code, _) = bench
        .api
        .delete(
            &path,
            Some(&json!({"preconditions": {"resourceVersion": "1"}})),
        )
        .await;
    assert_eq!(code, 409);
    let uid = &object["metadata"]["uid"];
    let (code, answer) = bench
        .api
        .delete(&path, Some(&json!({"preconditions": {"uid": uid}})))
        .await;
    assert_eq!((code, &answer["status"]), (200, &json!("Success")));
    assert_eq!(&answer["details"]["uid"], uid);
    assert_eq!(bench.api.get(&path).await.0, 404);
    bench.end().await;
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let bench = Bench::new().await;
    let path = bench.core("configmaps/a");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["example.com/x", "example.com/y"]}});
    assert_eq!(
        bench.api.post(&bench.core("configmaps"), &body).await.0,
        201
    );
    let (code, answer) = bench.api.delete(&path, None).await;
    assert!(code == 200 || code == 202, "{answer}");
    let (code, waiting) = bench.api.get(&path).await;
    assert_eq!(code, 200);
    let since = waiting["metadata"]["deletionTimestamp"].clone();
    assert!(since.is_string());
    let (code, one_left) = bench
        .api
        .merge(
            &path,
            &json!({"metadata": {"finalizers": ["example.com/y"]}}),
        )
        .await;
    assert_eq!(
        (code, &one_left["metadata"]["deletionTimestamp"]),
        (200, &since)
    );
    let (code, _) = bench
        .api
        .merge(&path, &json!({"metadata": {"finalizers": null}}))
        .await;
    assert_eq!(code, 200);
    assert_eq!(bench.api.get(&path).await.0, 404);
    bench.end().await;
}

#[tokio::test]
async fn selectors_limit_lists_and_collection_deletes() {
    let bench = Bench::new().await;
    for (name, app) in [("a", "web"), ("b", "api"), ("c", "store")] {
        bench.config_map(name, json!({"app": app})).await;
    }
    let maps = bench.core("configmaps");
    for (query, expected) in [
        ("labelSelector=app%3Dweb", "a"),
        ("labelSelector=app+in+(web,api)", "a b"),
        ("labelSelector=app+notin+(web),app", "b c"),
        ("labelSelector=app!%3Dweb,app", "b c"),
        ("fieldSelector=metadata.name%3Dc", "c"),
    ] {
        assert_eq!(
            bench.api.names(&format!("{maps}?{query}")).await.join(" "),
            expected,
            "{query}"
        );
    }
    let everywhere = format!(
        "/api/v1/configmaps?fieldSelector=metadata.namespace%3D{}&labelSelector=app",
        bench.namespace
    );
    assert_eq!(bench.api.names(&everywhere).await, ["a", "b", "c"]);
    let (code, _) = bench
        .api
        .delete(&format!("{maps}?labelSelector=app+in+(web,api)"), None)
        .await;
    assert_eq!(code, 200);
    assert_eq!(
        bench.api.names(&format!("{maps}?labelSelector=app")).await,
        ["c"]
    );
    bench.end().await;
}

#[tokio::test]
async fn pods_are_selected_by_their_node() {
    let bench = Bench::new().await;
    for (name, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}});
        let (code, answer) = bench.api.post(&bench.core("pods"), &pod).await;
        assert_eq!(code, 201, "{answer}");
        assert_eq!(answer["status"]["phase"], "Pending");
    }
    assert_eq!(
        bench
            .api
            .names(&bench.core("pods?fieldSelector=spec.nodeName%3Dn1"))
            .await,
        ["a", "c"]
    );
    bench.end().await;
}

#[tokio::test]
async fn a_watch_from_a_list_sees_every_later_change_in_order() {
    let bench = Bench::new().await;
    let maps = bench.core("configmaps");
    bench.config_map("before", json!({})).await;
    let (_, list) = bench.api.get(&maps).await;
    bench.config_map("a", json!({})).await;
    let path = format!("{maps}?watch=true&resourceVersion={}", revision(&list));
    let mut watch = bench.api.watch(&path).await;
    assert_eq!(watch.code, 200);
    bench
        .api
        .merge(&format!("{maps}/a"), &json!({"data": {"k": "w"}}))
        .await;
    bench.api.delete(&format!("{maps}/a"), None).await;
    let mut last = revision(&list).parse::<u64>().unwrap();
    for expected in ["ADDED", "MODIFIED", "DELETED"] {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!(expected), &json!("a"))
        );
        assert_eq!(
            (&event["object"]["kind"], &event["object"]["apiVersion"]),
            (&json!("ConfigMap"), &json!("v1"))
        );
        let revision = revision(&event["object"]).parse::<u64>().unwrap();
        assert!(revision > last);
        last = revision;
    }
    bench.end().await;
}

#[tokio::test]
async fn a_watch_without_revision_begins_with_the_present_state() {
    let bench = Bench::new().await;
    bench.config_map("a", json!({"app": "web"})).await;
    bench.config_map("b", json!({"app": "web"})).await;
    let mut watch = bench
        .api
        .watch(&bench.core("configmaps?watch=1&labelSelector=app"))
        .await;
    let mut names = vec![watch.change().await, watch.change().await];
    names.sort();
    assert_eq!(
        names,
        [("ADDED".into(), "a".into()), ("ADDED".into(), "b".into())]
    );
    bench.config_map("c", json!({"app": "web"})).await;
    assert_eq!(watch.change().await, ("ADDED".into(), "c".into()));
    bench.end().await;
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark_that_says_so() {
    let bench = Bench::new().await;
    bench.config_map("a", json!({"app": "web"})).await;
    let query = "watch=1&labelSelector=app&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = bench
        .api
        .watch(&bench.core(&format!("configmaps?{query}")))
        .await;
    assert_eq!(watch.change().await, ("ADDED".into(), "a".into()));
    let mark = watch.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(
        mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert!(!revision(&mark["object"]).is_empty());
    bench.end().await;
}

#[tokio::test]
async fn a_selecting_watch_sees_objects_enter_and_leave() {
    let bench = Bench::new().await;
    let maps = bench.core("configmaps");
    let (_, list) = bench.api.get(&maps).await;
    let path = format!(
        "{maps}?watch=1&labelSelector=app%3Dweb&resourceVersion={}",
        revision(&list)
    );
    let mut watch = bench.api.watch(&path).await;
    bench.config_map("a", json!({"app": "api"})).await;
    for app in ["web", "web2"] {
        bench
            .api
            .merge(
                &format!("{maps}/a"),
                &json!({"metadata": {"labels": {"app": app}}}),
            )
            .await;
    }
    bench.config_map("end", json!({"app": "web"})).await;
    assert_eq!(watch.change().await, ("ADDED".into(), "a".into()));
    assert_eq!(watch.change().await, ("DELETED".into(), "a".into()));
    assert_eq!(watch.change().await, ("ADDED".into(), "end".into()));
    bench.end().await;
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout() {
    let bench = Bench::new().await;
    let start = std::time::Instant::now();
    let mut watch = bench
        .api
        .watch(
            &bench.core("configmaps?watch=1&timeoutSeconds=1&resourceVersion=0&labelSelector=none"),
        )
        .await;
    while let Some(event) = watch.next().await {
        assert_eq!(event["type"], "BOOKMARK");
    }
    assert!(start.elapsed() >= std::time::Duration::from_millis(900));
    bench.end().await;
}

#[tokio::test]
async fn a_revision_from_the_future_is_refused() {
    let bench = Bench::new().await;
    let (code, answer) = bench
        .api
        .get(&bench.core(
            "configmaps?resourceVersion=900000000000000000&resourceVersionMatch=NotOlderThan",
        ))
        .await;
    assert_eq!(
        (code, &answer["details"]["causes"][0]["reason"]),
        (504, &json!("ResourceVersionTooLarge")),
        "{answer}"
    );
    bench.end().await;
}

#[tokio::test]
async fn of_two_updates_from_one_revision_of_a_lease_one_wins() {
    let bench = Bench::new().await;
    let leases = bench.in_group("coordination.k8s.io/v1", "leases");
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"},
        "spec": {"holderIdentity": "none", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}});
    let (code, made) = bench.api.post(&leases, &lease).await;
    assert_eq!(code, 201, "{made}");
    let path = format!("{leases}/leader");
    let takes = (0..8).map(|number| {
        let (api, path, mut lease) = (bench.api.clone(), path.clone(), made.clone());
        lease["spec"]["holderIdentity"] = json!(format!("candidate-{number}"));
        async move { api.put(&path, &lease).await.0 }
    });
    let mut codes = futures::future::join_all(takes).await;
    codes.sort_unstable();
    assert_eq!(codes, [200, 409, 409, 409, 409, 409, 409, 409]);
    bench.end().await;
}

#[tokio::test]
async fn a_namespace_carries_its_name_as_a_label() {
    let bench = Bench::new().await;
    let (_, namespace) = bench
        .api
        .get(&format!("/api/v1/namespaces/{}", bench.namespace))
        .await;
    assert_eq!(
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"],
        json!(bench.namespace)
    );
    assert_eq!(namespace["status"]["phase"], "Active");
    bench.end().await;
}

#[tokio::test]
async fn services_get_an_address_and_a_node_port_and_keep_them() {
    let bench = Bench::new().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "ports": [{"name": "h", "port": 80}]}});
    let (code, made) = bench.api.post(&bench.core("services"), &service).await;
    assert_eq!(code, 201, "{made}");
    let spec = &made["spec"];
    assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
    assert!(
        spec["clusterIP"]
            .as_str()
            .unwrap()
            .parse::<std::net::IpAddr>()
            .is_ok()
    );
    let port = spec["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&port));
    let mut change = service.clone();
    change["spec"]["ports"][0]["port"] = json!(81);
    change["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let (code, changed) = bench.api.put(&bench.core("services/web"), &change).await;
    assert_eq!(code, 200, "{changed}");
    assert_eq!(changed["spec"]["clusterIP"], spec["clusterIP"]);
    assert_eq!(changed["spec"]["ports"][0]["nodePort"], json!(port));
    let taken = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"clusterIP": spec["clusterIP"], "ports": [{"port": 80}]}});
    let (code, refusal) = bench.api.post(&bench.core("services"), &taken).await;
    assert_eq!(code, 422);
    assert!(
        refusal["message"]
            .as_str()
            .unwrap()
            .contains("spec.clusterIP"),
        "{refusal}"
    );
    let (code, _) = bench.api.delete(&bench.core("services/web"), None).await;
    assert_eq!(code, 200);
    let (code, _) = bench.api.post(&bench.core("services"), &taken).await;
    assert_eq!(code, 201, "a freed address can be had again");
    bench.end().await;
}

#[tokio::test]
async fn endpoint_slices_follow_selectors_and_readiness() {
    let bench = Bench::new().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "h", "port": 80, "targetPort": "http"}]}});
    assert_eq!(
        bench.api.post(&bench.core("services"), &service).await.0,
        201
    );
    let slices = bench.in_group(
        "discovery.k8s.io/v1",
        "endpointslices?labelSelector=kubernetes.io/service-name%3Dweb",
    );
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080}]}]}});
    assert_eq!(bench.api.post(&bench.core("pods"), &pod).await.0, 201);
    let status = |ready: &str| {
        json!({"status": {"phase": "Running", "podIP": "10.11.12.13", "podIPs": [{"ip": "10.11.12.13"}],
        "conditions": [{"type": "Ready", "status": ready}]}})
    };
    let ready = |list: &Value| list["items"][0]["endpoints"][0]["conditions"]["ready"].clone();
    bench
        .api
        .merge(&bench.core("pods/web-1/status"), &status("False"))
        .await;
    bench
        .api
        .until(&slices, |list| ready(list) == json!(false))
        .await;
    bench
        .api
        .merge(&bench.core("pods/web-1/status"), &status("True"))
        .await;
    let list = bench
        .api
        .until(&slices, |list| ready(list) == json!(true))
        .await;
    let slice = &list["items"][0];
    assert!(
        slice["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("web-")
    );
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["10.11.12.13"]));
    assert_eq!(slice["endpoints"][0]["nodeName"], "n1");
    assert_eq!(slice["endpoints"][0]["targetRef"]["name"], "web-1");
    assert_eq!(
        (&slice["ports"][0]["name"], &slice["ports"][0]["port"]),
        (&json!("h"), &json!(8080))
    );
    bench
        .api
        .merge(
            &bench.core("pods/web-1"),
            &json!({"metadata": {"labels": {"app": "other"}}}),
        )
        .await;
    bench
        .api
        .until(&slices, |list| {
            list["items"][0]["endpoints"]
                .as_array()
                .is_none_or(Vec::is_empty)
        })
        .await;
    bench.api.delete(&bench.core("services/web"), None).await;
    bench
        .api
        .until(&slices, |list| {
            list["items"].as_array().is_some_and(Vec::is_empty)
        })
        .await;
    bench.end().await;
}

#[tokio::test]
async fn a_table_has_the_columns_of_its_kind() {
    let bench = Bench::new().await;
    let (path, definition) = with_widgets(&bench).await;
    bench.api.post(&path, &widget(&bench, "w", 7)).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let response = bench
        .api
        .send("GET", &path, &[("accept", accept)], Vec::new())
        .await;
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    let table: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(table["kind"], "Table");
    let headings: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(headings, ["Name", "Size"]);
    assert_eq!(table["rows"][0]["cells"], json!(["w", 7]));
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "w");
    drop_definition(&bench.api, &definition).await;
    bench.end().await;
}

#[tokio::test]
async fn discovery_names_what_the_paths_serve() {
    let bench = Bench::new().await;
    let (_, core) = bench.api.get("/api/v1").await;
    let names: Vec<&str> = core["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    for name in [
        "pods",
        "pods/status",
        "services",
        "namespaces",
        "nodes",
        "configmaps",
    ] {
        assert!(names.contains(&name), "{name} is missing");
    }
    let (_, groups) = bench.api.get("/apis").await;
    let groups: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["name"].as_str().unwrap())
        .collect();
    for group in [
        "apiextensions.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "networking.k8s.io",
    ] {
        assert!(groups.contains(&group), "{group} is missing");
    }
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(bench.api.get(path).await, (200, json!("ok")));
    }
    assert_eq!(bench.api.get("/version").await.1["major"], "1");
    assert_eq!(bench.api.get("/apis/nothing.example.com/v1").await.0, 404);
    bench.end().await;
}

#[tokio::test]
async fn yaml_bodies_are_read() {
    let bench = Bench::new().await;
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  k: |\n    two\n    lines\n".to_vec();
    let (code, object) = bench
        .api
        .call("POST", &bench.core("configmaps"), "application/yaml", yaml)
        .await;
    assert_eq!((code, &object["data"]["k"]), (201, &json!("two\nlines\n")));
    bench.end().await;
}

#[tokio::test]
async fn a_dry_run_answers_and_leaves_nothing() {
    let bench = Bench::new().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let (code, object) = bench
        .api
        .post(&bench.core("configmaps?dryRun=All"), &map)
        .await;
    assert_eq!((code, &object["metadata"]["name"]), (201, &json!("a")));
    assert_eq!(bench.api.get(&bench.core("configmaps/a")).await.0, 404);
    bench.config_map("a", json!({})).await;
    assert_eq!(
        bench
            .api
            .delete(&bench.core("configmaps/a?dryRun=All"), None)
            .await
            .0,
        200
    );
    assert_eq!(bench.api.get(&bench.core("configmaps/a")).await.0, 200);
    bench.end().await;
}
