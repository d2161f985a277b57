//! etcd as the store of identities, nodes and addresses, alone or beside the API server.
//!
//! The tables are the same as those that CustomResources fill. With etcd alone, they are its; while a cluster moves from one to
//! the other, agents write to both. Identities are then read from the one that the mode names, nodes and addresses from etcd,
//! and from objects where etcd lacks them: of a node that does not write to etcd yet, or not any more.

pub mod announce;
pub mod merge;
mod start;
pub mod values;

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use model::endpoint::PodName;
use model::identity::{Identity, from_key};
use model::labels::LabelSet;
use model::node::NodeObject;
use reconcile::{Table, TaskGroup};
use store::etcd::{
    Etcd, Identities, Metrics, Owned, Pair, Patience, Settings, SharedLease, layout, mirror,
};

use crate::addresses::Addresses;
use crate::config::Config;
use crate::inputs::{RemoteEndpoint, Shared};
use crate::node::Addressing;
use crate::view::ViewReader;
use announce::{Holds, Name};
pub use start::{over_etcd, shared};

/// Initialized by the first complete list of each kind.
const IDENTITIES: &str = "identities in etcd";
const NODES: &str = "nodes in etcd";
const ADDRESSES: &str = "addresses in etcd";

/// The connection to etcd, and what this node holds there.
#[derive(Clone)]
pub struct Kvstore {
    /// The client.
    pub etcd: Etcd,
    /// How it is used.
    pub settings: Settings,
    /// Identities that were asked for.
    pub holds: Holds,
}

/// How numbers are given in etcd.
#[derive(Clone)]
pub struct Numbers {
    /// The allocator.
    pub keys: Identities,
    /// What was asked for.
    pub holds: Holds,
    /// The endpoints of this node.
    pub view: ViewReader,
}

impl Kvstore {
    /// Connects, if the configuration says so.
    pub fn connect(config: &Config, tasks: &TaskGroup) -> anyhow::Result<Option<Self>> {
        let Some(mut settings) = config.kvstore.clone() else {
            return Ok(None);
        };
        settings.options.metrics = Metrics::of(&config.cluster);
        let etcd = Etcd::new(settings.options.clone()).context("kvstore-opt")?;
        tasks.spawn("etcd health", {
            let etcd = etcd.clone();
            move |stop| async move { etcd.guard(stop).await }
        });
        Ok(Some(Self {
            etcd,
            settings,
            holds: Holds::default(),
        }))
    }

    /// The tables of identities, nodes and endpoints; `objects` are those of the API server, where they are used as well.
    pub fn tables(&self, cluster: &str, objects: Option<Shared>, tasks: &TaskGroup) -> Shared {
        let of_etcd = Shared {
            announced_nodes: self.nodes(cluster, tasks),
            identities: self.identities(tasks),
            endpoints: self.endpoints(tasks),
        };
        let Some(objects) = objects else {
            return of_etcd;
        };
        Shared {
            identities: if self.settings.mode.reads_etcd() {
                of_etcd.identities
            } else {
                objects.identities
            },
            announced_nodes: {
                let (writer, table) = Table::new("nodes", &[NODES]);
                let both = (of_etcd.announced_nodes, objects.announced_nodes);
                tasks.spawn("nodes of both stores", move |stop| {
                    merge::prefer(both, writer, NODES, stop)
                });
                table
            },
            endpoints: {
                let (writer, table) = Table::new("endpoints", &[ADDRESSES]);
                let both = (of_etcd.endpoints, objects.endpoints);
                tasks.spawn("endpoints of both stores", move |stop| {
                    merge::prefer(both, writer, ADDRESSES, stop)
                });
                table
            },
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            broken: self.settings.lease_ttl,
            ..Patience::default()
        }
    }

    fn identities(&self, tasks: &TaskGroup) -> Table<Identity, LabelSet> {
        let (writer, table) = Table::new("identities in etcd", &[IDENTITIES]);
        let row = |pair: &Pair| {
            let number = layout::number_of(&pair.key)?;
            match from_key(pair.text()?) {
                Ok(labels) => Some((Identity(number), labels)),
                Err(error) => {
                    tracing::warn!(number, %error, "an identity with unreadable labels is left out");
                    None
                }
            }
        };
        let (etcd, patience) = (self.etcd.clone(), self.patience());
        tasks.spawn("identities in etcd", move |stop| {
            let prefix = layout::IDENTITIES.to_owned();
            mirror(etcd, prefix, IDENTITIES, writer, row, patience, stop)
        });
        table
    }

    fn nodes(&self, cluster: &str, tasks: &TaskGroup) -> Table<Arc<str>, NodeObject> {
        let (writer, table) = Table::new("nodes in etcd", &[NODES]);
        let row = |pair: &Pair| readable(&pair.key, values::node_row(&pair.value));
        let (etcd, patience, prefix) = (self.etcd.clone(), self.patience(), layout::nodes(cluster));
        tasks.spawn("nodes in etcd", move |stop| {
            mirror(etcd, prefix, NODES, writer, row, patience, stop)
        });
        table
    }

    fn endpoints(&self, tasks: &TaskGroup) -> Table<PodName, RemoteEndpoint> {
        let (writer, addresses) = Table::new("addresses in etcd", &[ADDRESSES]);
        let row = |pair: &Pair| readable(&pair.key, values::address_row(&pair.value));
        let (etcd, patience) = (self.etcd.clone(), self.patience());
        tasks.spawn("addresses in etcd", move |stop| {
            let prefix = layout::ADDRESSES.to_owned();
            mirror(etcd, prefix, ADDRESSES, writer, row, patience, stop)
        });
        let (writer, table) = Table::new("endpoints in etcd", &[ADDRESSES]);
        tasks.spawn("endpoints in etcd", move |stop| {
            merge::endpoints(addresses, writer, ADDRESSES, stop)
        });
        table
    }

    /// Keeps what is this node's in etcd. The answer allocates numbers for it.
    pub fn announce(
        &self,
        config: &Config,
        (addressing, addresses): (&Addressing, &Addresses),
        numbers: std::ops::RangeInclusive<u32>,
        view: &ViewReader,
        tasks: &TaskGroup,
    ) -> anyhow::Result<Numbers> {
        let v4 = addressing.node_ipv4.map(IpAddr::V4);
        let address = v4.or(addressing.node_ipv6.map(IpAddr::V6));
        let address = address.context("this node has no address")?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let name = Name {
            node: config.node.clone(),
            address,
            addresses: addresses.clone(),
            own: (
                layout::node(&config.cluster, &config.node),
                values::node(config, addressing, boot.trim()),
            ),
            numbers,
        };
        let (writer, wanted) = Table::new("keys in etcd", &["endpoints"]);
        let file = config.state_dir.join("etcd-leases");
        let owned = Owned::new(self.etcd.clone(), wanted, self.settings.lease_ttl, file);
        let lease: SharedLease = owned.lease();
        tasks.spawn("keys in etcd", move |stop| owned.run(stop));
        tasks.spawn("announcements in etcd", {
            let (view, holds) = (view.clone(), self.holds.clone());
            move |stop| announce::follow(view, holds, name, writer, stop)
        });
        Ok(Numbers {
            keys: Identities::new(self.etcd.clone(), address.to_string(), lease),
            holds: self.holds.clone(),
            view: view.clone(),
        })
    }
}

fn readable<K, V>(key: &str, row: Result<(K, V), String>) -> Option<(K, V)> {
    match row {
        Ok(row) => Some(row),
        Err(error) => {
            tracing::warn!(key, error, "a key of etcd cannot be read and is left out");
            None
        }
    }
}
