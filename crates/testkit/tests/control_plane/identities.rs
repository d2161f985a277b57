//! Identities of two agents over one store: given, found again, deleted under their users, and asked for while it is away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::config::{Config, Given};
use agent::identity::{Identities, first_choice};
use agent::inputs::{Announcements, Inputs, Shared};
use agent::last_good::LastGood;
use axum::http::Method;
use model::endpoint::PodName;
use model::identity::{ClusterNumbers, Identity, MaxClusters};
use model::labels::{LabelFilter, LabelSet, PodLabels, pod_labels};
use model::policy::ParseOptions;
use reconcile::TaskGroup;
use serde_json::json;

use crate::stores::{Store, client, until};

const PATH: &str = "/apis/cilium.io/v2/ciliumidentities";

fn labels(app: usize) -> LabelSet {
    let app = app.to_string();
    let facts = PodLabels {
        pod: [("app", app.as_str())],
        namespace: "shop",
        namespace_labels: std::iter::empty(),
        service_account: None,
        cluster: "default",
    };
    pod_labels(facts, &LabelFilter::standard().expect("a filter"))
}

#[derive(Clone)]
struct Agent {
    identities: Identities,
    inputs: Inputs,
}

impl Agent {
    async fn start(store: &Store, tasks: &TaskGroup) -> Self {
        let client = client(&store.url).await;
        let state = tempfile::tempdir().expect("a folder");
        let last_good = LastGood::open(state.path()).expect("a folder");
        let shared = Shared::objects(&client, tasks, Announcements::Single);
        let options = ParseOptions::default();
        let inputs = Inputs::follow(&client, tasks, "n1", &options, &last_good, shared);
        let given = Given::from_pairs([("k8s-node-name", "n1")]);
        let config = Config::new(&given).expect("a configuration");
        let filter = LabelFilter::standard().expect("a filter");
        Self {
            identities: Identities::new(&client, inputs.clone(), &config, filter),
            inputs,
        }
    }

