//! The parts that probe other nodes, and answer their probes.

use std::net::IpAddr;

use anyhow::Context;
use reconcile::TaskGroup;

use crate::config::Config;
use crate::health::endpoint::Maker;
use crate::health::{Health, api, hello};
use crate::local_api::{self, Api};
use crate::metrics::Metrics;
use crate::node::Addressing;
use crate::view::ViewReader;

/// Starts the health endpoint, the answers and the rounds, as far as they are on.
pub(super) fn start_health(
    config: &Config,
    maker: Maker,
    addressing: &Addressing,
    (view, metrics): (&ViewReader, &Metrics),
    tasks: &TaskGroup,
) -> Health {
    let health = Health::new(config, view.clone(), metrics.clone());
    tasks.spawn("health endpoint", move |stop| maker.keep(stop));
    if config.node_health.enabled {
        let v4 = addressing.node_ipv4.map(IpAddr::V4);
        let v6 = addressing.node_ipv6.map(IpAddr::V6);
        let (own, port) = (v4.into_iter().chain(v6).collect(), config.node_health.port);
        tasks.spawn("answers to probes", move |stop| {
            hello::answer_at_all(own, port, stop)
        });
        let prober = health.clone();
        tasks.spawn("probes", move |stop| prober.rounds(stop));
    }
    health
}

/// Serves the health API beside the agent's own.
pub(super) fn serve_health(config: &Config, api: &Api, tasks: &TaskGroup) -> anyhow::Result<()> {
    if !config.node_health.enabled {
        return Ok(());
    }
    let path = ::local_api::probes::socket_beside(&config.socket);
    let listener = local_api::bind(&path, config.socket_group.as_deref())
        .with_context(|| format!("the socket of the health API, {}", path.display()))?;
    let router = api::router(api.clone());
    tasks.spawn("health API", move |stop| {
        local_api::serve(listener, router, stop)
    });
    Ok(())
}
