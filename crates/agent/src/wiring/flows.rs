//! The flow server: ring, names, observer, peers, sockets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use hubble::export::otlp::Otlp;
use hubble::history::{History, Place};
use hubble::intake::Intake;
use hubble::names::Names;
use hubble::observer::{self, Observer};
use hubble::peer::{PeerConfig, PeerNode, PeerService, PeerTls, Prefer};
use hubble::recorder::Recorder;
use hubble::ring::{Capacity, Ring};
use hubble::rollup::Rollup;
use hubble::server::{Listen, Security, Server};
use model::node::Locality;
use reconcile::TaskGroup;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flows::topics::{self, Topics};
use crate::flows::{
    NamesNow, Unheard, doings, follow_ring, follow_samples, forget_pods, monotonic_ns,
};
use crate::inputs::Inputs;
use crate::node::Devices;
use crate::view::{View, ViewReader};

use super::flow_metrics::{serve_flow_metrics, start_exports};

#[allow(
    clippy::too_many_lines,
    reason = "the wiring is one list, read from top to bottom"
)]
pub(super) async fn start_flows(
    config: &Arc<Config>,
    inputs: &Inputs,
    view: &ViewReader,
    devices: &Devices,
    maps: &kernel::Maps,
    tasks: &TaskGroup,
) -> anyhow::Result<Option<Arc<Intake>>> {
    let hubble = &config.hubble;
    if !hubble.enabled {
        return Ok(None);
    }
    let ring = Arc::new(Ring::new(Capacity::new(hubble.capacity as u64)?));
    let names = NamesNow::new(view.clone(), inputs.clone(), names(devices));
    let names = Arc::new(names);
    let recorder = start_counting(config, tasks)?;
    let intake = Intake::new(ring, Arc::clone(&names) as Arc<dyn Names + Send + Sync>);
    let mut intake = intake.counted_by(Arc::clone(&recorder));
    if let Some(place) = &hubble.records
        && let Some(history) = start_keeping(place, tasks)
    {
        intake = intake.kept_by(history);
    }
    let otlp = hubble.exports.otlp.clone().map(Otlp::new).transpose();
    let otlp = otlp.context("export flows (hubble-otlp-endpoint)")?;
    if let Some(meter) = otlp.as_ref().and_then(Otlp::meter) {
        intake = intake.metered_by(Arc::clone(meter));
    }
    let intake = Arc::new(intake);
    let settings = observer::Config {
        cluster: config.cluster.clone(),
        node: config.node.clone(),
        ..observer::Config::default()
    };
    let observer = Observer::new(&intake, settings, tasks.token());
    let exported = start_exports(&hubble.exports, otlp, &intake, tasks)?;
    if let Some(wanted) = &hubble.metrics {
        serve_flow_metrics(wanted, &intake, exported, &observer, tasks).await?;
        tasks.spawn("pods of flow metrics", {
            let (metrics, inputs, view) = (intake.metrics().clone(), inputs.clone(), view.clone());
            move |stop| forget_pods(metrics, inputs, view, stop)
        });
    }
    let events = kernel::events::Events::open(maps).context("open the ring of events")?;
    let mut unheard = None;
    if hubble.capture {
        let samples = kernel::samples::Samples::open(maps).context("open the ring of samples")?;
        let heard = Arc::new(AtomicUsize::new(samples.position()));
        let backlog = kernel::samples::Samples::backlog(maps);
        let backlog = backlog.context("see what is in the ring of samples")?;
        unheard = Some(Unheard::new(backlog, Arc::clone(&heard)));
        let (topics, keeper) = Topics::open(counted_in(config));
        tasks.spawn("topics", move |stop| topics::keep(keeper, stop));
        tasks.spawn("samples", {
            let followed = maps.followed.clone();
            let (intake, names) = (Arc::clone(&intake), Arc::clone(&names));
            move |stop| {
                apart(move || {
                    follow_samples(samples, &followed, &intake, names, &heard, topics, &stop);
                })
            }
        });
    }
    tasks.spawn("events", {
        let (maps, intake) = (maps.clone(), Arc::clone(&intake));
        move |stop| apart(move || follow_ring(events, &maps, unheard.as_ref(), &intake, &stop))
    });
    let (nodes, peers) = watch::channel(Arc::from([]));
    let tls = if hubble.disable_tls || hubble.tls.is_none() {
        PeerTls::Plain
    } else {
        PeerTls::Named
    };
    let port = hubble.listen.map_or(4244, |address| address.port());
    let peers = PeerService::new(
        peers,
        PeerConfig {
            port,
            prefer: if hubble.prefer_ipv6 {
                Prefer::Ipv6
            } else {
                Prefer::Ipv4
            },
            tls,
        },
        tasks.token(),
    );
    let security = match &hubble.tls {
        Some(files) if !hubble.disable_tls => Security::Tls(files.clone()),
        _ => Security::Plain,
    };
    let listen = Listen {
        socket: Some(hubble.socket.clone()),
        tcp: hubble.listen.map(|address| (address, security)),
    };
    let labelled = observer.clone();
    let server = Server::bind(observer, peers, listen)
        .await
        .context("serve flows")?
        .answering(recorder);
    tasks.spawn("flow server", move |stop| async move {
        if let Err(error) = server.run(stop).await {
            tracing::error!(%error, "the flow server ended");
        }
    });
    tasks.spawn("flow nodes", {
        let (view, cluster) = (view.clone(), config.cluster.clone());
        move |stop| keep_nodes(view, cluster, nodes, labelled, stop)
    });
    tasks.spawn("agent events", {
        let (view, intake) = (view.clone(), Arc::clone(&intake));
        move |stop| tell_doings(view, names, intake, stop)
    });
    Ok(Some(intake))
}

