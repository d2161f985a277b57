//! The agent, put together: which parts there are, what each is given, and in which order they start.

mod flow_metrics;
mod flows;
mod kernel;
mod node;
mod probes;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::kernel::clock::Clock;
use ::kernel::collector::Collector;
use anyhow::{Context, bail};
use api::cilium::CiliumNode;
use model::endpoint::PodName;
use model::labels::LabelFilter;
use model::need::Times;
use model::node::NodeObject;
use model::policy::{ParseOptions, cidr::Reach};
use netlink::Handle;
use reconcile::{Table, TaskGroup};
use store::Client;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::announce::Origin;
use crate::config::{Config, Ipam};
use crate::engine::interfaces::OfNode;
use crate::engine::{self, ByNeed, Engine, Parts};
use crate::flows::collect;
use crate::health::endpoint::Maker;
use crate::identity::Identities;
use crate::in_force::Teller;
use crate::inputs::{Inputs, RemoteEndpoint};
use crate::kvstore::{Kvstore, over_etcd, shared};
use crate::last_good::{self, LastGood};
use crate::local_api::{self, Api, EndpointLog};
use crate::metrics::{Metrics, State};
use crate::node::{Addressing, prepare};
use crate::own_node::{Own, own_addressing};
use crate::pools::Pools;
use crate::sockets::Closer;
use crate::view::{self, ViewReader};
use crate::{announce, cni_conf, drift, health, layouts, masquerade, policy_status, queue};
use flows::start_flows;
use kernel::{attach_devices, check_pins, load, report_features, table_sizes};
use node::keep_routes;
use probes::{serve_health, start_health};

