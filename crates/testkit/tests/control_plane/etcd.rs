//! Two agents over a real etcd: what each knows of the other's pods, while etcd is wiped, and while they move there and back.

use std::sync::Mutex;
use std::time::Duration;

use agent::addresses::Addresses;
use agent::config::{Config, Given};
use agent::identity::Identities;
use agent::inputs::Inputs;
use agent::kvstore::{Kvstore, over_etcd, shared};
use agent::last_good::LastGood;
use agent::node::Addressing;
use agent::view::{View, ViewWriter, channel};
use agent::{announce, kvstore};
use model::endpoint::{EndpointRow, PodName};
use model::identity::{Identity, to_key};
use model::labels::{LabelFilter, LabelSet, PodLabels, pod_labels};
use model::node::IpPair;
use model::policy::ParseOptions;
use prometheus_client::registry::Registry;
use reconcile::{Table, TaskGroup};
use store::etcd::server::{self, Server};
use store::etcd::{Etcd, Options, layout};
use testkit::scrape::Page;

use crate::stores::{Store, client, until};

const IDENTITIES: &str = "/apis/cilium.io/v2/ciliumidentities";

fn labels(app: &str) -> LabelSet {
    let facts = PodLabels {
        pod: [("app", app), ("app.kubernetes.io/name", app)],
        namespace: "default",
        namespace_labels: std::iter::empty(),
        service_account: None,
        cluster: "default",
    };
    pod_labels(facts, &LabelFilter::standard().expect("a filter"))
}

fn pod(name: &str) -> PodName {
    PodName {
        namespace: "default".into(),
        name: name.into(),
    }
}

/// The part of an agent that speaks with the stores; its pods are there from the start, as after a restart.
struct Agent {
    number: u8,
    identities: Identities,
    inputs: Inputs,
    view: ViewWriter,
    pods: Mutex<Vec<EndpointRow>>,
    etcd: Option<Etcd>,
    tasks: TaskGroup,
}

fn configured(node: &str, mode: &str, etcd: &Server) -> Config {
    let address = format!("etcd.address={}", etcd.url());
    let given = Given::from_pairs([
        ("k8s-node-name", node),
        ("identity-allocation-mode", mode),
        ("kvstore", if mode == "crd" { "none" } else { "etcd" }),
        ("kvstore-opt", address.as_str()),
    ]);
    Config::new(&given).expect("a configuration")
}

impl Agent {
    async fn start(
        (store, etcd): (&Store, &Server),
        number: u8,
        mode: &str,
        state: &std::path::Path,
        pods: Vec<EndpointRow>,
    ) -> Self {
        let node = format!("n{number}");
        let config = configured(&node, mode, etcd);
        let tasks = TaskGroup::new();
        let client = client(&store.url).await;
        let last_good = LastGood::open(state).expect("a folder");
        let kvstore = Kvstore::connect(&config, &tasks).expect("an etcd");
        let (shared, own) = shared(&client, &config, kvstore.as_ref(), &tasks);
        let options = ParseOptions::default();
        let inputs = Inputs::follow(&client, &tasks, &node, &options, &last_good, shared);
        let addressing = Addressing {
            node_ipv4: Some([172, 30, 0, 10 + number].into()),
            node_ipv6: None,
            pods_ipv4: format!("10.9.{number}.0/24").parse().ok(),
            pods_ipv6: None,
        };
        let config = Config {
            state_dir: state.to_owned(),
            ..config
        };
        let (view, reader) = channel();
        let filter = LabelFilter::standard().expect("a filter");
        let identities = Identities::new(&client, inputs.clone(), &config, filter);
        let addresses = Addresses::new(&addressing, &[]);
        let (of, to) = ((&client, &config), (&addressing, &addresses, &reader));
        let identities =
            over_etcd(identities, kvstore.as_ref(), of, to, &tasks).expect("an address");
        let (writer, desired) = Table::new("announced endpoints", &["endpoints"]);
        let (reconciler, _) = announce::endpoints(
            client.clone(),
            &addressing,
            inputs.endpoints.clone(),
            desired,
        );
        tasks.spawn("announced endpoints", move |stop| reconciler.run(stop));
        let object = announce::node_object(&config, &addressing, "");
        tasks.spawn("announcements", move |stop| {
            announce::follow(reader, addressing, writer, stop)
        });
        let origin = announce::Origin::of(&config, &addresses);
        let (_, health) = tokio::sync::watch::channel(None);
        tasks.spawn("announced node", move |stop| {
            announce::keep_node(client, object, origin, health, own, stop)
        });
        let agent = Self {
            number,
            identities,
            inputs,
            view,
            pods: Mutex::new(pods),
            etcd: kvstore.map(|of| of.etcd),
            tasks,
        };
        agent.publish();
        agent
    }

