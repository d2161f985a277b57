//! Whether what the cluster's objects say of this node's settings still is what the agent runs with. It only looks: new
//! settings are taken in by a start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{CiliumNodeConfig, NodeConfigSpec};
use api::kubernetes::{ConfigMap, Node, Resource};
use reconcile::table::Value;
use reconcile::{Subscription, Table, TaskGroup};
use store::settings::{Settings, Source, of_annotations, of_node};
use store::{Client, Scope, reflect};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Drift};

/// Changes that come together are compared together.
const GATHER: Duration = Duration::from_millis(100);

/// Keys to which a start now would give another value, in order of the names; none at all before that is known, and where
/// nobody compares.
pub type Changed = Option<Arc<[String]>>;

/// What matters of a node.
#[derive(Debug, PartialEq, Eq)]
struct NodeRow {
    labels: BTreeMap<String, String>,
    settings: Settings,
}

/// A source, followed.
enum Followed {
    ConfigMap(Table<Arc<str>, Settings>),
    NodeConfigs(Table<Arc<str>, NodeConfigSpec>),
    Node(Table<Arc<str>, NodeRow>),
}

impl Followed {
    fn subscribe(&self) -> Subscription {
        match self {
            Self::ConfigMap(table) => table.subscribe(),
            Self::NodeConfigs(table) => table.subscribe(),
            Self::Node(table) => table.subscribe(),
        }
    }
}

/// The sources, and the node whose labels choose among CiliumNodeConfigs.
struct Sources {
    own: Table<Arc<str>, NodeRow>,
    all: Vec<Followed>,
}

/// Follows the sources of this agent's settings.
pub fn follow(client: &Client, config: &Config, tasks: &TaskGroup) -> watch::Receiver<Changed> {
    let (sender, receiver) = watch::channel(None);
    let Some(drift) = config.drift.clone() else {
        return receiver;
    };
    let node = |name: &str| {
        let scope = Scope::fields(format!("metadata.name={name}"));
        one_by_one(
            client,
            tasks,
            ("settings of the node", scope),
            |of: Node| NodeRow {
                settings: of_annotations(&of),
                labels: of.metadata.labels,
            },
        )
    };
    let own = node(&config.node);
    let all = drift.sources.iter().map(|source| match source {
        Source::ConfigMap { namespace, name } => {
            let scope = Scope {
                namespace: Some(namespace.clone()),
                fields: Some(format!("metadata.name={name}")),
                labels: None,
            };
            let row = |of: ConfigMap| of.data;
            Followed::ConfigMap(one_by_one(client, tasks, ("settings", scope), row))
        }
        Source::CiliumNodeConfig { namespace } => {
            let scope = Scope {
                namespace: Some(namespace.clone()),
                ..Scope::default()
            };
            let row = |of: CiliumNodeConfig| of.spec;
            let what = ("settings of nodes", scope);
            Followed::NodeConfigs(one_by_one(client, tasks, what, row))
        }
        Source::Node { name } if *name == config.node => Followed::Node(own.clone()),
        Source::Node { name } => Followed::Node(node(name)),
    });
    let sources = Sources {
        all: all.collect(),
        own,
    };
    tasks.spawn("drift of the settings", move |stop| {
        compare(drift, sources, sender, stop)
    });
    receiver
}

/// A table with one row an object, by its name.
fn one_by_one<R: Resource, V: Value>(
    client: &Client,
    tasks: &TaskGroup,
    (name, scope): (&'static str, Scope),
    row: impl Fn(R) -> V + Send + Sync + 'static,
) -> Table<Arc<str>, V> {
    let (writer, table) = Table::new(name, &[name]);
    let client = client.clone();
    let rows = move |object: R| {
        let name: Arc<str> = object.meta().name.as_str().into();
        vec![(name, row(object))]
    };
    tasks.spawn(name, move |stop| {
        reflect::<R, _, _>(client, scope, name, writer, rows, stop)
    });
    table
}

impl Sources {
    /// What they say now; none before all have said something. A source that is gone keeps its place in the order.
    fn layers(&self) -> Option<Vec<Settings>> {
        let labels = only(&self.own, |row| row.labels.clone())?;
        let mut layers = Vec::new();
        for source in &self.all {
            match source {
                Followed::ConfigMap(table) => layers.push(only(table, Clone::clone)?),
                Followed::Node(table) => layers.push(only(table, |row| row.settings.clone())?),
                Followed::NodeConfigs(table) => {
                    let found = table.snapshot();
                    let specs = found.iter().map(|(name, spec)| (&**name, spec));
                    found.is_initialized().then_some(())?;
                    layers.extend(of_node(specs, &labels));
                }
            }
        }
        Some(layers)
    }
}

/// What matters of the one object of a table; none before it is known whether there is one.
fn only<V: Value, T: Default>(table: &Table<Arc<str>, V>, of: impl Fn(&V) -> T) -> Option<T> {
    let found = table.snapshot();
    let row = found.iter().next().map(|(_, row)| of(row));
    found.is_initialized().then(|| row.unwrap_or_default())
}

async fn compare(
    drift: Drift,
    sources: Sources,
    sender: watch::Sender<Changed>,
    stop: CancellationToken,
) {
    let mut subscriptions: Vec<_> = sources.all.iter().map(Followed::subscribe).collect();
    subscriptions.push(sources.own.subscribe());
    let work = async {
        loop {
            if let Some(layers) = sources.layers() {
                state(&sender, &drift.changed_by(layers).into());
            }
            let changes = subscriptions.iter_mut().map(|of| Box::pin(of.changed()));
            futures::future::select_all(changes).await;
            tokio::time::sleep(GATHER).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(work).await;
}

/// Says in the log what is new; of values it says nothing.
fn state(sender: &watch::Sender<Changed>, changed: &Arc<[String]>) {
    sender.send_if_modified(|known| {
        let before = known.replace(Arc::clone(changed));
        let is_new = before.as_ref() != Some(changed);
        if is_new && !changed.is_empty() {
            let (count, keys) = (changed.len(), changed.join(", "));
            tracing::warn!(count, keys, "the cluster has other settings for this node than its agent runs with; a restart takes them in");
        } else if is_new && before.is_some() {
            tracing::info!("the agent runs with the settings that the cluster has for this node");
        }
        is_new
    });
}

#[cfg(test)]
mod tests;