/// Runs the agent until it is told to stop; what it has put into the kernel stays.
#[allow(
    clippy::too_many_lines,
    reason = "the wiring is one list, read from top to bottom"
)]
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let metrics = Metrics::default();
    let mut phases = Phases::begin(metrics.clone());
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("state-dir {}", config.state_dir.display()))?;
    let features = report_features(::kernel::probe::probe())?;
    layouts::check(&config.state_dir).context("state-dir")?;
    let restored = engine::read_saved(&config.state_dir).context("read saved endpoints")?;
    check_pins(&config)?;
    // Up to here nothing was changed, so that a release that cannot take over leaves everything to the one before.
    layouts::record(&config.state_dir).context("state-dir")?;
    phases.done_as("earlyInit", "the kernel is probed");
    let requests = store::Metrics::default();
    let client = store(&config, &requests).await?;
    let tasks = TaskGroup::new();
    // However this ends: threads that sleep and work by turns would hold the program until they are told.
    let _ended = tasks.token().drop_guard();
    tasks.spawn("API server health", {
        let client = client.clone();
        move |stop| async move { client.guard(stop).await }
    });
    let last_good = LastGood::open(&config.state_dir).context("last good versions")?;
    let options = parse_options(&config);
    let kvstore = Kvstore::connect(&config, &tasks)?;
    let (shared, own_nodes) = shared(&client, &config, kvstore.as_ref(), &tasks);
    let inputs = Inputs::follow(&client, &tasks, &config.node, &options, &last_good, shared);
    let own = own_addressing(&client, &config, &stop).await?;
    let addressing = own.addressing.clone();
    phases.done_as("k8sInit", "this node's object is read");
    let handle = Handle::open().context("open netlink")?;
    netlink::sysctl::use_procfs(&config.datapath.procfs);
    let devices = prepare(&handle, &config.datapath, &addressing, &config.state_dir)
        .context("prepare the node")?;
    health::endpoint::remove_leftover(&handle).context("remove the last health endpoint")?;
    phases.done("devices and sysctls are as they should be");
    let clock = Clock::start().context("measure the kernel's clock")?;
    phases.done("the kernel's clock is measured");
    let kernel = load(&config, clock.hz())?;
    phases.done("the packet path is loaded");
    let (maps, capacity) = (kernel.maps.clone(), table_sizes(&config).connections);
    let filter = label_filter(&config)?;
    let by_need = config.policy.by_need;
    let by_need = by_need.map(|announce| ByNeed::open(&config.state_dir, Times::of(announce)));
    let in_use = by_need.as_ref().map(ByNeed::wanted);
    let (view_writer, view) = view::channel();
    let (wanted, wanting) = mpsc::unbounded_channel();
    let (commands, orders) = mpsc::channel(64);
    let list = config.datapath.masquerade_list.clone();
    let spare = masquerade::follow(list, &config.state_dir, &tasks);
    let (gone, going) = mpsc::unbounded_channel();
    let parts = Parts {
        config: Arc::clone(&config),
        addressing: addressing.clone(),
        devices: devices.clone(),
        maps: maps.clone(),
        interfaces: Box::new(OfNode {
            handle,
            kernel,
            open: Box::new({
                let (devices, config) = (devices.clone(), Arc::clone(&config));
                move |kernel| attach_devices(kernel, &devices, &config)
            }),
        }),
        inputs: inputs.clone(),
        filter: filter.clone(),
        by_need,
        view: view_writer,
        wanted,
        spare: spare.clone(),
        gone,
        metrics: metrics.clone(),
    };
    let engine = Engine::new(parts, restored).context("take over what the kernel holds")?;
    phases.done("the endpoints of before are taken over");
    // Not what was saved: an endpoint that is gone has no address any more.
    let addresses = own_addresses(&own, &config, &view).counted_in(metrics.clone());
    tasks.spawn("unconfirmed addresses", {
        let addresses = addresses.clone();
        move |stop| addresses.expire(stop)
    });
    start_engine(engine, orders, &tasks);
    let identities = Identities::new(&client, inputs.clone(), &config, filter).by_need(in_use);
    let identities = over_etcd(
        identities,
        kvstore.as_ref(),
        (&client, &config),
        (&addressing, &addresses, &view),
        &tasks,
    )?;
    tasks.spawn("identities", {
        let (identities, commands) = (identities.clone(), commands.clone());
        move |stop| identities.serve(wanting, commands, stop)
    });
    tasks.spawn("identities of pods that come", {
        let identities = identities.clone();
        move |stop| identities.ahead(stop)
    });
    let pools = Pools::follow(&client, &config, &identities, &tasks);
    let drift = drift::follow(&client, &config, &tasks);
    start_policy_conditions(&client, &inputs, &tasks);
    tasks.spawn("what is in force", {
        let enforcement = config.policy.enforcement;
        let teller = Teller::new(
            &client,
            &inputs,
            &view,
            (&config.node, &own.uid),
            enforcement,
        );
        move |stop| teller.run(stop)
    });
    start_keeping(last_good, &inputs, &tasks);
    let maker = Maker {
        config: Arc::clone(&config),
        addressing: addressing.clone(),
        devices: devices.clone(),
        addresses: addresses.clone(),
        view: view.clone(),
        engine: commands.clone(),
        announced: own_nodes.clone(),
        told: watch::Sender::new(None),
    };
    let object = announce::node_object(&config, &addressing, &own.uid);
    let origin = Origin::of(&config, &addresses);
    let own = (object, origin, maker.told.subscribe());
    let heard = (own_nodes, inputs.endpoints.clone());
    start_announcing(&client, heard, own, &addressing, &view, &tasks);
    let health = start_health(&config, maker, &addressing, (&view, &metrics), &tasks);
    tasks.spawn("node routes", {
        let (view, devices, routing) = (view.clone(), devices.clone(), config.datapath.routing);
        let own = (addressing.clone(), addresses.clone());
        move |stop| keep_routes(view, routing, own, devices, stop)
    });
    tasks.spawn("sockets of removed backends", {
        let closer = Closer::new(maps.clone(), view.clone());
        move |stop| closer.run(going, stop)
    });
    let log = EndpointLog::default();
    tasks.spawn("endpoint log", {
        let (log, view) = (log.clone(), view.clone());
        move |stop| log.follow(view, stop)
    });
    let intake = start_flows(&config, &inputs, &view, &devices, &maps, &tasks).await?;
    let hops = maps.hops.clone();
    let collector = Collector::new(maps.clone(), clock, config.datapath.lifetimes, capacity);
    tasks.spawn("connections", {
        let (intake, metrics) = (intake.clone(), metrics.clone());
        move |stop| collect(collector, hops, intake, metrics, stop)
    });
    let state = State {
        config: Arc::clone(&config),
        addressing: addressing.clone(),
        view: view.clone(),
        addresses: addresses.clone(),
        inputs: inputs.clone(),
        maps: maps.clone(),
        sizes: table_sizes(&config),
        health: health.clone(),
        drift: drift.clone(),
        metrics: metrics.clone(),
    };
    let asked = (&requests, kvstore.as_ref().map(|of| of.etcd.metrics()));
    serve_metrics(&config, state, asked, &tasks).await?;
    let api = Api {
        config: Arc::clone(&config),
        addressing: Arc::new(addressing),
        devices: Arc::new(devices),
        view: view.clone(),
        engine: commands,
        addresses,
        pools,
        identities,
        flows: intake,
        etcd: kvstore.map(|of| of.etcd.health()),
        spare,
        drift,
        maps,
        log,
        features: Arc::new(features),
        tasks: tasks.clone(),
        health,
        metrics,
    };
    let lock = queue::lock(&config.state_dir).await;
    if let Err(error) = &lock {
        tracing::warn!(%error, "the queue of deletions cannot be locked, one may wait until the next start");
    }
    queue::replay_once(&api).await;
    tasks.spawn("deferred deletions", {
        let api = api.clone();
        move |stop| queue::replay(api, stop)
    });
    start_api(&config, api, &tasks).await?;
    drop(lock);
    phases.ready();
    tasks.spawn("CNI configuration", {
        let config = Arc::clone(&config);
        move |stop| cni_conf::keep(config, view, stop)
    });
    let ended = tasks.token();
    tokio::select! {
        () = stop.cancelled() => tracing::info!("stopping; what is in the kernel stays in force"),
        () = ended.cancelled() => bail!("a part of the agent ended by itself, see the log"),
    }
    tasks.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// How long each part of the start took, in the log and the metrics.