/// Runs what sleeps and works by turns on a thread of its own.
async fn apart(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Records of before, and who writes them. Without them there are flows all the same, those of the ring.
fn start_keeping(place: &Place, tasks: &TaskGroup) -> Option<Arc<History>> {
    let history = match History::open(place.clone()) {
        Ok(history) => Arc::new(history),
        Err(error) => {
            let directory = place.directory.display();
            tracing::warn!(%error, %directory, "no records are kept");
            return None;
        }
    };
    tasks.spawn("records", {
        let history = Arc::clone(&history);
        move |stop| history.run(stop)
    });
    Some(history)
}

/// The directory of counts, and of what is known of whom they are of.
fn counted_in(config: &Config) -> &Path {
    let directory = config.hubble.data_dir.as_ref();
    directory.unwrap_or(&config.state_dir)
}

/// Counts, and who closes their spans.
fn start_counting(config: &Config, tasks: &TaskGroup) -> anyhow::Result<Arc<Recorder>> {
    let now = unix_seconds();
    // Without a file there are answers all the same, until the next restart.
    let directory = counted_in(config);
    if let Err(error) = std::fs::create_dir_all(directory) {
        tracing::warn!(%error, directory = %directory.display(), "hubble-data-dir cannot be made");
    }
    let rollup = Rollup::open(Some(directory), now).or_else(|error| {
        tracing::warn!(%error, "counts are kept in memory alone");
        Rollup::open(None, now)
    })?;
    let recorder = Arc::new(Recorder::new(rollup, monotonic_ns()));
    tasks.spawn("counts", {
        let recorder = Arc::clone(&recorder);
        move |stop| close_spans(recorder, stop)
    });
    Ok(recorder)
}

async fn close_spans(recorder: Arc<Recorder>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        let recorder = Arc::clone(&recorder);
        let closed = move || recorder.rollup().tick(unix_seconds());
        match tokio::task::spawn_blocking(closed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "counts are not written"),
            Err(error) => tracing::warn!(%error, "counts are not closed"),
        }
    }
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Numbers and names of the node's own devices.
fn names(devices: &Devices) -> impl Iterator<Item = (u32, Arc<str>)> {
    let links = devices.uplinks.iter().chain([&devices.host]);
    links
        .chain(&devices.overlay)
        .map(|link| (link.index, link.name.as_str().into()))
}

/// Tells the server of nodes: which there are, and what labels this one has.
pub(super) async fn keep_nodes(
    mut view: ViewReader,
    cluster: String,
    nodes: watch::Sender<Arc<[PeerNode]>>,
    observer: Observer,
    stop: CancellationToken,
) {
    loop {
        let now = view.get();
        if let Some(own) = now
            .nodes
            .values()
            .find(|row| row.locality == Locality::Local)
        {
            let labels = own.labels.iter();
            observer.set_node_labels(labels.map(|(key, value)| format!("{key}={value}")));
        }
        let peers: Arc<[PeerNode]> = now
            .nodes
            .values()
            .map(|row| PeerNode {
                cluster: cluster.clone(),
                name: row.name.to_string(),
                addresses: row.ip.iter().collect(),
            })
            .collect();
        nodes.send_if_modified(|old| {
            if **old == *peers {
                false
            } else {
                *old = peers;
                true
            }
        });
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
        }
    }
}

/// Tells the server what the agent does.
async fn tell_doings(
    mut view: ViewReader,
    names: Arc<NamesNow>,
    intake: Arc<Intake>,
    stop: CancellationToken,
) {
    intake.agent_event(doings::started());
    let mut told = Arc::new(View::default());
    loop {
        let now = view.get();
        for event in doings::between(&told, &now, |address| names.pod_at(address)) {
            intake.agent_event(event);
        }
        told = now;
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
        }
    }
}
