//! What etcd adds: tables in place of objects, or beside them, and keys of this node.

use std::sync::Arc;

use model::node::NodeObject;
use reconcile::{Table, TaskGroup};
use store::Client;

use super::Kvstore;
use crate::addresses::Addresses;
use crate::config::Config;
use crate::identity::{Identities, keep_objects};
use crate::inputs::{Shared, own_node};
use crate::node::Addressing;
use crate::view::ViewReader;

/// What agents tell each other, and the CiliumNodes among which this node's is.
pub fn shared(
    client: &Client,
    config: &Config,
    kvstore: Option<&Kvstore>,
    tasks: &TaskGroup,
) -> (Shared, Table<Arc<str>, NodeObject>) {
    let Some(kvstore) = kvstore else {
        let objects = Shared::objects(client, tasks, config.store.announcements);
        let nodes = objects.announced_nodes.clone();
        return (objects, nodes);
    };
    if !kvstore.settings.mode.uses_objects() {
        let nodes = own_node(client, tasks, &config.node);
        return (kvstore.tables(&config.cluster, None, tasks), nodes);
    }
    let objects = Shared::objects(client, tasks, config.store.announcements);
    let nodes = objects.announced_nodes.clone();
    let both = kvstore.tables(&config.cluster, Some(objects), tasks);
    (both, nodes)
}

/// Keeps this node's keys in etcd, and gives numbers there if the mode says so.
pub fn over_etcd(
    identities: Identities,
    kvstore: Option<&Kvstore>,
    (client, config): (&Client, &Config),
    (addressing, addresses, view): (&Addressing, &Addresses, &ViewReader),
    tasks: &TaskGroup,
) -> anyhow::Result<Identities> {
    let Some(kvstore) = kvstore else {
        return Ok(identities);
    };
    let numbers = identities.numbers();
    let keys = kvstore.announce(
        config,
        (addressing, addresses),
        numbers.range(),
        view,
        tasks,
    )?;
    let mode = kvstore.settings.mode;
    if !mode.reads_etcd() {
        return Ok(identities);
    }
    if mode.uses_objects() {
        let (client, view) = (client.clone(), view.clone());
        tasks.spawn("identities as objects", move |stop| {
            keep_objects(client, view, numbers, stop)
        });
    }
    Ok(identities.over(Some(keys)))
}