struct Phases {
    begun: Instant,
    last: Instant,
    metrics: Metrics,
}

impl Phases {
    fn begin(metrics: Metrics) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            last: begun,
            metrics,
        }
    }

    fn done(&mut self, what: &str) -> Duration {
        let took = self.last.elapsed();
        let took_ms = took.as_millis();
        let since_start_ms = self.begun.elapsed().as_millis();
        self.last = Instant::now();
        tracing::info!(took_ms, since_start_ms, "{what}");
        took
    }

    /// A part that upstream measures too, under this name.
    fn done_as(&mut self, scope: &'static str, what: &str) {
        let took = self.done(what);
        self.metrics.started(scope, took);
    }

    fn ready(&self) {
        self.metrics.started("overall", self.begun.elapsed());
    }
}

async fn serve_metrics(
    config: &Config,
    state: State,
    asked: (&store::Metrics, Option<&store::etcd::Metrics>),
    tasks: &TaskGroup,
) -> anyhow::Result<()> {
    let Some(address) = config.metrics else {
        return Ok(());
    };
    let metrics = state.metrics.clone();
    let registry = metrics.registry(asked, state, &config.metrics_choice);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("prometheus-serve-addr {address}"))?;
    let router = daemon::metrics::routes(Arc::new(registry));
    tasks.spawn("metrics", move |stop| async move {
        let _ = axum::serve(listener, router.into_make_service())
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await;
    });
    Ok(())
}

/// This node's addresses, with those that its endpoints have.
fn own_addresses(own: &Own, config: &Config, view: &ViewReader) -> Addresses {
    let endpoints = &view.get().endpoints;
    if config.ipam == Ipam::MultiPool {
        Addresses::of_pools(&own.ranges, &own.addressing, config, endpoints)
    } else {
        Addresses::new(&own.addressing, endpoints)
    }
}

async fn store(config: &Config, requests: &store::Metrics) -> anyhow::Result<Client> {
    let mut options = store::Options::named("axoneme-agent");
    options.kubeconfig.clone_from(&config.store.kubeconfig);
    options.urls.clone_from(&config.store.urls);
    options.order_for(&config.node);
    options.metrics = requests.clone();
    Client::new(options)
        .await
        .context("k8s-kubeconfig-path, k8s-api-server-urls")
}

