//! Secrets that policies refer to, in the namespace of copies.

use axum::http::Method;
use serde_json::{Value, json};

use crate::cluster::{Operator, holder};
use crate::stores::{Store, until};

const ON: &[(&str, &str)] = &[
    ("enable-policy-secrets-sync", "true"),
    ("ipam", "kubernetes"),
];
const COPIES: &str = "/api/v1/namespaces/cilium-secrets/secrets";
const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
const POLICIES: &str = "/apis/cilium.io/v2/namespaces/shop/ciliumnetworkpolicies";
const CLUSTERWIDE: &str = "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies";

fn secret(name: &str, key: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "labels": { "team": "web" } }, "data": { "tls.key": key, "tls.crt": "Yw==" } })
}

fn rules(secret: &Value) -> Value {
    let tls = json!({ "secret": secret });
    json!({ "endpointSelector": {}, "egress": [{ "toPorts": [
        { "ports": [{ "port": "443", "protocol": "TCP" }], "terminatingTLS": tls, "originatingTLS": tls },
    ] }] })
}

fn policy(name: &str, secret: &Value) -> Value {
    json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "name": name }, "spec": rules(secret) })
}

fn clusterwide(name: &str, secret: &Value) -> Value {
    json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": { "name": name }, "specs": [rules(secret)] })
}

/// A store with the namespace of copies, which the chart makes.
async fn start(percent: u64, seed: u64) -> Store {
    let store = Store::start(percent, seed).await;
    for name in ["cilium-secrets", "shop"] {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let made = store
            .direct
            .raw(Method::POST, "/api/v1/namespaces", Some(&namespace));
        // There are some at the start.
        let _ = made.await;
    }
    store
}

async fn create(store: &Store, path: &str, object: &Value) {
    store.send(Method::POST, path, Some(object)).await;
}

async fn delete(store: &Store, path: &str, name: &str) {
    let path = format!("{path}/{name}");
    store.send(Method::DELETE, &path, None).await;
}

/// As somebody else changes it.
async fn change(store: &Store, path: &str, name: &str, patch: &Value) {
    let path = format!("{path}/{name}");
    store.direct.raw_merge(&path, patch).await.unwrap();
}

