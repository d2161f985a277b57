//! The operator, put together: what runs always, what runs while it leads, and what happens when it does not lead any more.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use http::Method;
use reconcile::{Table, TaskGroup};
use store::Client;
use store::etcd::Etcd;
use tokio_util::sync::CancellationToken;

use crate::collect::identities::Identities;
use crate::collect::nodes::Nodes;
use crate::config::{Config, Ipam};
use crate::leader::Leader;
use crate::metrics::Metrics;
use crate::slices::Leftover;
use crate::unmanaged::Restarter;
use crate::{
    accepted, collect, definitions, health, in_force, inputs, ipam, kvstore, lease, nodes, secrets,
    slices,
};

/// Ends of tasks are waited for so long.
const GRACE: Duration = Duration::from_secs(5);

/// Slices that were switched off go after so long: the agents of a large cluster are started anew one after the other.
const LEFTOVER: Duration = Duration::from_mins(30);

/// Runs the operator until it is told to stop, or leads no more.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let client = store(&config, metrics.requests()).await?;
    let etcd = config
        .kvstore
        .as_ref()
        .map(|of| Etcd::new(of.options.clone()));
    let etcd = etcd.transpose().context("kvstore-opt")?;
    let tasks = TaskGroup::new();
    tasks.spawn("API server health", {
        let client = client.clone();
        move |stop| async move { client.guard(stop).await }
    });
    let places = (config.health, config.metrics);
    health::serve(&client, &metrics, places, &tasks).await?;
    let holder = holder(&config.node);
    tracing::info!(holder, "waiting to lead");
    let elected = tokio::select! {
        elected = lease::campaign(&client, &config.namespace, &holder, config.lease) => Some(elected),
        () = stop.cancelled() => None,
    };
    let result = match elected {
        None => Ok(()),
        Some((term, keeper, note)) => {
            tracing::info!(holder, "this operator leads");
            metrics.leads(true);
            let kept = TaskGroup::new();
            kept.spawn("lease", move |stop| keeper.run(stop));
            let leader = Leader::new(client, term);
            let result = lead((&config, etcd), &leader, &note, &metrics, stop).await;
            // Only when nothing of ours is under way any more may somebody else lead.
            kept.shutdown(GRACE).await;
            metrics.leads(false);
            result
        }
    };
    tasks.shutdown(GRACE).await;
    result
}

/// All duties of a leader, until `stop` or the end of the term.
async fn lead(
    (config, etcd): (&Config, Option<Etcd>),
    leader: &Leader,
    note: &str,
    metrics: &Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let claims = ipam::read_claims(note).context("the claims on the lease cannot be read")?;
    let duties = TaskGroup::new();
    let ended = duties.token();
    let started = async {
        start_etcd(config, etcd, leader, metrics, &duties);
        start_duties(config, leader, claims, metrics, &duties).await;
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = leader.term().over() => Err(anyhow!("this operator does not lead any more")),
        () = ended.cancelled() => Err(anyhow!("a part of the operator ended by itself, see the log")),
        () = started => Ok(()),
    };
    duties.shutdown(GRACE).await;
    result
}

async fn start_duties(
    config: &Config,
    leader: &Leader,
    claims: Vec<ipam::Claim>,
    metrics: &Arc<Metrics>,
    duties: &TaskGroup,
) {
    if config.register {
        definitions::register(leader).await;
    }
    let client = leader.reader();
    duties.spawn("version of the API server", {
        let (client, metrics) = (client.clone(), Arc::clone(metrics));
        move |stop| state_version(client, metrics, stop)
    });
    let nodes = inputs::announced_nodes(client, duties);
    if let Some(slicing) = &config.slices {
        slices::start(leader, slicing, nodes.clone(), metrics, duties);
    }
    in_force::start(leader, nodes.clone(), duties);
    start_ranges(config, leader, (nodes, claims), metrics, duties);
    start_node_duties(config, leader, duties);
    start_collection(config, leader, metrics, duties);
    if let Some(duty) = config.unmanaged.clone() {
        let every = Some(duty.every);
        let restarter = Restarter::new(leader.clone(), duty, Arc::clone(metrics));
        duties.spawn("unmanaged pods", move |stop| {
            collect::repeat(
                "unmanaged pods",
                every,
                move || restarter.clone().look(),
                stop,
            )
        });
    }
    if let Some(namespace) = &config.secrets {
        secrets::start(leader, namespace, duties);
    }
    accepted::start(leader, duties);
}

fn start_ranges(
    config: &Config,
    leader: &Leader,
    (nodes, claims): (Table<Arc<str>, ipam::NodeRow>, Vec<ipam::Claim>),
    metrics: &Arc<Metrics>,
    duties: &TaskGroup,
) {
    let source = match &config.ipam {
        Ipam::Kubernetes => return,
        Ipam::ClusterPool(pools) => ipam::Source::Cluster(pools.clone()),
        Ipam::MultiPool(created) => {
            let (writer, created) = (leader.clone(), created.clone());
            duties.spawn("pools of the configuration", move |stop| {
                ipam::create(writer, created, stop)
            });
            ipam::Source::Pools(inputs::pools(leader.reader(), duties))
        }
    };
    let (leader, metrics) = (leader.clone(), Arc::clone(metrics));
    duties.spawn("ranges of nodes", move |stop| {
        ipam::keep(leader, source, nodes, claims, metrics, stop)
    });
}