    fn publish(&self) {
        self.view.publish(View {
            revision: 1,
            endpoints: self.pods.lock().expect("no holder panicked").clone(),
            waiting_for: Vec::new(),
            ..View::default()
        });
    }

    async fn number_of(&self, app: &str) -> Identity {
        let found = until("an identity", || async {
            self.identities.identity(&labels(app)).await.ok()
        });
        found.await
    }

    /// As the plugin does.
    async fn add(&self, name: &str, app: &str) -> Identity {
        let identity = self.number_of(app).await;
        let mut pods = self.pods.lock().expect("no holder panicked");
        let number = u16::try_from(pods.len()).expect("few pods") + 5;
        pods.push(EndpointRow {
            pod: Some(pod(name)),
            ips: IpPair {
                v4: Some([10, 9, self.number, number as u8].into()),
                v6: None,
            },
            labels: labels(app),
            identity: Some(identity),
            ..super::endpoint(number)
        });
        drop(pods);
        self.publish();
        identity
    }

    /// Whether it knows a pod of another node, with its identity's labels.
    fn knows(&self, name: &str, app: &str) -> Option<Identity> {
        let row = self.inputs.endpoints.get(&pod(name))?;
        let of = self.inputs.identities.get(&row.identity)?;
        (*of == labels(app) && row.addresses.len() == 1 && row.node.is_some())
            .then_some(row.identity)
    }

    async fn until_it_knows(&self, name: &str, app: &str) -> Identity {
        until(&format!("{name} on {}", self.number), || async {
            self.knows(name, app)
        })
        .await
    }

    /// Fails once this agent has lost sight of a pod.
    fn never_forgets(&self, name: &'static str) -> tokio::task::JoinHandle<()> {
        let (endpoints, identities) = (&self.inputs.endpoints, &self.inputs.identities);
        let (endpoints, identities) = (endpoints.clone(), identities.clone());
        tokio::spawn(async move {
            let (mut one, mut other) = (endpoints.subscribe(), identities.subscribe());
            loop {
                let row = endpoints.get(&pod(name)).expect("the endpoint is missing");
                assert!(identities.get(&row.identity).is_some(), "{}", row.identity);
                tokio::select! {
                    _ = one.changed() => {}
                    _ = other.changed() => {}
                }
            }
        })
    }

    /// Ends it; what it knows of its pods is for the next run.
    async fn stop(self) -> Vec<EndpointRow> {
        self.tasks.shutdown(Duration::from_secs(2)).await;
        self.pods.into_inner().expect("no holder panicked")
    }
}

fn reader(server: &Server) -> Etcd {
    Etcd::new(Options::at([server.url()])).expect("an etcd")
}

async fn objects(store: &Store) -> usize {
    let list = store.get(IDENTITIES).await;
    list["items"].as_array().map_or(0, Vec::len)
}