/// Name, owner and content of what is in the namespace of copies.
async fn copies(store: &Store) -> Vec<(String, String, Value)> {
    let list = store.get(COPIES).await;
    let text = |of: &Value| of.as_str().unwrap_or("-").to_owned();
    let items = list["items"].as_array().unwrap().iter();
    let mut all: Vec<_> = items
        .map(|of| {
            let labels = &of["metadata"]["labels"];
            let [namespace, name] = operator::secrets::OWNER.map(|label| text(&labels[label]));
            let name_of = text(&of["metadata"]["name"]);
            (name_of, format!("{namespace}/{name}"), of["data"].clone())
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

async fn until_copied(store: &Store, expected: &[(&str, &str, &str)]) {
    until(&format!("{expected:?}"), || async {
        let found = copies(store).await;
        let found: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|(name, owner, data)| (&**name, &**owner, data["tls.key"].as_str().unwrap_or("-")))
            .collect();
        (found == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policies_refer_to_has_a_copy_as_long_as_they_do_and_in_step() {
    let store = start(10, 61).await;
    let operator = Operator::start(&store.url, "one", ON);
    for name in ["cert", "other", "unused"] {
        create(&store, SECRETS, &secret(name, "b25l")).await;
    }
    let cert = json!({ "name": "cert", "namespace": "shop" });
    create(&store, POLICIES, &policy("one", &json!({ "name": "cert" }))).await;
    let copied = ("shop-cert", "shop/cert", "b25l");
    until_copied(&store, &[copied]).await;
    let copy = store.get(&format!("{COPIES}/shop-cert")).await;
    assert_eq!(copy["metadata"]["labels"].as_object().unwrap().len(), 2);

    // The content changes, and a key goes.
    let patch = json!({ "data": { "tls.key": "dHdv", "tls.crt": null } });
    change(&store, SECRETS, "cert", &patch).await;
    until_copied(&store, &[("shop-cert", "shop/cert", "dHdv")]).await;
    assert_eq!(copies(&store).await[0].2, json!({ "tls.key": "dHdv" }));

    // Two policies refer to it: it goes with the second of them.
    create(&store, CLUSTERWIDE, &clusterwide("two", &cert)).await;
    delete(&store, POLICIES, "one").await;
    create(
        &store,
        POLICIES,
        &policy("three", &json!({ "name": "other", "namespace": "shop" })),
    )
    .await;
    let both = [
        ("shop-cert", "shop/cert", "dHdv"),
        ("shop-other", "shop/other", "b25l"),
    ];
    until_copied(&store, &both).await;
    delete(&store, CLUSTERWIDE, "two").await;
    until_copied(&store, &both[1..]).await;

    // The policy refers to another one.
    let renamed = json!({ "spec": rules(&cert) });
    change(&store, POLICIES, "three", &renamed).await;
    until_copied(&store, &both[..1]).await;

    // Somebody meddles with the copy.
    change(
        &store,
        COPIES,
        "shop-cert",
        &json!({ "data": { "tls.key": "bWluZQ==" } }),
    )
    .await;
    until_copied(&store, &both[..1]).await;
    delete(&store, COPIES, "shop-cert").await;
    until_copied(&store, &both[..1]).await;

    // The secret goes, and comes back.
    delete(&store, SECRETS, "cert").await;
    until_copied(&store, &[]).await;
    create(&store, SECRETS, &secret("cert", "dGhyZWU=")).await;
    until_copied(&store, &[("shop-cert", "shop/cert", "dGhyZWU=")]).await;
    store.assert_that_requests_failed();
    operator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_comes_back_makes_up_for_what_it_missed_and_leaves_what_is_not_its_own() {
    let store = start(10, 67).await;
    let mut foreign = secret("shop-cert", "Zm9yZWlnbg==");
    create(&store, COPIES, &foreign).await;
    for name in ["cert", "gone", "stays"] {
        create(&store, SECRETS, &secret(name, "b25l")).await;
        create(&store, POLICIES, &policy(name, &json!({ "name": name }))).await;
    }
    let untouched = ("shop-cert", "-/-", "Zm9yZWlnbg==");
    let (gone, stays) = (
        ("shop-gone", "shop/gone", "b25l"),
        ("shop-stays", "shop/stays", "b25l"),
    );
    let operator = Operator::start(&store.url, "one", ON);
    until_copied(&store, &[untouched, gone, stays]).await;
    operator.stop().await.unwrap();

    delete(&store, POLICIES, "gone").await;
    change(
        &store,
        SECRETS,
        "stays",
        &json!({ "data": { "tls.key": "dHdv" } }),
    )
    .await;
    // As upstream's operator makes one of a secret that nobody may change, of which there is another by now.
    let mut locked = secret("shop-locked", "b2xk");
    locked["immutable"] = true.into();
    locked["metadata"]["labels"] =
        json!({ operator::secrets::OWNER[0]: "shop", operator::secrets::OWNER[1]: "locked" });
    create(&store, COPIES, &locked).await;
    create(&store, SECRETS, &secret("locked", "bmV3")).await;
    create(
        &store,
        POLICIES,
        &policy("locked", &json!({ "name": "locked" })),
    )
    .await;
    let operator = Operator::start(&store.url, "two", ON);
    let locked = ("shop-locked", "shop/locked", "bmV3");
    until_copied(
        &store,
        &[untouched, locked, ("shop-stays", "shop/stays", "dHdv")],
    )
    .await;

    // The name is free at last.
    let found = store.get(&format!("{COPIES}/shop-cert")).await;
    foreign["metadata"]["uid"] = found["metadata"]["uid"].clone();
    assert_eq!(found["data"], foreign["data"]);
    assert_eq!(found["metadata"]["labels"], foreign["metadata"]["labels"]);
    delete(&store, COPIES, "shop-cert").await;
    let cert = ("shop-cert", "shop/cert", "b25l");
    until_copied(
        &store,
        &[cert, locked, ("shop-stays", "shop/stays", "dHdv")],
    )
    .await;
    operator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_switch_no_secret_is_read() {
    let store = start(0, 71).await;
    create(&store, SECRETS, &secret("cert", "b25l")).await;
    create(&store, POLICIES, &policy("one", &json!({ "name": "cert" }))).await;
    let operator = Operator::start(&store.url, "one", &[("ipam", "kubernetes")]);
    until("a leader", || holder(&store)).await;
    until("its watches", || async {
        let asked = store.proxy.asked();
        let watched = |path: &str| asked.iter().filter(|(_, of)| of.ends_with(path)).count() > 1;
        (watched("/ciliumnetworkpolicies") && watched("/ciliumlocalredirectpolicies")).then_some(())
    })
    .await;
    let asked = store.proxy.asked();
    assert!(
        asked.iter().all(|(_, path)| !path.contains("/secrets")),
        "{asked:?}"
    );
    assert_eq!(copies(&store).await, []);
    operator.stop().await.unwrap();
}
