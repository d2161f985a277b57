use std::time::Duration;

use reconcile::TableWriter;
use tokio::time::timeout;

use super::*;
use crate::config::Given;

const OVER: &str = "{\"denyConfigKeys\":[\"cluster-name\"]}";
const FROM: &str = "[{\"kind\":\"config-map\",\"namespace\":\"kube-system\",\"name\":\"cilium-config\"},\
    {\"kind\":\"cilium-node-config\",\"namespace\":\"kube-system\"},{\"kind\":\"node\",\"name\":\"n1\"}]";

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

/// As an agent read them from files that build-config wrote.
fn given(pairs: &[(&'static str, &'static str)]) -> Config {
    let base = [
        ("k8s-node-name", "n1"),
        ("config-sources", FROM),
        ("config-sources-overrides", OVER),
        ("ignore-flags-drift-checker", "mtu"),
    ];
    let files = base.iter().chain(pairs).copied();
    Config::new(&Given::from_files(files)).unwrap()
}

/// What the ConfigMap says besides what a test gives.
const REST: [(&str, &str); 2] = [
    ("k8s-node-name", "n1"),
    ("ignore-flags-drift-checker", "mtu"),
];

fn row(labels: &[(&str, &str)], of: &[(&str, &str)]) -> NodeRow {
    NodeRow {
        labels: settings(labels),
        settings: settings(of),
    }
}

fn spec(label: (&str, &str), defaults: &[(&str, &str)]) -> NodeConfigSpec {
    let mut spec = NodeConfigSpec {
        defaults: settings(defaults),
        ..NodeConfigSpec::default()
    };
    spec.node_selector.match_labels = settings(&[label]);
    spec
}

struct World {
    map: TableWriter<Arc<str>, Settings>,
    configs: TableWriter<Arc<str>, NodeConfigSpec>,
    node: TableWriter<Arc<str>, NodeRow>,
    changed: watch::Receiver<Changed>,
    stop: CancellationToken,
}

impl World {
    fn begin(config: &Config) -> Self {
        let (map, of_map) = Table::new("settings", &["store"]);
        let (configs, of_configs) = Table::new("settings of nodes", &["store"]);
        let (node, own) = Table::new("node", &["store"]);
        let all = vec![
            Followed::ConfigMap(of_map),
            Followed::NodeConfigs(of_configs),
            Followed::Node(own.clone()),
        ];
        let (sender, changed) = watch::channel(None);
        let stop = CancellationToken::new();
        let drift = config.drift.clone().expect("there are sources");
        let sources = Sources { own, all };
        tokio::spawn(compare(drift, sources, sender, stop.clone()));
        Self {
            map,
            configs,
            node,
            changed,
            stop,
        }
    }

    fn says(&mut self, pairs: &[(&str, &str)]) {
        let all = settings(&[&REST[..], pairs].concat());
        self.map.set("cilium-config".into(), all);
        self.map.mark_initialized("store");
    }

    async fn expect(&mut self, keys: &[&str]) {
        let keys: Arc<[String]> = keys.iter().map(|&key| key.to_owned()).collect();
        let wanted = |changed: &Changed| changed.as_ref() == Some(&keys);
        let found = timeout(Duration::from_secs(5), self.changed.wait_for(wanted));
        let is_found = found.await.is_ok();
        let known = self.changed.borrow();
        assert!(is_found, "{known:?} and not {keys:?}");
    }
}

#[tokio::test]
async fn nothing_is_known_before_all_sources_are() {
    let mut world = World::begin(&given(&[("debug", "true")]));
    world.says(&[("debug", "false")]);
    world.node.mark_initialized("store");
    tokio::time::sleep(GATHER * 3).await;
    assert_eq!(*world.changed.borrow(), None);
    world.configs.mark_initialized("store");
    world.expect(&["debug"]).await;
    world.stop.cancel();
}

#[tokio::test]
async fn what_a_start_now_would_change_is_named_and_no_more_when_it_is_as_it_was() {
    let mut world = World::begin(&given(&[("debug", "true"), ("labels", "k8s:app")]));
    world.node.set("n1".into(), row(&[("zone", "a")], &[]));
    world.node.mark_initialized("store");
    world.configs.mark_initialized("store");
    world.says(&[("debug", "true"), ("labels", "k8s:app")]);
    world.expect(&[]).await;
    // Of those that may differ nobody is told.
    world.says(&[("labels", "k8s:app"), ("mtu", "1400"), ("debug", "true")]);
    world
        .configs
        .set("b".into(), spec(("zone", "b"), &[("debug", "false")]));
    world.expect(&[]).await;
    world.configs.set(
        "a".into(),
        spec(
            ("zone", "a"),
            &[("labels", "k8s:team"), ("cluster-name", "x")],
        ),
    );
    world.expect(&["labels"]).await;
    // The node moves, and an annotation has the last word.
    world.node.set(
        "n1".into(),
        row(&[("zone", "b")], &[("labels", "k8s:tier")]),
    );
    world.expect(&["debug", "labels"]).await;
    world.node.set("n1".into(), row(&[("zone", "c")], &[]));
    world.expect(&[]).await;
    world.map.remove(&"cilium-config".into());
    world
        .expect(&[
            "debug",
            "ignore-flags-drift-checker",
            "k8s-node-name",
            "labels",
        ])
        .await;
    world.stop.cancel();
}

#[test]
fn nobody_compares_where_it_is_switched_off_or_the_sources_are_not_known() {
    assert!(given(&[]).drift.is_some());
    for off in ["enable-dynamic-config", "enable-drift-checker"] {
        assert!(given(&[(off, "false")]).drift.is_none());
    }
    assert!(given(&[("config-sources", "")]).drift.is_none());
    let bad = [("k8s-node-name", "n1"), ("config-sources", "all")];
    let refused = Config::new(&Given::from_pairs(bad)).unwrap_err();
    assert!(
        refused.to_string().starts_with("config-sources: \"all\""),
        "{refused}"
    );
}