fn parse_options(config: &Config) -> ParseOptions {
    ParseOptions {
        cluster: config.cluster.as_str().into(),
        cidr_reach: if config.policy.cidr_matches_nodes {
            Reach::WorldAndNodes
        } else {
            Reach::World
        },
        ..ParseOptions::default()
    }
}

fn label_filter(config: &Config) -> anyhow::Result<LabelFilter> {
    let patterns = config.policy.labels.iter().map(String::as_str);
    let filter = if config.policy.labels.is_empty() {
        LabelFilter::standard()
    } else {
        LabelFilter::with_patterns(patterns)
    };
    filter.context("labels")
}

/// The engine has a thread of its own: it talks to the kernel, and must not wait for the rest.
fn start_engine(engine: Engine, orders: mpsc::Receiver<engine::Command>, tasks: &TaskGroup) {
    let runtime = tokio::runtime::Handle::current();
    tasks.spawn("engine", move |stop| async move {
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || runtime.block_on(engine.run(orders, stop)));
        let joined = match thread {
            Ok(thread) => tokio::task::spawn_blocking(move || thread.join().is_ok())
                .await
                .unwrap_or(false),
            Err(error) => {
                tracing::error!(%error, "the engine's thread cannot be started");
                false
            }
        };
        if !joined {
            tracing::error!("the engine failed");
        }
    });
}

fn start_policy_conditions(client: &Client, inputs: &Inputs, tasks: &TaskGroup) {
    let (writer, desired) = Table::new("policy conditions", &["policies"]);
    let (reconciler, _status) = policy_status::conditions(client.clone(), inputs.clone(), desired);
    tasks.spawn("policy conditions", move |stop| reconciler.run(stop));
    let inputs = inputs.clone();
    tasks.spawn("validity of policies", move |stop| {
        policy_status::follow(inputs, writer, stop)
    });
}

fn start_keeping(last_good: LastGood, inputs: &Inputs, tasks: &TaskGroup) {
    let (writer, desired) = Table::new("last good versions", &["policies"]);
    let (reconciler, _status) = last_good::files(last_good, desired);
    tasks.spawn("last good versions", move |stop| reconciler.run(stop));
    let inputs = inputs.clone();
    tasks.spawn("what is kept", move |stop| {
        last_good::follow(inputs, writer, stop)
    });
}

fn start_announcing(
    client: &Client,
    (announced, heard): (Table<Arc<str>, NodeObject>, Table<PodName, RemoteEndpoint>),
    (object, origin, health): (CiliumNode, Origin, announce::Told),
    addressing: &Addressing,
    view: &ViewReader,
    tasks: &TaskGroup,
) {
    let (writer, desired) = Table::new("announced endpoints", &["endpoints"]);
    let (reconciler, _status) = announce::endpoints(client.clone(), addressing, heard, desired);
    tasks.spawn("announced endpoints", move |stop| reconciler.run(stop));
    tasks.spawn("announcements", {
        let (view, addressing) = (view.clone(), addressing.clone());
        move |stop| announce::follow(view, addressing, writer, stop)
    });
    let client = client.clone();
    tasks.spawn("announced node", move |stop| {
        announce::keep_node(client, object, origin, health, announced, stop)
    });
}

async fn start_api(config: &Arc<Config>, api: Api, tasks: &TaskGroup) -> anyhow::Result<()> {
    let listener = local_api::bind(&config.socket, config.socket_group.as_deref())
        .with_context(|| format!("socket-path {}", config.socket.display()))?;
    if config.health_port != 0 {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), config.health_port);
        let probe = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("agent-health-port {address}"))?;
        let router = local_api::health_router(api.clone());
        tasks.spawn("health", move |stop| async move {
            let _ = axum::serve(probe, router.into_make_service())
                .with_graceful_shutdown(async move { stop.cancelled().await })
                .await;
        });
    }
    serve_health(config, &api, tasks)?;
    let router = local_api::router(api);
    tasks.spawn("REST API", move |stop| {
        local_api::serve(listener, router, stop)
    });
    Ok(())
}