/// The heartbeat does not wait for anything else.
fn start_etcd(
    config: &Config,
    etcd: Option<Etcd>,
    leader: &Leader,
    metrics: &Arc<Metrics>,
    duties: &TaskGroup,
) {
    let (Some(etcd), Some(settings)) = (etcd, &config.kvstore) else {
        return;
    };
    duties.spawn("etcd health", {
        let etcd = etcd.clone();
        move |stop| async move { etcd.guard(stop).await }
    });
    let term = leader.term().clone();
    duties.spawn("heartbeat of etcd", {
        let (etcd, period) = (etcd.clone(), settings.options.heartbeat);
        move |stop| kvstore::beat(etcd, term, period, stop)
    });
    if settings.mode.uses_objects() {
        let doubles = kvstore::Doubles::new(etcd.clone(), leader.clone(), Arc::clone(metrics));
        duties.spawn("identities of both stores", move |stop| {
            let round = move || doubles.clone().compare();
            collect::repeat(
                "identities of both stores",
                Some(kvstore::COMPARED),
                round,
                stop,
            )
        });
    }
    if let Some(every) = config.collection.identities {
        let rate = config.collection.identities_per_second;
        let numbers = kvstore::Numbers::new(etcd, leader.clone(), rate, Arc::clone(metrics));
        duties.spawn("collection of identities in etcd", move |stop| {
            let round = move || numbers.clone().collect();
            collect::repeat("identities in etcd", Some(every), round, stop)
        });
    }
}

fn start_node_duties(config: &Config, leader: &Leader, duties: &TaskGroup) {
    let of = config.nodes.clone();
    if !of.remove_taint && !of.set_taint && !of.set_condition {
        return;
    }
    let nodes = inputs::nodes(leader.reader(), duties);
    let agents = inputs::agents(leader.reader(), &of, duties);
    let leader = leader.clone();
    duties.spawn("taints and conditions of nodes", move |stop| {
        nodes::keep(leader, of, nodes, agents, stop)
    });
}

fn start_collection(config: &Config, leader: &Leader, metrics: &Arc<Metrics>, duties: &TaskGroup) {
    let of = &config.collection;
    // With etcd alone there are no objects to collect but those of before, which harm nobody.
    let objects = config
        .kvstore
        .as_ref()
        .is_none_or(|of| of.mode.uses_objects());
    if let Some(every) = of.identities.filter(|_| objects) {
        let (timeout, rate) = (of.identity_timeout, of.identities_per_second);
        let identities = Identities::new(leader, timeout, rate, Arc::clone(metrics));
        duties.spawn("collection of identities", move |stop| {
            let round = move || identities.clone().collect();
            collect::repeat("identities", Some(every), round, stop)
        });
    }
    if config.slices.is_none() {
        let leftover = Leftover::new(leader.clone(), LEFTOVER);
        duties.spawn("collection of slices", move |stop| {
            let round = move || leftover.clone().collect();
            collect::repeat("slices", Some(LEFTOVER / 6), round, stop)
        });
    }
    if of.endpoints_once {
        let (leader, metrics, every) = (leader.clone(), Arc::clone(metrics), of.endpoints);
        duties.spawn("collection of endpoints", move |stop| {
            let round = move || collect::endpoints::collect(leader.clone(), Arc::clone(&metrics));
            collect::repeat("endpoints", every, round, stop)
        });
    }
    if let Some(every) = of.nodes {
        let nodes = Nodes::new(leader.clone(), every);
        duties.spawn("collection of CiliumNodes", move |stop| {
            let round = move || nodes.clone().collect();
            collect::repeat("CiliumNodes", Some(every), round, stop)
        });
    }
}

async fn store(config: &Config, requests: &store::Metrics) -> anyhow::Result<Client> {
    let mut options = store::Options::named("axoneme-operator");
    options.kubeconfig.clone_from(&config.store.kubeconfig);
    options.urls.clone_from(&config.store.urls);
    options.requests_per_second = config.store.requests_per_second;
    options.burst = config.store.burst;
    options.metrics = requests.clone();
    Client::new(options)
        .await
        .context("k8s-kubeconfig-path, k8s-api-server-urls")
}

/// Unique to this process: one that was started anew is another holder.
fn holder(node: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = [node, host.trim(), "operator"];
    let name = name.into_iter().find(|name| !name.is_empty());
    format!(
        "{}-{:016x}",
        name.unwrap_or_default(),
        rand::random::<u64>()
    )
}

async fn state_version(client: Client, metrics: Arc<Metrics>, stop: CancellationToken) {
    let answer = stop.run_until_cancelled(client.raw(Method::GET, "/version", None));
    if let Some(Ok(version)) = answer.await {
        let version = version
            .get("gitVersion")
            .and_then(serde_json::Value::as_str);
        metrics.kubernetes(version.unwrap_or_default());
    }
    stop.cancelled().await;
}