    /// As an endpoint does: it asks until it is told.
    async fn number(&self, app: usize) -> Identity {
        for _ in 0..200 {
            if let Ok(id) = self.identities.identity(&labels(app)).await {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("app {app} gets no identity");
    }

    /// As the endpoint of a pod does.
    async fn number_of(&self, pod: &str) -> Identity {
        let name = PodName {
            namespace: "shop".into(),
            name: pod.into(),
        };
        let pod = self.identities.pod(&name).await.expect("a pod");
        let labels = self.identities.labels(&name, &pod).await.expect("labels");
        self.identities
            .identity(&labels)
            .await
            .expect("an identity")
    }

    async fn numbers(&self, apps: &[usize]) -> BTreeMap<usize, Identity> {
        let asked = apps
            .iter()
            .map(|app| async { (*app, self.number(*app).await) });
        futures::future::join_all(asked).await.into_iter().collect()
    }
}

/// Identity → labels as they are in the store.
async fn stored(store: &Store) -> BTreeMap<u64, String> {
    let list = store.get(PATH).await;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let rows = items.iter().map(|of| {
        let name = of["metadata"]["name"].as_str().unwrap_or_default();
        (
            name.parse().expect("a number"),
            of["security-labels"]["k8s:app"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    });
    rows.collect()
}

fn assert_stored(stored: &BTreeMap<u64, String>, numbers: &BTreeMap<usize, Identity>) {
    for (app, id) in numbers {
        let labels = stored.get(&u64::from(id.0));
        assert_eq!(labels, Some(&app.to_string()), "identity {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_give_the_same_labels_one_number_and_no_number_to_two() {
    let store = Store::start(10, 3).await;
    let tasks = TaskGroup::new();
    let (one, other) = (
        Agent::start(&store, &tasks).await,
        Agent::start(&store, &tasks).await,
    );
    let apps: Vec<usize> = (0..30).collect();
    let (first, second) = tokio::join!(one.numbers(&apps), other.numbers(&apps));
    assert_eq!(first, second);
    let distinct: BTreeSet<_> = first.values().collect();
    assert_eq!(distinct.len(), apps.len());
    let stored = stored(&store).await;
    assert_eq!(
        stored.len(),
        apps.len(),
        "what fails after its effect makes no second one"
    );
    assert_stored(&stored, &first);
    assert_eq!(one.numbers(&apps).await, first, "found again");
    store
        .assert_that_the_crd_takes("CiliumIdentity", PATH)
        .await;
    store.assert_that_requests_failed();
    tasks.shutdown(Duration::from_secs(2)).await;
}

/// Two apps whose labels begin to look at the same number.
fn twins() -> (usize, usize) {
    let range = ClusterNumbers {
        cluster_id: 0,
        clusters: MaxClusters::C255,
    }
    .range();
    let size = range.end() - range.start() + 1;
    let mut seen = BTreeMap::new();
    for app in 0.. {
        if let Some(other) = seen.insert(first_choice(&labels(app)) % size, app) {
            return (other, app);
        }
    }
    unreachable!("there are more apps than numbers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_that_want_one_number_for_different_labels_get_two() {
    let (a, b) = twins();
    for seed in 1..=5 {
        let store = Store::start(10, seed).await;
        let tasks = TaskGroup::new();
        let (one, other) = (
            Agent::start(&store, &tasks).await,
            Agent::start(&store, &tasks).await,
        );
        let (first, second) = tokio::join!(one.number(a), other.number(b));
        assert_ne!(first, second, "seed {seed}");
        assert_stored(&stored(&store).await, &[(a, first), (b, second)].into());
        assert_eq!(one.number(b).await, second, "seed {seed}");
        tasks.shutdown(Duration::from_secs(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_is_collected_while_in_use_comes_back_under_its_number() {
    let store = Store::start(10, 5).await;
    let tasks = TaskGroup::new();
    let agents = [
        Agent::start(&store, &tasks).await,
        Agent::start(&store, &tasks).await,
    ];
    let apps: Vec<usize> = (0..10).collect();
    let before = agents[0].numbers(&apps).await;
    for round in 0..20 {
        let victim = before[&(round % apps.len())];
        store
            .send(Method::DELETE, &format!("{PATH}/{victim}"), None)
            .await;
        let agent = &agents[round % 2];
        // The engine asks again when its table shows that the identity is gone.
        until("the deletion is seen", || async {
            agent.inputs.identities.get(&victim).is_none().then_some(())
        })
        .await;
        assert_eq!(agent.numbers(&apps).await, before, "round {round}");
    }
    let stored = stored(&store).await;
    assert_eq!(stored.len(), apps.len());
    assert_stored(&stored, &before);
    tasks.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_what_is_known_is_found_and_what_is_new_waits() {
    let store = Store::start(10, 9).await;
    let tasks = TaskGroup::new();
    let agent = Agent::start(&store, &tasks).await;
    let known = agent.number(1).await;
    store.proxy.percent.store(100, Ordering::Relaxed);
    assert_eq!(agent.number(1).await, known);
    agent
        .identities
        .identity(&labels(2))
        .await
        .expect_err("nobody can create it");
    store.proxy.percent.store(10, Ordering::Relaxed);
    let new = agent.number(2).await;
    assert_stored(&stored(&store).await, &[(1, known), (2, new)].into());
    tasks.shutdown(Duration::from_secs(2)).await;
}

/// A pod of node n1, as the scheduler leaves it.
async fn schedule(store: &Store, name: &str, app: usize, host_network: bool) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "shop", "labels": { "app": app.to_string() } },
        "spec": {
            "nodeName": "n1", "hostNetwork": host_network,
            "containers": [{ "name": "main", "image": "pause" }],
        },
    });
    store
        .send(Method::POST, "/api/v1/namespaces/shop/pods", Some(&pod))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_comes_to_the_node_has_its_identity_before_it_asks() {
    let store = Store::start(0, 11).await;
    let tasks = TaskGroup::new();
    let shop = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    store
        .send(Method::POST, "/api/v1/namespaces", Some(&shop))
        .await;
    schedule(&store, "ended", 1, false).await;
    let agent = Agent::start(&store, &tasks).await;
    tasks.spawn("ahead", {
        let identities = agent.identities.clone();
        move |stop| identities.ahead(stop)
    });
    until("the pod of before is known", || async {
        (agent.inputs.pods.snapshot().len() == 1).then_some(())
    })
    .await;
    schedule(&store, "of-the-node", 2, true).await;
    schedule(&store, "new", 3, false).await;
    until("an identity is known", || async {
        (!agent.inputs.identities.snapshot().is_empty()).then_some(())
    })
    .await;
    let made = stored(&store).await;
    let apps: Vec<&str> = made.values().map(String::as_str).collect();
    assert_eq!(
        apps,
        ["3"],
        "neither of pods of before nor of the node's network"
    );
    store.proxy.percent.store(100, Ordering::Relaxed);
    let id = agent.number_of("new").await;
    assert!(
        made.contains_key(&u64::from(id.0)),
        "the store is not asked"
    );
    tasks.shutdown(Duration::from_secs(2)).await;
}