/// Whether etcd has all that is said of a pod.
async fn is_complete(etcd: &Etcd, agent: &Agent, app: &str, identity: Identity) -> Option<()> {
    let node = format!("172.30.0.{}", 10 + agent.number);
    let own = layout::node("default", &format!("n{}", agent.number));
    let text = to_key(&labels(app));
    let of = etcd.get(&layout::identity(identity.0)).await.ok()??;
    etcd.get(&layout::usage(&text, &node)).await.ok()??;
    etcd.get(&own).await.ok()??;
    let addresses = etcd.list(layout::ADDRESSES, false).await.ok()?;
    let rows = addresses
        .iter()
        .filter_map(|pair| kvstore::values::address_row(&pair.value).ok());
    let mut rows = rows.filter(|(_, row)| row.node.is_some_and(|of| of.to_string() == node));
    (of.text() == Some(text.as_str()) && rows.any(|(_, row)| row.identity == identity))
        .then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_know_each_other_by_etcd_alone_and_forget_nothing_when_it_is_wiped() {
    if !server::is_there().expect("an etcd") {
        return;
    }
    let (store, mut etcd) = (Store::start(10, 5).await, Server::start().expect("an etcd"));
    let (a, b) = (
        tempfile::tempdir().expect("a"),
        tempfile::tempdir().expect("b"),
    );
    let one = Agent::start((&store, &etcd), 1, "kvstore", a.path(), Vec::new()).await;
    let two = Agent::start((&store, &etcd), 2, "kvstore", b.path(), Vec::new()).await;
    let (shop, other) = tokio::join!(one.add("shop-1", "shop"), two.add("shop-2", "shop"));
    assert_eq!(shop, other, "the same labels");
    let db = two.add("db", "db").await;
    assert_eq!(one.until_it_knows("shop-2", "shop").await, shop);
    assert_eq!(one.until_it_knows("db", "db").await, db);
    assert_eq!(two.until_it_knows("shop-1", "shop").await, shop);
    until("both nodes", || async {
        (two.inputs.announced_nodes.snapshot().len() == 2).then_some(())
    })
    .await;
    let node = two
        .inputs
        .announced_nodes
        .get(&"n1".into())
        .expect("it is there");
    assert_eq!(node.pod_cidrs, ["10.9.1.0/24".parse().expect("a prefix")]);
    assert_eq!(objects(&store).await, 0, "no CiliumIdentity is needed");
    let forgotten = [
        one.never_forgets("db"),
        one.never_forgets("shop-2"),
        two.never_forgets("shop-1"),
    ];
    etcd.wipe().expect("it starts again");
    let fresh = reader(&etcd);
    until("all of it again", || async {
        is_complete(&fresh, &one, "shop", shop).await?;
        is_complete(&fresh, &two, "shop", shop).await?;
        is_complete(&fresh, &two, "db", db).await
    })
    .await;
    assert_eq!(one.add("db-1", "db").await, db, "it still has its number");
    assert_eq!(two.until_it_knows("db-1", "db").await, db);
    for watch in &forgotten {
        assert!(!watch.is_finished());
    }
    metrics_are_as_documented(&one);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_with_labels_of_others_here_does_not_wait_for_a_silent_etcd() {
    if !server::is_there().expect("an etcd") {
        return;
    }
    let (store, etcd) = (Store::start(10, 5).await, Server::start().expect("an etcd"));
    let state = tempfile::tempdir().expect("a folder");
    let agent = Agent::start((&store, &etcd), 1, "kvstore", state.path(), Vec::new()).await;
    let shop = agent.add("shop-1", "shop").await;
    let asked = agent.number_of("asked").await;
    etcd.pause(true).expect("it stops");
    let identities = agent.identities.clone();
    let new = tokio::spawn(async move { identities.identity(&labels("new")).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (app, identity) in [("shop", shop), ("asked", asked)] {
        let (of, patience) = (labels(app), Duration::from_secs(2));
        let again = tokio::time::timeout(patience, agent.identities.identity(&of)).await;
        let again = again.expect("nobody waits for the making of another's");
        assert_eq!(again.expect("it is known"), identity);
    }
    assert!(!new.is_finished());
    etcd.pause(false).expect("it goes on");
    new.await.expect("no panic").expect("it is made");
    agent.stop().await;
}

/// Families and labels are those that docs/metrics.md lists, and what has happened is in them.
fn metrics_are_as_documented(agent: &Agent) {
    let mut registry = Registry::with_prefix("cilium");
    let etcd = agent.etcd.as_ref().expect("an etcd");
    etcd.metrics().register(&mut registry);
    let text = daemon::metrics::text(&registry);
    let page = Page::read(&text);
    let path = "../../docs/metrics.md";
    let documentation = std::fs::read_to_string(path).expect("docs/metrics.md");
    let (_, rest) = documentation
        .split_once("## Agent over etcd")
        .expect("a section");
    let rest = rest.split("\n## ").next().unwrap_or_default();
    let mut listed = Vec::new();
    for row in rest.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = row.split('|').map(str::trim);
        let name = format!(
            "cilium_{}",
            cells.next().unwrap_or_default().trim_end_matches('`')
        );
        let labels = cells.next().unwrap_or_default().split(", ");
        let labels: Vec<String> = labels.map(|label| format!("{label}=\"\"")).collect();
        let asked = format!("{name}{{{}}}", labels.join(","));
        assert_eq!(
            page.faults(&asked).expect("an expression"),
            [""; 0],
            "{text}"
        );
        listed.push(name.trim_end_matches("_total").to_owned());
    }
    let shown: Vec<_> = page
        .families()
        .map(|name| name.trim_end_matches("_total").to_owned())
        .collect();
    assert_eq!(shown, listed);
    for line in [
        r#"initial_sync_completed{scope="identities/v1",source_cluster="default",action="read"} 1"#,
        r#"initial_sync_completed{scope="ip/v1",source_cluster="default",action="write"} 1"#,
        r#"sync_queue_size{scope="nodes/v1",source_cluster="default"} 0"#,
        r#"operations_duration_seconds_count{scope="identities/v1",kind="set",action="Lock",outcome="success"} "#,
    ] {
        let line = format!("cilium_kvstore_{line}");
        let mut shown = text.lines();
        assert!(
            shown.any(|shown| shown.starts_with(&line)),
            "no {line} in\n{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_moves_to_etcd_and_back_node_by_node_and_no_number_changes() {
    if !server::is_there().expect("an etcd") {
        return;
    }
    let (store, etcd) = (Store::start(0, 5).await, Server::start().expect("an etcd"));
    let (a, b) = (
        tempfile::tempdir().expect("a"),
        tempfile::tempdir().expect("b"),
    );
    let stores = (&store, &etcd);
    let mut one = Agent::start(stores, 1, "crd", a.path(), Vec::new()).await;
    let mut two = Agent::start(stores, 2, "crd", b.path(), Vec::new()).await;
    let (shop, db) = (one.add("shop-1", "shop").await, two.add("db", "db").await);
    let there = ["doublewrite-readcrd", "doublewrite-readkvstore", "kvstore"];
    let back = ["doublewrite-readkvstore", "doublewrite-readcrd", "crd"];
    let reader = reader(&etcd);
    for mode in there.into_iter().chain(back) {
        // One after the other: in between they are of two modes.
        let pods = one.stop().await;
        one = Agent::start(stores, 1, mode, a.path(), pods).await;
        assert_eq!(one.until_it_knows("db", "db").await, db, "{mode}");
        assert_eq!(two.until_it_knows("shop-1", "shop").await, shop, "{mode}");
        assert_eq!(one.number_of("db").await, db, "{mode}");
        let pods = two.stop().await;
        two = Agent::start(stores, 2, mode, b.path(), pods).await;
        assert_eq!(one.until_it_knows("db", "db").await, db, "{mode}");
        assert_eq!(two.until_it_knows("shop-1", "shop").await, shop, "{mode}");
        // What is new is known to both, whichever of them asks first.
        let new = format!(
            "new-{mode}-{}",
            reader.list("", true).await.map_or(0, |all| all.len())
        );
        let given = one.number_of(&new).await;
        assert_eq!(two.number_of(&new).await, given, "{mode}");
        if mode != "crd" {
            until("all in etcd", || async {
                is_complete(&reader, &one, "shop", shop).await?;
                is_complete(&reader, &two, "db", db).await
            })
            .await;
        }
        if mode.starts_with("doublewrite") {
            let path = format!("{IDENTITIES}/{shop}");
            until("the object too", || async {
                let object = store.get(&path).await;
                object["security-labels"]["k8s:app"].as_str().map(drop)
            })
            .await;
        }
    }
    one.stop().await;
    two.stop().await;
}
